"""What several signals need of one round's updates: computed once, where somebody asks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels.angles import cosine_matrix, cosines_of
from quickthorn.strategies.kernels.order import median, middle_mean
from quickthorn.strategies.kernels.pairwise import central_of, distances_of, gram, typical_exponent
from quickthorn.strategies.kernels.rows import LARGEST, MODERATE, row_norms
from quickthorn.strategies.kernels.surveys import WIDTH, sketch, survey

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.pairwise import CentralGram
    from quickthorn.strategies.kernels.rows import Rows
    from quickthorn.strategies.kernels.surveys import Survey
    from quickthorn.strategies.updates import Array, ModelLayout

# Powers of two beyond these leave float64, or would lift denormals out of it.
_LARGEST_EXPONENT = 1000


# Beyond a thousand times the median, up or down, the figure says nothing more.
_LARGEST_RATIO = 1000.0


@dataclass(frozen=True, eq=False)
class Facts:
    """The updates of one round, and what signals and rules compute of them only once.

    Attributes
    ----------
    values
        (n, d) finite updates, as any ``Rows``.
    layout
        Which columns are which tensor of the model; without it they are all of one.
    model
        (d,) the flat model that was sent, where it is told.

    Example
    -------
    >>> facts = Facts(np.array([[3.0, 4.0], [6.0, 8.0], [0.0, 0.0]]))
    >>> facts.lengths, facts.cosines[0]
    (array([ 5., 10.,  0.]), array([1., 1., 0.]))

    """

    values: Rows
    layout: ModelLayout | None = None
    model: Array | None = None

    @cached_property
    def lengths(self) -> NDArray[np.float64]:
        """Return the (n,) Euclidean norms."""
        return row_norms(self.values)

    @cached_property
    def center(self) -> Array:
        """Return the (d,) coordinate-wise median."""
        return middle_mean(self.values, (len(self.values) - 1) // 2)

    @cached_property
    def center_length(self) -> float:
        """Return the Euclidean norm of the center."""
        return float(row_norms(self.center[None, :])[0])

    @cached_property
    def exponents(self) -> NDArray[np.int64]:
        """Return (n,) powers of two in whose units no square overflows; 0 for float32."""
        if self.values.dtype.itemsize == np.float32().itemsize:
            return np.zeros(len(self.values), np.int64)
        return _exponents(np.maximum(self.lengths, self.center_length))

    @cached_property
    def survey(self) -> Survey:
        """Return what one pass over the rows finds, in units of 2^exponents."""
        tensors = [slice(0, self.values.shape[1])]
        if self.layout is not None:
            tensors = [slice(w.offset, w.offset + w.size) for w in self.layout.weights]
        return survey(self.values, self.center, self.exponents, tensors)

    @cached_property
    def sketches(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the (n,) lengths and the (n, 256) directions of the sketches; 0 for zeros."""
        lengths, directions = _polar(self.survey.sketches)
        with np.errstate(over="ignore"):
            return np.minimum(np.ldexp(lengths, self.exponents), LARGEST), directions

    @cached_property
    def place(self) -> NDArray[np.float64]:
        """Return the (256,) sketch of the model that was sent; zeros where none was told."""
        if self.model is None:
            return np.zeros(WIDTH)
        model, exponent = self.model, 0
        if model.dtype.itemsize > np.float32().itemsize:  # else no square of it overflows
            exponent = int(_exponents(row_norms(model[None, :]))[0])
            model = np.ldexp(model, -exponent)
        lengths, directions = _polar(sketch(model)[None, :])
        with np.errstate(over="ignore"):
            length = np.minimum(np.ldexp(lengths[0], exponent), LARGEST)
        return np.asarray(length * directions[0])

    @cached_property
    def exponent(self) -> int:
        """Return the power of two in whose units squares stay within float64, mostly 0."""
        return typical_exponent(self.values)

    @cached_property
    def products(self) -> NDArray[np.float64]:
        """Return the (n, n) inner products of the rows / 2^exponent."""
        return _frozen(gram(self.values, self.exponent))

    @cached_property
    def distances(self) -> NDArray[np.float64]:
        """Return the (n, n) squared distances, as ``pairwise.squared_distances`` does."""
        return _frozen(distances_of(self.products))

    @cached_property
    def central(self) -> CentralGram:
        """Return the inner products about the most central row, as ``pairwise.central_gram``."""
        return central_of(self.products)

    @cached_property
    def cosines(self) -> NDArray[np.float64]:
        """Return the (n, n) cosines, 1 between a row and itself; 0 with a row of zeros.

        From the products where no square left its range, else from rows scaled one by one.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            lengths = np.sqrt(np.diag(self.products))
        usual = (MODERATE[0] < lengths) & (lengths < MODERATE[1])
        if not (usual | (self.lengths == 0.0)).all():
            return cosine_matrix(self.values)
        return cosines_of(self.products)


def _exponents(lengths: NDArray[np.float64]) -> NDArray[np.int64]:
    exponents: NDArray[np.int64] = np.frexp(lengths)[1].astype(np.int64)
    return np.clip(exponents, -_LARGEST_EXPONENT, _LARGEST_EXPONENT)


def _polar(
    sketches: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the (n,) lengths and the (n, 256) directions; 0 for zeros."""
    lengths = np.sqrt((sketches**2).sum(axis=1))
    return lengths, sketches / np.where(lengths > 0, lengths, 1.0)[:, None]


def ratios_to_median(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n,) sizes in medians, at most 1000; where the median is 0, the others are 1000.

    >>> ratios_to_median(np.array([1.0, 2.0, 4.0])), ratios_to_median(np.array([0.0, 0.0, 3.0]))
    (array([0.5, 1. , 2. ]), array([   1.,    1., 1000.]))
    """
    typical = float(median(sizes))
    if typical == 0:
        return np.where(sizes > 0, _LARGEST_RATIO, 1.0)
    return np.minimum(sizes / typical, _LARGEST_RATIO)


def log_ratios(ratios: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the natural logarithms of ratios, those below 1/1000 as of 1/1000.

    >>> log_ratios(np.array([0.0, 1e-3, 1.0])).round(1)
    array([-6.9, -6.9,  0. ])
    """
    logarithms: NDArray[np.float64] = np.log(np.maximum(ratios, 1.0 / _LARGEST_RATIO))
    return logarithms


def _frozen(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """Let nobody change what others go on using."""
    array.flags.writeable = False
    return array
