"""Whether what a rule makes of a cohort hangs on no tie and on no last digit, rule by rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.laws.subjects import is_clear_cut
from tests.naive.angles import cosine, uniqueness
from tests.naive.kernels import squared_distance

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.laws.subjects import Cohort


def fltrust(cohort: Cohort) -> bool:
    """Somebody is clearly trusted, so that the sum of the trust has all its digits."""
    trusted = cohort.trusted.tolist()
    return sum(max(cosine(row, trusted), 0.0) for row in cohort.values.tolist()) > 0.5


def foolsgold(cohort: Cohort) -> bool:
    """Everybody has a double, or somebody clearly differs: α / max α has its digits."""
    alphas = uniqueness(cohort.values.tolist())
    return max(alphas) < 1e-12 or (
        max(alphas) > 0.05 and not any(1e-12 < alpha < 1e-6 for alpha in alphas)
    )


def monna(cohort: Cohort) -> bool:
    """The last of the nearest and the first of the others differ by more than rounding."""
    rows, trusted = cohort.values.tolist(), cohort.trusted.tolist()
    distances = [squared_distance(row, trusted) for row in rows]
    return not cohort.byzantine or is_clear_cut(distances, len(rows) - cohort.byzantine, rows)


CLEAR: dict[str, Callable[[Cohort], bool]] = {
    "fltrust": fltrust,
    "foolsgold": foolsgold,
    "monna": monna,
}
