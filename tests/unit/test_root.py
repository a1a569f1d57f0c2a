"""The server's own update: from the model that was sent, by code that must not end the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quickthorn.server.config import FederationSettings
from quickthorn.server.root import own_update
from quickthorn.server.strategy import RobustStrategy
from quickthorn.strategies import ModelLayout
from quickthorn.strategies.errors import ConfigurationError
from tests.federations import grid_of, initial_model, members, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.federations import Model

LAYOUT = ModelLayout.of(initial_model())


def trained(number: int, model: dict[str, Any]) -> dict[str, Any]:
    """Go where the members go, and overwrite what was handed over."""
    model["w"] += 0.25
    model["b"] += 0.25
    model["steps"] += number
    return model


def broken(number: int, model: dict[str, Any]) -> dict[str, Any]:
    del number, model
    msg = "the disk is full"
    raise OSError(msg)


def diverged(number: int, model: dict[str, Any]) -> dict[str, Any]:
    return trained(number, model) | {"b": np.full(4, np.nan, np.float32)}


def huge(number: int, model: dict[str, Any]) -> dict[str, Any]:
    return trained(number, model) | {"b": np.full(4, 1e300)}


def cut(number: int, model: dict[str, Any]) -> dict[str, Any]:
    return trained(number, model) | {"w": model["w"][:1]}


def forgetful(number: int, model: dict[str, Any]) -> dict[str, Any]:
    return {"w": model["w"], "b": model["b"]}


def speechless(number: int, model: dict[str, Any]) -> Any:  # noqa: ANN401 - wrong on purpose
    del number, model


def test_it_is_a_delta_as_the_clients_and_not_a_model() -> None:
    weights = LAYOUT.flatten(initial_model())[0]
    update, reason = own_update(trained, 3, initial_model(), LAYOUT, weights)
    assert update is not None
    assert (update.shape, str(update.dtype), reason) == ((10,), "float32", "")
    np.testing.assert_allclose(update, 0.25, atol=1e-6)


def test_it_leaves_the_model_that_was_sent_alone() -> None:
    sent: Model = initial_model()
    own_update(trained, 1, sent, LAYOUT, LAYOUT.flatten(sent)[0])
    for name, array in initial_model().items():
        np.testing.assert_array_equal(sent[name], array)


FAULTS = [
    (broken, "the server's own training failed: OSError: the disk is full"),
    (diverged, "the server's own training made NaN or infinity"),
    (huge, "the server's own training made NaN or infinity"),
    (cut, "UpdateError: it has to return 'w' of shape (2, 3); got (1, 3)."),
    (forgetful, "UpdateError: it has to return 'steps' of shape (); got nothing."),
    (speechless, "the server's own training failed: AttributeError"),
]


@pytest.mark.parametrize(("root", "reason"), FAULTS)
def test_a_fault_is_a_reason_and_never_an_exception(root: Any, reason: str) -> None:  # noqa: ANN401 - also wrong ones
    update, said = own_update(root, 1, initial_model(), LAYOUT, LAYOUT.flatten(initial_model())[0])
    assert update is None
    assert reason in said


def test_a_federation_moves_by_its_trust(tmp_path: Path) -> None:
    found = run(tmp_path / "run", grid_of(members()), defense="fltrust", rounds=1, root=trained)
    moved = found.model["w"] - initial_model()["w"]
    assert 0.2 < moved.mean() < 0.26  # towards the members, as far as the server went
    with found.record() as record:
        assert [row["status"] for row in record.rounds()] == ["aggregated"]


@pytest.mark.parametrize(("root", "reason"), FAULTS)
def test_a_fault_leaves_the_model_and_the_run_goes_on(
    root: Any,  # noqa: ANN401 - also wrong ones
    reason: str,
    tmp_path: Path,
) -> None:
    def sometimes(number: int, model: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = (root if number == 1 else trained)(number, model)
        return result

    found = run(tmp_path / "run", grid_of(members()), defense="fltrust", root=sometimes)
    with found.record() as record:
        rows = record.rounds()
    assert [row["status"] for row in rows] == ["unchanged", "aggregated"]
    assert reason in rows[0]["reason"]
    assert rows[0]["accepted"] == 7


def test_who_needs_no_root_does_not_run_it(tmp_path: Path) -> None:
    found = run(tmp_path / "run", grid_of(members()), defense="median", root=broken)
    with found.record() as record:
        assert [row["status"] for row in record.rounds()] == ["aggregated"] * 2


def test_a_defense_without_the_root_that_it_needs_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"clip \| fltrust needs the server's own"):
        RobustStrategy("clip | fltrust", byzantine=1, run_dir=tmp_path / "run")
    server = {"defense": "fltrust", "byzantine": 1, "model": "a:b"}
    with pytest.raises(ConfigurationError, match=r"name one as root in \[server\]"):
        FederationSettings.from_table({"server": server})
    assert FederationSettings.from_table({"server": server | {"root": "a:c"}}).server.root == "a:c"
