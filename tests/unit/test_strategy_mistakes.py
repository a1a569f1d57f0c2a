"""What ``RobustStrategy`` refuses of its own caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quickthorn.server.model import to_model, to_record
from quickthorn.server.strategy import RobustStrategy
from quickthorn.strategies.errors import ConfigurationError, UpdateError
from tests.federations import (
    grid_of,
    initial_model,
    members,
    run,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.federations import Model


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fraction_train": 1.1}, "fraction_train must be from 0 to 1"),
        ({"fraction_evaluate": -0.1}, "fraction_evaluate must be from 0 to 1"),
        ({"seed": -1}, "seed must be an integer, 0 or more"),
        ({"byzantine": -1}, "byzantine must be 0 or more"),
        ({"scorers": ("nrom",)}, "did you mean 'norm'"),
        ({"quorum": -5}, "quorum must be an integer, 0 or more"),
        ({"quorum": 6.0}, "quorum must be an integer, 0 or more; got 6.0"),
        ({"patience": -1.0}, "patience must be 0 seconds or more"),
    ],
)
def test_arguments_out_of_range_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        RobustStrategy("median", **{"byzantine": 1, **options})


def test_a_model_without_floats_is_the_programmers_mistake(tmp_path: Path) -> None:
    with pytest.raises(UpdateError, match="no floating-point tensor"):
        run(tmp_path, grid_of(members(3)), model={"steps": np.array(1)})


def test_a_second_run_does_not_write_over_the_first(tmp_path: Path) -> None:
    first = run(tmp_path, grid_of(members(3)), rounds=1)

    with pytest.raises(ConfigurationError, match="already holds the record of a run"):
        run(tmp_path, grid_of(members(3)), rounds=1)

    with first.record() as record:
        assert len(record.rounds()) == 1


@pytest.mark.parametrize("timeout", [0.0, -1.0])
def test_a_round_without_time_is_refused(timeout: float, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="timeout must be above 0 seconds"):
        run(tmp_path, grid_of(members(3)), timeout=timeout)


def test_an_occupied_folder_is_noticed_before_anybody_is_kept_waiting(tmp_path: Path) -> None:
    run(tmp_path, grid_of(members(3)), rounds=1)
    asked = members(3)

    with pytest.raises(ConfigurationError, match="already holds the record of a run"):
        run(tmp_path, grid_of(asked), rounds=1, min_available_clients=9, patience=600.0)

    assert [member.calls for member in asked] == [0, 0, 0]


def test_one_strategy_may_be_started_again_and_begins_afresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    strategy = RobustStrategy("centered_clipping", byzantine=1, fraction_evaluate=0.0)
    folders, models = [], []

    for _ in range(2):
        result = strategy.start(grid_of(members(5)), to_record(initial_model()), num_rounds=2)
        folders.append(strategy.run_dir)
        models.append(to_model(result.arrays))

    assert folders[0] != folders[1]
    assert all((folder / "run.sqlite").is_file() for folder in folders)
    assert all(models[0][name].tobytes() == models[1][name].tobytes() for name in models[0])


def test_a_model_with_nan_is_the_programmers_mistake(tmp_path: Path) -> None:
    model: Model = {"w": np.array([1.0, np.nan], np.float32)}

    with pytest.raises(UpdateError, match="initial_arrays hold NaN or infinity"):
        run(tmp_path, grid_of(members(3)), model=model)
