"""One vote per organization, none for the excluded, and never a second matrix."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from quickthorn.strategies import UpdateMatrix, Votes, available, build
from quickthorn.strategies.errors import TooFewClientsError, UpdateError
from quickthorn.strategies.kernels.blocks import SMALL
from quickthorn.strategies.supply import row_names

if TYPE_CHECKING:
    from pathlib import Path

    from quickthorn.strategies.updates import Array

PIPELINES = ("nnm | trimmed_mean", "clip | krum", "arc | centered_clipping", "bucketing | median")


def normal(n: int, d: int, dtype: type = np.float32) -> Array:
    values: Array = np.random.default_rng(n).normal(size=(n, d)).astype(dtype)
    return values


def test_the_order_of_arrival_and_other_names_change_no_vote() -> None:
    organizations = {"e": "North", "b": "North", "absent": "South"}

    votes = Votes.of("abcde", excluded={"a", "absent"}, organizations=organizations)

    assert votes.names == ("North", "c", "d")
    assert votes.members == ((1, 4), (2,), (3,))
    assert len(Votes.of("ab", excluded="ab")) == 0


def test_a_vote_is_named_after_its_organization_whoever_takes_part() -> None:
    """What a rule remembers of an organization outlasts its nodes."""
    organizations = {"a": "North", "b": "North"}
    defense = build("foolsgold", byzantine=1)
    rows = {"a": [1.0, 0.0], "b": [1.0, 0.0], "c": [0.0, 1.0], "d": [-1.0, 1.0]}
    state: Any = None
    for present in ("abcd", "acd", "bcd"):
        matrix = UpdateMatrix.of({client: np.array(rows[client]) for client in present})
        votes = Votes.of(matrix.clients, organizations=organizations)
        state = defense.aggregate(matrix, votes=votes, state=state).state

    kept = state["0:foolsgold"]
    assert kept["clients"].tolist() == ["North", "c", "d"]
    assert kept["history"][0].tolist() == [3.0, 0.0]


def test_votes_of_other_rows_are_refused() -> None:
    with pytest.raises(UpdateError, match="votes of 2 clients do not fit updates of 3 rows"):
        build("mean", byzantine=0).aggregate(np.ones((3, 1)), votes=Votes.of("ab"))


def test_the_defense_counts_votes() -> None:
    defense, values = build("median", byzantine=1), np.ones((5, 2))
    together = dict.fromkeys("0123", "North")

    with pytest.raises(TooFewClientsError, match=r"needs n >= 3 clients .*; got n=2"):
        defense.aggregate(values, votes=Votes.of("01234", organizations=together))
    with pytest.raises(TooFewClientsError, match="got n=0"):
        defense.aggregate(values, votes=Votes.of("01234", excluded="01234"))


@pytest.mark.parametrize(
    ("claims", "shares"),
    [
        ([1.0, 2.0, 3.0, 6.0], [4 / 12, 2 / 12, 6 / 12]),
        ([9e9, 1.0, 9e9, 1.0], [3 / 5, 1 / 5, 1 / 5]),  # capped at three medians, as anybody's
        ([np.nan, 2.0, 1.0, 3.0], [1 / 6, 2 / 6, 3 / 6]),
        ([np.inf, 2.0, -1.0, 4.0], [3 / 9, 2 / 9, 4 / 9]),  # none: the median of the others
    ],
)
def test_claims_of_one_organization_add_up_and_are_then_capped(
    claims: list[float], shares: list[float]
) -> None:
    votes = Votes.of("abcd", organizations={"a": "North", "c": "North"})
    defense = build("weighted_mean", byzantine=0)

    found = defense.aggregate(np.eye(4), votes=votes, weights=np.array(claims))

    assert found.influence is not None
    assert found.influence[0] == found.influence[2]
    assert [2 * found.influence[0], *found.influence[[1, 3]]] == pytest.approx(shares)
    np.testing.assert_allclose(found.vector, found.influence)


LARGE = SMALL // 20 + 1


@pytest.mark.parametrize("text", [*available()["aggregator"], *PIPELINES])
def test_large_and_mapped_matrices_have_the_bits_of_those_who_vote(
    text: str, tmp_path: Path
) -> None:
    """By the compiled kernels, too; and a row that has no vote is as large as can be."""
    values = normal(26, LARGE)
    values[[3, 11]] = np.finfo(np.float32).max
    votes = Votes.of(row_names(26), excluded={"3", "11"})
    kept = np.delete(np.arange(26), [3, 11])
    defense = build(text, byzantine=2)
    others = {"weights": np.arange(26.0) + 1, "trusted": values[0]}
    expected = defense.aggregate(values[kept], weights=kept + 1.0, trusted=values[0])
    values.tofile(tmp_path / "rows")
    mapped = np.memmap(tmp_path / "rows", np.float32, "r", shape=values.shape)
    for rows in (values, mapped, np.asfortranarray(values)):
        found = defense.aggregate(rows, votes=votes, **others)
        assert found.vector.tobytes() == expected.vector.tobytes()


@pytest.mark.parametrize("text", ["krum", "trimmed_mean", "nnm | mean", "dnc", "rlr"])
def test_votes_hold_no_second_matrix(text: str) -> None:
    values = normal(64, 1 << 17)
    organizations = {str(row): str(row % 7) for row in range(30)}
    votes = Votes.of(row_names(64), excluded={"40", "41"}, organizations=organizations)
    defense = build(text, byzantine=1)
    defense.aggregate(values, votes=votes)  # compiles
    tracemalloc.start()
    try:
        outcome = defense.aggregate(values, votes=votes)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak - outcome.vector.nbytes <= 0.1 * values.nbytes


def test_votes_of_a_tensor_multiply_only_the_nodes_of_organizations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The others are picked, and nobody is multiplied by zero."""
    values, shapes, multiply = normal(20, 50), [], torch.Tensor.__matmul__

    def counted(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        shapes.append((*left.shape, right.shape[1]))
        return multiply(left, right)

    monkeypatch.setattr(torch.Tensor, "__matmul__", counted)
    tensor: Any = torch.from_numpy(values)
    organizations = dict.fromkeys(("4", "8", "15"), "North")
    votes = Votes.of(row_names(20), excluded={"2"}, organizations=organizations)
    np.testing.assert_array_equal(votes.rows(tensor)[:, :].numpy(), votes.rows(values)[:, :])
    assert shapes == [(1, 3, 50)]
    alone = Votes.of(row_names(20), excluded={"2"})
    assert torch.equal(alone.rows(tensor)[:, 3:7], tensor[np.delete(np.arange(20), 2), 3:7])
    assert len(shapes) == 1


def test_zeros_keep_their_sign() -> None:
    values = np.array([[-0.0], [1.0], [0.0], [-0.0]])
    rows = Votes.of("abcd", excluded="b").rows(values)
    assert np.signbit(rows[:, :]).ravel().tolist() == [True, False, True]
