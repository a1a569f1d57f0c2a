"""The mailbox over Flower's real transport, hardened against what a member may send.

This is the one file that reads private parts of Flower (``HttpGrid._runtime_client`` and the
message types of the Runtime API): the public ``pull_messages`` throws away the envelope that the
SuperLink has checked, waits up to hours for a reply whose upload stalls, unpacks before anyone
could weigh, and returns what nobody asked for. Here a reply is bound to its envelope, downloaded
as far as it is uploaded, weighed, and only then unpacked.

A failed look is confined: the SuperLink forgets messages while it hands them over, so one reply
that it cannot encode (a tree deeper than protobuf allows) loses all that were asked for with it.
Unsolicited messages are therefore drained first, and replies asked for in small groups.
"""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

import httpx
from flwr.app import Message
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, PullObjectRequest
from flwr.proto.runtime_pb2 import PullAppMessagesRequest
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents

from quickthorn.server.mailbox import Arrival, in_order
from quickthorn.server.parcel import Parcel, ParcelRefusedError
from quickthorn.server.text import printable
from quickthorn.strategies.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from flwr.superlink.grid import HttpGrid

_LOG = logging.getLogger(__name__)
_LOOKS_PER_PULL = 64
_SLICE_SECONDS = 2.0
_TRANSPORT_TRIES = 3
_NAMED_STRANGERS = 32
_UNASKED = "nobody asked for it"
_ENVELOPE_BYTES = 16 * 2**20
_PROTOBUF_OVERHEAD = 1024
# What a request may raise because of what a client stored at the SuperLink: it answers with an
# error status, its answer cannot be decoded, or it is too large.
_CLIENT_MADE = (httpx.HTTPStatusError, ValueError, ParcelRefusedError)


