"""The record of a run: whole rounds or nothing, never overwritten, readable while it grows."""

from __future__ import annotations

import math
import sqlite3
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from quickthorn.server.store import FILE_NAME, Participant, RoundRecord, RunStore
from quickthorn.strategies.errors import ConfigurationError, RunError
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
    Score("node:2", "norm", 1.0, -0.5),
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
        assert dict(row) == {
            "number": 1, "seconds": 0.25, "status": "aggregated", "reason": "", "asked": 2,
            "accepted": 1, "unsolicited": 1, "model": "ab12",
        }  # fmt: skip
        assert store.meta() == {"format": "1", "defense": "median"}
        assert store.clients() == sorted(people, key=lambda who: who.name)
        assert [verdict for _, _, verdict in store.verdicts(1)] == [*VERDICTS, VERDICTS[0]]
        assert [phase for _, phase, _ in store.verdicts()] == ["train"] * 3 + ["clients"]
        assert store.scores(1) == [(1, score) for score in SCORES]
        assert (store.scores(2), store.verdicts(2)) == ([], [])
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

    RunStore.create(tmp_path, {"format": "99"}).close()
    with pytest.raises(RunError, match="format 99, but 1 is needed"):
        RunStore.open(tmp_path)


def test_a_client_that_comes_back_under_another_node_is_updated(tmp_path: Path) -> None:
    with RunStore.create(tmp_path, {}) as store:
        store.add_clients([Participant("key:0a", "key:0a", 5)])
        store.add_clients([Participant("key:0a", "North", 9)])

        assert store.clients() == [Participant("key:0a", "North", 9)]
