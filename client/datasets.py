"""Named data sets, each with a fixed part that no organization trains on.

``breast_cancer`` and ``digits`` come inside scikit-learn, so nothing is downloaded;
``mnist`` is read from a folder. Shapes and classes are known without loading (``describe``).

The split of the first two is stratified and needs no random numbers, so that it is the same
on every machine and with every version of NumPy: of each class, in the order of the file,
the samples 0, 5, 10, ... are held out. MNIST keeps its own two halves.

=============  ===============  =======  ======  ==========================================
name           sample shape     train    test    values
=============  ===============  =======  ======  ==========================================
breast_cancer  ``(30,)``        454      115     standardized with the training statistics
digits         ``(1, 8, 8)``    1,433    364     0 to 1
mnist          ``(1, 28, 28)``  60,000   10,000  ``(x / 255 - 0.1307) / 0.3081``
=============  ===============  =======  ======  ==========================================
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from quickthorn.client.idx import find_idx, read_idx
from quickthorn.strategies.errors import ConfigurationError, UnknownNameError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Split: TypeAlias = Literal["train", "test"]

HOLD_OUT_EVERY = 5
"""Of each class, every fifth sample is held out."""

_DIGITS = tuple("0123456789")
_MNIST_MEAN, _MNIST_DEVIATION = 0.1307, 0.3081
_MNIST_PREFIX: dict[Split, str] = {"train": "train", "test": "t10k"}


@dataclass(frozen=True)
class Description:
    """What is known of a data set without loading it."""

    sample_shape: tuple[int, ...]
    classes: tuple[str, ...]


DATASETS: dict[str, Description] = {
    "breast_cancer": Description((30,), ("malignant", "benign")),
    "digits": Description((1, 8, 8), _DIGITS),
    "mnist": Description((1, 28, 28), _DIGITS),
}


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples with their labels.

    Attributes
    ----------
    features
        ``(samples, *sample_shape)``, float32.
    labels
        ``(samples,)``, int64; each is an index into ``classes``.
    classes
        The names of the classes. A class may be absent from a share.

    Raises
    ------
    ConfigurationError
        If the arrays do not fit these descriptions or hold no sample.

    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse arrays of another type, another length or with labels out of range."""
        if self.features.dtype != np.float32 or self.labels.dtype != np.int64:
            got = f"{self.features.dtype} and {self.labels.dtype}"
            msg = f"a data set needs float32 features and int64 labels; got {got}."
            raise ConfigurationError(msg)
        if self.labels.ndim != 1 or len(self.features) != len(self.labels) or not len(self):
            msg = (
                "a data set needs one label per sample and at least one sample; "
                f"got shapes {self.features.shape} and {self.labels.shape}."
            )
            raise ConfigurationError(msg)
        low, high = int(self.labels.min()), int(self.labels.max())
        if low < 0 or high >= len(self.classes):
            msg = f"labels must be 0 to {len(self.classes) - 1}; got {low} to {high}."
            raise ConfigurationError(msg)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> Dataset:
        """Return a copy of the samples at ``indices``, in that order."""
        return Dataset(self.features[indices], self.labels[indices], self.classes)


def describe(name: str) -> Description:
    """Return the sample shape and the classes of a data set without loading it.

    Raises
    ------
    UnknownNameError
        If there is no such data set; the closest name is given.

    Example
    -------
    >>> describe("digits").sample_shape
    (1, 8, 8)

    """
    if name not in DATASETS:
        raise UnknownNameError("dataset", name, DATASETS)
    return DATASETS[name]


def load_dataset(name: str, data_dir: str | None = None) -> tuple[Dataset, Dataset]:
    """Return the training part and the held-out part of a data set.

    Parameters
    ----------
    name
        ``breast_cancer``, ``digits`` or ``mnist``.
    data_dir
        The folder with MNIST's four IDX files, plain or gzipped; the others need none.

    Raises
    ------
    UnknownNameError
        If there is no such data set.
    ConfigurationError
        If a file is missing or is not what it must be; the message names it.

    Example
    -------
    >>> train, test = load_dataset("breast_cancer")
    >>> train.features.shape, test.features.shape, train.classes
    ((454, 30), (115, 30), ('malignant', 'benign'))

    """
    return load_split(name, "train", data_dir), load_split(name, "test", data_dir)


def load_split(name: str, split: Split, data_dir: str | None = None) -> Dataset:
    """Return one part of a data set; see ``load_dataset``. The other is not kept in memory."""
    describe(name)
    if name == "mnist":
        return _load_mnist(split, data_dir)
    values, labels = _bundled(name)
    held_out = _held_out(labels)
    wanted = held_out if split == "test" else ~held_out
    if name == "breast_cancer":
        training = values[~held_out]
        values = (values - training.mean(axis=0)) / training.std(axis=0)
    else:
        values = values / 16.0
    shape = (-1, *DATASETS[name].sample_shape)
    features = values[wanted].astype(np.float32).reshape(shape)
    return Dataset(features, labels[wanted], DATASETS[name].classes)


def _held_out(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    mask = np.zeros(len(labels), dtype=np.bool_)
    for label in np.unique(labels):
        mask[np.flatnonzero(labels == label)[::HOLD_OUT_EVERY]] = True
    return mask


def _bundled(name: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the raw ``(samples, features)`` and ``(samples,)`` of a set inside scikit-learn.

    ``import sklearn`` loads scipy.stats and takes 2 seconds, in the fresh process of each
    organization in each round; the two files alone take 20 milliseconds. Should a later
    scikit-learn keep them elsewhere, its own loader is used.
    """
    filename, header_lines = {
        "breast_cancer": ("breast_cancer.csv", 1),
        "digits": ("digits.csv.gz", 0),
    }[name]
    spec = importlib.util.find_spec("sklearn")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "datasets" / "data" / filename
        if path.is_file():
            table = np.loadtxt(path, delimiter=",", skiprows=header_lines)
            return table[:, :-1], table[:, -1].astype(np.int64)
    return _bundled_by_import(name)


def _bundled_by_import(name: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    loader = getattr(importlib.import_module("sklearn.datasets"), f"load_{name}")
    values, labels = loader(return_X_y=True)
    return np.asarray(values, dtype=np.float64), np.asarray(labels, dtype=np.int64)


def _load_mnist(split: Split, data_dir: str | None) -> Dataset:
    if not data_dir:
        msg = "mnist needs data-dir: the folder with its IDX files (train-images-idx3-ubyte, ...)."
        raise ConfigurationError(msg)
    folder, prefix = Path(data_dir), _MNIST_PREFIX[split]
    labels_path = find_idx(folder, f"{prefix}-labels-idx1-ubyte")
    images_path = find_idx(folder, f"{prefix}-images-idx3-ubyte")
    description = DATASETS["mnist"]
    labels = read_idx(labels_path, ())
    images = read_idx(images_path, description.sample_shape[1:])
    if len(images) != len(labels):
        msg = f"{images_path} holds {len(images)} images but {labels_path} {len(labels)} labels."
        raise ConfigurationError(msg)
    if int(labels.max()) >= len(description.classes):
        msg = f"{labels_path} must hold labels 0 to 9; got {int(labels.max())}."
        raise ConfigurationError(msg)
    features = images.astype(np.float32)[:, np.newaxis]
    features /= 255.0
    features -= _MNIST_MEAN
    features /= _MNIST_DEVIATION
    return Dataset(features, labels.astype(np.int64), description.classes)
