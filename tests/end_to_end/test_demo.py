"""`quickthorn demo` as a person runs it: its result, its words, and what an interrupt leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sysconfig
import time
from contextlib import suppress
from pathlib import Path

import pytest

from quickthorn.server.store import RunStore
from quickthorn.simulations.demo import HOSTILE, ORGANIZATIONS
from quickthorn.strategies.scoring import explain, suspicion

QUICKTHORN = str(Path(sysconfig.get_path("scripts")) / "quickthorn")


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    """Start the demo in ``folder``, its temporary files included."""
    (folder / "tmp").mkdir()
    return subprocess.Popen(
        [QUICKTHORN, "demo", *options],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def processes_below(folder: Path) -> list[str]:
    """Return the commands of the processes that name ``folder`` in their environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(folder).encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_text().replace("\0", " "))
    return found


@pytest.mark.timeout(400)
def test_the_defense_holds_and_the_hostile_member_is_found(tmp_path: Path) -> None:
    demo = start(tmp_path, "--rounds", "2", "--out", "run")

    words, complaints = demo.communicate()

    assert demo.returncode == 0, complaints
    curves = json.loads((tmp_path / "run" / "demo.json").read_text())
    plain, defended, without = (curves[name][-1] for name in ("plain", "defended", "without"))
    assert plain["accuracy"] < 0.8
    assert abs(defended["accuracy"] - without["accuracy"]) <= 0.02
    assert defended["recall-malignant"] > plain["recall-malignant"] + 0.3
    with RunStore.open(tmp_path / "run") as store:
        names = {client.id: client.name for client in store.clients()}
        assert sorted(names.values()) == sorted(ORGANIZATIONS)
        for number in (1, 2):
            scores = [score for _, score in store.scores(number)]
            worst = suspicion(scores)
            assert names[max(worst, key=lambda client: worst[client])] == HOSTILE
            assert HOSTILE in {names[client] for client in explain(scores)}
    for part in (
        "Held-out accuracy",
        HOSTILE,
        "times as long as the median",
        "explain run",
        "demo --defense",
    ):
        assert part in " ".join(words.split())
    assert (tmp_path / "run" / "model.safetensors").is_file()
    assert list((tmp_path / "tmp").iterdir()) == []
    assert processes_below(tmp_path) == []


@pytest.mark.timeout(400)
def test_an_interrupt_leaves_no_process_and_no_temporary_folder(tmp_path: Path) -> None:
    demo = start(tmp_path, "--out", "run")
    while "SuperNode ID" not in "".join(
        log.read_text(errors="replace") for log in (tmp_path / "run").glob("logs/node-*.log")
    ):
        assert demo.poll() is None, demo.communicate()
        time.sleep(0.1)
    assert len(processes_below(tmp_path)) > len(ORGANIZATIONS)

    demo.send_signal(signal.SIGINT)
    _, complaints = demo.communicate()

    assert demo.returncode == 130
    assert "interrupted" in complaints
    assert processes_below(tmp_path) == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_what_cannot_work_is_said_before_anything_starts(tmp_path: Path) -> None:
    demo = start(tmp_path, "--defense", "krum", "--byzantine", "3", "--out", "run")

    _, complaints = demo.communicate()

    assert demo.returncode == 2
    assert "krum needs n >= 9 clients" in complaints
    assert not (tmp_path / "run").exists()
