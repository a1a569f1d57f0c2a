"""A grid file becomes runs: each once, named by all that determines it, or it is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from quickthorn.simulations.comparison.plan import plan, read_grid
from quickthorn.simulations.scenario import Scenario
from quickthorn.strategies.errors import ConfigurationError, UnknownNameError

if TYPE_CHECKING:
    from pathlib import Path

GRID: dict[str, Any] = {
    "defense": ["mean", "median"],
    "attack": ["none", "sign_flip"],
    "attackers": [1, 2],
    "split": ["iid", {"partition": "dirichlet", "alpha": 0.3}],
    "seed": [0, 1],
}


def test_the_product_holds_every_combination_once() -> None:
    runs = plan({"scenario": {"clients": 8}, "grid": GRID})
    attacked = [run.scenario for run in runs if run.scenario.attack != "none"]
    assert len({run.id for run in runs}) == len(runs) == 32
    assert {(s.defense, s.partition, s.attackers, s.byzantine, s.seed) for s in attacked} == {
        (defense, partition, f, f, seed)
        for defense in ("mean", "median")
        for partition in ("iid", "dirichlet")
        for f in (1, 2)
        for seed in (0, 1)
    }
    assert {run.split for run in runs} == {"iid", "dirichlet α=0.3"}


def test_a_run_without_an_attack_is_one_for_every_number_of_attackers() -> None:
    grid = {**GRID, "byzantine": 2, "split": ["iid"], "seed": [0]}
    clean = [run for run in plan({"scenario": {}, "grid": grid}) if run.scenario.attack == "none"]
    assert [(run.scenario.defense, run.scenario.attackers) for run in clean] == [
        ("mean", 0),
        ("median", 0),
    ]


def test_the_first_seed_comes_first() -> None:
    seeds = [run.scenario.seed for run in plan({"scenario": {}, "grid": GRID})]
    assert seeds == sorted(seeds)


def test_several_grids_are_one_comparison_in_their_order() -> None:
    first = {"defense": ["median"], "split": ["shards"], "seed": [0, 1]}
    second = {"defense": ["median", "mean"], "split": ["shards"], "seed": [0]}
    scenarios = [run.scenario for run in plan({"scenario": {}, "grid": [first, second]})]
    assert [(item.defense, item.seed) for item in scenarios] == [
        ("median", 0),
        ("median", 1),
        ("mean", 0),
    ]


def test_several_assumptions_are_several_runs() -> None:
    grid = {"defense": ["median"], "attack": ["sign_flip"], "attackers": [2], "byzantine": [1, 3]}
    scenarios = [run.scenario for run in plan({"scenario": {}, "grid": grid})]
    assert [(item.attackers, item.byzantine) for item in scenarios] == [(2, 1), (2, 3)]


def test_the_id_follows_what_determines_the_result_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ids(**keys: object) -> set[str]:
        return {run.id for run in plan({"scenario": keys, "grid": {"defense": ["median"]}})}

    assert ids(rounds=3) == ids(rounds=3, lr=0.1)  # 0.1 is the default
    assert ids(rounds=3) != ids(rounds=4)
    before = ids()
    monkeypatch.setattr("quickthorn.simulations.comparison.plan.version", lambda _: "9.9")
    assert ids() != before


def test_settings_count_instead_of_the_grids() -> None:
    (run,) = plan({"scenario": {"rounds": 3}, "grid": {"defense": ["mean"]}}, {"rounds": "7"})
    assert run.scenario.rounds == 7


def test_a_grid_needs_no_scenario() -> None:
    (run,) = plan({"grid": {"defense": ["median"]}})
    assert run.scenario == Scenario(defense="median")


def test_without_splits_the_data_are_divided_as_the_scenario_says() -> None:
    (run,) = plan({"scenario": {"partition": "shards"}, "grid": {"defense": ["mean"]}})
    assert (run.split, run.scenario.partition) == ("shards", "shards")


def test_a_setting_of_an_axis_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"seed stands in the settings \(--set\); write"):
        plan({"grid": {"defense": ["mean"]}}, {"seed": "3"})


def test_a_split_may_set_any_key_and_have_a_name() -> None:
    split = {"name": "with momentum", "client_momentum": 0.9, "partition": "shards"}
    (run,) = plan({"scenario": {}, "grid": {"defense": ["mean"], "split": [split]}})
    assert (run.split, run.scenario.client_momentum) == ("with momentum", 0.9)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"scenario": {}}, r"lacks grid"),
        ({"grid": []}, r"grid in the grid file is an empty list: nothing would be run"),
        ({"grid": {}}, r"\[grid\] lacks defense"),
        ({"scenario": {}, "gird": {}}, r"'gird'; did you mean 'grid'"),
        ({"scenario": {}, "grid": {"defence": ["mean"]}}, r"'defence'; did you mean 'defense'"),
        ({"scenario": {"round": 3}, "grid": {"defense": ["mean"]}}, r"did you mean 'rounds'"),
        (
            {"scenario": {"rounds": "3"}, "grid": {"defense": ["mean"]}},
            r"rounds in the scenario must be an integer; got '3'",
        ),
        ({"scenario": {}, "grid": {"defense": ["medain"]}}, r"did you mean 'median'"),
        (
            {"scenario": {}, "grid": {"defense": ["mean"], "attack": ["alie"]}},
            r"attacks and no attackers",
        ),
        (
            {"grid": {"defense": ["mean"], "attackers": [0, 2]}},
            r"has attackers = \[0, 2\] and no attack; add attack",
        ),
        (
            {
                "scenario": {},
                "grid": {"defense": ["mean"], "attack": ["sign_flp"], "attackers": [1]},
            },
            r"did you mean 'sign_flip'",
        ),
        (
            {"scenario": {}, "grid": {"defense": ["mean"], "split": [{"alhpa": 1.0}]}},
            r"did you mean 'alpha'",
        ),
        (
            {"scenario": {}, "grid": {"defense": ["mean"], "split": [{"seed": 1}]}},
            r"seed stands in a split; write seed = \[\.\.\.\] in \[grid\]",
        ),
        ({"scenario": {"attack": "x"}, "grid": {"defense": ["mean"]}}, r"in \[scenario\]"),
        *(
            ({"grid": {"defense": ["mean"], axis: []}}, rf"{axis} in \[grid\] must not be empty")
            for axis in ("defense", "attack", "split", "attackers", "byzantine", "seed")
        ),
        ({"scenario": {}, "grid": {"defense": "mean"}}, r"must be a list"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_runs(
    tables: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        plan(tables)


def test_a_grid_is_a_file_or_a_shipped_name(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('[scenario]\n[grid]\ndefense = ["mean"]\n', encoding="utf-8")
    assert read_grid(path) == {"scenario": {}, "grid": {"defense": ["mean"]}}
    path.write_text("clients = 5\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"no table \[grid\]; one scenario is run by"):
        read_grid(path)
    assert read_grid("quick")["grid"]
    with pytest.raises(UnknownNameError, match=r"grid 'quik'; did you mean 'quick'"):
        read_grid("quik")
    with pytest.raises(
        ConfigurationError, match=r"cannot read .*none\.toml: .*\. Give a grid's TOML file\."
    ):
        read_grid(tmp_path / "none.toml")
    path.write_text("defense = [", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"own\.toml is not valid TOML: "):
        read_grid(path)
