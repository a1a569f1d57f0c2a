"""Server optimizers: equal to their twins, state in and out, refused where they cannot be used."""

from __future__ import annotations

import io
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quickthorn.strategies import UpdateMatrix, available, build, find
from quickthorn.strategies.errors import ConfigurationError, UnknownNameError, UpdateError
from quickthorn.strategies.optimizer import Optimizer, build_optimizer
from quickthorn.strategies.round import RoundOutcome, run_round
from quickthorn.strategies.steps import Step
from tests.naive import OPTIMIZER_TWINS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quickthorn.strategies.updates import Array

NAMES = available()["optimizer"]
ROUNDS = np.random.default_rng(0).normal(size=(6, 5)) * np.array([1e-6, 1e-3, 1.0, 30.0, 0.0])
OTHERS = {
    "sgd": {"learning_rate": 0.3},
    "momentum": {"learning_rate": 0.3, "beta": 0.5},
    "adam": {"learning_rate": 0.02, "beta_1": 0.0, "beta_2": 0.5, "tau": 0.1},
    "yogi": {"learning_rate": 0.02, "beta_1": 0.5, "beta_2": 0.0, "tau": 0.1},
}


def steps_of(optimizer: Optimizer, rounds: Array) -> Array:
    state, steps = None, []
    for vector in rounds:
        step, state = optimizer.move(vector, state)
        steps.append(step)
    return np.array(steps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("others", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_as_the_twin_says(name: str, others: bool, dtype: type) -> None:  # noqa: FBT001 - a table of cases
    rounds: Array = ROUNDS.astype(dtype)
    parameters: dict[str, Any] = OTHERS[name] if others else {}
    steps = steps_of(Optimizer(Step(find("optimizer", name), parameters)), rounds)
    assert steps.dtype == dtype
    expected = OPTIMIZER_TWINS[name](rounds.tolist(), **parameters)
    tolerance = 1e-6 if dtype == np.float32 else 1e-11
    np.testing.assert_allclose(steps, expected, rtol=tolerance, atol=1e-30)


@pytest.mark.parametrize("name", NAMES)
def test_inputs_stay_and_nothing_is_remembered_on_the_side(name: str) -> None:
    optimizer = build_optimizer(name)
    first = ROUNDS[0].copy()
    step, state = optimizer.move(first, None)
    step[:] = 7.0
    assert (first == ROUNDS[0]).all()
    before = {
        key: value.copy() for key, value in (state or {}).get(f"optimizer:{name}", {}).items()
    }
    again = [optimizer.move(ROUNDS[1], state)[0].tobytes() for _ in range(2)]
    assert again[0] == again[1]
    for key, value in before.items():
        assert (state or {})[f"optimizer:{name}"][key].tolist() == value.tolist()


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"sgd"}))
def test_the_state_is_a_mapping_of_arrays_that_survives_a_file(name: str) -> None:
    optimizer, key = build_optimizer(name), f"optimizer:{name}"
    state = stored = None
    for vector in ROUNDS:
        step, state = optimizer.move(vector, state)
        read, _ = optimizer.move(vector, stored)
        assert step.tobytes() == read.tobytes()
        file = io.BytesIO()
        np.savez(file, **(state or {})[key])
        file.seek(0)
        stored = {key: dict(np.load(file))}
    with pytest.raises(UpdateError, match=r"of shape \(5,\), the aggregate of shape \(2,\)"):
        optimizer.move(np.ones(2), state)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sgd(learning_rate=0)", "learning_rate of sgd must be above 0; got 0"),
        ("momentum(learning_rate=-1)", "learning_rate of momentum must be above 0; got -1"),
        ("momentum(beta=1)", "beta of momentum must be from 0 to below 1; got 1"),
        ("adam(beta_1=-0.1)", "beta_1 of adam must be from 0 to below 1; got -0.1"),
        ("yogi(beta_2=1.5)", "beta_2 of yogi must be from 0 to below 1; got 1.5"),
        ("adam(tau=0)", "tau of adam must be above 0; got 0"),
    ],
)
def test_a_parameter_out_of_range_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        build_optimizer(text)


