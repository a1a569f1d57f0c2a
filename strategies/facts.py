"""What several signals need of one round's updates: computed once, where somebody asks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.aggregators.median import median
from quickthorn.strategies.kernels.angles import cosine_matrix, cosines_of
from quickthorn.strategies.kernels.pairwise import distances_of, gram, typical_exponent
from quickthorn.strategies.kernels.rows import MODERATE, row_norms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.rows import Rows
    from quickthorn.strategies.updates import Array


@dataclass(frozen=True, eq=False)
class Facts:
    """The updates of one round, and what all scorers together compute of them only once.

    Attributes
    ----------
    values
        (n, d) finite updates, as any ``Rows``.

    Example
    -------
    >>> facts = Facts(np.array([[3.0, 4.0], [6.0, 8.0], [0.0, 0.0]]))
    >>> facts.lengths, facts.cosines[0]
    (array([ 5., 10.,  0.]), array([1., 1., 0.]))

    """

    values: Rows

    @cached_property
    def lengths(self) -> NDArray[np.float64]:
        """Return the (n,) Euclidean norms."""
        return row_norms(self.values)

    @cached_property
    def center(self) -> Array:
        """Return the (d,) coordinate-wise median."""
        return median(self.values).vector

    @cached_property
    def exponent(self) -> int:
        """Return the power of two in whose units squares stay within float64, mostly 0."""
        return typical_exponent(self.values)

    @cached_property
    def products(self) -> NDArray[np.float64]:
        """Return the (n, n) inner products of the rows / 2^exponent."""
        return gram(self.values, self.exponent)

    @cached_property
    def distances(self) -> NDArray[np.float64]:
        """Return the (n, n) squared distances, as ``pairwise.squared_distances`` does."""
        return distances_of(self.products)

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
