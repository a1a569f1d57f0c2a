"""Every registered rule, alone and in pipelines, keeps the laws of its traits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.laws.laws import Law, yield_laws
from tests.laws.subjects import SUBJECTS, Subject

if TYPE_CHECKING:
    from collections.abc import Iterator

# (subject, law) to the reason why it cannot hold. Strict: an exemption that is not needed fails.
EXEMPT: dict[tuple[str, str], str] = {}


def _cases() -> Iterator[object]:
    for subject in SUBJECTS:
        for law in yield_laws(subject):
            reason = EXEMPT.get((str(subject), law.name))
            marks = [pytest.mark.xfail(strict=True, reason=reason)] if reason else []
            yield pytest.param(subject, law, id=f"{subject}-{law.name}", marks=marks)


@pytest.mark.parametrize(("subject", "law"), list(_cases()))
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_law(subject: Subject, law: Law, data: st.DataObject) -> None:
    law.check(subject, data.draw(law.cohorts(subject)))


def test_exemptions_name_laws_that_are_claimed() -> None:
    claimed = {(str(subject), law.name) for subject in SUBJECTS for law in yield_laws(subject)}
    assert set(EXEMPT) <= claimed