class HttpMailbox:
    """Replies through the SuperLink, one bounded step at a time."""

    def __init__(self, grid: HttpGrid, *, max_reply_bytes: int) -> None:
        """Use the connection of ``grid``; refuse replies above ``max_reply_bytes``."""
        self._grid = grid
        self._client = grid._runtime_client  # noqa: SLF001 - see the head of this file
        self._run_id = grid.run.run_id
        self._max_reply_bytes = max_reply_bytes
        self._parcels: dict[str, Parcel] = {}
        self._failed_looks: dict[str, int] = {}
        self._failed_drains = 0
        self._download_limit: int | None = None
        transport = getattr(self._client, "_client", None)
        if not isinstance(transport, httpx.Client):
            msg = (
                f"Flower's HTTP client is not where it is in flwr 1.41; got {transport!r}. "
                "Without it the size of replies cannot be limited: install flwr>=1.41,<1.42."
            )
            raise RunError(msg)
        hooks = transport.event_hooks
        others = [hook for hook in hooks["response"] if not _is_ours(hook)]
        hooks["response"] = [*others, self._check_announced_size]
        transport.event_hooks = hooks

    def push(self, messages: Sequence[Message]) -> list[str]:
        """Send ``messages``; return their ids in order, ``""`` for one that was rejected."""
        return in_order(messages, self._grid.push_messages(list(messages)))

    def pull(self, pending: Collection[str], *, until: float = math.inf) -> Iterator[Arrival]:
        """Look once for replies to ``pending`` and carry the open downloads a bit further.

        Raises
        ------
        Exception
            Only for the server's own infrastructure: the run was stopped, or the SuperLink
            stayed out of reach after Flower's own retries.

        """
        yield from self._look([], set())
        for stale in self._parcels.keys() - set(pending):
            self._confirm(self._parcels.pop(stale).message_id)
        for stale in self._failed_looks.keys() - set(pending):
            del self._failed_looks[stale]
        asked = sorted(set(pending) - self._parcels.keys())
        group = -(-len(asked) // _LOOKS_PER_PULL) or 1
        for start in range(0, len(asked), group):
            if time.monotonic() > until:
                return
            ids = asked[start : start + group]
            yield from self._look(ids, set(ids))
        slice_end = time.monotonic() + _SLICE_SECONDS
        for reply_to in list(self._parcels):
            # What is uploaded is fetched in one go: halves of many replies would weigh too much and
            # start over for ever. A stalled upload ends its turn, and goes to the end.
            parcel = self._parcels[reply_to] = self._parcels.pop(reply_to)
            arrival = self._advance(parcel, until)
            if arrival is not None:
                yield arrival
                del arrival  # else it would stay while the next is fetched
            else:
                self._make_room(parcel)
            if time.monotonic() > min(until, slice_end):
                return

    def _make_room(self, kept: Parcel) -> None:
        """Let the heaviest unfinished downloads start over if all together weigh too much."""
        while sum(parcel.weight for parcel in self._parcels.values()) > 2 * self._max_reply_bytes:
            others = (parcel for parcel in self._parcels.values() if parcel is not kept)
            max(others, key=lambda parcel: parcel.weight).start_over()

    def _look(self, ids: list[str], waiting: set[str]) -> list[Arrival]:
        """Ask for the envelopes of the replies to ``ids``; open a parcel for each."""
        request = PullAppMessagesRequest(message_ids=ids)
        try:
            self._download_limit = _ENVELOPE_BYTES * max(1, len(ids))
            answer = self._client.PullMessages(request)
        except _CLIENT_MADE as error:
            _LOG.warning("the SuperLink could not hand over envelopes: %s", printable(error))
            return self._give_up_after_tries(ids)
        finally:
            self._download_limit = None
        for message_id in ids:  # whatever failed before had another cause than its answer
            self._failed_looks.pop(message_id, None)
        strangers = []
        for envelope in answer.messages_list:
            metadata = envelope.metadata
            if metadata.reply_to_message_id in waiting:
                waiting.discard(metadata.reply_to_message_id)
                self._parcels[metadata.reply_to_message_id] = Parcel(
                    reply_to=metadata.reply_to_message_id,
                    message_id=metadata.message_id,
                    sender=metadata.src_node_id,
                    max_bytes=self._max_reply_bytes,
                )
            else:
                strangers.append((metadata.message_id, metadata.src_node_id))
        return self._turn_away(strangers)

    def _give_up_after_tries(self, ids: list[str]) -> list[Arrival]:
        refused = []
        if not ids and self._failed_drains < _NAMED_STRANGERS:
            self._failed_drains += 1
            reason = "nobody asked for it, and the SuperLink could not hand it over"
            refused.append(Arrival("", 0, None, reason))
        for message_id in ids:
            tries = self._failed_looks.get(message_id, 0) + 1
            self._failed_looks[message_id] = tries
            if tries >= _TRANSPORT_TRIES:
                del self._failed_looks[message_id]
                reason = f"the SuperLink could not hand it over in {tries} tries"
                refused.append(Arrival(message_id, 0, None, reason))
        return refused

    def _turn_away(self, strangers: list[tuple[str, int]]) -> list[Arrival]:
        """Refuse what nobody asked for, without downloading any of it."""
        refused = []
        for message_id, sender in strangers[:_NAMED_STRANGERS]:
            self._confirm(message_id)
            refused.append(Arrival("", sender, None, _UNASKED))
        rest = len(strangers) - len(refused)
        if rest > 0:
            refused.append(Arrival("", 0, None, f"{_UNASKED}; {rest} in all", count=rest))
        return refused

    def _advance(self, parcel: Parcel, until: float) -> Arrival | None:
        """Fetch what is there of one reply; return it once it is whole or refused."""
        try:
            while (wanted := parcel.next_wanted) is not None:
                if time.monotonic() > until:
                    return None
                content = self._fetch(parcel, wanted)
                if not content:
                    return None
                parcel.add(content)
            parcel.check_unpacked_size()
            arrival = self._unpack(parcel)
        except ParcelRefusedError as refusal:
            arrival = Arrival(parcel.reply_to, parcel.sender, None, str(refusal))
        del self._parcels[parcel.reply_to]
        self._confirm(parcel.message_id)
        return arrival

    def _fetch(self, parcel: Parcel, object_id: str) -> bytes:
        """Make one attempt at one object; return nothing where it is not there yet."""
        request = PullObjectRequest(node=self._grid.node, run_id=self._run_id, object_id=object_id)
        try:
            self._download_limit = parcel.room + _PROTOBUF_OVERHEAD
            answer = self._client.PullObject(request)
        except (httpx.HTTPStatusError, ValueError) as error:
            parcel.failures += 1
            if parcel.failures >= _TRANSPORT_TRIES:
                reason = f"its parts could not be fetched: {printable(error)}"
                raise ParcelRefusedError(reason) from error
            return b""
        finally:
            self._download_limit = None
        if not answer.object_found:
            reason = "its sender never finished the upload"
            raise ParcelRefusedError(reason)
        return bytes(answer.object_content) if answer.object_available else b""

    def _unpack(self, parcel: Parcel) -> Arrival:
        try:
            message = inflate_object_from_contents(parcel.message_id, parcel.contents)
        except Exception as error:  # Flower's parsers run on what a client wrote
            raise ParcelRefusedError(f"it cannot be unpacked: {printable(error)}") from error
        if not isinstance(message, Message):
            reason = "it is no message"
            raise ParcelRefusedError(reason)
        # As HttpGrid does: the packed form does not contain its own id.
        message.metadata.__dict__["_message_id"] = parcel.message_id
        return Arrival(parcel.reply_to, message.metadata.src_node_id, message, "")

    def _confirm(self, message_id: str) -> None:
        """Let the SuperLink drop the objects; if it cannot, they go when the run ends."""
        request = ConfirmMessageReceivedRequest(
            node=self._grid.node, run_id=self._run_id, message_object_id=message_id
        )
        try:
            self._client.ConfirmMessageReceived(request)
        except _CLIENT_MADE as error:
            _LOG.warning("the SuperLink keeps a finished reply: %s", printable(error))

    def _check_announced_size(self, response: httpx.Response) -> None:
        """Refuse an answer by its announced length, before its body is read."""
        announced = response.headers.get("content-length", "")
        limit = self._download_limit
        if limit is not None and announced.isdecimal() and int(announced) > limit:
            response.close()
            raise ParcelRefusedError(f"it holds a part of {announced} bytes, above the limit")


def _is_ours(hook: object) -> bool:
    return isinstance(getattr(hook, "__self__", None), HttpMailbox)
