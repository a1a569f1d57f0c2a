"""The receive side: whatever a member stores at the SuperLink, ``pull`` returns in bounded work."""

from __future__ import annotations

import hashlib
import json
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import httpx
import numpy as np
import pytest
from flwr.app import ArrayRecord, Error, Message, Metadata, MetricRecord, RecordDict
from flwr.app.message import make_message
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.message_pb2 import Metadata as MetadataProto
from flwr.proto.message_pb2 import PullObjectResponse
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import PullAppMessagesResponse
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects

from quickthorn.server import http_mailbox
from quickthorn.server.http_mailbox import HttpMailbox
from quickthorn.server.mailbox import Arrival, GridMailbox, Mailbox, in_order, open_mailbox
from quickthorn.server.parcel import Parcel, ParcelRefusedError
from quickthorn.strategies.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, PullObjectRequest
    from flwr.proto.runtime_pb2 import PullAppMessagesRequest
    from flwr.serverapp import Grid
    from flwr.superlink.grid import HttpGrid

MIB = 2**20
SENT = "a" * 64
OTHER = "b" * 64


def pack(kind: str, children: Iterable[str], body: bytes) -> tuple[str, bytes]:
    """Write one object as Flower does, or as Flower would not."""
    content = f"{kind} {','.join(children)} {len(body)}".encode() + b"\0" + body
    return hashlib.sha256(content).hexdigest(), content


def reply(
    *, to: str = SENT, sender: int = 7, arrays: int = 1, start: int = 0, size: int = 4
) -> Message:
    rows = [np.arange(size, dtype=np.float32) + start + i for i in range(arrays)]
    content = RecordDict({"arrays": ArrayRecord(rows), "metrics": MetricRecord({"loss": 0.5})})
    return make_message(_metadata(to, sender), content)


def _metadata(to: str, sender: int) -> Metadata:
    return Metadata(
        run_id=1,
        message_id="",
        src_node_id=sender,
        dst_node_id=1,
        reply_to_message_id=to,
        group_id="g",
        created_at=1.0,
        ttl=60.0,
        message_type="train",
    )


class Unread(httpx.SyncByteStream):
    """A body that must not be read."""

    def __iter__(self) -> Iterator[bytes]:
        pytest.fail("the body was read")


