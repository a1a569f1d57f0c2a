"""One reply while it is downloaded, object by object, and weighed before it is unpacked.

Flower takes a message apart into objects that are named by their SHA-256: a Message holds a
RecordDict, that holds records, an ArrayRecord holds Arrays, an Array names its ArrayChunks and
how often each one is repeated. Each object begins with ``"<type> <child>,<child> <body length>"``
and a zero byte. A ``Parcel`` follows these heads from the message down. It never uses the tree
that the sender announced, allows each level only its own types (so the depth is bounded), asks
for each object once, and adds up what unpacking would allocate: a sender may name one small
chunk a million times.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

_RECORDS = frozenset({"ArrayRecord", "ConfigRecord", "MetricRecord"})
_CHILDREN: dict[str, frozenset[str]] = {
    "Message": frozenset({"RecordDict"}),
    "RecordDict": _RECORDS,
    "ArrayRecord": frozenset({"Array"}),
    "Array": frozenset({"ArrayChunk"}),
    "ConfigRecord": frozenset(),
    "MetricRecord": frozenset(),
    "ArrayChunk": frozenset(),
}
_ID_LENGTH = 64
_HEAD_OF_MANY_CHILDREN = 16 * 2**20
_MIB = 2**20
# What unpacks into many small Python objects stays small; only chunks may be large.
_BODY_LIMITS = {
    "Message": 1 * _MIB,
    "RecordDict": 1 * _MIB,
    "ArrayRecord": 16 * _MIB,
    "Array": 1 * _MIB,
}
# And of these two all of a reply together: unpacked they are many times as large.
_VALUES = frozenset({"ConfigRecord", "MetricRecord"})
_VALUES_LIMIT = 4 * _MIB
_HONEST_OBJECTS = 4096
_SMALLEST_HONEST_OBJECT = 64 * 2**10


class ParcelRefusedError(Exception):
    """The reply will not be unpacked; the text says why."""


@dataclass
class Parcel:
    """A reply under way.

    Attributes
    ----------
    reply_to, message_id, sender
        From the SuperLink's envelope: the message that it answers, its own id, and who it
        says it is from.
    max_bytes
        The most that the reply may weigh, downloaded and unpacked.
    contents
        The objects that are here, by id.
    failures
        How often the transport failed to hand over an object.
    weight
        Bytes downloaded and held.

    """

    reply_to: str
    message_id: str
    sender: int
    max_bytes: int
    contents: dict[str, bytes] = field(default_factory=dict)
    failures: int = 0
    weight: int = 0
    _wanted: list[str] = field(default_factory=list)
    _allowed: dict[str, frozenset[str]] = field(default_factory=dict)
    _bodies: dict[str, int] = field(default_factory=dict)
    _values: int = 0

    def __post_init__(self) -> None:
        """Ask for the message itself first."""
        self._want(self.message_id, frozenset({"Message"}))

    def start_over(self) -> None:
        """Let go of everything; the SuperLink has it still."""
        for held in (self.contents, self._wanted, self._allowed, self._bodies):
            held.clear()
        self.weight = self._values = 0
        self._want(self.message_id, frozenset({"Message"}))

    @property
    def next_wanted(self) -> str | None:
        """The id of the next object to fetch; None when all are here."""
        return self._wanted[-1] if self._wanted else None

    @property
    def room(self) -> int:
        """How many more bytes may be downloaded."""
        return self.max_bytes - self.weight

    def add(self, content: bytes) -> None:
        """Take the content of ``next_wanted`` and note which objects it names.

        Raises
        ------
        ParcelRefusedError
            If it is not what an honest sender would send in this place.

        """
        object_id = self._wanted.pop()
        self.weight += len(content)
        if self.weight > self.max_bytes:
            raise ParcelRefusedError(f"it weighs more than the {self.max_bytes} bytes allowed")
        kind, children, body = _read_head(content)
        if kind not in self._allowed[object_id]:
            raise ParcelRefusedError("an object of the wrong type stands in it")
        self._values += body if kind in _VALUES else 0
        if body > _BODY_LIMITS.get(kind, self.max_bytes) or self._values > _VALUES_LIMIT:
            raise ParcelRefusedError(f"it holds a {kind} of {body} bytes")
        if children and not _CHILDREN[kind]:
            raise ParcelRefusedError(f"it holds a {kind} with parts")
        self.contents[object_id] = content
        self._bodies[object_id] = body
        for child in children:
            self._want(child, _CHILDREN[kind])

    def check_unpacked_size(self) -> None:
        """Add up what unpacking allocates.

        Raises
        ------
        ParcelRefusedError
            If that is more than allowed, or an array does not name its own chunks.

        """
        total = 0
        for content in self.contents.values():
            kind, children, _ = _read_head(content)
            if kind == "Array":
                total += self._unpacked_array(content, children)
            if total > self.max_bytes:
                raise ParcelRefusedError(
                    f"unpacked it would take more than the {self.max_bytes} bytes allowed"
                )

    def _want(self, object_id: str, allowed: frozenset[str]) -> None:
        if object_id in self._allowed:
            # A shared part is fetched once; one that is wanted as two types fits neither.
            self._allowed[object_id] &= allowed
            if not self._allowed[object_id]:
                raise ParcelRefusedError("an object of the wrong type stands in it")
            return
        limit = _HONEST_OBJECTS + self.max_bytes // _SMALLEST_HONEST_OBJECT
        if len(self._allowed) >= limit:
            raise ParcelRefusedError(f"it consists of more than {limit} objects")
        self._allowed[object_id] = allowed
        self._wanted.append(object_id)

    def _unpacked_array(self, content: bytes, children: list[str]) -> int:
        body = content[content.index(b"\0") + 1 :]
        try:
            indices = json.loads(body)["arraychunk_ids"]
            sizes = [self._bodies[child] for child in children]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ParcelRefusedError("an array in it has no readable description") from error
        if not isinstance(indices, list):
            raise ParcelRefusedError("an array in it has no list of chunks")
        total = 0
        for index in indices:
            if type(index) is not int or not 0 <= index < len(sizes):
                raise ParcelRefusedError("an array in it names a chunk that is not its own")
            total += sizes[index]
        return total


def _read_head(content: bytes) -> tuple[str, list[str], int]:
    """Return the type, the ids of the children and the length of the body."""
    end = content.find(b"\0", 0, _HEAD_OF_MANY_CHILDREN)
    if end < 0:
        raise ParcelRefusedError("an object in it has no head")
    try:
        kind, names, length = content[:end].decode("ascii").split(" ")
        announced = int(length) if length.isdecimal() else -1
    except ValueError as error:
        raise ParcelRefusedError("an object in it has an unreadable head") from error
    children = names.split(",") if names else []
    body = len(content) - end - 1
    if kind not in _CHILDREN or announced != body:
        raise ParcelRefusedError("an object in it has an unknown type or a wrong length")
    if any(len(name) != _ID_LENGTH for name in children):
        raise ParcelRefusedError("an object in it names a part by no id")
    return kind, children, body
