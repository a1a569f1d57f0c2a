"""What one hostile reply does: a line in the record, and not one bit in the model.

Every row of ``FAULTS`` runs through ``RobustStrategy.start``. Where the update is refused the
model must be, to the bit, that of the federation without the member; where only a claim is set
aside, that of the federation in which it sent a plain reply.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg

from quickthorn.server.model import to_model, to_record
from quickthorn.simulations.grid import InProcessClient, InProcessGrid
from tests.faults import CULPRIT, FAULTS, HOSTILE, cohort, fail, forge, raise_late
from tests.federations import (
    arrays_of,
    client_of,
    grid_of,
    honest_content,
    initial_model,
    members,
    model_of,
    run,
    with_metrics,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from quickthorn.strategies.updates import Verdict
    from tests.faults import Fault
    from tests.federations import Model, Run, Spoil

# Two are enough for the bits: one robust, and one that listens to sample counts.
DEFENSES = ("nnm | trimmed_mean", "weighted_mean")


class WithoutOne(InProcessGrid):
    """The same federation, in which the culprit never took part."""

    def get_node_ids(self) -> Iterable[int]:
        return [node for node in super().get_node_ids() if f"node:{node}" != CULPRIT]


@pytest.fixture(scope="module")
def references(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[tuple[str, bool], dict[str, bytes]]:
    """Defense, and whether the culprit takes part, to the bits of the faultless model."""
    folder = tmp_path_factory.mktemp("references")
    found = {}
    for defense in DEFENSES:
        for present in (True, False):
            clients = [InProcessClient(app) for app in cohort()]
            grid = InProcessGrid(clients) if present else WithoutOne(clients)
            found[defense, present] = run(
                folder / f"{defense}{present}", grid, defense=defense
            ).bits
    return found


def verdicts_on(client: str, outcome: Run, number: int) -> list[Verdict]:
    with outcome.record() as record:
        return [found for _, _, found in record.verdicts(number) if found.client == client]


def test_the_two_faultless_federations_differ(references: dict[tuple[str, bool], Any]) -> None:
    for defense in DEFENSES:
        assert references[defense, True] != references[defense, False]


@pytest.mark.parametrize("defense", DEFENSES)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_one_hostile_reply(
    fault: Fault, defense: str, references: dict[tuple[str, bool], Any], tmp_path: Path
) -> None:
    accepted = fault.code == "ok"

    outcome = run(tmp_path / "run", grid_of(cohort(fault.spoil)), defense=defense)

    assert outcome.bits == references[defense, accepted]
    with outcome.record() as record:
        rounds = record.rounds()
        others = [v for _, _, v in record.verdicts() if v.client != CULPRIT]
    assert [row["status"] for row in rounds] == ["aggregated", "aggregated"]
    assert [row["accepted"] for row in rounds] == [6 + accepted] * 2
    assert {(v.accepted, v.code, v.reason, v.ignored) for v in others} == {(True, "ok", "", ())}
    for number in (1, 2):
        (verdict,) = verdicts_on(CULPRIT, outcome, number)
        assert (verdict.accepted, verdict.code) == (accepted, fault.code)
        assert fault.says in " ".join((verdict.reason, *verdict.ignored))
        assert bool(verdict.ignored) == (accepted and bool(fault.says))
        assert "".join((verdict.reason, *verdict.ignored)).isprintable()
        assert len(verdict.reason) < 400


def average(spoil: Spoil | None) -> Model:
    random.seed(0)  # Flower draws the order of the replies, and sums in the dtype of the first
    strategy = FedAvg(fraction_evaluate=0.0)
    result = strategy.start(
        grid=grid_of(cohort(spoil)), initial_arrays=to_record(initial_model()), num_rounds=1
    )
    return to_model(result.arrays)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_control_the_same_reply_to_plain_averaging(fault: Fault) -> None:
    # It leaves out a reported error, and nothing else.
    plain = average(fail("away") if fault.code == "error" else None)
    try:
        with np.errstate(all="ignore"):
            hit = average(fault.spoil)
    except Exception:  # noqa: BLE001 - each fault raises its own; that it raises is the point
        harm = "raises"
    else:
        same = all(np.allclose(plain[name], hit[name], atol=1e-3) for name in plain)
        harm = "" if same else "moves"

    assert harm in fault.fedavg.split("|")


def test_claims_that_sum_to_zero_count_as_the_median_claim(tmp_path: Path) -> None:
    plain, liars = cohort(), cohort()
    for member in plain:
        member.claim = 100
    for member, lie in zip(liars, (100, 100, 100, 0, -100, -100, -100), strict=True):
        member.claim = lie

    expected = run(tmp_path / "plain", grid_of(plain), defense="weighted_mean")
    outcome = run(tmp_path / "lies", grid_of(liars), defense="weighted_mean")

    assert outcome.bits == expected.bits
    with outcome.record() as record:
        ignored = [verdict.ignored for _, _, verdict in record.verdicts(1)]
        assert list(record.influence(1).values()) == pytest.approx([1 / 7] * 7)
    assert ignored == [()] * 3 + [("num-examples=0",)] + [("num-examples=-100",)] * 3


def test_the_largest_claim_buys_no_more_than_the_cap(tmp_path: Path) -> None:
    greedy = cohort()
    for member in greedy:
        member.claim = 10**9 if member.index == HOSTILE else 100

    outcome = run(tmp_path / "run", grid_of(greedy), defense="weighted_mean(cap=2.0)")

    with outcome.record() as record:
        assert record.influence(1)[CULPRIT] == pytest.approx(2 / 8)
        assert record.influence(1)[client_of(0)] == pytest.approx(1 / 8)


class StuffedGrid(InProcessGrid):
    """Every look also returns what nobody asked for: repeats, inventions, rubbish."""

    inventions = 2

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        found = list(super().pull_messages(message_ids))
        lie = honest_content(_question("message-1"), 0)
        lie["arrays"] = to_record({n: v * 0 - 9 for n, v in model_of(lie).items()})
        invented = [
            Message(lie, reply_to=_question(f"invented-{number}"))
            for number in range(self.inventions)
        ]
        return [
            *invented,
            *found,
            *found,
            *(Message(lie, reply_to=_question(i)) for i in ("", "message-0")),
        ]


def _question(message_id: str) -> Message:
    content = RecordDict(
        {"arrays": to_record(initial_model()), "config": ConfigRecord({"server-round": 1})}
    )
    question = Message(content, 4, "train")
    question.metadata.__dict__["_message_id"] = message_id
    return question


def test_stuffing_the_ballot_changes_nothing_and_is_recorded(
    references: dict[tuple[str, bool], Any], tmp_path: Path
) -> None:
    grid = StuffedGrid([InProcessClient(app) for app in cohort()])

    outcome = run(tmp_path / "run", grid, defense=DEFENSES[0])

    assert outcome.bits == references[DEFENSES[0], True]
    with outcome.record() as record:
        for row in record.rounds():
            strangers = [v for _, _, v in record.verdicts(row["number"]) if not v.accepted]
            assert row["unsolicited"] == len(strangers) == 7 * (2 + 1 + 2)
            unsolicited = [v for v in strangers if not v.client]
            repeated = [v for v in strangers if v.client]
            assert {v.code for v in unsolicited} == {"unsolicited"}
            assert "claims to come from node 4" in {v.reason[-26:] for v in unsolicited}
            assert {v.code for v in repeated} == {"duplicate"}


def test_a_flood_of_invented_replies_is_counted_but_not_listed(tmp_path: Path) -> None:
    grid = StuffedGrid([InProcessClient(app) for app in cohort()])
    grid.inventions = 300

    outcome = run(tmp_path / "run", grid, rounds=1)

    with outcome.record() as record:
        assert record.rounds()[0]["unsolicited"] == 7 * (300 + 1 + 2)
        assert len(record.verdicts()) == 7 + 100


def test_a_reply_to_another_question_is_no_reply(
    references: dict[tuple[str, bool], Any], tmp_path: Path
) -> None:
    lost = cohort(forge("reply_to_message_id", "message-9999"))

    outcome = run(tmp_path / "run", grid_of(lost), defense=DEFENSES[0], timeout=0.4)

    assert outcome.bits == references[DEFENSES[0], False]
    (verdict,) = verdicts_on(CULPRIT, outcome, 2)
    assert (verdict.code, verdict.reason) == ("silent", "sent no reply before the deadline")


def test_what_a_member_does_to_its_instruction_reaches_nobody_else(
    references: dict[tuple[str, bool], Any], tmp_path: Path
) -> None:
    def vandalize(message: Message, content: RecordDict) -> RecordDict:
        arrays_of(message.content)["w"].data = b""
        message.content.config_records["config"]["server-round"] = 99
        message.metadata.__dict__["_group_id"] = "mine"
        message.content.clear()
        return content

    outcome = run(tmp_path / "run", grid_of(cohort(vandalize)), defense=DEFENSES[0])

    (verdict,) = verdicts_on(CULPRIT, outcome, 1)
    assert verdict.code == "forged"  # it wrote over its own group id, and over nothing of ours
    assert outcome.bits == references[DEFENSES[0], False]


EVALUATIONS = (
    ("extra metric", lambda _, c: with_metrics(c, mine=1.0), "ok", "surplus metric mine"),
    ("NaN", lambda _, c: with_metrics(c, loss=np.nan), "ok", "loss=nan"),
    ("400 digits", lambda _, c: with_metrics(c, loss=-(10**400)), "ok", "loss=-1000"),
    ("far", lambda _, c: with_metrics(c, loss=-1e300), "ok", ""),
    ("empty", lambda _, __: RecordDict(), "ok", ""),
    ("error", fail("<b>\x1b[2J"), "error", r"<b>\x1b[2J"),
    ("exception", raise_late, "error", "after 1 records"),
    ("forged", forge("src_node_id", 10**5000), "forged", "an unprintable int"),
)


@pytest.mark.parametrize(
    ("spoil", "code", "says"), [row[1:] for row in EVALUATIONS], ids=[row[0] for row in EVALUATIONS]
)
def test_one_hostile_evaluation(spoil: Spoil, code: str, says: str, tmp_path: Path) -> None:
    found = cohort()
    found[HOSTILE].spoil_evaluation = spoil

    outcome = run(tmp_path / "run", grid_of(found), fraction_evaluate=1.0)

    # The honest losses are 0.5 + index: the median stays among those of the neighbors.
    assert [m.keys() for m in outcome.result.evaluate_metrics_clientapp.values()] == [{"loss"}] * 2
    with outcome.record() as record:
        assert 2.5 <= record.metrics("clients")[2]["loss"] <= 4.5
        phases = [(p, v) for _, p, v in record.verdicts(2) if v.client == CULPRIT]
    assert [phase for phase, _ in phases] == ["train", "clients"]
    assert phases[1][1].code == code
    assert says in " ".join((phases[1][1].reason, *phases[1][1].ignored))


@pytest.mark.parametrize("name", ["\ud800", "\0", "", "x" * 10_000, "\u202e"])
def test_the_only_one_that_answers_cannot_break_the_record(name: str, tmp_path: Path) -> None:
    alone = [lambda m, c: Message(Error(1, "away"), reply_to=m)] * 2
    liar = members(1)[0]
    liar.spoil = lambda _, content: with_metrics(content, **{name: 1.0, "loss": 1.0})

    outcome = run(tmp_path / "run", grid_of([liar, *alone]), rounds=1)

    with outcome.record() as record:
        assert record.rounds()[0]["status"] == "unchanged"
        assert record.metrics("train") == {1: {"loss": 1.0}}


def test_a_hundred_thousand_metrics_leave_a_short_record(tmp_path: Path) -> None:
    def flood(_: Message, content: RecordDict) -> RecordDict:
        metrics: dict[str, Any] = {f"m{number}": 1.0 for number in range(100_000)}
        return RecordDict({**content, "metrics": MetricRecord(metrics)})

    outcome = run(tmp_path / "run", grid_of(cohort(flood)), rounds=1)

    (verdict,) = verdicts_on(CULPRIT, outcome, 1)
    assert verdict.accepted
    assert len(verdict.ignored) < 50
    assert "and 98980 more" in verdict.ignored
