"""Hostile SuperNodes against a real SuperLink: Flower's FedAvg falls for them, ours does not.

Client i of four adds 1 + i to every number of a model of zeros, so each outcome is known bit for
bit: the trimmed mean (f = 1) of 1, 2, 3, 4 is 2.5, and of 1, 2, 3 it is 2.
"""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quickthorn.simulations.processes import LocalFederation, NodeSpec

if TYPE_CHECKING:
    from quickthorn.simulations.loopback import Scalar

HERE = Path(__file__).parent
APP = HERE / "tiny_app"
HONEST, HOSTILE = 3, 3  # three honest nodes, then the hostile one
NAMES = ["north", "south", "east", "mallory"]
ALL_FOUR, WITHOUT_MALLORY = [2.5] * 4, [2.0] * 4


def federation_with(tmp_path: Path, attack: str | None) -> LocalFederation:
    env = {}
    if attack is not None:
        env = {
            "PYTHONPATH": str(HERE / "hostile_nodes" / attack),
            "HOSTILE_VICTIM_FILE": str(tmp_path / "victim"),
        }
    specs = [
        NodeSpec(name, {"partition-id": number}, env if number == HOSTILE else {})
        for number, name in enumerate(NAMES)
    ]
    return LocalFederation(specs, tmp_path / "home", preload=["quickthorn.server.strategy"])


def run(federation: LocalFederation, out: Path, **overrides: Scalar) -> dict[str, Any]:
    settings = {"out": str(out), "nodes": len(NAMES), **overrides}
    finished = federation.run(APP, overrides=settings, deadline=120)
    assert finished.completed, finished
    return dict(json.loads(out.read_text()))


def verdicts(out: Path) -> dict[str, list[tuple[int, str, str]]]:
    """Return what the record says in the first round: node id to (accepted, code, reason)."""
    query = """SELECT COALESCE(client.node, verdict.client), accepted, code, reason
               FROM verdict LEFT JOIN client ON client.id = verdict.client WHERE round = 1"""
    found: dict[str, list[tuple[int, str, str]]] = {}
    with sqlite3.connect(next(out.with_suffix(".run").glob("*.sqlite*"))) as record:
        for node, *rest in record.execute(query):
            found.setdefault(str(node), []).append(tuple(rest))
    record.close()
    return found


def test_a_forged_sender_is_refused_and_named(tmp_path: Path) -> None:
    with federation_with(tmp_path, "forge_sender") as federation:
        victim, forger = federation.node_ids["north"], federation.node_ids["mallory"]
        (tmp_path / "victim").write_text(str(victim))
        stock = run(federation, tmp_path / "stock.json")
        ours = run(federation, tmp_path / "ours.json", robust=True)
    assert stock["senders"].count(str(victim)) == 2, "the attack is real: FedAvg believes it"
    assert ours["model"] == WITHOUT_MALLORY
    found = verdicts(tmp_path / "ours.json")
    assert [accepted for accepted, _, _ in found[str(victim)]] == [1], "the victim is not harmed"
    accepted, code, reason = found[str(forger)][0]
    assert (accepted, code) == (0, "forged")
    assert str(victim) in reason


def test_a_stuffed_ballot_changes_nothing_and_is_recorded(tmp_path: Path) -> None:
    with federation_with(tmp_path, "stuff_ballot") as federation:
        stock = run(federation, tmp_path / "stock.json")
        ours = run(federation, tmp_path / "ours.json", robust=True)
    assert {"1000", "1001", "1002"} <= set(stock["senders"]), "the attack is real"
    assert stock["model"][0] > 1000
    assert ours["model"] == ALL_FOUR, "bit for bit the round without the invented replies"
    with sqlite3.connect(next((tmp_path / "ours.run").glob("*.sqlite*"))) as record:
        (unsolicited,) = record.execute("SELECT unsolicited FROM round").fetchone()
    record.close()
    assert unsolicited == 3


def test_a_reply_that_the_superlink_cannot_encode_costs_nobody(tmp_path: Path) -> None:
    with federation_with(tmp_path, "deep_tree") as federation:
        settings: dict[str, Scalar] = {"out": str(tmp_path / "stock.json"), "nodes": len(NAMES)}
        stock = federation.run(APP, overrides=settings, deadline=120)
        ours = run(federation, tmp_path / "ours.json", robust=True)
    assert stock.status == "finished:failed", "the attack is real: it ends Flower's run"
    assert ours["model"] == ALL_FOUR


def test_a_node_killed_in_mid_round_costs_at_most_the_deadline(tmp_path: Path) -> None:
    deadline, out = 25.0, tmp_path / "ours.json"
    federation = federation_with(tmp_path, None)
    killed: list[float] = []

    def kill_while_it_trains(_: float) -> None:
        log = federation.log_dir / f"node-{HOSTILE}.log"
        if not killed and "Received successfully" in log.read_text(errors="replace"):
            federation.kill("mallory")
            killed.append(time.monotonic())

    with federation:
        lost = str(federation.node_ids["mallory"])
        settings: dict[str, Scalar] = {
            "out": str(out),
            "nodes": 4,
            "robust": True,
            "timeout": deadline,
            "pause": 4.0,
        }
        finished = federation.run(
            APP, overrides=settings, deadline=120, on_tick=kill_while_it_trains
        )
        assert finished.completed, finished
    assert killed
    found = json.loads(out.read_text())
    assert found["model"] == WITHOUT_MALLORY
    assert found["seconds"][0] < deadline + 10
    accepted, code, _ = verdicts(out)[lost][0]
    assert (accepted, code) in {(0, "silent"), (0, "error")}
