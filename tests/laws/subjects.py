"""What the laws run over: every aggregator alone, and some behind every pre-aggregator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quickthorn.strategies import Aggregate, Defense, Spec, Step, available, find
from tests.laws.choices import CHOICES
from tests.naive import PRE_TWINS, TWINS, krum_scores, squared_distances

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from quickthorn.strategies.updates import Array
    from quickthorn.strategies.votes import Votes


# Rules whose weights are no fixed fractions: solved for (geometric median) or filtered (CAF),
# they answer to every last digit of the Gram matrix.
ACCURACY = {"caf": 1e-11, "geometric_median": 1e-10}

# Rules whose weights follow the angles between rows: they answer to the last digit of the rows
# themselves, by so many digits of the result.
CONDITION = {"fltrust": 10.0, "foolsgold": 1000.0}


# Rules that are tried with other parameters than their defaults: FLAME without its noise.
PARAMETERS: dict[str, dict[str, object]] = {"flame": {"noise": 0.0}}


@dataclass(frozen=True)
class Subject:
    """A defense of at most two steps, and what it claims."""

    specs: tuple[Spec, ...]

    def __str__(self) -> str:
        return " | ".join(spec.name for spec in self.specs)

    @property
    def aggregator(self) -> Spec:
        return self.specs[-1]

    @property
    def pre(self) -> Spec | None:
        return self.specs[0] if len(self.specs) > 1 else None

    @property
    def traits(self) -> frozenset[str]:
        """A pipeline claims what each of its steps claims."""
        return frozenset.intersection(*(spec.traits for spec in self.specs))

    @property
    def kappa(self) -> Callable[[int, int], float] | None:
        """κ of the aggregator; behind a mixing step factor(n, f) · (κ + 1)."""
        last = self.aggregator.kappa
        if self.pre is None or last is None:
            return last
        factor = self.pre.kappa
        if factor is None:
            return None
        return lambda n, f: factor(n, f) * (last(n, f) + 1)

    @property
    def accuracy(self) -> float:
        """How far, in units of the largest value, the result may lie from the exact one."""
        return ACCURACY.get(self.aggregator.name, 0.0)

    @property
    def condition(self) -> float:
        """By how many digits the result may move where the last digit of a row does."""
        return CONDITION.get(self.aggregator.name, 1.0)

    def defense(self, byzantine: int) -> Defense:
        steps = (Step(spec, PARAMETERS.get(spec.name, {})) for spec in self.specs)
        return Defense(tuple(steps), byzantine)

    def min_clients(self, byzantine: int) -> int:
        return self.defense(byzantine).min_clients

    def run(self, cohort: Cohort) -> Aggregate:
        return self.defense(cohort.byzantine).aggregate(
            cohort.values, votes=cohort.votes, weights=cohort.weights, trusted=cohort.trusted
        )

    def twin(self, cohort: Cohort) -> NDArray[np.float64]:
        """Compute the vector by the naive twins."""
        rows = self._naive_rows(cohort)
        given = _supply(self.aggregator, cohort)
        return np.array(TWINS[self.aggregator.name](rows, **given))

    def is_decided(self, cohort: Cohort) -> bool:
        """Whether no choice between different rows hangs on a tie, or on a near tie.

        A rule that chooses rows breaks ties by client id, so a law that moves the rows or
        rounds differently holds for it only where the last chosen row and the first one left
        out differ by more than rounding. Small integers are computed without rounding.
        """
        rows, f = cohort.values.astype(np.float64).tolist(), cohort.byzantine
        exact = bool(np.isin(cohort.values, (-2, -1, 0, 1, 2)).all())
        if self.pre is not None and self.pre.name == "nnm" and not exact:
            chosen = len(rows) - f
            if not all(is_clear_cut(row, chosen, rows) for row in squared_distances(rows)):
                return False
        if self.aggregator.name in CHOICES:
            return CHOICES[self.aggregator.name](self._naive_rows(cohort), f)
        chosen = {"krum": 1, "multi_krum": len(rows) - f - 2}.get(self.aggregator.name, 0)
        if not chosen or (exact and self.pre is None):
            return True
        rows = self._naive_rows(cohort)
        return is_clear_cut(krum_scores(rows, byzantine=f), chosen, rows)

    def _naive_rows(self, cohort: Cohort) -> list[list[float]]:
        rows: list[list[float]] = cohort.values.astype(np.float64).tolist()
        if self.pre is not None:
            rows = PRE_TWINS[self.pre.name](rows, **_supply(self.pre, cohort))
        return rows


@dataclass(frozen=True, eq=False)
class Cohort:
    """One round's input."""

    values: Array
    byzantine: int
    weights: NDArray[np.float64]
    given: Array | None = None
    votes: Votes | None = None

    @property
    def trusted(self) -> Array:
        """The server's own update; halfway between two rows, so that it moves as they do."""
        if self.given is not None:
            return self.given
        halfway: Array = self.values[0] / 2 + self.values[-1] / 2
        return halfway

    def moved(self, values: Array) -> Cohort:
        """Return the cohort with other updates and the same claims."""
        return Cohort(values, self.byzantine, self.weights)

    def reordered(self, order: NDArray[np.int64]) -> Cohort:
        """Return the cohort with its clients under other names."""
        return Cohort(self.values[order], self.byzantine, self.weights[order], self.trusted)


def is_clear_cut(scores: list[int], chosen: int, rows: list[list[float]]) -> bool:
    """Whether the ``chosen`` smallest scores name the same rows after any rounding."""
    cut, slack = sorted(scores)[chosen - 1], max(scores) // 10**6
    below = sum(score < cut - slack for score in scores)
    tied = [row for row, score in zip(rows, scores, strict=True) if abs(score - cut) <= slack]
    if below + len(tied) == chosen:
        return True
    return bool(np.ptp(tied, axis=0).max() <= 1e-14 * np.abs(rows).max())


def aggregators() -> Iterator[Subject]:
    for name in available()["aggregator"]:
        yield Subject((find("aggregator", name),))


# Behind a pre-aggregator one rule of a kind is enough: by coordinates, by choice, by average.
BEHIND = ("krum", "mean", "median", "trimmed_mean")


def pipelines() -> Iterator[Subject]:
    for pre in available()["preaggregator"]:
        for name in BEHIND:
            yield Subject((find("preaggregator", pre), find("aggregator", name)))


SUBJECTS = (*aggregators(), *pipelines())
PREAGGREGATORS = tuple(find("preaggregator", name) for name in available()["preaggregator"])


def _supply(spec: Spec, cohort: Cohort) -> dict[str, Any]:
    supply = {"byzantine": cohort.byzantine, "weights": cohort.weights.tolist()}
    return {name: supply[name] for name in spec.supplied & supply.keys()}
