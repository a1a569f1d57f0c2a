"""Push messages and look for their replies, without trusting one byte of a reply.

``open_mailbox`` picks the form: ``HttpMailbox`` over Flower's real transport, which downloads
nothing that was not asked for and nothing that is too large, and ``GridMailbox`` over any other
Flower ``Grid`` (a simulation, a test) through its public methods.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from quickthorn.server.text import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from flwr.app import Message
    from flwr.serverapp import Grid

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Arrival:
    """One thing that came in, bound to the message that it answers.

    Attributes
    ----------
    reply_to
        Id of the pushed message that it answers, as the SuperLink matched it;
        empty where nobody asked for it.
    claimed_sender
        The node id that the sender wrote. It is evidence, never identity.
    message
        The reply, or None where it was refused before it was unpacked.
    refusal
        Why it was refused, in words; empty where there is a message.
    count
        How many such things came in, where they are too many to name each.

    """

    reply_to: str
    claimed_sender: int
    message: Message | None
    refusal: str
    count: int = 1


class Mailbox(Protocol):
    """The two things that a round needs from the transport."""

    def push(self, messages: Sequence[Message]) -> list[str]:
        """Send ``messages``; return their ids in order, ``""`` for one that was rejected."""
        ...

    def pull(self, pending: Collection[str], *, until: float = math.inf) -> Iterator[Arrival]:
        """Look once, without waiting, for replies to ``pending``; hand over one at a time.

        Nothing that a client sends makes this raise, wait or take unbounded memory: besides
        the reply that is handed over, unfinished ones are held that weigh no more than two of
        the largest allowed. The look ends at ``until`` (as ``time.monotonic`` counts).
        """
        ...


def open_mailbox(grid: Grid, *, max_reply_bytes: int) -> Mailbox:
    """Return the mailbox that suits ``grid``.

    Parameters
    ----------
    grid
        The grid that Flower hands to a ``ServerApp``, or any other.
    max_reply_bytes
        The most that one reply may weigh, on the wire and unpacked. Only the real
        transport can enforce it; in a simulation the reply is in memory already.

    """
    from flwr.superlink.grid import HttpGrid  # noqa: PLC0415 - heavy, and private to Flower

    from quickthorn.server.http_mailbox import HttpMailbox  # noqa: PLC0415 - it imports Arrival

    if isinstance(grid, HttpGrid):
        return HttpMailbox(grid, max_reply_bytes=max_reply_bytes)
    return GridMailbox(grid)


class GridMailbox:
    """Any Flower ``Grid``, through its public methods alone."""

    def __init__(self, grid: Grid) -> None:
        """Keep ``grid``; nothing is sent yet."""
        self._grid = grid

    def push(self, messages: Sequence[Message]) -> list[str]:
        """Send ``messages``; return their ids in order, ``""`` for one that was rejected."""
        return in_order(messages, self._grid.push_messages(list(messages)))

    def pull(self, pending: Collection[str], *, until: float = math.inf) -> Iterator[Arrival]:
        """Look once for replies to ``pending``; a grid that raises has none this time."""
        del until  # such a grid has its replies in memory already
        if not pending:
            return
        try:
            messages = list(self._grid.pull_messages(sorted(pending)))
        except Exception as error:  # noqa: BLE001 - unpacking runs on what a client wrote
            _LOG.warning("a look for replies failed: %s", printable(error))
            return
        messages.reverse()
        while messages:
            yield arrival_of(messages.pop())


def in_order(messages: Sequence[Message], ids: Iterable[str | None]) -> list[str]:
    """Return one id per message: ``""`` where Flower's answer has none.

    Flower answers an oversized request with an empty list, and has promised None before.
    """
    known = list(ids)
    if len(known) != len(messages):
        return [""] * len(messages)
    return [item if isinstance(item, str) else "" for item in known]


def arrival_of(message: Message) -> Arrival:
    """Return ``message`` as it came in, or a refusal where its metadata cannot be read."""
    try:
        metadata = message.metadata
        return Arrival(str(metadata.reply_to_message_id), metadata.src_node_id, message, "")
    except Exception as error:  # noqa: BLE001 - what a grid returns may be built from anything
        return Arrival("", 0, None, f"unreadable message: {printable(error)}")
