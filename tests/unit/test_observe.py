"""``Observer``: a Flower strategy does what it would alone, and the record says who lied."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAdam, FedAvg, FedMedian, Krum, Strategy

from quickthorn.server import Observer, RobustStrategy
from quickthorn.server.digest import digest
from quickthorn.server.entries import OBSERVED
from quickthorn.server.model import to_model, to_record
from quickthorn.server.roster import read_roster
from quickthorn.server.store import RunStore
from quickthorn.strategies.errors import ConfigurationError, UpdateError
from quickthorn.strategies.reputation import Decision
from tests.faults import CULPRIT, FAULTS, cohort
from tests.federations import (
    grid_of,
    initial_model,
    members,
    model_of,
    with_array,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flwr.serverapp import Grid
    from flwr.serverapp.strategy import Result

    from tests.faults import Fault
    from tests.federations import Member


LIAR = Decision(CULPRIT, "ban", "anna", "sends rubbish", "2026-11-24T12:00:00+00:00")


@dataclass(frozen=True)
class Fate:
    """What a federation came to: its result, or what it raised."""

    result: Result | None
    error: str

    @property
    def visible(self) -> tuple[Any, ...]:
        """Return all that a Flower app sees of it."""
        if self.result is None:
            return (self.error,)
        found = self.result
        return (
            digest(to_model(found.arrays)),
            repr(found.train_metrics_clientapp),
            repr(found.evaluate_metrics_clientapp),
            repr(found.evaluate_metrics_serverapp),
        )


def fate(strategy: Strategy, cohort: list[Member], rounds: int = 2) -> Fate:
    random.seed(7)  # Flower draws from Python's global generator
    try:
        with np.errstate(all="ignore"):
            result = strategy.start(
                grid=grid_of(cohort),
                initial_arrays=to_record(initial_model()),
                num_rounds=rounds,
                evaluate_fn=lambda number, arrays: MetricRecord({"size": len(arrays) + number}),
            )
    except Exception as error:  # noqa: BLE001 - each fault raises its own
        return Fate(None, f"{type(error).__name__}: {error}")
    return Fate(result, "")


def boost(_: Message, content: RecordDict) -> RecordDict:
    return with_array(content, "w", model_of(content)["w"] + np.float32(50))


STRATEGIES: dict[str, Callable[[], Strategy]] = {
    "FedAvg": FedAvg,
    "FedAvg, a part": lambda: FedAvg(fraction_train=0.6, fraction_evaluate=0.5),
    "FedAdam": FedAdam,
    "FedMedian": FedMedian,
    "Krum": lambda: Krum(num_malicious_nodes=1, fraction_evaluate=0.0),
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_it_changes_nothing_and_names_the_liar(name: str, tmp_path: Path) -> None:
    alone = fate(STRATEGIES[name](), cohort(boost), rounds=3)
    observer = Observer(STRATEGIES[name](), byzantine=1, run_dir=tmp_path)

    observed = fate(observer, cohort(boost), rounds=3)

    assert observed.visible == alone.visible
    assert alone.result is not None
    assert vars(observer.strategy).keys() == vars(STRATEGIES[name]()).keys() | (
        {"current_arrays", "m_t", "v_t"} if name == "FedAdam" else set()
    )
    with RunStore.open(tmp_path) as record:
        rounds = record.rounds()
        assert [(row["status"], row["reason"]) for row in rounds] == [("aggregated", "")] * 3
        assert rounds[-1]["model"] == digest(to_model(alone.result.arrays))
        assert {verdict.code for _, _, verdict in record.verdicts()} == {"ok"}
        assert record.metrics("server")[3] == {"size": 6.0}
        accused = {score.client for _, score in record.scores() if score.reason}
    assert accused == {CULPRIT}


def test_everybody_stands_somewhere_and_nobody_is_kept_out(tmp_path: Path) -> None:
    def decide(number: int, _: ArrayRecord) -> None:
        if number == 2:
            with RunStore.open(tmp_path, write=True) as record:
                record.ledger.add_decision(LIAR)

    apps = cohort(boost)
    Observer(FedAvg(), byzantine=1, run_dir=tmp_path).start(
        grid_of(apps), to_record(initial_model()), num_rounds=4, evaluate_fn=decide
    )

    assert [app.calls for app in apps] == [8] * 7
    with RunStore.open(tmp_path) as record:
        roster = read_roster(record)
        (entry,) = record.ledger.decisions()
        assert json.loads(record.meta()["policy"])["automatic"] == "observe"
        assert OBSERVED in record.meta()
        changes = {(change.client, change.after) for change in record.ledger.changes()}
    assert roster.last == 4
    assert roster.lines[0].client.id == CULPRIT
    states = {line.client.id: line.standing.state for line in roster.lines if line.standing}
    assert states.pop(CULPRIT) == "watch"
    assert len(states) == 6
    assert set(states.values()) <= {"probation", "healthy"}
    assert (CULPRIT, "watch") in changes
    assert (entry.round, entry.refused[:7]) == (3, "refused")


def test_an_organization_with_half_of_all_nodes_judges_nobody_here_either(tmp_path: Path) -> None:
    def strongest(folder: Path, organizations: dict[str, str]) -> float:
        observer = Observer(FedAvg(), byzantine=1, run_dir=folder, organizations=organizations)
        fate(observer, cohort(boost), rounds=3)
        with RunStore.open(folder) as record:
            return max(standing.evidence for _, standing in record.ledger.standings())

    alone = strongest(tmp_path / "alone", {})
    with RunStore.open(tmp_path / "alone") as record:
        nodes = [client.id for client in record.clients()]
    crowd = strongest(tmp_path / "crowd", dict.fromkeys(nodes[:4], "crowd"))

    assert (len(nodes), crowd) == (7, 0.0)
    assert alone > 0.9


def test_it_judges_each_update_on_what_the_server_holds(tmp_path: Path) -> None:
    dtypes = set()

    def held(_: int, model: dict[str, Any]) -> tuple[float, list[float]]:
        dtypes.add(tuple(array.dtype.name for array in model.values()))
        return float(np.abs(model["w"] - initial_model()["w"] - 1).mean()), []

    found = fate(Observer(FedAvg(), byzantine=1, run_dir=tmp_path, held=held), cohort(boost))

    assert found.visible == fate(FedAvg(), cohort(boost)).visible
    assert dtypes == {("float32", "float32", "int64")}  # also of the model that Flower averaged
    with RunStore.open(tmp_path) as record:
        losses = [score for _, score in record.scores() if score.signal == "held_loss"]
    assert len(losses) == 2 * 7
    assert {score.client for score in losses if score.reason} == {CULPRIT}


# One of each kind: what the verdict is, and what it does to plain averaging.
KINDS = {(fault.code, fault.fedavg): fault for fault in FAULTS}.values()


@pytest.mark.parametrize("fault", KINDS, ids=lambda fault: fault.name)
def test_one_hostile_reply(fault: Fault, tmp_path: Path) -> None:
    alone = fate(FedAvg(), cohort(fault.spoil), rounds=1)

    observed = fate(Observer(FedAvg(), byzantine=1, run_dir=tmp_path), cohort(fault.spoil), 1)

    assert observed.visible == alone.visible
    with RunStore.open(tmp_path) as record:
        (row,) = record.rounds()
        verdicts = {v.client: v for _, phase, v in record.verdicts() if phase == "train"}
    assert (row["status"], bool(row["reason"])) == (
        ("unchanged", True) if alone.result is None else ("aggregated", False)
    )
    assert row["reason"].isprintable()
    culprit = verdicts.pop(CULPRIT)
    assert culprit.code == fault.code
    assert fault.says in " ".join((culprit.reason, *culprit.ignored))
    assert {verdict.code for verdict in verdicts.values()} == {"ok"}


def test_flowers_loop_drives_it_to_the_same_bits(tmp_path: Path) -> None:
    alone = fate(FedAvg(), cohort(boost))
    observer = Observer(FedAvg(), byzantine=1, run_dir=tmp_path)
    random.seed(7)

    result = Strategy.start(observer, grid_of(cohort(boost)), to_record(initial_model()), 2)
    observer.close()

    assert alone.result is not None
    assert digest(to_model(result.arrays)) == digest(to_model(alone.result.arrays))
    with RunStore.open(tmp_path) as record:
        assert len(record.rounds()) == 2


class Stopping(FedAvg):
    """A strategy with a loop of its own, as Flower's examples write them."""

    def start(self, grid: Grid, initial_arrays: ArrayRecord, *args: Any, **named: Any) -> Result:  # noqa: ANN401 - handed on
        """Run one round, whatever it is told."""
        del args
        return super().start(grid, initial_arrays, **named | {"num_rounds": 1})


