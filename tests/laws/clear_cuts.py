"""Whether what a rule makes of a cohort hangs on no tie and on no last digit, rule by rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.naive.angles import cosine

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.laws.subjects import Cohort


def fltrust(cohort: Cohort) -> bool:
    """Somebody is clearly trusted, so that the sum of the trust has all its digits."""
    trusted = cohort.trusted.tolist()
    return sum(max(cosine(row, trusted), 0.0) for row in cohort.values.tolist()) > 0.5


CLEAR: dict[str, Callable[[Cohort], bool]] = {"fltrust": fltrust}
