"""Partitions: every sample once, nobody empty, the same for a seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthorn.client.partition import SCHEMES, partition
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
    alpha = draw(st.floats(1e-6, 1e6))
    seed = draw(st.integers(0, 2**32))
    keywords = {"alpha": alpha, "shards_per_client": shards, "seed": seed}
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
        parts = partition(LABELS[:8], 8, scheme, alpha=1e-3, shards_per_client=1)
        assert [len(part) for part in parts] == [1] * 8


@pytest.mark.parametrize(
    ("clients", "scheme", "keywords", "match"),
    [
        (0, "iid", {}, "at least 1 client; got 0"),
        (601, "iid", {}, "601 clients cannot share 600 samples"),
        (5, "dirichlet", {"alpha": 0.0}, "alpha .* above 0; got 0"),
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
