"""Scenarios and records: what is refused, what is the same, what survives a trip through JSON."""

from __future__ import annotations

import dataclasses
import gzip
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from quickthorn.simulations import Evaluation, Scenario, SimulationRecord
from quickthorn.simulations.record import Trail
from quickthorn.simulations.schedule import parse_schedule
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.reputation import Change

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "scenario-toml.md"


def test_a_scenario_survives_toml(tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text('clients = 9\nattackers = 2\ndefense = "nnm|median"\nbyzantine = 2\nlr = 1\n')
    scenario = Scenario.from_toml(path)
    assert (scenario.clients, scenario.lr, scenario.defense) == (9, 1.0, "nnm | median")
    assert Scenario.from_table(scenario.to_table()) == scenario
    path.write_text(f"[scenario]\n{path.read_text()}")
    assert Scenario.from_toml(path) == scenario
    assert Scenario.from_toml(path, {"clients": "8"}).clients == 8


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read"),
        ("clients = ", "is not valid TOML"),
        ("[server]\n", "unknown key of the scenario 'server'"),
        ('clients = "20"', "clients in the scenario must be an integer; got '20'"),
        ("atackers = 2", "did you mean 'attackers'"),
        ("[scenario]\natackers = 2", "did you mean 'attackers'"),
        ("lr = 1\n[scenario]\nclients = 9", "has lr beside the table [scenario]. Write all keys"),
        ('scenario = "digits"', "unknown key of the scenario 'scenario'"),
        ("[grid]\n", "is a grid of scenarios; run it by quickthorn compare"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(
    tmp_path: Path, content: str | None, words: str
) -> None:
    path = tmp_path / "scenario.toml"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        Scenario.from_toml(path)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"clients": 0}, "clients of a scenario must be at least 1; got 0"),
        ({"clients": 3, "attackers": 3}, "attackers of a scenario must be at most 2, with clients"),
        ({"clients_per_round": 21}, "clients_per_round of a scenario must be at most 20"),
        ({"lr": 0}, "lr of a scenario must be above 0"),
        ({"gamma": 1.5}, "gamma of a scenario must be from 0 to 1; got 1.5"),
        ({"lr": math.nan}, "lr in the scenario"),
        ({"weight_decay": math.inf}, "weight_decay in the scenario"),
        ({"tail_factor": 0.0}, "tail_factor of a scenario must be above 0"),
        ({"tail_factor": 1.5}, "tail_factor of a scenario must be from 0 to 1; got 1.5"),
        ({"client_momentum": 1.0}, "must be from 0 to 1, below 1; got 1.0"),
        ({"dataset": "mnist"}, "needs data_dir"),
        ({"model": "cnm"}, "did you mean 'cnn'"),
        ({"partition": "dirichle"}, "did you mean 'dirichlet'"),
        ({"defense": "medan"}, "did you mean 'median'"),
        ({"optimizer": "adm"}, "did you mean 'adam'"),
        ({"lr_schedule": "stp(every=2)"}, "did you mean 'step'"),
        ({"attack": "sing_flip"}, "did you mean 'sign_flip'"),
        ({"strategy": "ray"}, "must be 'engine' or 'flower'; got 'ray'"),
    ],
)
def test_what_could_fail_later_is_refused_now(table: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        Scenario.from_table(table)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "key", ["alpha", "client_momentum", "gamma", "lr", "tail_factor", "weight_decay"]
)
def test_no_number_of_a_scenario_is_infinite_or_none(key: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=f"{key} of a scenario must be a finite number"):
        dataclasses.replace(Scenario(), **{key: value})  # type: ignore[arg-type]  # floats


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("clients", "7", 7),
        ("lr", "0.5", 0.5),
        ("client_damping", "true", True),
        ("defense", "krum", "krum"),
    ],
)
def test_settings_come_as_text(key: str, text: str, value: object) -> None:
    assert getattr(Scenario().with_settings({key: text}), key) == value
    assert getattr(Scenario().with_settings({key: value}), key) == value


