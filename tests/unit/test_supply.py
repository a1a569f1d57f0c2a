"""What a rule may ask for beside the updates: given, missing, of a wrong form, behind groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quickthorn.strategies import Aggregate, Defense, ModelLayout, Spec, Step, UpdateMatrix, build
from quickthorn.strategies.errors import ConfigurationError, UpdateError
from quickthorn.strategies.registry import find

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
LAYOUT = ModelLayout.of({"w": np.zeros(1, np.float32), "b": np.zeros(1, np.float32)})


def spec(apply: Callable[..., Aggregate]) -> Spec:
    return Spec(
        name="probe",
        kind="aggregator",
        apply=apply,
        min_clients=lambda _f: 1,
        complexity="",
        reference="",
    )


def test_a_rule_gets_what_it_asks_for_by_name() -> None:
    seen: list[Any] = []

    def probe(values: Any, *, trusted: Any, layout: Any, clients: Any) -> Aggregate:  # noqa: ANN401 - a probe
        seen.append((trusted, layout, clients))
        return Aggregate(values[0].copy())

    defense = Defense((Step(spec(probe)),), 0)
    assert defense.needs_trusted
    trusted = np.array([3.0, 4.0])
    defense.aggregate(ROWS, trusted=trusted, layout=LAYOUT)
    assert seen[-1][0] is trusted
    assert seen[-1][1:] == (LAYOUT, ("0", "1", "2"))
    matrix = UpdateMatrix.of(dict(zip("abc", ROWS, strict=True)))
    defense.aggregate(matrix, trusted=trusted)
    assert seen[-1][1:] == (None, ("a", "b", "c"))


@pytest.mark.parametrize(
    ("trusted", "words"),
    [
        (None, r"fltrust needs the server's own update, .* of shape \(2,\); got none"),
        (np.ones(3), r"got float64 of shape \(3,\). Pass trusted=, or give RobustStrategy a root="),
        (np.ones(2, np.int64), r"got int64 of shape \(2,\)"),
        ([1.0, 2.0], r"got None of shape \(2,\)"),
        (np.array([1.0, np.nan]), "which fltrust needs, holds NaN or infinity; train it anew"),
    ],
)
def test_a_rule_without_a_usable_trusted_update_says_so(trusted: Any, words: str) -> None:  # noqa: ANN401 - wrong on purpose
    with pytest.raises(UpdateError, match=words):
        build("fltrust", byzantine=0).aggregate(ROWS, trusted=trusted)


def test_who_needs_no_trusted_update_does_not_look_at_it() -> None:
    defense = build("median", byzantine=1)
    assert not defense.needs_trusted
    assert defense.aggregate(ROWS, trusted=np.ones(9)).vector.tolist() == [1.0, 1.0]


def test_a_layout_of_another_model_is_refused() -> None:
    with pytest.raises(UpdateError, match="got updates of 3 columns and a layout of 2"):
        build("median", byzantine=0).aggregate(np.ones((2, 3)), layout=LAYOUT)


def test_a_rule_that_knows_clients_cannot_stand_behind_groups() -> None:
    def probe(values: Any, *, clients: Any) -> Aggregate:  # noqa: ANN401 - a probe
        assert len(clients) == len(values)
        return Aggregate(np.zeros(values.shape[1]))

    step = Step(spec(probe))
    for pre in ("nnm", "clip"):
        Defense((Step(find("preaggregator", pre)), step), 0).aggregate(ROWS)
    bucketing = Step(find("preaggregator", "bucketing"), {"size": 3})
    with pytest.raises(ConfigurationError, match=r"behind bucketing\(size=3\) a row is a group"):
        Defense((bucketing, Step(find("preaggregator", "nnm")), step), 0)


def test_a_state_of_another_rule_is_refused_by_name() -> None:
    rows = np.ones((5, 2))
    for rule, lacks in (("centered_clipping", "center"), ("foolsgold", "clients, history")):
        with pytest.raises(UpdateError, match=f"the state of {rule} lacks {lacks}"):
            build(rule, byzantine=1).aggregate(rows, state={f"0:{rule}": {"other": 1}})
