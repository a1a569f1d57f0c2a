"""The server's own update: what it learns itself, by a function that its operator names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from quickthorn.strategies.errors import ConfigurationError, UpdateError

if TYPE_CHECKING:
    from quickthorn.strategies import Defense, ModelLayout
    from quickthorn.strategies.updates import Array

Root = Callable[[int, dict[str, np.ndarray[Any, np.dtype[Any]]]], Mapping[str, Any]]
"""(round, copy of the model that was sent) to the model after the server's own training."""


def check_root(defense: Defense, root: object) -> None:
    """Raise a ``ConfigurationError`` if ``defense`` needs the server's own update and has none."""
    if defense.needs_trusted and not root:
        msg = (
            f"{defense} needs the server's own update; got no root. Give RobustStrategy root=, a "
            "function (round, model) to the trained model, or name one as root in [server]."
        )
        raise ConfigurationError(msg)


def own_update(
    root: Root, number: int, sent: Mapping[str, Array], layout: ModelLayout, weights: Array
) -> tuple[Array | None, str]:
    """Train at the server and return the update, or why there is none; never raises.

    Parameters
    ----------
    root
        The operator's function; it gets copies and may overwrite them.
    number
        The round.
    sent, layout, weights
        The model that the clients were sent, its layout and its flat form (d,).

    Returns
    -------
    tuple
        The delta (d,) from ``weights``, as a client's is, and ``""``; or None and the reason.

    Example
    -------
    >>> from quickthorn.strategies import ModelLayout
    >>> model = {"w": np.array([1.0, 2.0])}
    >>> own_update(lambda number, w: {"w": w["w"] + number}, 3, model, ModelLayout.of(model),
    ...            model["w"])
    (array([3., 3.]), '')

    """
    try:
        trained = root(number, {name: np.array(array) for name, array in sent.items()})
        with np.errstate(over="ignore", invalid="ignore"):
            update = layout.flatten(_fitting(trained, layout))[0] - weights
    except Exception as error:  # noqa: BLE001 - the operator's code must not end the run
        return None, f"the server's own training failed: {type(error).__name__}: {error}"
    if not np.isfinite(update).all():
        return None, "the server's own training made NaN or infinity"
    return update, ""


def _fitting(trained: Mapping[str, Any], layout: ModelLayout) -> dict[str, Array]:
    """Return the tensors of a trained model, or raise unless each is there in its shape."""
    model = {name: np.asarray(array) for name, array in trained.items()}
    for tensor in layout.tensors:
        got = model[tensor.name].shape if tensor.name in model else "nothing"
        if got != tensor.shape:
            msg = f"it has to return {tensor.name!r} of shape {tensor.shape}; got {got}."
            raise UpdateError(msg)
    return model