def test_the_forms_mean_one_thing() -> None:
    text = build_optimizer(" adam( learning_rate=1, tau = 0.5 ) ")
    table = build_optimizer({"rule": "adam", "learning_rate": 1, "tau": 0.5})
    assert text == table == build_optimizer(text) == build_optimizer(text.step)
    assert text == build_optimizer(str(text))
    assert str(text) == "adam(learning_rate=1.0, tau=0.5)"


@pytest.mark.parametrize(
    ("description", "error", "words"),
    [
        ("adm", UnknownNameError, "unknown optimizer 'adm'; did you mean 'adam'"),
        ("adam(rate=1)", UnknownNameError, "unknown parameter of adam 'rate'"),
        (
            "adam | sgd",
            ConfigurationError,
            "cannot read 'adam | sgd' in the optimizer 'adam | sgd'",
        ),
        ("", ConfigurationError, "cannot read ''"),
        ({"learning_rate": 1}, ConfigurationError, "a step of an optimizer is a table"),
        (Step(find("aggregator", "mean")), ConfigurationError, "mean is of the kind aggregator"),
    ],
)
def test_what_cannot_be_read_is_refused(description: Any, error: type, words: str) -> None:  # noqa: ANN401 - wrong on purpose
    with pytest.raises(error, match=words):
        build_optimizer(description)


# In a round -----------------------------------------------------------------------------


def play(
    values: Array,
    optimizer: str,
    state: Mapping[str, Any] | None = None,
    *,
    defense: str = "mean",
) -> RoundOutcome:
    matrix = UpdateMatrix(values.copy(), tuple("abcdefg"[: len(values)]))
    return run_round(
        build(defense, byzantine=1),
        matrix,
        weights=np.zeros(values.shape[1], values.dtype),
        counters=[np.empty(0, np.int64)] * len(values),
        quorum=3,
        scorers=(),
        optimizer=build_optimizer(optimizer),
        state=state,
    )


def test_the_optimizer_moves_the_model_and_keeps_its_state_beside_the_defenses() -> None:
    values = np.ones((4, 2))
    state = None
    moved = []
    for _ in range(2):
        outcome = play(values, "momentum(beta=0.5)", state, defense="centered_clipping(radius=100)")
        state = outcome.state
        assert outcome.weights is not None
        moved.append(outcome.weights.tolist())
    assert moved == [[1.0, 1.0], [1.5, 1.5]]
    assert state is not None
    assert sorted(state) == ["0:centered_clipping", "optimizer:momentum"]


def test_plain_sgd_keeps_every_bit_and_no_state() -> None:
    values = np.random.default_rng(0).normal(size=(5, 9)).astype(np.float32)
    outcome = play(values, "sgd")
    assert outcome.weights is not None
    expected = np.zeros(9, np.float32) + build("mean", byzantine=1).aggregate(values).vector
    assert outcome.weights.tobytes() == expected.tobytes()
    assert outcome.state is None


@pytest.mark.parametrize("optimizer", NAMES)
def test_a_step_that_is_not_finite_leaves_model_and_state(optimizer: str) -> None:
    parameter = "learning_rate=1e308"
    outcome = play(np.full((4, 1), 1e30, np.float32), f"{optimizer}({parameter})", {"kept": 1})
    assert outcome.weights is None
    assert "NaN or infinity" in outcome.reason
    assert outcome.state == {"kept": 1}


@pytest.mark.parametrize("optimizer", ["adam", "yogi"])
def test_a_square_beyond_float64_is_a_reason_and_not_a_standstill(optimizer: str) -> None:
    """An infinite second moment would make every later step zero, without a word."""
    outcome = play(np.full((4, 1), 1e200), optimizer, {"kept": 1})
    assert outcome.weights is None
    assert "Clip the updates first" in outcome.reason
    assert outcome.state == {"kept": 1}


@pytest.mark.parametrize("optimizer", NAMES)
def test_a_step_needs_little_memory_beside_itself_and_the_state(optimizer: str) -> None:
    rule, vector = build_optimizer(optimizer), np.ones(1 << 22, np.float32)
    tracemalloc.start()
    try:
        step, state = rule.move(vector, None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    (kept,) = (state or {"": {}}).values()
    held = step.nbytes + sum(part.nbytes for part in kept.values())
    # Momentum's step is computed in float64, as long as its state.
    assert peak < (1.8 if optimizer == "momentum" else 1.2) * held
