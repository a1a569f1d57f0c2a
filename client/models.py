"""The models that the organizations train, and their states as NumPy arrays."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import nn

from quickthorn.client.datasets import describe
from quickthorn.strategies.errors import ConfigurationError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from quickthorn.strategies.wire import ClientSettings

State: TypeAlias = "dict[str, NDArray[Any]]"
"""A model's parameters and buffers by name, in the order of the model."""

IMAGE_DIMENSIONS = 3
"""A sample of shape (channels, height, width) is an image; (features,) is tabular."""


def build_model(name: str, sample_shape: tuple[int, ...], classes: int, seed: int) -> nn.Sequential:
    """Build a freshly initialized classifier.

    Parameters
    ----------
    name
        ``logistic``: one linear layer. ``mlp``: one hidden layer with ReLU, of 32 units for
        tabular data and 128 for images. ``cnn``, images only: two 3x3 convolutions of 16 and
        32 channels, each with ReLU and 2x2 max pooling, a layer of 64 units, the output layer.
        ``cnn_large``, images only: the model of the experiments of Karimireddy et al. (ICLR
        2022) as their code has it: two 3x3 convolutions without padding of 32 and 64 channels,
        ReLU after the first alone, 2x2 max pooling, dropout of a quarter of the channels, a
        layer of 128 units with ReLU, dropout of half of them, the output layer; 1.2 million
        parameters for MNIST. None has batch normalization.
    sample_shape
        ``(features,)`` or ``(channels, height, width)``.
    classes
        How many outputs the model has.
    seed
        Of the initial weights. Torch's global generator is left as it was (it is borrowed
        meanwhile: build models in one thread at a time).

    Returns
    -------
    Sequential
        Maps ``(samples, *sample_shape)`` float32 to ``(samples, classes)`` logits.

    Raises
    ------
    UnknownNameError
        If there is no such model.
    ConfigurationError
        If the model does not suit the shape.

    Example
    -------
    >>> build_model("mlp", (30,), 2, seed=0)(torch.zeros(5, 30)).shape
    torch.Size([5, 2])

    """
    if name not in MODELS:
        raise UnknownNameError("model", name, MODELS)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return MODELS[name](sample_shape, classes)


def initial_state(settings: ClientSettings) -> State:
    """Return the state of the untrained model that the settings describe; no data is loaded.

    Raises
    ------
    ConfigurationError
        If the data set or the model is unknown or they do not fit each other.

    """
    data = describe(settings.dataset)
    return get_state(
        build_model(settings.model, data.sample_shape, len(data.classes), settings.seed)
    )


def get_state(model: nn.Module) -> State:
    """Return copies of a model's parameters and buffers, each in its own dtype."""
    return {key: value.detach().numpy().copy() for key, value in model.state_dict().items()}


def set_state(model: nn.Module, state: Mapping[str, NDArray[Any]]) -> None:
    """Overwrite a model's parameters and buffers with received values.

    Each array is converted to the dtype that the model has, because Flower's own averaging
    returns integer buffers as floats.

    Raises
    ------
    ConfigurationError
        If the names or the shapes are not those of the model.

    """
    own = model.state_dict()
    if own.keys() != state.keys():
        odd = sorted(own.keys() ^ state.keys())
        msg = (
            f"the received model does not fit the model of [client]: {', '.join(odd)} "
            "is in one of them only. Set model and dataset as the server has them."
        )
        raise ConfigurationError(msg)
    for key, tensor in own.items():
        value = state[key]
        if tuple(tensor.shape) != value.shape:
            msg = (
                f"the received array {key} must have shape {tuple(tensor.shape)}; got "
                f"{value.shape}. Set model and dataset as the server has them."
            )
            raise ConfigurationError(msg)
        np.copyto(tensor.detach().numpy(), value, casting="unsafe")


def _logistic(sample_shape: tuple[int, ...], classes: int) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(sample_shape), classes))


def _mlp(sample_shape: tuple[int, ...], classes: int) -> nn.Sequential:
    hidden = 128 if len(sample_shape) == IMAGE_DIMENSIONS else 32
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(sample_shape), hidden),
        nn.ReLU(),
        nn.Linear(hidden, classes),
    )


def _cnn(sample_shape: tuple[int, ...], classes: int) -> nn.Sequential:
    channels, height, width = _image_shape("cnn", sample_shape)
    return nn.Sequential(
        nn.Conv2d(channels, 16, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * (height // 4) * (width // 4), 64),
        nn.ReLU(),
        nn.Linear(64, classes),
    )


def _cnn_large(sample_shape: tuple[int, ...], classes: int) -> nn.Sequential:
    channels, height, width = _image_shape("cnn_large", sample_shape)
    return nn.Sequential(
        nn.Conv2d(channels, 32, kernel_size=3),
        nn.ReLU(),
        nn.Conv2d(32, 64, kernel_size=3),
        nn.MaxPool2d(2),
        nn.Dropout2d(0.25),
        nn.Flatten(),
        nn.Linear(64 * ((height - 4) // 2) * ((width - 4) // 2), 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, classes),
    )


def _image_shape(name: str, sample_shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(sample_shape) != IMAGE_DIMENSIONS:
        msg = (
            f"the {name} needs images of shape (channels, height, width); got {sample_shape}. "
            "Use mlp or logistic."
        )
        raise ConfigurationError(msg)
    channels, height, width = sample_shape
    return channels, height, width


MODELS: dict[str, Callable[[tuple[int, ...], int], nn.Sequential]] = {
    "logistic": _logistic,
    "mlp": _mlp,
    "cnn": _cnn,
    "cnn_large": _cnn_large,
}
