"""The record of a run: whole rounds or nothing, never overwritten, readable while it grows."""

from __future__ import annotations

import math
import sqlite3
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from quickthorn.server.entries import FILE_NAME, Entry, Participant, RoundRecord
from quickthorn.server.store import RunStore
from quickthorn.strategies.errors import ConfigurationError, RunError
from quickthorn.strategies.reputation import Change, Decision, Standing
from quickthorn.strategies.updates import Score, Verdict

if TYPE_CHECKING:
    from pathlib import Path

VERDICTS = (
    Verdict("node:2", True, "ok", "", ("num-examples=nan", "“quoted”, <b>")),
    Verdict("node:3", False, "not-finite", "sent NaN in 'w'"),
    Verdict("", False, "unsolicited", "answers nothing"),
)
SCORES = (
    Score("node:2", "cosine", -0.25, 1e300, "update points away"),
    Score("node:2", "norm", 1.0, 4.5, "is short", -1),
)
ROUND = RoundRecord(
    1, 0.25, "aggregated", "", 2, 1, "ab12", VERDICTS, SCORES, {"node:2": 1.0}, {"loss": 0.5}
)


def test_it_reads_back_what_was_written(tmp_path: Path) -> None:
    people = [Participant("key:0a", "North", 2**63 + 5), Participant("node:3", "East", 3)]
    with RunStore.create(tmp_path / "new" / "run", {"defense": "median"}) as store:
        store.add_clients(people)
        store.add_round(ROUND)
        store.add_evaluation(1, "clients", {"loss": 0.75}, VERDICTS[:1])
        store.add_evaluation(0, "server", {"loss": 1.5})

    with RunStore.open(tmp_path / "new" / "run") as store:
        (row,) = store.rounds()
        assert datetime.fromisoformat(row["at"]).tzinfo is not None
        assert dict(row) == {
            "number": 1, "at": row["at"], "seconds": 0.25, "status": "aggregated", "reason": "",
            "asked": 2, "accepted": 1, "unsolicited": 1, "model": "ab12",
        }  # fmt: skip
        assert store.meta().keys() == {"format", "defense", "ended"}
        assert store.meta()["format"] == "2"
        assert store.clients() == sorted(people, key=lambda who: who.name)
        assert [verdict for _, _, verdict in store.verdicts(1)] == [*VERDICTS, VERDICTS[0]]
        assert [phase for _, phase, _ in store.verdicts()] == ["train"] * 3 + ["clients"]
        assert store.scores(1) == [(1, score) for score in SCORES]
        assert (store.scores(2), store.verdicts(2)) == ([], [])
        assert store.verdicts(client="node:3") == [(1, "train", VERDICTS[1])]
        assert store.scores(client="node:2") == store.scores()
        assert store.influence(1) == {"node:2": 1.0}
        assert store.metrics("train") == {1: {"loss": 0.5}}
        assert store.metrics("clients") == {1: {"loss": 0.75}}
        assert store.metrics("server") == {0: {"loss": 1.5}}


@pytest.mark.parametrize(
    "broken",
    [
        replace(ROUND, number=2, metrics={"loss": math.nan}),
        replace(ROUND, number=2, influence={"node:2": math.nan}),
        replace(ROUND, number=2, scores=(*SCORES, SCORES[0])),
        replace(ROUND, number=2, metrics={"\ud800": 1.0}),
    ],
    ids=["NaN metric", "NaN influence", "score twice", "unencodable"],
)
def test_a_round_that_cannot_be_written_leaves_nothing(broken: RoundRecord, tmp_path: Path) -> None:
    with RunStore.create(tmp_path, {}) as store:
        store.add_round(ROUND)

        with pytest.raises((sqlite3.Error, UnicodeEncodeError)):
            store.add_round(broken)

        assert [row["number"] for row in store.rounds()] == [1]
        assert store.verdicts(2) == []
        assert store.scores(2) == []
        assert store.metrics("train") == {1: {"loss": 0.5}}
        store.add_round(replace(ROUND, number=2))
        assert [row["number"] for row in store.rounds()] == [1, 2]


def test_a_round_is_never_written_over(tmp_path: Path) -> None:
    with RunStore.create(tmp_path, {}) as store:
        store.add_round(ROUND)

        with pytest.raises(sqlite3.IntegrityError):
            store.add_round(replace(ROUND, model="other"))

        assert store.rounds()[0]["model"] == "ab12"


def test_infinity_is_a_number_to_the_record(tmp_path: Path) -> None:
    endless = Score("node:2", "norm", math.inf, math.inf, "far")

    with RunStore.create(tmp_path, {}) as store:
        store.add_round(replace(ROUND, scores=(endless,)))

        assert store.scores(1) == [(1, endless)]


def test_another_run_is_never_overwritten(tmp_path: Path) -> None:
    RunStore.create(tmp_path, {"defense": "median"}).close()

    with pytest.raises(ConfigurationError, match="already holds the record of a run"):
        RunStore.create(tmp_path, {"defense": "mean"})

    with RunStore.open(tmp_path) as store:
        assert store.meta()["defense"] == "median"


def test_a_second_process_reads_while_the_run_goes_on(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from quickthorn.server.store import RunStore\n"
        "with RunStore.open(Path(sys.argv[1])) as store:\n"
        "    print(len(store.rounds()), len(store.verdicts()))\n"
    )
    with RunStore.create(tmp_path, {}) as store:
        store.add_round(ROUND)
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == ["1", "3"]


