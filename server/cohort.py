"""Who takes part in a round: durable ids, organizations' names, and a repeatable sample."""

from __future__ import annotations

import hashlib
import math
import time
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.server.entries import Participant

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

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


def voices(people: Iterable[Participant], excluded: Collection[str] = frozenset()) -> int:
    """Return how many votes ``people`` have: one per organization, none for the excluded.

    >>> voices([Participant("a", "North", 0), Participant("b", "North", 1)])
    1
    """
    return len({who.name for who in people if who.id not in excluded})


def wait_for(  # noqa: PLR0913 - a clock of one's own takes two
    look: Callable[[], Sequence[Participant]],
    *,
    least: int,
    patience: float,
    excluded: Collection[str] = frozenset(),
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Sequence[Participant]:
    """Look until ``least`` votes are connected or ``patience`` seconds are over."""
    deadline = clock() + patience
    while voices(present := look(), excluded) < least and clock() < deadline:
        sleep(_LOOK_SECONDS)
    return present


def sample(  # noqa: PLR0913 - who is asked depends on all of these
    present: Sequence[Participant],
    *,
    fraction: float,
    least: int,
    seed: Sequence[int],
    excluded: Collection[str] = frozenset(),
    banned: Collection[str] = frozenset(),
) -> list[Participant]:
    """Draw the clients of a round: from those who vote, and beside them from those who do not.

    The draw depends on ``seed`` and the ids alone, not on the order of arrival.

    Parameters
    ----------
    present
        The connected clients, in the order of their ids.
    fraction
        Of the n clients who vote, ⌈fraction · n⌉ are drawn; so are as many of the excluded.
    least
        Where these have fewer votes, clients of other organizations are drawn as well.
    excluded
        Clients in quarantine, who train in shadow: they take nobody's place.
    banned
        Clients who are not asked, excluded or not.

    Returns
    -------
    list[Participant]
        In the order of ``present``.

    Example
    -------
    >>> people = [Participant(c, c, 0) for c in "abcd"]
    >>> [who.id for who in sample(people, fraction=0.5, least=0, seed=[7, 1])]
    ['a', 'c']
    >>> [who.id for who in sample(people, fraction=0.5, least=0, seed=[7, 1], excluded={"a"})]
    ['a', 'b', 'd']

    """
    rng = np.random.default_rng(seed)
    asked = [who for who in present if who.id not in banned]
    voting = _shuffled([who for who in asked if who.id not in excluded], rng)
    shadow = _shuffled([who for who in asked if who.id in excluded], rng)
    size = _share(fraction, len(voting))
    chosen, others = voting[:size], {who.name: who for who in voting[size:]}
    for who in chosen:
        others.pop(who.name, None)
    chosen += list(others.values())[: max(0, least - voices(chosen))]
    return sorted(chosen + shadow[: _share(fraction, len(shadow))], key=lambda who: who.id)


def _shuffled(people: Sequence[Participant], rng: np.random.Generator) -> list[Participant]:
    return [people[index] for index in rng.permutation(len(people))]


def _share(fraction: float, count: int) -> int:
    return math.ceil(fraction * count - _ROUNDING)
