"""The round's deadline and who is bound to which reply, with a clock of our own."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from flwr.app import Error, Message, RecordDict

from quickthorn.server.exchange import POLL_SECONDS, Ballot, Reply, ask, collect
from quickthorn.server.mailbox import Arrival
from quickthorn.simulations.grid import InProcessGrid

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence


@dataclass
class Post:
    """A mailbox and its clock: each look takes a second, and finds what the script says."""

    script: list[list[Arrival]] = field(default_factory=list)
    undeliverable: tuple[int, ...] = ()
    now: float = 0.0
    looks: list[set[str]] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    def push(self, messages: Sequence[Message]) -> list[str]:
        ids = []
        for number, message in enumerate(messages):
            known = "" if number in self.undeliverable else f"id-{number}"
            message.metadata.__dict__["_message_id"] = known
            ids.append(known)
        return ids

    def pull(self, pending: Collection[str], *, until: float = math.inf) -> Iterator[Arrival]:
        assert until >= self.now
        self.looks.append(set(pending))
        self.now += 1.0
        return iter(self.script.pop(0) if self.script else [])

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def questions() -> dict[str, Message]:
    InProcessGrid([])  # Flower keeps a process's identity globally
    return ask({"a": 11, "b": 12, "c": 13}, RecordDict(), "train", 60.0)


def answer(questions: dict[str, Message], client: str) -> Arrival:
    number = list(questions).index(client)
    question = questions[client]
    question.metadata.__dict__["_message_id"] = f"id-{number}"
    reply = Message(RecordDict(), reply_to=question)
    return Arrival(f"id-{number}", question.metadata.dst_node_id, reply, "")


def gather(post: Post, questions: dict[str, Message], timeout: float = 10.0) -> list[Reply]:
    return list(collect(post, questions, timeout=timeout, clock=post.clock, sleep=post.sleep))


def outcomes(replies: list[Reply]) -> list[tuple[str, str]]:
    return [(reply.client, reply.code) for reply in replies]


def test_it_ends_as_soon_as_all_have_answered(questions: dict[str, Message]) -> None:
    post = Post([[answer(questions, "b")], [], [answer(questions, c) for c in "ac"]])

    replies = gather(post, questions)

    assert outcomes(replies) == [("b", ""), ("a", ""), ("c", "")]
    assert all(reply.message is not None for reply in replies)
    assert post.looks == [{"id-0", "id-1", "id-2"}, {"id-0", "id-2"}, {"id-0", "id-2"}]
    assert post.slept == [POLL_SECONDS]


def test_the_silent_cost_the_deadline_and_no_more(questions: dict[str, Message]) -> None:
    post = Post([[answer(questions, "b")]])

    replies = gather(post, questions, timeout=10.0)

    assert outcomes(replies) == [("b", ""), ("a", "silent"), ("c", "silent")]
    assert 10.0 <= post.now <= 11.0
    assert min(post.slept) >= 0


def test_a_flood_of_strangers_does_not_move_the_deadline(questions: dict[str, Message]) -> None:
    flood = [Arrival("", 7, None, "nobody asked for it")] * 3
    post = Post([list(flood) for _ in range(1000)])

    replies = gather(post, questions, timeout=10.0)

    assert post.now <= 11.0
    assert outcomes(replies)[-3:] == [("a", "silent"), ("b", "silent"), ("c", "silent")]
    assert {code for _, code in outcomes(replies)[:-3]} == {"unsolicited"}


def test_a_message_that_cannot_be_delivered_is_not_waited_for(
    questions: dict[str, Message],
) -> None:
    arrivals = [answer(questions, client) for client in "ac"]
    post = Post([arrivals], undeliverable=(1,))

    replies = gather(post, questions)

    assert outcomes(replies) == [("b", "unreachable"), ("a", ""), ("c", "")]
    assert post.looks == [{"id-0", "id-2"}]


def test_when_nothing_can_be_delivered_it_ends_at_once(questions: dict[str, Message]) -> None:
    post = Post(undeliverable=(0, 1, 2))

    replies = gather(post, questions)

    assert {code for _, code in outcomes(replies)} == {"unreachable"}
    assert (post.looks, post.now) == ([], 0.0)


def test_only_the_first_reply_to_a_message_counts(questions: dict[str, Message]) -> None:
    first, again = answer(questions, "a"), answer(questions, "a")
    post = Post([[first, again], [answer(questions, "b"), again], [answer(questions, "c")]])

    replies = gather(post, questions)

    assert outcomes(replies) == [
        ("a", ""),
        ("a", "duplicate"),
        ("b", ""),
        ("a", "duplicate"),
        ("c", ""),
    ]
    assert replies[0].message is first.message
    assert replies[1].message is None


def test_what_was_refused_unread_is_recorded_with_its_sender(
    questions: dict[str, Message],
) -> None:
    post = Post(
        [
            [
                Arrival("id-0", 11, None, "too \x1blarge"),
                answer(questions, "b"),
                answer(questions, "c"),
            ]
        ]
    )

    replies = gather(post, questions)

    assert replies[0] == Reply("a", None, "unreadable", r"too \x1blarge")


def test_an_error_reply_is_quoted_and_escaped(questions: dict[str, Message]) -> None:
    arrival = answer(questions, "a")
    error = Message(Error(3, "<b>\n\ud800"), reply_to=questions["a"])
    ballot = Ballot(questions)

    reply = ballot.bind(Arrival(arrival.reply_to, 11, error, ""))

    assert reply == Reply("a", None, "error", r"reported error 3: <b>\n\ud800")


def test_every_message_carries_a_group_id_of_its_own() -> None:
    InProcessGrid([])
    ids = {
        message.metadata.group_id
        for _ in range(3)
        for message in ask({"a": 1, "b": 2}, RecordDict(), "train", 60.0).values()
    }

    assert len(ids) == 6
    assert min(map(len, ids)) >= len("quickthorn:") + 32
