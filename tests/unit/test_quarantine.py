"""Reputation in a running federation: who is quarantined, trains in shadow, is banned or back."""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from flwr.app import Error, Message

from quickthorn.server.config import ServerSettings
from quickthorn.server.ledger import Ledger
from quickthorn.server.store import RunStore
from quickthorn.server.strategy import RobustStrategy
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.reputation import Decision, Policy, Reputation
from tests.federations import (
    Member,
    client_of,
    grid_of,
    members,
    model_of,
    run,
    with_array,
    with_metrics,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flwr.app import ArrayRecord, MetricRecord, RecordDict

LIAR = client_of(0)
# What a liar reaches in a few rounds: how evidence grows is tested elsewhere.
STRICT = Policy("quarantine", watch=0.95, quarantine=0.98, calm=0.5)


def lie(message: Message, content: RecordDict) -> RecordDict:
    """Send an update that points the other way and is ten times as long."""
    sent, trained = model_of(message.content)["w"], model_of(content)["w"]
    return with_metrics(with_array(content, "w", sent - 10 * (trained - sent)), loss=1e6)


def liar_and_honest() -> list[Member]:
    return [Member(0, spoil=lie), *members(12)[1:]]


def deciding(
    folder: Path, decisions: dict[int, list[tuple[str, str]]]
) -> Callable[[int, ArrayRecord], MetricRecord | None]:
    """Return an evaluation after which a person decides, on a connection of its own."""

    def evaluate(number: int, arrays: ArrayRecord) -> None:
        with RunStore.open(folder, write=True) as store:
            for client, action in decisions.get(number, []):
                store.ledger.add_decision(Decision(client, action, "anna", "because", "2027"))

    return evaluate


def states(record: RunStore, client: str) -> list[str]:
    return [standing.state for _, standing in record.ledger.standings(client=client)]


def asked_in(record: RunStore, client: str) -> list[int]:
    return [number for number, _, _ in record.verdicts(client=client)]


def test_a_liar_is_quarantined_by_itself_and_trains_in_shadow(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="flwr.quickthorn"):
        outcome = run(tmp_path, grid_of(liar_and_honest()), defense="mean", rounds=8, policy=STRICT)

    with outcome.record() as record:
        first = states(record, LIAR).index("quarantined") + 1
        assert first < 7
        assert set(states(record, LIAR)[first:]) == {"quarantined"}
        assert asked_in(record, LIAR) == list(range(1, 9)), "it trains in shadow"
        for number in range(1, 9):
            assert (record.influence(number)[LIAR] > 0.0) == (number <= first)
            assert {score.client for _, score in record.scores(number)} >= {LIAR}
        assert {change.client for change in record.ledger.changes()} >= {LIAR}
        assert not [
            s for _, s in record.ledger.standings() if s.client != LIAR and s.state == "quarantined"
        ]
        number, value = record.ledger.reputation() or (0, "")
        assert number == 8
        assert Reputation.from_json(value).excluded == {LIAR}
        losses = [record.metrics("train")[number]["loss"] for number in (first, first + 1)]
        assert losses[1] != losses[0], "what it claims does not count either"
    lines = [entry.getMessage() for entry in caplog.records]
    assert sum(f"{LIAR}: watch -> quarantined, by quickthorn: " in line for line in lines) == 1


def test_the_model_after_a_quarantine_is_that_of_the_others(tmp_path: Path) -> None:
    def later(message: Message, content: RecordDict) -> RecordDict | Message:
        number = message.content.config_records["config"]["server-round"]
        return content if number == 1 else lie(message, content)

    def gone(message: Message, content: RecordDict) -> RecordDict | Message:
        number = message.content.config_records["config"]["server-round"]
        return content if number == 1 else Message(Error(2), reply_to=message)

    with_liar = run(
        tmp_path / "with",
        grid_of([Member(0, spoil=later), *members(7)[1:]]),
        defense="mean",
        evaluate_fn=deciding(tmp_path / "with", {1: [(LIAR, "quarantine")]}),
    )
    without = run(
        tmp_path / "without", grid_of([Member(0, spoil=gone), *members(7)[1:]]), defense="mean"
    )

    assert with_liar.bits == without.bits
    assert with_liar.result.train_metrics_clientapp[2] == without.result.train_metrics_clientapp[2]


def test_people_decide_from_the_next_round_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    friend = client_of(3)
    decided = {
        1: [(friend, "quarantine"), ("node:99", "ban"), (client_of(4), "readmit")],
        3: [(friend, "readmit"), (client_of(5), "ban")],
        4: [(client_of(5), "readmit"), (client_of(5), "quarantine")],
        6: [(friend, "ban")],
    }
    people = members(7)

    with caplog.at_level(logging.INFO, logger="flwr.quickthorn"):
        outcome = run(
            tmp_path,
            grid_of(people),
            defense="mean",
            rounds=6,
            fraction_evaluate=1.0,
            evaluate_fn=deciding(tmp_path, decided),
        )

    with outcome.record() as record:
        counted = [record.influence(number)[friend] > 0 for number in range(1, 7)]
        entries = record.ledger.decisions()
        changes = [change for change in record.ledger.changes() if change.who == "anna"]
        asked = {number: row["asked"] for number, row in enumerate(record.rounds(), 1)}
        judged = [n for n, phase, _ in record.verdicts(client=friend) if phase == "clients"]
    assert counted == [True, False, False, True, True, True]
    assert asked == {1: 7, 2: 7, 3: 7, 4: 6, 5: 6, 6: 6}, "who is banned is not asked"
    assert judged == [1, 4, 5, 6], "nobody asks the quarantined how good the model is"
    assert [(entry.round, bool(entry.refused)) for entry in entries] == [
        (2, False), (2, True), (2, True), (4, False), (4, False), (5, True), (5, True),
        (None, False),
    ]  # fmt: skip
    assert "no client 'node:99'" in entries[1].refused
    assert "banned" in entries[5].refused
    assert [(change.round, change.client, change.after) for change in changes] == [
        (2, friend, "quarantined"), (4, friend, "watch"), (4, client_of(5), "banned"),
    ]  # fmt: skip
    lines = [entry.getMessage() for entry in caplog.records]
    assert f"round 4: {friend}: quarantined -> watch, by anna: because" in lines
    assert any("node:99: unknown, by anna: refused to ban" in line for line in lines)


def test_who_is_asked_to_evaluate_alone_can_be_banned(tmp_path: Path) -> None:
    friend = client_of(3)
    outcome = run(
        tmp_path,
        grid_of(members(7)),
        rounds=3,
        fraction_train=0.0,
        fraction_evaluate=1.0,
        evaluate_fn=deciding(tmp_path, {1: [(friend, "ban")]}),
    )

    with outcome.record() as record:
        (entry,) = record.ledger.decisions()
        assert (entry.round, entry.refused) == (2, "")
        assert asked_in(record, friend) == [1]
        assert asked_in(record, client_of(4)) == [1, 2, 3]


def test_a_decision_that_cannot_be_read_is_refused_and_ends_no_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    friend = client_of(3)
    rows = [
        (friend, "obey", b"anna", b"because"),
        (friend, "ban", b"anna\xff", b"because"),
        (friend, "quarantine", b"an\x1b[2Jna", b"one\ntwo"),
    ]

    def evaluate(number: int, arrays: ArrayRecord) -> None:
        if number == 1:
            with contextlib.closing(sqlite3.connect(tmp_path / "run.sqlite")) as other, other:
                other.execute("PRAGMA ignore_check_constraints = ON")
                other.executemany(
                    "INSERT INTO decision (at, client, action, who, why) "
                    "VALUES ('2027', ?, ?, CAST(? AS TEXT), CAST(? AS TEXT))",
                    rows,
                )

    with caplog.at_level(logging.INFO, logger="flwr.quickthorn"):
        outcome = run(tmp_path, grid_of(members(7)), evaluate_fn=evaluate)

    with outcome.record() as record:
        entries = record.ledger.decisions()
        changes = [(change.who, change.why) for change in record.ledger.changes()]
        assert states(record, friend)[1] == "quarantined"
    assert [(entry.round, bool(entry.refused)) for entry in entries] == [
        (2, True), (2, True), (2, False),
    ]  # fmt: skip
    assert entries[0].refused == "refused to obey (because): it is no decision that can be read"
    assert entries[1].decision.who == "anna\\xff"
    assert changes == [("an\\x1b[2Jna", "one\\ntwo")]
    lines = [entry.getMessage() for entry in caplog.records]
    assert f"round 2: {friend}: unknown, by anna: {entries[0].refused}" in lines
    assert all(map(str.isprintable, lines))


def test_too_few_left_leave_the_model_as_it_is(tmp_path: Path) -> None:
    decided = {1: [(client_of(0), "quarantine")]}

    outcome = run(tmp_path, grid_of(members(3)), rounds=2,
                  evaluate_fn=deciding(tmp_path, decided))  # fmt: skip

    with outcome.record() as record:
        first, second = record.rounds()
    assert first["status"] == "aggregated"
    assert (second["status"], second["accepted"]) == ("unchanged", 3)
    assert "2 votes of 3 valid updates" in second["reason"]


def test_a_draw_takes_its_share_of_the_quarantined_too(tmp_path: Path) -> None:
    quarantined = {client_of(index) for index in range(4)}
    decided = {1: [(client, "quarantine") for client in quarantined]}

    outcome = run(
        tmp_path,
        grid_of(members(12)),
        rounds=6,
        evaluate_fn=deciding(tmp_path, decided),
        min_available_clients=12,
        fraction_train=0.5,
        quorum=3,
    )

    with outcome.record() as record:
        known = {standing.client for _, standing in record.ledger.standings(1)}
        asked = [{v.client for _, _, v in record.verdicts(number)} for number in range(3, 7)]
    drawn = quarantined & known
    assert drawn
    assert all(len(clients & drawn) == (len(drawn) + 1) // 2 for clients in asked)
    assert all(len(clients - drawn) == (12 - len(drawn) + 1) // 2 for clients in asked)


@pytest.mark.parametrize(
    ("automatic", "after"),
    [
        ("observe", ("watch", False)),
        ("propose", ("watch", True)),
        ("quarantine", ("quarantined", False)),
    ],
)
def test_one_key_says_what_happens_by_itself(
    automatic: str, after: tuple[str, bool], tmp_path: Path
) -> None:
    outcome = run(
        tmp_path, grid_of(liar_and_honest()), rounds=6, automatic=automatic, policy=STRICT
    )

    with outcome.record() as record:
        standing = {s.client: s for _, s in record.ledger.standings(6)}[LIAR]
        assert json.loads(record.meta()["policy"])["automatic"] == automatic
    assert (standing.state, standing.proposed) == after


def test_the_policy_is_the_callers(tmp_path: Path) -> None:
    assert RobustStrategy("median", byzantine=1, policy=STRICT).policy == STRICT
    told = RobustStrategy("median", byzantine=1, policy=STRICT, automatic="observe").policy
    assert told == replace(STRICT, automatic="observe")
    with pytest.raises(ConfigurationError, match="automatic must be one of observe, propose"):
        RobustStrategy("median", byzantine=1, automatic="always")
    with pytest.raises(ConfigurationError, match="automatic must be one of observe, propose"):
        ServerSettings("median", 1, "math:pi", automatic="always")


def test_a_round_that_is_not_recorded_changes_no_reputation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Ledger, "insert", full)

    with pytest.raises(sqlite3.OperationalError, match="disk is full"):
        run(tmp_path, grid_of(members()))

    with RunStore.open(tmp_path) as record:
        assert record.rounds() == []
        assert record.ledger.standings() == []
        assert record.scores() == []