def test_a_loop_of_its_own_is_kept(tmp_path: Path) -> None:
    alone = fate(Stopping(), cohort(boost), rounds=3)

    observed = fate(Observer(Stopping(), byzantine=1, run_dir=tmp_path), cohort(boost), rounds=3)

    assert observed.visible == alone.visible
    with RunStore.open(tmp_path) as record:
        assert [row["number"] for row in record.rounds()] == [1]


@pytest.mark.parametrize("strategy", [FedAvg, FedAdam])
def test_clients_may_answer_in_the_dtypes_that_they_began_with(
    strategy: type[Strategy], tmp_path: Path
) -> None:
    """Flower averages counters into float64, FedAdam all of it; torch turns that back."""
    begun = {name: array.dtype for name, array in initial_model().items()}

    def as_begun(_: Message, content: RecordDict) -> RecordDict:
        model = {name: array.astype(begun[name]) for name, array in model_of(content).items()}
        return RecordDict({**content, "arrays": to_record(model)})

    faithful = members()
    for member in faithful[:4]:
        member.spoil = as_begun
    faithful[6].spoil = lambda _, c: with_array(c, "b", model_of(c)["b"].astype("f2"))

    found = fate(Observer(strategy(), byzantine=1, run_dir=tmp_path), faithful)

    assert found.result is not None
    assert to_model(found.result.arrays)["steps"].dtype == np.float64
    with RunStore.open(tmp_path) as record:
        codes = [
            sorted(v.code for _, phase, v in record.verdicts(number) if phase == "train")
            for number in (1, 2)
        ]
    assert codes == [["dtype", *["ok"] * 6]] * 2