class FakeSuperLink:
    """What the Runtime API does, in memory: envelopes leave once, objects until confirmed."""

    def __init__(self) -> None:
        self.envelopes: list[MetadataProto] = []
        self.objects: dict[str, bytes | None] = {}
        self.downloads: list[str] = []
        self.confirmed: list[str] = []
        self.poisoned: set[str] = set()
        self.asked: list[list[str]] = []
        self._client = httpx.Client(transport=httpx.MockTransport(self.answer))  # as Flower's

    def answer(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-length": "11"}, stream=Unread())

    def store(self, message: Message, *, to: str = SENT, sender: int = 7) -> str:
        objects = get_all_nested_objects(message)
        self.objects |= {key: item.deflate() for key, item in objects.items()}
        return self.announce(message.object_id, to=to, sender=sender)

    def announce(self, message_id: str, *, to: str = SENT, sender: int = 7) -> str:
        self.envelopes.append(
            MetadataProto(message_id=message_id, reply_to_message_id=to, src_node_id=sender)
        )
        return message_id

    def PullMessages(self, request: PullAppMessagesRequest) -> PullAppMessagesResponse:  # noqa: N802 - its name
        ids = set(request.message_ids)
        self.asked.append(sorted(ids))
        leaving = [
            e for e in self.envelopes if not e.reply_to_message_id or e.reply_to_message_id in ids
        ]
        self.envelopes = [e for e in self.envelopes if e not in leaving]
        if any(e.message_id in self.poisoned for e in leaving):
            raise httpx.HTTPStatusError(
                "500", request=httpx.Request("POST", "http://x"), response=httpx.Response(500)
            )
        return PullAppMessagesResponse(messages_list=[MessageProto(metadata=e) for e in leaving])

    def PullObject(self, request: PullObjectRequest) -> PullObjectResponse:  # noqa: N802 - its name
        self.downloads.append(request.object_id)
        if request.object_id not in self.objects:
            return PullObjectResponse(object_found=False)
        content = self.objects[request.object_id]
        return PullObjectResponse(
            object_found=True, object_available=content is not None, object_content=content or b""
        )

    def ConfirmMessageReceived(self, request: ConfirmMessageReceivedRequest) -> None:  # noqa: N802 - its name
        self.confirmed.append(request.message_object_id)


@pytest.fixture
def superlink() -> FakeSuperLink:
    return FakeSuperLink()


def mailbox_over(superlink: FakeSuperLink, *, max_reply_bytes: int = MIB) -> HttpMailbox:
    grid = SimpleNamespace(
        _runtime_client=superlink,
        run=SimpleNamespace(run_id=1),
        node=Node(node_id=1),
        push_messages=lambda messages: [f"id-{i}" for i, _ in enumerate(messages)],
    )
    return HttpMailbox(cast("HttpGrid", grid), max_reply_bytes=max_reply_bytes)


def look(mailbox: Mailbox, pending: set[str]) -> list[Arrival]:
    """Return all that one look brings."""
    return list(mailbox.pull(pending))


def only(arrivals: list[Arrival]) -> Arrival:
    assert len(arrivals) == 1
    return arrivals[0]


def test_a_whole_reply_arrives_unpacked_and_is_confirmed(superlink: FakeSuperLink) -> None:
    message_id = superlink.store(reply())
    arrival = only(look(mailbox_over(superlink), {SENT}))
    assert (arrival.reply_to, arrival.claimed_sender, arrival.refusal) == (SENT, 7, "")
    assert arrival.message is not None
    record = cast("ArrayRecord", arrival.message.content["arrays"])
    np.testing.assert_array_equal(record.to_numpy_ndarrays()[0], np.arange(4, dtype=np.float32))
    assert arrival.message.metadata.message_id == message_id
    assert superlink.confirmed == [message_id]


def test_an_error_reply_arrives_as_a_message(superlink: FakeSuperLink) -> None:
    superlink.store(make_message(_metadata(SENT, 7), error=Error(code=1, reason="<b>no</b>")))
    arrival = only(look(mailbox_over(superlink), {SENT}))
    assert arrival.message is not None
    assert arrival.message.has_error()


def test_a_forged_sender_is_evidence_beside_the_envelope(superlink: FakeSuperLink) -> None:
    superlink.store(reply(sender=666), sender=7)
    arrival = only(look(mailbox_over(superlink), {SENT}))
    assert (arrival.reply_to, arrival.claimed_sender) == (SENT, 666)


def test_what_nobody_asked_for_is_refused_and_never_downloaded(superlink: FakeSuperLink) -> None:
    stuffed = superlink.store(reply(to="", sender=1), to="", sender=1)
    arrival = only(look(mailbox_over(superlink), {SENT}))
    assert arrival == Arrival("", 1, None, "nobody asked for it")
    assert superlink.downloads == []
    assert superlink.confirmed == [stuffed]


def test_a_flood_of_strangers_is_counted_not_listed(superlink: FakeSuperLink) -> None:
    for number in range(1000):
        superlink.announce(f"{number:064x}", to="", sender=1)
    arrivals = look(mailbox_over(superlink), {SENT})
    assert len(arrivals) == 33
    assert sum(arrival.count for arrival in arrivals) == 1000
    assert "968 in all" in arrivals[-1].refusal
    assert len(superlink.confirmed) == 32


def test_a_missing_object_that_comes_late_is_waited_for(superlink: FakeSuperLink) -> None:
    superlink.store(reply())
    late = next(key for key, item in superlink.objects.items() if item and b"ArrayChunk" in item)
    content, superlink.objects[late] = superlink.objects[late], None
    mailbox = mailbox_over(superlink)
    assert look(mailbox, {SENT}) == []
    assert look(mailbox, {SENT}) == []
    assert superlink.downloads.count(late) == 2, "one attempt per look"
    superlink.objects[late] = content
    assert only(look(mailbox, {SENT})).message is not None
    assert superlink.asked.count([SENT]) == 1, "a second request would answer: unavailable"
    assert len(superlink.downloads) == len(superlink.objects) + 2, "each part was fetched once"


def test_a_stalled_upload_delays_nobody_else(superlink: FakeSuperLink) -> None:
    stalled = superlink.store(reply(sender=8), sender=8)
    superlink.objects[stalled] = None
    superlink.store(reply(to=OTHER, sender=9), to=OTHER, sender=9)
    mailbox = mailbox_over(superlink)
    arrival = only(look(mailbox, {SENT, OTHER}))
    assert (arrival.reply_to, arrival.claimed_sender) == (OTHER, 9)
    assert look(mailbox, {SENT}) == []


def test_an_upload_that_was_abandoned_is_refused(superlink: FakeSuperLink) -> None:
    missing = superlink.store(reply())
    del superlink.objects[missing]
    arrival = only(look(mailbox_over(superlink), {SENT}))
    assert (arrival.reply_to, arrival.message) == (SENT, None)
    assert "never finished" in arrival.refusal


def test_a_download_that_is_no_longer_awaited_is_dropped(superlink: FakeSuperLink) -> None:
    stalled = superlink.store(reply())
    superlink.objects[stalled] = None
    mailbox = mailbox_over(superlink)
    assert look(mailbox, {SENT}) == []
    assert look(mailbox, {OTHER}) == []
    assert superlink.confirmed == [stalled]


def test_what_is_uploaded_is_fetched_in_one_go_and_then_the_next(
    superlink: FakeSuperLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_mailbox, "_SLICE_SECONDS", -1.0)
    for to in (SENT, OTHER):
        superlink.store(reply(to=to, arrays=5), to=to)
    mailbox = mailbox_over(superlink)
    first, second = (only(look(mailbox, {SENT, OTHER})) for _ in range(2))
    assert {first.reply_to, second.reply_to} == {SENT, OTHER}
    assert first.message is not None
    assert second.message is not None


def test_many_large_replies_over_a_slow_line_all_arrive(
    superlink: FakeSuperLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(10**6))  # a second per part: no reply fits a slice
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    ids = {f"question-{number}" for number in range(12)}
    for number, to in enumerate(sorted(ids)):
        superlink.store(reply(to=to, start=10 * number, arrays=4, size=1000), to=to)
    mailbox = mailbox_over(superlink, max_reply_bytes=20_000)
    waiting = set(ids)
    for _ in range(len(ids)):
        waiting -= {arrival.reply_to for arrival in look(mailbox, waiting)}
    assert not waiting
    assert len(superlink.downloads) == 12 * len(ids), "each of the 12 parts was fetched once"


def _chunk_bomb(superlink: FakeSuperLink, repeats: int) -> None:
    chunk_id, chunk = pack("ArrayChunk", [], b"x" * 100_000)
    described = {
        "dtype": "float32",
        "shape": [1],
        "stype": "numpy.ndarray",
        "arraychunk_ids": [0] * repeats,
    }
    _wrap(superlink, ("Array", [chunk_id], json.dumps(described).encode()), {chunk_id: chunk})


def _wrap(
    superlink: FakeSuperLink, array: tuple[str, list[str], bytes], below: dict[str, bytes]
) -> str:
    """Put a hand-made object where an Array belongs, inside a well-formed message."""
    array_id, array_content = pack(*array)
    record_id, record = pack("ArrayRecord", [array_id], json.dumps({"0": array_id}).encode())
    dict_id, records = pack("RecordDict", [record_id], json.dumps({"arrays": record_id}).encode())
    metadata = MetadataProto(run_id=1, src_node_id=7, message_type="train")
    header = MessageProto(metadata=metadata).SerializeToString()
    root_id, root = pack("Message", [dict_id], header)
    superlink.objects |= {
        array_id: array_content,
        record_id: record,
        dict_id: records,
        root_id: root,
        **below,
    }
    return superlink.announce(root_id)


def test_a_chunk_that_is_repeated_is_weighed_before_it_is_unpacked(
    superlink: FakeSuperLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    _chunk_bomb(superlink, repeats=100_000)

    def explode(*_: object, **__: object) -> None:
        pytest.fail("it was unpacked")

    monkeypatch.setattr(http_mailbox, "inflate_object_from_contents", explode)
    arrival = only(look(mailbox_over(superlink), {SENT}))
    assert (arrival.reply_to, arrival.message) == (SENT, None)
    assert "unpacked" in arrival.refusal


def test_a_chunk_that_is_repeated_within_the_limit_is_no_bomb(superlink: FakeSuperLink) -> None:
    _chunk_bomb(superlink, repeats=10)
    assert only(look(mailbox_over(superlink), {SENT})).message is not None


@pytest.mark.parametrize(
    ("array", "why"),
    [
        (("Array", [], b"no json"), "description"),
        (("Array", [], b"[" * 100_000), "description"),
        (("Array", [], b"[]"), "description"),
        (("Array", [], b'{"arraychunk_ids": 3}'), "list of chunks"),
        (("Array", [], b'{"arraychunk_ids": [0]}'), "not its own"),
        (("Array", [], b'{"arraychunk_ids": [-1]}'), "not its own"),
        (("Array", [], b'{"arraychunk_ids": [true]}'), "not its own"),
        (("Array", [], b'{"arraychunk_ids": []}'), "cannot be unpacked"),
        (("Array", ["x"], b"{}"), "no id"),
        (("Array", [], b" " * (MIB + 1)), "Array of"),
        (("ArrayChunk", [], b"x"), "wrong type"),
        (("Message", [], b"x"), "wrong type"),
        (("Sandwich", [], b"x"), "unknown type"),
        (("Array 1 2", [], b"x"), "unreadable head"),
    ],
)
def test_garbage_is_refused_with_the_reason(
    superlink: FakeSuperLink, array: tuple[str, list[str], bytes], why: str
) -> None:
    root = _wrap(superlink, array, {})
    arrival = only(look(mailbox_over(superlink, max_reply_bytes=4 * MIB), {SENT}))
    assert (arrival.reply_to, arrival.message) == (SENT, None)
    assert why in arrival.refusal
    assert superlink.confirmed == [root]


@pytest.mark.parametrize("content", [b"", b"no head", b"Message  9\0x", b"Message \xff 1\0x"])
def test_a_root_that_is_no_message_is_refused(superlink: FakeSuperLink, content: bytes) -> None:
    root = superlink.announce("c" * 64)
    superlink.objects[root] = content or None
    arrivals = look(mailbox_over(superlink), {SENT})
    assert arrivals == [] if not content else only(arrivals).message is None


def test_a_reply_above_the_limit_is_refused(superlink: FakeSuperLink) -> None:
    superlink.store(reply(arrays=3))
    arrival = only(look(mailbox_over(superlink, max_reply_bytes=1000), {SENT}))
    assert arrival.message is None
    assert "1000 bytes" in arrival.refusal


def test_a_reply_of_too_many_objects_is_refused_before_they_are_fetched() -> None:
    parcel = Parcel(reply_to=SENT, message_id="c" * 64, sender=7, max_bytes=MIB)
    parcel.add(pack("Message", ["d" * 64], b"")[1])
    _, records = pack("RecordDict", [f"{i:064x}" for i in range(10_000)], b"")
    with pytest.raises(ParcelRefusedError, match="objects"):
        parcel.add(records)


def test_many_small_values_are_weighed_together() -> None:
    parcel = Parcel(reply_to=SENT, message_id="c" * 64, sender=7, max_bytes=100 * MIB)
    names = [f"{number:064x}" for number in range(3)]
    parcel.add(pack("Message", ["d" * 64], b"")[1])
    parcel.add(pack("RecordDict", names, b"")[1])
    parcel.add(pack("MetricRecord", [], bytes(3 * MIB))[1])
    with pytest.raises(ParcelRefusedError, match="holds a ConfigRecord"):
        parcel.add(pack("ConfigRecord", [], bytes(3 * MIB))[1])
    parcel.start_over()
    parcel.add(pack("Message", ["d" * 64], b"")[1])
    parcel.add(pack("RecordDict", names, b"")[1])
    parcel.add(pack("ConfigRecord", [], bytes(3 * MIB))[1])


def test_a_part_wanted_as_two_types_is_refused() -> None:
    parcel = Parcel(reply_to=SENT, message_id="c" * 64, sender=7, max_bytes=MIB)
    with pytest.raises(ParcelRefusedError, match="wrong type"):
        parcel.add(pack("Message", ["c" * 64], b"")[1])


def test_one_reply_that_the_superlink_cannot_encode_costs_nobody_else(
    superlink: FakeSuperLink,
) -> None:
    superlink.poisoned = {superlink.announce("c" * 64), superlink.announce("d" * 64, to="")}
    superlink.store(reply(to=OTHER, sender=9), to=OTHER, sender=9)
    mailbox = mailbox_over(superlink)
    arrivals = look(mailbox, {SENT, OTHER})
    assert [arrival.reply_to for arrival in arrivals] == ["", OTHER]
    assert "could not hand it over" in arrivals[0].refusal
    assert look(mailbox, {SENT}) == []


def test_a_look_that_always_fails_ends_in_a_refusal(
    superlink: FakeSuperLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise ValueError("Invalid protobuf response payload")

    monkeypatch.setattr(superlink, "PullMessages", fail)
    mailbox = mailbox_over(superlink)
    bound = [[a for a in look(mailbox, {SENT}) if a.reply_to] for _ in range(3)]
    assert bound[:2] == [[], []]
    assert (only(bound[2]).reply_to, only(bound[2]).message) == (SENT, None)


def test_looks_that_fail_now_and_then_cost_nobody_who_has_not_answered(
    superlink: FakeSuperLink,
) -> None:
    mailbox = mailbox_over(superlink)
    for _ in range(5):
        superlink.poisoned = {superlink.announce("d" * 64, to=SENT)}
        assert [arrival for arrival in look(mailbox, {SENT}) if arrival.reply_to] == []
        assert look(mailbox, {SENT}) == []
    superlink.store(reply())
    assert only(look(mailbox, {SENT})).message is not None


def test_parts_that_cannot_be_fetched_end_in_a_refusal(
    superlink: FakeSuperLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    superlink.store(reply())

    def fail(_: object) -> None:
        raise ValueError("Invalid protobuf response payload")

    monkeypatch.setattr(superlink, "PullObject", fail)
    mailbox = mailbox_over(superlink)
    assert look(mailbox, {SENT}) == []
    assert look(mailbox, {SENT}) == []
    assert "could not be fetched" in only(look(mailbox, {SENT})).refusal


def test_an_answer_is_refused_by_its_announced_length_before_it_is_read(
    superlink: FakeSuperLink,
) -> None:
    mailbox_over(superlink)  # of an earlier run on the same grid
    mailbox = mailbox_over(superlink)
    assert len(superlink._client.event_hooks["response"]) == 1
    mailbox._download_limit = 10
    with pytest.raises(ParcelRefusedError, match="11 bytes"):
        superlink._client.get("http://superlink/object")
    mailbox._check_announced_size(httpx.Response(200, headers={"content-length": "10"}))


def test_without_flowers_http_client_nothing_is_received(superlink: FakeSuperLink) -> None:
    superlink._client.close()
    superlink._client = cast("httpx.Client", None)
    with pytest.raises(RunError, match="install flwr"):
        mailbox_over(superlink)


def test_replies_are_unpacked_one_at_a_time(superlink: FakeSuperLink) -> None:
    ids = {f"question-{number}" for number in range(5)}
    for to in ids:
        superlink.store(reply(to=to), to=to)
    arrivals = mailbox_over(superlink).pull(ids)
    next(arrivals)
    fetched = len(superlink.downloads)
    next(arrivals)
    assert len(superlink.downloads) == 2 * fetched


def test_a_look_ends_at_its_deadline_and_the_next_begins_with_who_waited(
    superlink: FakeSuperLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(1000))  # a second per part
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(http_mailbox, "_SLICE_SECONDS", 100.0)
    for number, to in enumerate((SENT, OTHER)):
        superlink.store(reply(to=to, arrays=3, start=number), to=to)
    mailbox = mailbox_over(superlink)
    assert list(mailbox.pull({SENT, OTHER}, until=4.0)) == []
    assert len(superlink.downloads) < 5
    first = next(mailbox.pull({SENT, OTHER}, until=60.0))
    later = [arrival.reply_to for arrival in mailbox.pull({SENT, OTHER}, until=900.0)]
    assert {first.reply_to, *later} == {SENT, OTHER}
    served_first = superlink.asked[1][0]
    assert first.reply_to != min(SENT, OTHER) or served_first == SENT


def test_unfinished_replies_that_weigh_too_much_start_over(superlink: FakeSuperLink) -> None:
    ids = [f"question-{number}" for number in range(8)]
    for number, to in enumerate(ids):
        superlink.store(reply(to=to, start=10 * number, arrays=2, size=2000), to=to)
    parts = dict(superlink.objects)
    for number in range(8):  # all but the last part of each is there
        missing = (np.arange(2000, dtype=np.float32) + 10 * number).tobytes()
        key = next(key for key, part in parts.items() if part and part.endswith(missing))
        superlink.objects[key] = None
    mailbox = mailbox_over(superlink, max_reply_bytes=20_000)
    for _ in range(3):
        assert look(mailbox, set(ids)) == []
        assert 30_000 < sum(parcel.weight for parcel in mailbox._parcels.values()) <= 40_000
    superlink.objects = dict(parts)
    assert {arrival.reply_to for arrival in look(mailbox, set(ids))} == set(ids)


def test_push_gives_one_id_per_message(superlink: FakeSuperLink) -> None:
    assert mailbox_over(superlink).push([reply(), reply()]) == ["id-0", "id-1"]
    assert in_order([reply()], []) == [""]
    assert in_order([reply(), reply()], ["x", None]) == ["x", ""]


class FakeGrid:
    """A grid that returns what it was given."""

    def __init__(self, replies: list[Any] | Exception) -> None:
        self._replies = replies

    def push_messages(self, messages: list[Message]) -> list[str]:
        return [SENT for _ in messages]

    def pull_messages(self, ids: Collection[str]) -> list[Any]:
        if isinstance(self._replies, Exception):
            raise self._replies
        return self._replies


def pull_from(replies: list[Any] | Exception) -> list[Arrival]:
    mailbox = open_mailbox(cast("Grid", FakeGrid(replies)), max_reply_bytes=MIB)
    assert isinstance(mailbox, GridMailbox)
    assert mailbox.push([reply()]) == [SENT]
    return look(mailbox, {SENT})


def test_a_grid_delivers_what_it_has_and_the_ballot_decides() -> None:
    first, again, other = reply(), reply(sender=8), reply(to=OTHER)
    arrivals = pull_from([first, again, other, object()])
    assert arrivals[:3] == [
        Arrival(SENT, 7, first, ""),
        Arrival(SENT, 8, again, ""),
        Arrival(OTHER, 7, other, ""),
    ]
    assert arrivals[3].reply_to == ""
    assert arrivals[3].message is None
    assert arrivals[3].refusal.startswith("unreadable message")


def test_a_grid_that_raises_has_no_replies_this_time(caplog: pytest.LogCaptureFixture) -> None:
    assert pull_from(KeyError("\x1b[2J" + "x" * 10_000)) == []
    assert "\x1b" not in caplog.text
    assert len(caplog.text) < 1000
