"""Who takes part: durable ids, waiting with a clock of our own, and the repeatable draw."""

from __future__ import annotations

import hashlib
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from quickthorn.server.cohort import connected, sample, voices, wait_for
from quickthorn.server.entries import Participant

if TYPE_CHECKING:
    from flwr.serverapp import Grid

KEY = b"-----BEGIN PUBLIC KEY-----"
PEOPLE = [Participant(name, name, 0) for name in "abcdefghij"]


def grid_with(*nodes: tuple[int, bytes]) -> Grid:
    found = [SimpleNamespace(node_id=node, public_key=key) for node, key in nodes]
    return cast("Grid", SimpleNamespace(get_nodes=lambda: found))


def test_a_key_outlives_the_node_id() -> None:
    fingerprint = "key:" + hashlib.sha256(KEY).hexdigest()[:16]

    before = connected(grid_with((7, KEY), (3, b"")), {})
    after = connected(grid_with((3, b""), (12345, KEY)), {})

    assert [who.id for who in before] == [who.id for who in after] == [fingerprint, "node:3"]
    assert [who.node for who in after] == [12345, 3]


def test_an_organization_is_named_by_its_key_or_by_its_node() -> None:
    names = {"key:" + hashlib.sha256(KEY).hexdigest()[:16]: "North", "node:3": "South"}

    found = connected(grid_with((7, KEY), (3, b"other"), (4, b"")), names)

    assert sorted(who.name for who in found) == ["North", "South", "node:4"]


def test_it_waits_until_enough_are_there() -> None:
    counts, naps = iter([0, 1, 1, 3]), list[float]()

    found = wait_for(
        lambda: PEOPLE[: next(counts)], least=2, patience=60, clock=lambda: 0.0, sleep=naps.append
    )

    assert (len(found), len(naps)) == (3, 3)


def test_it_does_not_wait_beyond_its_patience() -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    found = wait_for(lambda: PEOPLE[:1], least=2, patience=5, clock=lambda: now[0], sleep=sleep)

    assert (len(found), now[0]) == (1, 5.0)


@pytest.mark.parametrize(
    ("fraction", "least", "size"),
    [(1.0, 0, 10), (0.5, 0, 5), (0.41, 0, 5), (0.1, 3, 3), (0.0, 0, 0), (0.1, 99, 10), (0.7, 0, 7)],
)
def test_the_size_of_the_draw(fraction: float, least: int, size: int) -> None:
    assert len(sample(PEOPLE, fraction=fraction, least=least, seed=(0, 1, 0))) == size


def test_rounding_errors_draw_nobody() -> None:
    many = [Participant(f"{number:03}", "", 0) for number in range(100)]

    assert len(sample(many, fraction=0.07, least=0, seed=(0,))) == 7  # 0.07 * 100 > 7


def test_the_draw_repeats_and_differs_between_rounds_and_phases() -> None:
    def draw(*seed: int) -> tuple[str, ...]:
        return tuple(who.id for who in sample(PEOPLE, fraction=0.5, least=0, seed=seed))

    draws = [draw(0, number, phase) for number in range(10) for phase in (0, 1)]

    assert draws == [draw(0, number, phase) for number in range(10) for phase in (0, 1)]
    assert len(set(draws)) > 10
    assert max(Counter(name for names in draws for name in names).values()) < 20
    assert all(list(names) == sorted(set(names)) for names in draws)


def test_nobody_can_be_drawn_from_nobody() -> None:
    assert sample([], fraction=1.0, least=5, seed=(0, 1, 0)) == []


NODES = [Participant(name, "Sybil" if name < "f" else name, 0) for name in "abcdefghij"]


def drawn(people: list[Participant], seed: int, **options: Any) -> set[str]:  # noqa: ANN401 - of sample
    settings = {"fraction": 1.0, "least": 0, **options}
    return {who.id for who in sample(people, seed=(seed,), **settings)}


def test_it_waits_for_votes_and_not_for_nodes() -> None:
    looks = iter([NODES[:5], NODES[:6], NODES[:7]])

    found = wait_for(lambda: next(looks), least=2, patience=9, excluded={"f"}, sleep=lambda _: None)

    assert voices(found) == 3
    assert voices(found, {"f"}) == 2


@pytest.mark.parametrize("fraction", [0.1, 0.5, 1.0])
def test_nobody_banned_is_ever_asked(fraction: float) -> None:
    for seed in range(20):
        ids = drawn(PEOPLE, seed, fraction=fraction, least=9, excluded="ab", banned="bc")
        assert not ids & {"b", "c"}


def test_those_in_quarantine_are_asked_beside_the_others_and_not_instead() -> None:
    healthy = [who for who in PEOPLE if who.id > "c"]
    for seed in range(20):
        ids = drawn(PEOPLE, seed, fraction=0.4, excluded="abc")
        assert ids - set("abc") == drawn(healthy, seed, fraction=0.4)
        assert (len(ids - set("abc")), len(ids & set("abc"))) == (3, 2)
    assert drawn(PEOPLE, 0, excluded="abc") == set("abcdefghij")


def test_enough_organizations_are_drawn_where_there_are() -> None:
    """Five nodes of one make no quorum, however often the lot falls on them."""
    for seed in range(20):
        ids = drawn(NODES, seed, fraction=0.2, least=4, excluded="f")
        assert voices([who for who in NODES if who.id in ids], "f") == 4
        assert "f" in ids
        assert drawn(NODES, seed, fraction=0.1, least=99) >= set("fghij")
