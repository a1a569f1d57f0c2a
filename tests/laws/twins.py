"""A subject by its naive twins, where a step draws lots, remembers or makes fewer rows of many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tests.laws.clear_cuts import CLEAR
from tests.laws.subjects import PARAMETERS, Cohort, Subject
from tests.naive import PRE_TWINS, TWINS
from tests.naive.history import has_clear_cut

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies import Spec


def supply(spec: Spec, cohort: Cohort, rng: np.random.Generator | None = None) -> dict[str, Any]:
    """Return what a defense hands to ``spec`` in its first round."""
    given = {
        "byzantine": cohort.byzantine,
        "weights": cohort.weights.tolist(),
        "trusted": cohort.trusted.tolist(),
        "layout": None,
        "clients": [str(row) for row in range(len(cohort.values))],
        "state": None,
        "rng": np.random.default_rng(0) if rng is None else rng,
    }
    return {name: given[name] for name in spec.supplied & given.keys()}


def twin(subject: Subject, cohort: Cohort) -> NDArray[np.float64]:
    """Compute the vector by the naive twins."""
    rng = np.random.default_rng(0)
    cohort = _behind(subject, cohort, rng)
    name = subject.aggregator.name
    given = supply(subject.aggregator, cohort, rng) | PARAMETERS.get(name, {})
    return np.array(TWINS[name](cohort.values.tolist(), **given))


def is_decided(subject: Subject, cohort: Cohort) -> bool:
    """Whether no choice between different rows hangs on a tie, as ``Subject.is_decided``."""
    seen = _behind(subject, cohort, np.random.default_rng(0))
    if subject.aggregator.name == "dnc" and not has_clear_cut(
        seen.values.tolist(), cohort.byzantine
    ):
        return False
    clear = CLEAR.get(subject.aggregator.name)
    if clear is not None and not clear(seen):
        return False
    if subject.pre is not None and subject.pre.rows is not None:
        return Subject((subject.aggregator,)).is_decided(seen)
    return subject.is_decided(cohort)


def _behind(subject: Subject, cohort: Cohort, rng: np.random.Generator) -> Cohort:
    """Return what the aggregator sees, computed by the twin of the step before it."""
    rows = cohort.values.astype(np.float64).tolist()
    if subject.pre is None:
        return cohort
    apply = PRE_TWINS[subject.pre.name]
    if subject.pre.rows is None:
        given = supply(subject.pre, cohort, rng)
        return cohort.moved(np.array(apply(rows, **given)))
    state = rng.bit_generator.state
    claims = apply(
        [[claim] for claim in cohort.weights.tolist()], **supply(subject.pre, cohort, rng)
    )
    rng.bit_generator.state = state  # the same lot for the rows and for their claims
    mixed = apply(rows, **supply(subject.pre, cohort, rng))
    return Cohort(np.array(mixed), cohort.byzantine, np.array(claims)[:, 0])
