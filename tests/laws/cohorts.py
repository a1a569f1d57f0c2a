"""Cohorts to try the laws on: shapes, ties, duplicates, denormals, huge values, both dtypes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st

from tests.laws.subjects import Cohort

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.laws.subjects import Subject

# Per dtype: ordinary, small, large, and (float64) so far out that squares leave the range.
SCALES = {
    np.float32: (1.0, 2.0**-40, 1e30),
    np.float64: (1.0, 2.0**-40, 1e30, 2.0**-600, 1e200),
}
DENORMAL = {np.float32: 1e-43, np.float64: 1e-320}


def cohorts(subject: Subject) -> st.SearchStrategy[Cohort]:
    """Anything the rule has to accept, ties and the smallest n included."""
    return st.builds(
        _cohort,
        st.just(subject),
        byzantine=st.integers(0, 3),
        extra=st.integers(0, 4),
        columns=st.integers(1, 6),
        dtype=st.sampled_from([np.float32, np.float64]),
        size=st.sampled_from(["ordinary", "small", "large", "beyond", "denormal"]),
        kind=st.sampled_from(["normal", "lattice", "duplicates", "one direction"]),
        seed=st.integers(0, 2**32 - 1),
    )


def generic_cohorts(subject: Subject) -> st.SearchStrategy[Cohort]:
    """Rows in general position, for laws that move rows: there ties would decide.

    Three clients and f = 0 are left out: the nearest two always tie in Krum's score.
    """
    return st.builds(
        _cohort,
        st.just(subject),
        byzantine=st.integers(0, 3),
        extra=st.integers(1, 4),
        columns=st.integers(2, 6),
        dtype=st.sampled_from([np.float32, np.float64]),
        size=st.sampled_from(["ordinary", "small", "large", "beyond"]),
        kind=st.just("normal"),
        seed=st.integers(0, 2**32 - 1),
    )


def _cohort(
    subject: Subject,
    *,
    byzantine: int,
    extra: int,
    columns: int,
    dtype: type[np.floating],
    size: str,
    kind: str,
    seed: int,
) -> Cohort:
    rng = np.random.default_rng(seed)
    n = subject.min_clients(byzantine) + extra
    rows = _rows(kind, n, columns, rng)
    if size == "denormal":
        scale = DENORMAL[dtype]
    else:
        sizes = ("ordinary", "small", "large", "beyond")
        scale = SCALES[dtype][min(sizes.index(size), len(SCALES[dtype]) - 1)]
    weights = rng.integers(1, 50, n).astype(np.float64)
    return Cohort((rows * scale).astype(dtype), byzantine, weights)


def _rows(kind: str, n: int, columns: int, rng: np.random.Generator) -> NDArray[np.float64]:
    if kind == "lattice":
        return rng.integers(-2, 3, (n, columns)).astype(np.float64)
    if kind == "duplicates":
        return rng.normal(size=(2, columns))[rng.integers(0, 2, n)]
    if kind == "one direction":
        return rng.normal(size=(n, 1)) * rng.normal(size=(1, columns))
    return rng.normal(size=(n, columns))
