"""Every registered rule, alone and in pipelines, keeps the laws of its traits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.laws.laws import Law, yield_laws
from tests.laws.subjects import BEHIND, SUBJECTS, Subject

if TYPE_CHECKING:
    from collections.abc import Iterator

# (subject, law) to the reason why it cannot hold. Strict: an exemption that is not needed fails.
EXEMPT: dict[tuple[str, str], str] = {
    (f"bucketing | {name}", "permutation_of_clients"): "the lot falls on places among the ids, "
    "so other names make other buckets"
    for name in BEHIND
} | {
    ("bulyan", "influence_explains_the_vector"): "it drops values by coordinate, but of rows "
    "that all coordinates chose",
    ("centered_clipping", "influence_explains_the_vector"): "the previous aggregate has a share "
    "in the vector too, and lengths tie the coordinates together",
}


def _cases(*, exempt: bool) -> Iterator[object]:
    for subject in SUBJECTS:
        for law in yield_laws(subject):
            reason = EXEMPT.get((str(subject), law.name))
            if exempt == (reason is not None):
                marks = [pytest.mark.xfail(strict=True, reason=reason)] if reason else []
                yield pytest.param(subject, law, id=f"{subject}-{law.name}", marks=marks)


@pytest.mark.parametrize(("subject", "law"), list(_cases(exempt=False)))
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_law(subject: Subject, law: Law, data: st.DataObject) -> None:
    law.check(subject, data.draw(law.cohorts(subject)))


@pytest.mark.parametrize(("subject", "law"), list(_cases(exempt=True)))
@settings(max_examples=15, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(data=st.data())
def test_exemption_is_needed(subject: Subject, law: Law, data: st.DataObject) -> None:
    """The same, without the search for the smallest example of what is known to fail."""
    law.check(subject, data.draw(law.cohorts(subject)))


def test_exemptions_name_laws_that_are_claimed() -> None:
    claimed = {(str(subject), law.name) for subject in SUBJECTS for law in yield_laws(subject)}
    assert set(EXEMPT) <= claimed