def test_a_poisoned_model_is_blamed_on_nobody_but_the_poisoner(tmp_path: Path) -> None:
    nan = next(fault for fault in FAULTS if fault.name == "NaN")

    with np.errstate(all="ignore"):
        fate(Observer(FedAvg(), byzantine=1, run_dir=tmp_path), cohort(nan.spoil), rounds=2)

    with RunStore.open(tmp_path) as record:
        first, second = ({v.client: v for _, p, v in record.verdicts(n) if p == "train"}
                         for n in (1, 2))  # fmt: skip
    assert {client for client, verdict in first.items() if not verdict.accepted} == {CULPRIT}
    assert {verdict.code for verdict in second.values()} == {"unjudged"}
    assert second[CULPRIT].reason == (
        "was not judged: the model that was sent holds NaN or infinity"
    )


def test_a_fault_of_its_own_stays_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    alone = fate(FedAvg(), members())

    def full(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(RunStore, "add_round", full)
    monkeypatch.setattr(RunStore, "add_evaluation", full)
    monkeypatch.setattr(RunStore, "add_clients", full)
    observed = fate(Observer(FedAvg(), byzantine=1, run_dir=tmp_path), members())

    assert observed.visible == alone.visible
    assert "round 2: observing failed; FedAvg goes on" in caplog.text


def test_what_cannot_be_observed_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="start it alone"):
        Observer(RobustStrategy("median", byzantine=1), byzantine=1)
    with pytest.raises(ConfigurationError, match="byzantine must be 0 or more"):
        Observer(FedAvg(), byzantine=-1)
    with pytest.raises(ConfigurationError, match="unknown scorer 'norms'"):
        Observer(FedAvg(), byzantine=1, scorers=["norms"])
    watched, trees = members(), to_record({"trees": np.zeros(9, np.uint8)})
    with pytest.raises(UpdateError, match="no floating-point tensor"):
        Observer(FedAvg(), byzantine=1, run_dir=tmp_path / "a").start(grid_of(watched), trees)
    fate(Observer(FedAvg(), byzantine=1, run_dir=tmp_path / "b"), members(), rounds=1)
    with pytest.raises(ConfigurationError, match="already holds the record"):
        Observer(FedAvg(), byzantine=1, run_dir=tmp_path / "b").start(
            grid_of(watched), to_record(initial_model())
        )
    assert [member.calls for member in watched] == [0] * 7