def test_settings_complete_a_file_that_is_no_scenario_without_them(tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text("clients = 4\nattackers = 5\n", encoding="utf-8")
    assert Scenario.from_toml(path, {"clients": "9"}) == Scenario(clients=9, attackers=5)
    with pytest.raises(ConfigurationError, match="attackers"):
        Scenario.from_toml(path)


@pytest.mark.parametrize(
    ("key", "text"), [("clients", "many"), ("client_damping", "yes"), ("lr", "nan"), ("sed", "1")]
)
def test_a_setting_that_cannot_be_read_is_refused(key: str, text: str) -> None:
    with pytest.raises(ConfigurationError):
        Scenario().with_settings({key: text})


def test_ids_sort_as_numbers_and_the_last_are_hostile() -> None:
    scenario = Scenario(clients=101, attackers=2)
    assert list(scenario.client_ids) == sorted(scenario.client_ids)
    assert scenario.hostile == ("client-099", "client-100")
    assert Scenario(clients=3).hostile == ()


def test_the_attack_keeps_its_hours() -> None:
    scenario = Scenario(attackers=1, attack_start=3, attack_every=2)
    assert [number for number in range(1, 9) if scenario.attacks_in(number)] == [3, 5, 7]
    assert not Scenario(attackers=0).attacks_in(1)


def test_every_key_is_part_of_the_digest() -> None:
    others: dict[str, object] = {
        "dataset": "breast_cancer",
        "model": "logistic",
        "partition": "dirichlet",
        "lr_schedule": "inverse(every=2)",
        "client_damping": True,
        "quarantine": True,
        "attack": "sign_flip",
        "defense": "median",
        "optimizer": "adam",
        "strategy": "flower",
        "data_dir": None,  # where the files lie does not matter
        "tail_factor": None,  # without a long tail it does nothing
    }
    digests = {Scenario().digest}
    for field in dataclasses.fields(Scenario):
        value = others.get(field.name, 1) if field.name in others else _other(field.default)
        if value is not None:
            digests.add(dataclasses.replace(Scenario(), **{field.name: value}).digest)  # type: ignore[arg-type]  # any key
    assert len(digests) == 1 + len(dataclasses.fields(Scenario)) - 2
    tails = {Scenario(partition="long_tail", tail_factor=factor).digest for factor in (0.5, 0.8)}
    assert len(tails | digests) == len(digests) + 2


def test_a_key_that_came_later_leaves_the_ids_of_finished_runs() -> None:
    assert Scenario().digest == "4d40ae5ba0dc76c3d639f5f76498ac91e5b00cc914d24215f137dccecc52c240"
    published = Scenario(clients=25, attackers=5, attack="mimic", partition="shards")
    assert published.digest == "b56c56e494f7750c23c9900348841bddcc3b31d3384f6d564ca6ec249a006d17"


def _other(default: object) -> object:
    assert isinstance(default, (int, float))
    return default + 2 if isinstance(default, int) else default / 2 or 0.5


def test_the_digest_is_of_what_is_meant_and_of_what_the_files_hold(tmp_path: Path) -> None:
    same = [Scenario(defense=text, byzantine=1) for text in ("nnm|median", " nnm  | median ")]
    assert same[0] == same[1]
    assert same[0].digest == same[1].digest
    folders = [tmp_path / name for name in "abc"]
    for folder, pixel, packed in zip(folders, (7, 7, 8), (False, True, False), strict=True):
        _write_mnist(folder, pixel, packed=packed)
    one, moved, other = (
        Scenario(dataset="mnist", data_dir=str(folder)).digest for folder in folders
    )
    assert one == moved
    assert one != other


def _write_mnist(folder: Path, pixel: int, *, packed: bool) -> None:
    folder.mkdir()
    for prefix in ("train", "t10k"):
        for kind, head, body in (
            ("labels-idx1", [0, 0, 8, 1, 0, 0, 0, 2], bytes([0, 1])),
            ("images-idx3", [0, 0, 8, 3, *(0, 0, 0, 2), *(0, 0, 0, 28) * 2], bytes([pixel]) * 1568),
        ):
            data = bytes(head) + body
            name = folder / f"{prefix}-{kind}-ubyte"
            if packed:
                name.with_name(f"{name.name}.gz").write_bytes(gzip.compress(data))
            else:
                name.write_bytes(data)


@pytest.mark.parametrize(
    ("text", "factors"),
    [
        ("constant", [1, 1, 1, 1]),
        ("step(every=2)", [1, 1, 0.5, 0.5]),
        ("step(every=1, factor=0.1)", [1, 0.1, 0.01, 0.001]),
        ("inverse(every=1)", [1, 1 / 2, 1 / 3, 1 / 4]),
    ],
)
def test_a_schedule_is_a_function_of_the_round(text: str, factors: list[float]) -> None:
    schedule = parse_schedule(text)
    np.testing.assert_allclose([schedule.factor_at(n) for n in (1, 2, 3, 4)], factors, rtol=1e-12)


@pytest.mark.parametrize(
    "text", ["step", "step(", "step(2)", "step(every=0)", "inverse(every=1.5)", "step(every=x)"]
)
def test_a_schedule_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_schedule(text)


def record(**changes: object) -> SimulationRecord:
    base = SimulationRecord(
        Scenario(clients=5, attackers=2, rounds=2),
        (Evaluation(1, 0.9, (0.8, None), 0.5), Evaluation(2, 0.7, (0.4, 0.9), 0.25)),
        attack_success_floor=0.05,
        scores={"client-0": 0.0, "client-1": 0.5, "client-2": 0.5, "client-3": 0.5},
        hostile=("client-3", "client-4"),
        verdicts={"client-3": {"ok": 2}, "client-4": {"not-finite": 2}},
        unchanged_rounds={2: "too few"},
        trails={
            f"client-{client}": Trail("watch", {2: 0.5, 5: 0.9}, {2: strength, 5: -strength})
            for client, strength in enumerate((0.0, 0.5, 0.5, 0.5, 3.0))
        },
        changes=(
            Change("client-1", 1, "healthy", "watch", "quickthorn", "unusual"),
            Change("client-4", 2, "watch", "quarantined", "quickthorn", "NaN"),
            Change("client-4", 5, "quarantined", "quarantined", "quickthorn", "renewed"),
            Change("client-3", 6, "watch", "quarantined", "quickthorn", "unusual"),
            Change("client-4", 8, "watch", "quarantined", "quickthorn", "NaN"),
        ),
        seconds={"total": 1.5},
        model_digest="ab",
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]  # any field


def test_a_record_derives_what_people_ask_for() -> None:
    assert record().accuracy == (0.9, 0.7)
    assert (record().final, record().peak, record().worst_recall) == (0.7, 0.9, 0.4)
    assert record().attack_success == 0.25


def test_the_auc_counts_ties_half_and_is_of_a_round() -> None:
    # client-3 beats one honest client and ties with two; client-4 beats three.
    assert record().detection_auc == pytest.approx((1 + 0.5 + 0.5 + 3) / 6)
    assert record().auc_after(5) == pytest.approx((0.5 + 0.5) / 6)
    assert record().auc_after(20) is None
    assert record(hostile=()).detection_auc is None
    assert record(trails={}).detection_auc is None


def test_a_client_that_was_not_there_yet_does_not_count() -> None:
    late = {**record().trails, "client-4": Trail("watch", {5: 0.9}, {5: -3.0})}
    assert record(trails=late).auc_after(2) == pytest.approx((1 + 0.5 + 0.5) / 3)


def test_a_record_says_who_was_left_out_first_when() -> None:
    assert record().quarantined == {"client-4": 2, "client-3": 6}
    assert [change.round for change in record().exclusions] == [2, 6, 8]


def test_a_record_survives_json() -> None:
    told = json.loads(json.dumps(record().to_json()))
    assert (told["final"], told["quarantined"]) == (0.7, {"client-4": 2, "client-3": 6})
    assert SimulationRecord.from_json(told) == record()


def test_seconds_that_nobody_measured_are_none_in_json() -> None:
    told = json.loads(json.dumps(record().to_json()))
    assert told["seconds"] == {"total": 1.5}
    over_flower = record(scenario=dataclasses.replace(record().scenario, strategy="flower"))
    told = json.loads(json.dumps(over_flower.to_json()))
    stages = ("admit", "aggregate", "score", "review")
    assert told["seconds"] == {"total": 1.5, **dict.fromkeys(stages)}
    assert SimulationRecord.from_json(told) == over_flower


def test_a_record_of_a_version_without_reputation_is_read() -> None:
    told = record().to_json()
    for name in ("trails", "changes", "quarantined"):
        del told[name]
    del told["scenario"]["quarantine"]
    assert SimulationRecord.from_json(told) == record(trails={}, changes=())


def test_the_page_names_every_key_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    page = {key: json.loads(default.strip("`")) for key, default in rows}
    assert page == Scenario().to_table()


def test_importing_the_package_brings_in_neither_torch_nor_flower() -> None:
    script = (
        "import sys; from quickthorn.simulations import Scenario; Scenario(); "
        "sys.exit(bool({'torch', 'flwr', 'numba', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    import quickthorn.simulations  # noqa: PLC0415 - the package itself

    with pytest.raises(AttributeError, match="has no attribute 'simulat'"):
        _ = quickthorn.simulations.simulat
