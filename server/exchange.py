"""Bind every reply to the message that asked for it, and end the round on time.

Identity comes from our own list of what was sent to whom; what a reply says about its sender
is only compared with it. Each message carries a random group id, so that its own id cannot be
guessed; the first reply to a message is judged and any other is refused and recorded.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flwr.app import Message, RecordDict

from quickthorn.server.mailbox import arrival_of
from quickthorn.server.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from quickthorn.server.mailbox import Arrival, Mailbox

# Seconds between two looks when nothing has come: short beside a client's own 3 s polling.
POLL_SECONDS = 0.25


@dataclass(frozen=True)
class Reply:
    """One reply, bound.

    Attributes
    ----------
    client
        Whose message it answers; ``""`` where it answers none.
    message
        The reply to judge; None where it is refused already.
    code, reason
        Why it is refused; empty where there is a message.
    count
        How many such replies this stands for.

    """

    client: str
    message: Message | None
    code: str = ""
    reason: str = ""
    count: int = 1


def ask(
    client_nodes: Mapping[str, int], content: RecordDict, message_type: str, ttl: float
) -> dict[str, Message]:
    """Write one message per client, each with a group id that nobody can guess.

    ``ttl`` in seconds: Flower keeps neither the message nor a late reply beyond it.
    """
    return {
        client: Message(
            content, node, message_type, ttl=ttl, group_id=f"quickthorn:{secrets.token_hex(16)}"
        )
        for client, node in client_nodes.items()
    }


class Ballot:
    """What was asked of whom in one phase of one round, and who has answered."""

    def __init__(self, messages: Mapping[str, Message]) -> None:
        """Take the messages by client, after they were pushed: Flower then knows their ids."""
        self._messages = {
            message.metadata.message_id: (client, message) for client, message in messages.items()
        }
        self._unanswered = dict.fromkeys(self._messages)
        self._unanswered.pop("", None)

    @property
    def pending(self) -> set[str]:
        """Return the ids of the messages without a reply."""
        return set(self._unanswered)

    def bind(self, arrival: Arrival) -> Reply:
        """Say whose reply ``arrival`` is, and refuse it if it is not the first honest one."""
        known = self._messages.get(arrival.reply_to)
        if known is None or not arrival.reply_to:
            sender = printable(arrival.claimed_sender, 20)
            reason = f"answers nothing that was asked; claims to come from node {sender}"
            if arrival.refusal:
                reason = f"{printable(arrival.refusal)}; claims to come from node {sender}"
            return Reply("", None, "unsolicited", reason, arrival.count)
        client, question = known
        if arrival.reply_to not in self._unanswered:
            return Reply(client, None, "duplicate", "answered the same message again")
        del self._unanswered[arrival.reply_to]
        if arrival.message is None:
            return Reply(client, None, "unreadable", printable(arrival.refusal))
        if arrival.message.has_error():
            return _error_reply(client, arrival.message)
        return _check_sender(client, question, arrival.message)

    def silent(self) -> Iterator[Reply]:
        """Yield a refusal for every client that has not answered."""
        for message_id in list(self._unanswered):
            client, _ = self._messages[message_id]
            yield Reply(client, None, "silent", "sent no reply before the deadline")


def bind_all(messages: Mapping[str, Message], replies: Iterable[Message]) -> Iterator[Reply]:
    """Bind ``replies`` to ``messages`` (by client) after all have come, as in Flower's own loop."""
    ballot = Ballot(messages)
    for message in replies:
        yield ballot.bind(arrival_of(message))
    yield from ballot.silent()


def collect(
    mailbox: Mailbox,
    messages: Mapping[str, Message],
    *,
    timeout: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Reply]:
    """Send ``messages`` and yield the bound replies as they arrive, until all have or time is up.

    Parameters
    ----------
    mailbox
        Where to send and look.
    messages
        Client to message.
    timeout
        Seconds from now to the deadline. Clients that are silent then are refused as such.
    clock, sleep
        For tests.

    Yields
    ------
    Reply
        Exactly one that counts per client, and one for everything else that came in.

    """
    deadline = clock() + timeout
    ids = mailbox.push(list(messages.values()))
    for client, message_id in zip(list(messages), ids, strict=True):
        if not message_id:
            yield Reply(client, None, "unreachable", "the message could not be delivered")
    ballot = Ballot({c: m for (c, m), sent in zip(messages.items(), ids, strict=True) if sent})
    while ballot.pending and clock() < deadline:
        answered = False
        for arrival in mailbox.pull(ballot.pending, until=deadline):
            answered = answered or bool(arrival.reply_to)
            yield ballot.bind(arrival)
            del arrival  # one reply at a time: the next is fetched when this one is gone
        if ballot.pending and not answered:
            sleep(max(0.0, min(POLL_SECONDS, deadline - clock())))
    yield from ballot.silent()


def _error_reply(client: str, message: Message) -> Reply:
    reason = printable(message.error.reason)
    return Reply(
        client, None, "error", f"reported error {printable(message.error.code, 20)}: {reason}"
    )


def _check_sender(client: str, question: Message, answer: Message) -> Reply:
    asked, said = question.metadata, answer.metadata
    if said.src_node_id != asked.dst_node_id:
        signed = printable(said.src_node_id, 20)
        reason = f"signed as node {signed}; the question went to node {asked.dst_node_id}"
        return Reply(client, None, "forged", reason)
    if said.group_id != asked.group_id or said.reply_to_message_id != asked.message_id:
        return Reply(client, None, "forged", "does not carry the question's own identifiers")
    return Reply(client, answer)
