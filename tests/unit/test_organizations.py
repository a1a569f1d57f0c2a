"""Organizations and not nodes: under ``RobustStrategy``, many nodes of one make one liar."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from flwr.proto.node_pb2 import NodeInfo

from quickthorn.simulations.grid import InProcessClient, InProcessGrid
from tests.federations import (
    Member,
    client_of,
    grid_of,
    initial_model,
    members,
    model_of,
    run,
    with_array,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from flwr.app import Message, RecordDict

HONEST = 9


def push(message: Message, content: RecordDict) -> RecordDict:
    """Answer with the model moved the other way, as far as honest training moves it."""
    changed = content
    for name, sent in model_of(message.content).items():
        changed = with_array(changed, name, np.asarray(sent - sent.dtype.type(1)))
    return changed


def federation(nodes: int) -> list[Member]:
    return [*members(HONEST), *(Member(HONEST + number, spoil=push) for number in range(nodes))]


def moved(folder: Path, nodes: int, **options: Any) -> float:  # noqa: ANN401 - of the strategy
    """Return how far one round moves the model, where honest training moves it by 0.5."""
    outcome = run(folder, grid_of(federation(nodes)), rounds=1, **options)
    return float((outcome.model["w"] - initial_model()["w"]).mean())


@pytest.mark.parametrize("defense", ["median", "krum", "mean"])
def test_five_nodes_of_one_organization_are_one_liar(defense: str, tmp_path: Path) -> None:
    sybils = {client_of(HONEST + number): "Sybil" for number in range(5)}

    one = moved(tmp_path / "one", 1, defense=defense)
    five = moved(tmp_path / "five", 5, defense=defense, organizations=sybils)
    uncounted = moved(tmp_path / "uncounted", 5, defense=defense)

    assert five == pytest.approx(one, abs=1e-6)
    if defense != "krum":  # five of fourteen do not yet own Krum's choice
        assert uncounted < one - 0.02


class KeyedGrid(InProcessGrid):
    """A grid whose nodes have public keys, as those of Flower do."""

    def get_nodes(self) -> Iterable[NodeInfo]:
        return [NodeInfo(node_id=n, public_key=b"%d" % n) for n in self.get_node_ids()]


def test_a_node_registered_by_its_number_counts_under_its_key(tmp_path: Path) -> None:
    """The record knows a client by its key; the operator may have written Flower's number."""
    grid = KeyedGrid([InProcessClient(app) for app in members(4)])
    key = "key:" + hashlib.sha256(b"2").hexdigest()[:16]

    outcome = run(tmp_path, grid, organizations={key: "North", "node:3": "North"}, quorum=4)

    with outcome.record() as record:
        reasons = {row["reason"] for row in record.rounds()}
    assert len(reasons) == 1
    assert reasons.pop().startswith("3 votes of 4 valid updates, the defense needs 4")
