"""Smallest maximum eigenvalue averaging, exact (Allouah et al. 2023)."""

from __future__ import annotations

from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.kernels.pairwise import central_gram
from quickthorn.strategies.kernels.rows import combine
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.updates import Aggregate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.pairwise import CentralGram
    from quickthorn.strategies.kernels.rows import Rows

# Subsets that may have to be looked at; 50 000 take seconds on one core.
MAX_SUBSETS = 50_000

# Eigenvalues closer than this, relative to the smaller, are one and the same.
_TIE = 1e-9

_BATCH = 256


def smea(values: Rows, *, byzantine: int) -> Aggregate:
    """Average the n − f updates whose covariance has the smallest largest eigenvalue.

        A(x) = mean of S*,   S* = argmin_{|S| = n−f} λ_max(cov(S))

    Exact: the eigenvalues come from the (n − f)² products of the centered rows, in full, and
    never from power steps. Every subset counts; one is put aside unread when a lower bound,
    half its squared diameter or its total variance over its rank, is above the best found.
    Eigenvalues that agree to 1e-9 tie, and the first set in the order of the client ids wins.

    Parameters
    ----------
    values
        (n, d) updates, n >= 2f + 1.
    byzantine
        f, how many clients may lie; n over f at most 50 000.

    Returns
    -------
    Aggregate
        (d,) vector, influence 1/(n − f) for the chosen.

    Raises
    ------
    ConfigurationError
        If there are more subsets than the bound.

    Example
    -------
    >>> smea(np.array([[0.0], [0.1], [0.3], [9.0]]), byzantine=1).influence.round(2)
    array([0.33, 0.33, 0.33, 0.  ])

    References
    ----------
    Allouah et al., "On the Privacy-Robustness-Utility Trilemma in Distributed Learning",
    ICML 2023, section 4.

    """
    n, d = values.shape
    if comb(n, byzantine) > MAX_SUBSETS:
        msg = (
            f"smea compares all subsets of n - f clients, at most {MAX_SUBSETS}; n={n} and "
            f"byzantine={byzantine} give {comb(n, byzantine)}. Lower byzantine, sample fewer "
            "clients, or use 'nnm | trimmed_mean'."
        )
        raise ConfigurationError(msg)
    chosen = smallest_spread(central_gram(values), n - byzantine, d)
    influence = np.zeros(n)
    influence[chosen] = 1.0 / len(chosen)
    return Aggregate(combine(influence[None, :], values)[0], influence)


def smallest_spread(gram: CentralGram, size: int, rank: int) -> NDArray[np.intp]:
    """Return the ``size`` rows with the smallest largest eigenvalue of their scatter.

    Parameters
    ----------
    gram
        The products of the rows.
    size
        How many rows to keep.
    rank
        The dimension d of the rows: how many eigenvalues can share the variance.

    """
    sets = np.array(list(combinations(range(len(gram.near)), size)), np.intp)
    excess = (~gram.near)[sets].sum(axis=1)  # as few rows out of range as there can be
    sets = sets[excess == excess.min()]
    bounds = _lower_bounds(gram, sets, max(min(rank, size - 1), 1))
    order = np.argsort(bounds, kind="stable")
    values = np.full(len(sets), np.inf)
    best = np.inf
    for start in range(0, len(sets), _BATCH):
        batch = order[start : start + _BATCH]
        batch = batch[bounds[batch] <= best * (1.0 + _TIE)]
        if not len(batch):
            break
        values[batch] = _largest_eigenvalues(gram, sets[batch])
        best = min(best, float(values[batch].min()))
    first: NDArray[np.intp] = sets[np.argmax(values <= best * (1.0 + _TIE))]
    return first


def _lower_bounds(gram: CentralGram, sets: NDArray[np.intp], rank: int) -> NDArray[np.float64]:
    """Bound λ_max of each scatter from below, a little less for what was rounded.

    Scatter only grows with more rows, so any pair gives ‖x_i − x_j‖²/2; and the eigenvalues,
    at most ``rank`` of them, sum to the trace.
    """
    norms = np.diag(gram.products)
    distances = np.maximum(norms[:, None] + norms - 2.0 * gram.products, 0.0)
    bounds = np.empty(len(sets))
    for start in range(0, len(sets), _BATCH):
        part = sets[start : start + _BATCH]
        inside = distances[part[:, :, None], part[:, None, :]]
        trace = inside.sum(axis=(1, 2)) / (2 * sets.shape[1])
        rounding = 64.0 * gram.rounding[part].max(axis=1)
        widest = inside.max(axis=(1, 2)) / 2.0
        bounds[start : start + _BATCH] = np.maximum(widest, trace / rank) - rounding
    return bounds


def _largest_eigenvalues(gram: CentralGram, sets: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return λ_max of the scatter of each set, by a full symmetric eigenvalue problem."""
    inside = gram.products[sets[:, :, None], sets[:, None, :]]
    along = inside.mean(axis=1, keepdims=True)
    centered = inside - along - along.swapaxes(1, 2) + along.mean(axis=2, keepdims=True)
    largest: NDArray[np.float64] = np.linalg.eigvalsh(centered)[:, -1]
    # What float64 cannot tell from no spread at all ties with it.
    largest[largest <= sets.shape[1] * gram.rounding[sets].max(axis=1)] = 0.0
    return largest


def kappa(n: int, byzantine: int) -> float:
    """Return κ = 4f / (n − 2f), four times the best; the proof is in docs/explanation/laws.md.

    >>> round(kappa(10, 2), 3)
    1.333
    """
    return 4 * byzantine / (n - 2 * byzantine)


SPEC = Spec(
    name="smea",
    kind="aggregator",
    apply=smea,
    min_clients=lambda byzantine: 2 * byzantine + 1,
    traits=frozenset({"translation", "scale", "rotation", "resilient"}),
    kappa=kappa,
    complexity="O(n² d + C(n, f) n³), C(n, f) ≤ 50 000",
    reference="Allouah et al., ICML 2023",
)
