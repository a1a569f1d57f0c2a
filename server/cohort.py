"""Who takes part in a round: durable ids, organizations' names, and a repeatable sample."""

from __future__ import annotations

import hashlib
import math
import time
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.server.entries import Participant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from flwr.serverapp import Grid

_FINGERPRINT_DIGITS = 16
_LOOK_SECONDS = 0.5
_ROUNDING = 1e-9  # 0.07 of 100 clients are 7, although 0.07 * 100 is above 7


def connected(grid: Grid, names: Mapping[str, str]) -> list[Participant]:
    """Return the connected clients, in the order of their ids.

    A client's id is ``key:`` and the first digits of the SHA-256 of its SuperNode's public
    key. With SuperNode authentication that is durable: it outlives restarts and the
    SuperLink's database. Without it, Flower makes a new key at each start, and the id lasts
    as long as the process. Where a grid gives no key, the id is ``node:`` and Flower's node
    id. ``names`` maps either form to an organization's name.
    """
    found = []
    for node in grid.get_nodes():
        by_node = f"node:{node.node_id}"
        key = bytes(node.public_key)
        client = f"key:{hashlib.sha256(key).hexdigest()[:_FINGERPRINT_DIGITS]}" if key else by_node
        name = names.get(client) or names.get(by_node) or client
        found.append(Participant(client, name, node.node_id))
    return sorted(found, key=lambda participant: participant.id)


def wait_for(
    look: Callable[[], Sequence[Participant]],
    *,
    least: int,
    patience: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Sequence[Participant]:
    """Look until ``least`` clients are connected or ``patience`` seconds are over."""
    deadline = clock() + patience
    while len(present := look()) < least and clock() < deadline:
        sleep(_LOOK_SECONDS)
    return present


def sample(
    present: Sequence[Participant], *, fraction: float, least: int, seed: Sequence[int]
) -> list[Participant]:
    """Draw ⌈fraction · n⌉ of the n present clients, and at least ``least`` where there are.

    The draw depends on ``seed`` and the ids alone, not on the order of arrival.

    >>> people = [Participant(c, c, 0) for c in "abcd"]
    >>> [who.id for who in sample(people, fraction=0.5, least=0, seed=[7, 1])]
    ['c', 'd']
    """
    size = min(len(present), max(math.ceil(fraction * len(present) - _ROUNDING), least))
    chosen = np.random.default_rng(seed).choice(len(present), size, replace=False)
    return [present[index] for index in sorted(chosen)]
