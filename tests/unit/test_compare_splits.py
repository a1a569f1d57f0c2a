"""The results go by the names of splits, so a name is one division of the data, or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from quickthorn.simulations.comparison.plan import plan
from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quickthorn.simulations.comparison.plan import Run
    from quickthorn.simulations.comparison.splits import Source


def runs(*splits: Source, **settings: object) -> tuple[Run, ...]:
    return plan({"grid": {"defense": ["mean"], "split": splits}}, settings)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"name": "a", "alpha": 0.1}, {"name": "a", "alpha": 0.3}),
        ("iid", {"name": "iid", "partition": "shards"}),
        ({"alpha": 0.1}, {"name": "α=0.1", "gamma": 0.2}),
    ],
    ids=["named twice", "named as a partition", "named as one is by default"],
)
def test_one_name_for_two_divisions_is_refused_with_both(first: Source, second: Source) -> None:
    with pytest.raises(ConfigurationError, match=r"two splits .* differ") as caught:
        runs(first, "shards", second)
    assert repr(first) in str(caught.value)
    assert repr(second) in str(caught.value)


def test_so_it_is_between_two_grids() -> None:
    grids = [{"defense": ["mean"], "split": [{"name": "a", "rounds": n}]} for n in (1, 2)]
    with pytest.raises(ConfigurationError, match="are called 'a' and differ"):
        plan({"grid": grids})


def test_two_names_for_one_division_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="'iid' and 'baseline' of the grid are the same; "):
        runs("iid", {"name": "baseline"})


def test_one_division_may_stand_there_twice() -> None:
    assert [run.split for run in runs("iid", {"partition": "iid"}, {})] == ["iid"]


@pytest.mark.parametrize(
    ("split", "name"),
    [
        ({"partition": "dirichlet", "alpha": 0.1}, "dirichlet α=0.5"),
        ({"name": "unequal", "partition": "dirichlet", "alpha": 0.1}, "unequal α=0.5"),
        ({"name": "unequal", "partition": "dirichlet", "alpha": 0.5}, "unequal"),
    ],
)
def test_a_setting_counts_over_a_split_and_its_name_says_so(
    split: Mapping[str, object], name: str
) -> None:
    (run,) = runs(split, alpha="0.5")
    assert (run.split, run.scenario.alpha, run.scenario.partition) == (name, 0.5, "dirichlet")


def test_a_partition_that_is_set_counts_over_its_name() -> None:
    (run,) = runs("iid", partition="shards")
    assert (run.split, run.scenario.partition) == ("shards", "shards")


def test_a_setting_does_not_make_one_of_two_that_share_a_name() -> None:
    with pytest.raises(ConfigurationError, match=r"are the same where alpha=0\.5 is set for all"):
        runs({"name": "a", "alpha": 0.5}, {"name": "a", "alpha": 0.1}, alpha=0.5)


def test_splits_that_differ_in_a_key_without_effect_are_refused() -> None:
    with pytest.raises(
        ConfigurationError, match=r"splits 'iid' and 'iid tail_factor=0\.3' .* same"
    ):
        runs("iid", {"partition": "iid", "tail_factor": 0.3})


def test_splits_that_a_setting_makes_the_same_are_refused() -> None:
    splits = {"partition": "dirichlet", "alpha": 0.1}, {"partition": "dirichlet", "alpha": 0.5}
    message = (
        r"splits 'dirichlet α=0\.1' and 'dirichlet α=0\.5' of the grid are the same where "
        r"alpha=0\.5 is set for all; leave that out, or remove one of them\."
    )
    with pytest.raises(ConfigurationError, match=message):
        runs(*splits, alpha=0.5)