def test_an_open_reader_does_not_stop_the_writer_between_its_looks(tmp_path: Path) -> None:
    with RunStore.create(tmp_path, {}) as store, RunStore.open(tmp_path) as reader:
        for number in (1, 2):
            store.add_round(replace(ROUND, number=number))

            assert len(reader.rounds()) == number
            assert len(reader.verdicts()) == 3 * number


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    RunStore.create(tmp_path, {}).close()

    with (
        RunStore.open(tmp_path) as reader,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        reader.add_round(ROUND)


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 99])
def test_a_foreign_file_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)

    with pytest.raises(RunError, match="is no record of a run"):
        RunStore.open(tmp_path)


def test_a_missing_record_and_a_foreign_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run"):
        RunStore.open(tmp_path)

    RunStore.create(tmp_path, {"format": "1"}).close()
    with pytest.raises(RunError, match="format 1, but 2 is needed; use the version that wrote"):
        RunStore.open(tmp_path)


def test_a_client_that_comes_back_under_another_node_is_updated(tmp_path: Path) -> None:
    with RunStore.create(tmp_path, {}) as store:
        store.add_clients([Participant("key:0a", "key:0a", 5)])
        store.add_clients([Participant("key:0a", "North", 9)])

        assert store.clients() == [Participant("key:0a", "North", 9)]


CALM = Standing("node:2", "healthy", 1, 3, 0.25, 0.125, 0.5, "", (), False)
ABSENT = Standing("node:3", "watch", 2, 2, None, 0.9, 7.5, "far", ("AML.T0020",), True)
MOVED = Change("node:3", 2, "probation", "watch", "quickthorn", "far")
DECIDED = Decision("node:3", "ban", "anna", "“lied”", "2026-11-24T12:00:00+00:00")


def test_standings_and_changes_belong_to_their_round(tmp_path: Path) -> None:
    with RunStore.create(tmp_path, {}) as store:
        assert store.ledger.reputation() is None
        refused = replace(MOVED, before="watch", who="anna", refused=True)
        first = replace(ROUND, standings=(CALM, ABSENT), changes=(MOVED, refused), reputation="{}")
        store.add_round(first)
        store.add_round(replace(first, number=2, changes=(), reputation='{"a": 1}'))
        with pytest.raises(sqlite3.IntegrityError):
            store.add_round(replace(first, number=3, standings=(CALM, CALM), reputation="lost"))

    with RunStore.open(tmp_path) as store:
        assert store.ledger.standings(2) == [(2, CALM), (2, ABSENT)]
        assert store.ledger.standings(client="node:3") == [(1, ABSENT), (2, ABSENT)]
        assert [number for number, _ in store.ledger.standings()] == [1, 1, 2, 2]
        assert store.ledger.changes() == [MOVED]
        assert store.ledger.reputation() == (2, '{"a": 1}')


def test_another_process_decides_while_the_run_goes_on(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from quickthorn.server.store import RunStore\n"
        "from quickthorn.strategies.reputation import Decision\n"
        "with RunStore.open(Path(sys.argv[1]), write=True) as store:\n"
        "    for number in range(10):\n"
        "        store.ledger.add_decision(Decision('a', 'ban', sys.argv[2], str(number), 'now'))\n"
    )
    with RunStore.create(tmp_path, {}) as store:
        people = [
            subprocess.Popen([sys.executable, "-c", script, str(tmp_path), name])
            for name in ("anna", "berta")
        ]
        number = 0
        while any(person.poll() is None for person in people):  # the server writes meanwhile
            number += 1
            store.add_round(replace(ROUND, number=number))
        assert [person.wait() for person in people] == [0, 0]
        found = store.ledger.decisions()
        assert number > 0
        assert (tmp_path / f"{FILE_NAME}-wal").exists()

    assert [entry.id for entry in found] == list(range(1, 21))
    for name in ("anna", "berta"):
        mine = [entry.decision.why for entry in found if entry.decision.who == name]
        assert mine == [str(number) for number in range(10)]


def test_a_decision_counts_from_a_round_or_is_refused(tmp_path: Path) -> None:
    with RunStore.create(tmp_path, {}) as store, RunStore.open(tmp_path, write=True) as person:
        person.ledger.add_decision(DECIDED)
        person.ledger.add_decision(replace(DECIDED, action="readmit"))
        assert store.ledger.decisions() == [
            Entry(1, DECIDED),
            Entry(2, replace(DECIDED, action="readmit")),
        ]

        store.ledger.settle([Entry(1, DECIDED, 4), Entry(2, DECIDED, 4, "banned for good")])

        assert [(entry.round, entry.refused) for entry in person.ledger.decisions()] == [
            (4, ""),
            (4, "banned for good"),
        ]


def test_a_finished_record_takes_no_decision(tmp_path: Path) -> None:
    RunStore.create(tmp_path, {}).close()

    with RunStore.open(tmp_path, write=True) as store:
        with pytest.raises(RunError, match="the run has ended"):
            store.ledger.add_decision(DECIDED)

        assert store.ledger.decisions() == []
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_a_decision_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quickthorn.server.store._LOCK_SECONDS", 0.01)
    with RunStore.create(tmp_path, {}), RunStore.open(tmp_path, write=True) as person:
        other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(RunError, match="could not be recorded: database is locked"):
            person.ledger.add_decision(DECIDED)

        other.execute("COMMIT")
        other.close()
        person.ledger.add_decision(DECIDED)


def test_a_run_that_was_killed_has_not_ended(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from quickthorn.server.store import RunStore\n"
        "RunStore.create(Path(sys.argv[1]), {}); os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)

    with RunStore.open(tmp_path, write=True) as store:
        assert "ended" not in store.meta()
        store.ledger.add_decision(DECIDED)

    with RunStore.open(tmp_path) as store:
        assert len(store.ledger.decisions()) == 1
