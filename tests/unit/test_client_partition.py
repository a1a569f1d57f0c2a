"""Partitions: every sample once, nobody empty, the same for a seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthorn.client.partition import SCHEMES, long_tail, outsiders, partition
from quickthorn.strategies.errors import ConfigurationError, UnknownNameError

LABELS = np.arange(600) % 10


@st.composite
def cases(draw: st.DrawFn) -> tuple[Any, ...]:
    """Return (labels, clients, scheme, keywords) that a partition must accept."""
    scheme = draw(st.sampled_from(SCHEMES))
    clients = draw(st.integers(1, 12))
    shards = draw(st.integers(1, 3))
    size = draw(st.integers(clients * shards, 80))
    labels = draw(st.lists(st.integers(0, 4), min_size=size, max_size=size))
    keywords = {
        "alpha": draw(st.floats(1e-6, 1e6)),
        "gamma": draw(st.floats(0, 1)),
        "shards_per_client": shards,
        "tail_factor": 1.0,  # keeps every sample
        "seed": draw(st.integers(0, 2**32)),
    }
    return np.array(labels), clients, scheme, keywords


@given(cases())
def test_every_sample_goes_to_exactly_one_client_and_nobody_is_empty(case: tuple[Any, ...]) -> None:
    labels, clients, scheme, keywords = case
    parts = partition(labels, clients, scheme, **keywords)
    assert len(parts) == clients
    assert all(len(part) for part in parts)
    assert all(part.dtype == np.int64 and np.all(np.diff(part) > 0) for part in parts)
    assert sorted(np.concatenate(parts)) == list(range(len(labels)))
    again = partition(labels, clients, scheme, **keywords)
    assert [part.tolist() for part in again] == [part.tolist() for part in parts]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_another_seed_deals_otherwise(scheme: str) -> None:
    first, second = (partition(LABELS, 6, scheme, seed=seed) for seed in (0, 1))
    assert any(a.tolist() != b.tolist() for a, b in zip(first, second, strict=True))


def test_iid_parts_have_equal_sizes() -> None:
    sizes = [len(part) for part in partition(LABELS, 7, "iid")]
    assert max(sizes) - min(sizes) <= 1


def test_a_shard_holder_sees_few_classes() -> None:
    parts = partition(LABELS, 10, "shards", shards_per_client=2)
    assert max(len(np.unique(LABELS[part])) for part in parts) <= 2


def test_alpha_makes_shares_equal_or_unequal() -> None:
    def spread(alpha: float) -> float:
        parts = partition(LABELS, 5, "dirichlet", alpha=alpha)
        counts = np.array([np.bincount(LABELS[part], minlength=10) for part in parts])
        return float(counts.std(axis=0).mean())

    assert spread(1e4) < 2
    assert spread(0.1) > 15


def test_as_many_clients_as_samples_get_one_each() -> None:
    for scheme in SCHEMES:
        parts = partition(LABELS[:8], 8, scheme, alpha=1e-3, shards_per_client=1, tail_factor=1.0)
        assert [len(part) for part in parts] == [1] * 8


def test_one_sorted_shard_each_is_the_published_setting() -> None:
    # Karimireddy et al. 2022: n = 25, f = 5, MNIST sorted by label and cut in order.
    labels = np.random.default_rng(0).integers(0, 10, 60_000)
    parts = partition(labels, 20, "shards", shards_per_client=1, seed=7)
    order = np.argsort(labels, kind="stable")
    for client, part in enumerate(parts):
        assert part.tolist() == sorted(order[3000 * client : 3000 * (client + 1)])
    hostile = outsiders(len(labels), 20, 5, seed=7)
    assert [len(part) for part in hostile] == [3000] * 5
    for part in hostile:
        counts = np.bincount(labels[part], minlength=10)
        assert counts.min() > 200, "outsiders hold IID data"
    assert len(np.unique(np.concatenate(hostile))) == 15_000


def test_outsiders_hold_other_samples_than_iid_clients_of_the_same_seed() -> None:
    honest = partition(LABELS, 6, "iid", seed=3)
    hostile = outsiders(600, 6, 2, seed=3)
    assert not {tuple(part) for part in honest} & {tuple(part) for part in hostile}
    assert not outsiders(600, 6, 0)
    seven = outsiders(600, 6, 7)
    assert seven[6].tolist() == seven[0].tolist()


@pytest.mark.parametrize("arguments", [(5, 0, 1), (5, 6, 1), (5, 2, -1)])
def test_outsiders_beside_nobody_are_refused(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigurationError, match="outsiders need 1 to samples clients"):
        outsiders(*arguments)


def test_gamma_goes_from_sorted_shards_to_iid() -> None:
    def classes(gamma: float) -> float:
        parts = partition(LABELS, 10, "gamma", gamma=gamma)
        assert {len(part) for part in parts} == {60}
        return float(np.mean([len(np.unique(LABELS[part])) for part in parts]))

    shards = partition(LABELS, 10, "shards", shards_per_client=1)
    none = partition(LABELS, 10, "gamma", gamma=0.0)
    assert [part.tolist() for part in none] == [part.tolist() for part in shards]
    assert classes(0.0) == 1
    assert 5 < classes(0.3) < classes(1.0) == 10


def test_the_iid_share_of_gamma_is_as_large_as_it_says() -> None:
    parts = partition(LABELS, 10, "gamma", gamma=0.3)
    for part in parts:
        counts = np.sort(np.bincount(LABELS[part], minlength=10))
        # A piece of 42 sorted samples spans at most two classes; 18 are spread over all ten.
        assert 42 <= counts[-2:].sum() <= 42 + 10


def test_a_long_tail_keeps_the_published_numbers() -> None:
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]  # MNIST's
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), counts))
    kept = long_tail(labels, 0.5)
    assert np.all(np.diff(kept) > 0)
    assert np.bincount(labels[kept]).tolist() == [int(c * 0.5**i) for i, c in enumerate(counts)]
    first = np.flatnonzero(labels == 9)
    assert kept[labels[kept] == 9].tolist() == first[:11].tolist()
    parts = partition(labels, 24, "long_tail", tail_factor=0.5)
    assert sorted(np.concatenate(parts)) == kept.tolist()


def test_a_long_tail_loses_no_class() -> None:
    labels = np.array([0, 0, 3, 9])
    assert long_tail(labels, 0.01).tolist() == [0, 1, 2, 3]
    assert long_tail(labels, 1.0).tolist() == [0, 1, 2, 3]
    assert long_tail(labels[:0], 0.5).tolist() == []
    with pytest.raises(ConfigurationError, match="labels of at least 0; got -1"):
        long_tail(labels - 1, 0.5)


@pytest.mark.parametrize(
    ("clients", "scheme", "keywords", "match"),
    [
        (5, "gamma", {"gamma": -0.1}, "gamma .* 0 to 1; got -0.1"),
        (5, "gamma", {"gamma": float("nan")}, "gamma .* got nan"),
        (5, "long_tail", {"tail_factor": 0.0}, "tail_factor .* above 0 .*; got 0"),
        (5, "long_tail", {"tail_factor": 1.5}, "tail_factor .* at most 1; got 1.5"),
        (500, "long_tail", {}, "500 clients cannot share 120 samples"),
        (0, "iid", {}, "at least 1 client; got 0"),
        (601, "iid", {}, "601 clients cannot share 600 samples"),
        (5, "dirichlet", {"alpha": 0.0}, "alpha .* above 0 and at most .*; got 0"),
        (5, "dirichlet", {"alpha": 1e308}, "alpha .* at most 1e.300; got 1e.308"),
        (5, "dirichlet", {"alpha": float("nan")}, "alpha .* got nan"),
        (5, "shards", {"shards_per_client": 0}, "at least 1 shard"),
        (5, "shards", {"shards_per_client": 121}, "121 shards each .* got 600 samples"),
    ],
)
def test_what_cannot_be_dealt_is_refused(
    clients: int, scheme: str, keywords: dict[str, Any], match: str
) -> None:
    with pytest.raises(ConfigurationError, match=match):
        partition(LABELS, clients, scheme, **keywords)


def test_labels_must_be_a_vector() -> None:
    with pytest.raises(ConfigurationError, match=r"\(samples,\); got \(2, 300\)"):
        partition(LABELS.reshape(2, 300), 2, "iid")


def test_an_unknown_scheme_names_the_near_miss() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'dirichlet'"):
        partition(LABELS, 2, "dirichelt")
