"""The tables of attacks, the text form, and what an attack is shown."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import quickthorn.simulations.attacks
from quickthorn.simulations.attacks.attack import Attack, AttackStep, build_attack
from quickthorn.simulations.attacks.registry import available_attacks, find_attack
from quickthorn.simulations.attacks.spec import (
    KNOWLEDGE,
    AttackSpec,
    Forged,
    UnforgeableError,
    UpdateView,
)
from quickthorn.strategies.errors import ConfigurationError, UnknownNameError, UpdateError
from tests.attack_forms import FORMS

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROOM = Path(quickthorn.simulations.attacks.__file__).parent
ALL = [name for names in available_attacks().values() for name in names]
SECTIONS = ("Parameters", "Returns", "Example", "References")

# Files that are no attack.
HELPERS = {"__init__", "attack", "cli", "distances", "honest", "oracle", "registry", "spec"}

by_name = pytest.mark.parametrize("name", ALL)


def view_of(h: int = 4, k: int = 2, d: int = 3, **others: Any) -> UpdateView:  # noqa: ANN401 - fields
    rng = np.random.default_rng(0)
    own = rng.normal(size=(k, d)).astype(np.float32)
    honest = rng.normal(size=(h, d)).astype(np.float32)
    return UpdateView(own=own, honest=honest, **others)


def test_every_file_is_in_a_table_and_every_entry_has_a_file() -> None:
    assert {path.stem for path in ROOM.glob("*.py")} - HELPERS == set(ALL)
    for kind, names in available_attacks().items():
        assert list(names) == sorted(set(names))
        assert {find_attack(name).kind for name in names} <= {kind}


@by_name
def test_every_entry_is_documented(name: str) -> None:
    spec = find_attack(name)
    doc = inspect.getdoc(spec.apply) or ""
    assert spec.name == name
    assert spec.knows in KNOWLEDGE
    assert spec.reference
    assert spec.summary.endswith(".")
    assert len(spec.summary) <= 100
    if spec.kind == "update":
        positions = [doc.find(f"\n{title}\n{'-' * len(title)}\n") for title in SECTIONS]
        assert -1 not in positions, f"{name} lacks one of {SECTIONS}"
        assert positions == sorted(positions)
        for parameter in ("view", *spec.supplied, *spec.parameters):
            assert f"\n{parameter}\n    " in doc[positions[0] : positions[1]], parameter
        assert ">>> " in doc[positions[2] : positions[3]]


@by_name
def test_the_text_form_is_read_back(name: str) -> None:
    attack = build_attack(name)
    assert build_attack(str(attack)) == attack
    assert attack.knows == find_attack(name).knows


@pytest.mark.parametrize(
    ("parameters", "knows"),
    [("", KNOWLEDGE[1]), ("(bound=honest)", KNOWLEDGE[1]), ("(bound=own)", KNOWLEDGE[0])],
)
def test_what_an_attack_knows_depends_on_its_parameters(parameters: str, knows: str) -> None:
    attack = build_attack(f"label_flip | constrain_and_scale{parameters}")
    assert attack.knows == knows


@pytest.mark.parametrize("text", FORMS)
def test_an_attack_says_truly_whether_it_looks_at_the_honest(text: str) -> None:
    attack = build_attack(text)
    (step,) = attack.steps

    def forged(view: UpdateView) -> NDArray[np.float32]:
        drawn = {"rng": np.random.default_rng(0)} if step.spec.supplied else {}
        rows: NDArray[np.float32] = step.spec.apply(view, **drawn, **step.parameters).rows
        return rows

    view = view_of(previous=np.ones(3, np.float32), defense=lambda values: values.mean(axis=0))
    # Shorter than the own, so that a bound that follows them binds.
    near, far = (replace(view, honest=view.honest * np.float32(scale)) for scale in (0.1, 0.2))
    same = np.array_equal(forged(near), forged(far), equal_nan=True)
    assert same == (attack.knows == KNOWLEDGE[0])


def test_a_bound_of_ones_own_needs_no_honest_updates() -> None:
    attack = build_attack("constrain_and_scale(bound=own)")
    rng = np.random.default_rng(0)
    rows = [attack.forge(view, rng=rng).rows for view in (view_of(), view_of(h=0, cohort=6))]
    np.testing.assert_array_equal(rows[0], rows[1])
    with pytest.raises(UnforgeableError, match="constrain_and_scale works from honest updates"):
        build_attack("constrain_and_scale").forge(view_of(h=0, cohort=6), rng=rng)


def test_none_is_no_attack() -> None:
    view = view_of(state={"kept": 1})
    forged = build_attack("none").forge(view, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(forged.rows, view.own)
    assert not np.shares_memory(forged.rows, view.own)
    assert forged.state == {"kept": 1}


def test_without_a_hostile_member_nothing_is_forged() -> None:
    forged = build_attack("sign_flip").forge(view_of(k=0), rng=np.random.default_rng(0))
    assert forged.rows.shape == (0, 3)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("sing_flip", UnknownNameError, "unknown attack 'sing_flip'; did you mean 'sign_flip'"),
        ("gaussian(deviaton=1)", UnknownNameError, "did you mean 'deviation'"),
        ("gaussian(deviation=-1)", ConfigurationError, "deviation of gaussian must be above 0"),
        ("gaussian(deviation=wide)", ConfigurationError, "must be a number; got 'wide'"),
        ("sign_flip(x=1)", ConfigurationError, "sign_flip has no parameter 'x'"),
        ("sign_flip | gaussian", ConfigurationError, "which is update | update"),
        ("sign_flip(", ConfigurationError, r"cannot read 'sign_flip\(' in the attack"),
        ("", ConfigurationError, "cannot read '' in the attack ''"),
    ],
)
def test_what_cannot_be_used_is_refused_when_it_is_read(
    text: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        build_attack(text)


def own_attack(apply: Any, knows: Any = "own data") -> Attack:  # noqa: ANN401 - a function
    spec = AttackSpec(name="mine", kind="update", apply=apply, knows=knows, reference="-")
    return Attack((AttackStep(spec),))


@pytest.mark.parametrize("level", range(3))
def test_an_attack_is_shown_what_it_knows_and_no_more(level: int) -> None:
    seen: list[UpdateView] = []

    def spy(view: UpdateView) -> Forged:
        seen.append(view)
        return Forged(view.own.copy())

    attack = own_attack(spy, KNOWLEDGE[level])
    view = view_of(defense=lambda values: values.mean(axis=0), clients=tuple("abcd"))
    attack.forge(view, rng=np.random.default_rng(0))
    shown = seen[-1]
    assert len(shown.honest) == (4 if level else 0)
    assert shown.clients == (tuple("abcd") if level else ())
    assert (shown.defense is not None) == (level == 2)
    assert shown.cohort == 6


def test_an_attack_that_lacks_what_it_needs_says_so() -> None:
    def same(view: UpdateView) -> Forged:
        return Forged(view.own.copy())

    rng = np.random.default_rng(0)
    with pytest.raises(ConfigurationError, match="works from honest updates; got none"):
        own_attack(same, "all honest updates").forge(view_of(h=0), rng=rng)
    with pytest.raises(ConfigurationError, match="the view has no defense"):
        own_attack(same, "the defense").forge(view_of(), rng=rng)


def test_rows_of_another_shape_or_type_are_refused() -> None:
    def narrow(view: UpdateView) -> Forged:
        return Forged(view.own[:, :1].copy())

    def wide(view: UpdateView) -> Forged:
        rows: NDArray[Any] = view.own.astype(np.float64)
        return Forged(rows)

    for apply in (narrow, wide):
        with pytest.raises(UpdateError, match="must return float32 rows of shape"):
            own_attack(apply)


def test_a_view_is_checked_and_locked() -> None:
    own = np.zeros((1, 3), np.float32)
    view = UpdateView(own=own, honest=own)
    for array in (view.own, view.honest, view.model, view.previous):
        assert not array.flags.writeable
    assert own.flags.writeable
    with pytest.raises(UpdateError, match="a view needs own"):
        UpdateView(own=own, honest=np.zeros((2, 4), np.float32))
    with pytest.raises(UpdateError, match="a view needs own"):
        UpdateView(own=own, honest=own, model=np.zeros(2, np.float32))
    with pytest.raises(UpdateError, match="one id per honest row: 1; got 2"):
        UpdateView(own=own, honest=own, clients=("a", "b"))


def test_sign_flip_negates_each_members_own_delta_and_not_the_weights() -> None:
    view = view_of(model=np.full(3, 9.0, np.float32))
    forged = build_attack("sign_flip").forge(view, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(forged.rows, -view.own)


def test_gaussian_noise_has_its_mean_and_deviation_and_differs_by_member() -> None:
    attack = build_attack("gaussian(mean=5, deviation=2)")
    rows = attack.forge(view_of(d=20_000), rng=np.random.default_rng(1)).rows
    assert rows.mean() == pytest.approx(5.0, abs=0.05)
    assert rows.std() == pytest.approx(2.0, rel=0.02)
    assert abs(((rows[0] - 5.0) * (rows[1] - 5.0)).mean()) < 0.2
