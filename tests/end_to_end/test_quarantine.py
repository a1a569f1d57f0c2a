"""People decide about a member of a running federation, each from a process of their own.

Client i of four adds 1 + i to every number of a model of zeros: the trimmed mean (f = 1) of
1, 2, 3, 4 is 2.5, and of 1, 2, 3 it is 2, so the model says whose updates counted.
"""

from __future__ import annotations

import json
import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from quickthorn.server.entries import FILE_NAME
from quickthorn.server.store import RunStore
from quickthorn.simulations.processes import LocalFederation, NodeSpec

if TYPE_CHECKING:
    from quickthorn.simulations.loopback import Scalar

APP = Path(__file__).parent / "tiny_app"
NAMES = ["north", "south", "east", "mallory"]
QUICKTHORN = str(Path(sysconfig.get_path("scripts")) / "quickthorn")


def quickthorn(*arguments: str) -> dict[str, Any]:
    """Run a command and return the JSON object that it prints."""
    done = subprocess.run(
        [QUICKTHORN, *arguments, "--json"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return dict(json.loads(done.stdout))


@pytest.mark.timeout(400)
def test_a_quarantine_counts_from_the_next_round_and_so_does_a_return(tmp_path: Path) -> None:
    out, run = tmp_path / "ours.json", tmp_path / "ours.run"
    specs = [NodeSpec(name, {"partition-id": number}) for number, name in enumerate(NAMES)]
    federation = LocalFederation(specs, tmp_path / "home", preload=["quickthorn.server.strategy"])
    (gate := tmp_path / "gate").mkdir()
    steps = {1: "quarantine", 2: "readmit", 3: ""}
    found: dict[int, dict[str, Any]] = {}

    def act(_: float) -> None:
        """Let a person act after a round, then the federation go on."""
        if not (run / FILE_NAME).exists():
            return
        with RunStore.open(run) as store:
            number = len(store.rounds())
            names = {who.node: who.id for who in store.clients()}
        if number and number not in found:
            mallory = names[federation.node_ids["mallory"]]
            if steps[number]:
                why = ("--why", "phoned them", "--who", "anna")
                found[number] = quickthorn(steps[number], str(run), mallory, *why)
            else:
                found[number] = quickthorn("explain", str(run), mallory)
            (gate / str(number)).touch()

    with federation:
        settings: dict[str, Scalar] = {
            "out": str(out),
            "nodes": len(NAMES),
            "robust": True,
            "rounds": len(steps),
            "gate": str(gate),
        }
        finished = federation.run(APP, overrides=settings, deadline=300, on_tick=act)
    assert finished.completed, finished
    assert json.loads(out.read_text())["model"] == [2.5 + 2.0 + 2.5] * 4
    assert [found[number]["round"] for number in (1, 2)] == [1, 2], "the last recorded round"
    for decision, number in zip(found[3]["decisions"], (2, 3), strict=True):
        assert (decision["who"], decision["why"]) == ("anna", "phoned them")
        assert (decision["round"], decision["refused"]) == (number, "")
    moved = [(c["round"], c["after"]) for c in found[3]["changes"] if c["who"] == "anna"]
    assert moved == [(2, "quarantined"), (3, "watch")]
    for page in found[3]["rounds"]:
        assert [verdict["code"] for verdict in page["verdicts"]] == ["ok"], "it went on training"
        assert len(page["scores"]) > 0, "and being scored"
    done = subprocess.run(
        [QUICKTHORN, "ban", str(run), found[3]["id"], "--why", "too late", "--yes"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing will happen in it any more" in done.stderr
