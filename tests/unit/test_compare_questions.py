"""The intervals are the textbook's, and what is asked of a comparison follows from its cells."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from quickthorn.simulations.comparison.breakdown import breakdown, families
from quickthorn.simulations.comparison.matrices import matrices
from quickthorn.simulations.comparison.questions import (
    Cost,
    cost,
    loss,
    read,
    reference,
    unattacked,
)
from quickthorn.simulations.comparison.ranking import rank, unranked
from quickthorn.simulations.comparison.results import defense_seconds, false_alarms
from quickthorn.simulations.comparison.summary import Condition, estimate, summarize
from quickthorn.simulations.comparison.texts import breakdown_text
from quickthorn.simulations.scenario import Scenario
from tests.comparisons import ATTACKS, record, results, summary, trails

if TYPE_CHECKING:
    from collections.abc import Callable

    from quickthorn.simulations.record import SimulationRecord

F2 = Condition(20, 2, 2)


def ends_at(final: float) -> Callable[[Scenario], SimulationRecord]:
    return lambda scenario: record(scenario, final)


def test_the_interval_is_students() -> None:
    # Student's t at 97.5 % with 2 degrees of freedom is 4.303: any table has it.
    found = estimate([0.90, 0.92, 0.94])
    assert found.mean == pytest.approx(0.92)
    assert found.half == pytest.approx(4.303 * 0.02 / math.sqrt(3), rel=1e-3)
    assert (found.low, found.high) == pytest.approx((0.8703, 0.9697), abs=1e-4)


def test_two_seeds_have_no_interval() -> None:
    found = estimate([0.9, 0.8])
    assert (found.half, found.seeds) == (None, 2)
    assert found.low == found.high == pytest.approx(0.85)


def test_the_worst_case_decides_and_not_the_mean() -> None:
    finals = {("median", "sign_flip"): 0.5, ("median", "gaussian"): 0.99}
    found = rank(
        summary(lambda s: finals.get((s.defense, s.attack), 0.8), defenses=("median", "krum")), F2
    )
    assert [(item.defense, item.attack) for item in found] == [
        ("krum", "sign_flip"),
        ("median", "sign_flip"),
    ]
    assert found[1].worst.mean == pytest.approx(0.5)
    assert not found[1].tied


@pytest.mark.parametrize(
    ("gaps", "tied"),
    [
        ((0.02, 0.02, 0.02), False),  # the same in every seed: no doubt
        ((0.06, 0.00, 0.00), True),  # the same mean, and the seeds disagree
        ((0.0, 0.0, 0.0), True),
    ],
)
def test_a_tie_is_what_the_seeds_cannot_tell_apart(
    gaps: tuple[float, float, float], *, tied: bool
) -> None:
    def final(scenario: Scenario) -> float:
        # The seeds differ by much, both defenses alike: only the difference counts.
        return 0.7 + 0.1 * scenario.seed - (scenario.defense == "krum") * gaps[scenario.seed]

    found = rank(summary(final, defenses=("median", "krum")), F2)
    assert [item.defense for item in found] == ["median", "krum"]
    assert [item.tied for item in found] == [False, tied]


@pytest.mark.parametrize(("gap", "tied"), [(0.009, True), (0.011, False)])
def test_with_few_seeds_a_point_tells_apart(gap: float, *, tied: bool) -> None:
    found = rank(
        summary(lambda s: 0.9 - gap * (s.defense == "krum"), defenses=("median", "krum"), seed=[0]),
        F2,
    )
    assert found[1].tied is tied


def test_a_defense_that_lets_a_backdoor_in_stands_behind_those_that_do_not() -> None:
    success = {"mean": 0.9, "median": 0.06, "krum": 0.08}

    def make(scenario: Scenario) -> SimulationRecord:
        final = 0.95 if scenario.defense == "mean" else 0.9
        if scenario.attack != "gaussian":
            return record(scenario, final)
        return record(scenario, final, success[scenario.defense], attack_success_floor=0.02)

    tables = {"defense": list(success), "attack": ATTACKS, "attackers": [2], "seed": [0, 1, 2]}
    found = rank(summarize(results(tables, make)), F2)
    # 6 points above the floor are in, 4 are not; what lets one in is not tied with what does not.
    assert [item.defense for item in found] == ["median", "mean", "krum"]
    assert [item.backdoor and item.backdoor.is_in for item in found] == [False, True, True]
    assert [item.tied for item in found] == [False, False, False]


def test_a_high_floor_of_one_split_hides_no_backdoor_of_another() -> None:
    def make(scenario: Scenario) -> SimulationRecord:
        if scenario.attack != "gaussian":
            return record(scenario, 0.9)
        success, floor = (0.5, 0.48) if scenario.partition == "iid" else (0.4, 0.01)
        return record(scenario, 0.9, success, attack_success_floor=floor)

    tables = {
        "defense": ["mean"],
        "attack": ATTACKS,
        "attackers": [2],
        "seed": [0, 1, 2],
        "split": ["iid", "dirichlet"],
    }
    (found,) = rank(summarize(results(tables, make)), F2)

    assert found.backdoor is not None
    assert found.backdoor.is_in
    assert (found.backdoor.success, found.backdoor.floor) == pytest.approx((0.4, 0.01))


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("lacking", ["ValueError: no", None])
def test_a_defense_that_lacks_one_planned_run_is_not_ranked(
    attack: str, lacking: str | None
) -> None:
    # Without the seed that it lacks the median is the best by far.
    def make(scenario: Scenario) -> SimulationRecord | str | None:
        if (scenario.defense, scenario.attack, scenario.seed) == ("median", attack, 2):
            return lacking
        return record(scenario, 0.9 if scenario.defense == "median" else 0.8)

    tables = {"defense": ["median", "krum"], "attack": ATTACKS, "attackers": [2]}
    found = summarize(results({**tables, "seed": [0, 1, 2]}, make))
    assert [item.defense for item in rank(found, F2)] == ["krum"]
    (left_out,) = unranked(found, F2)
    assert (left_out.defense, left_out.done, left_out.planned) == ("median", 8, 9)
    lacks = left_out.missing if lacking is None else left_out.failed
    assert lacks == {(attack, "iid"): 1}
    assert [len(left_out.failed), len(left_out.missing)] == [lacking is not None, lacking is None]


def test_a_defense_that_is_planned_under_fewer_attacks_is_not_ranked() -> None:
    shared = {"attackers": [2], "seed": [0]}
    easy = results({**shared, "defense": ["median"], "attack": ["sign_flip"]}, ends_at(0.9))
    hard = results({**shared, "defense": ["krum"], "attack": ATTACKS}, ends_at(0.5))
    found = summarize((*easy, *hard))
    assert [item.defense for item in rank(found, F2)] == ["krum"]
    (left_out,) = unranked(found, F2)
    assert (left_out.done, left_out.planned) == (1, 1)
    assert left_out.unplanned == (("gaussian", "iid"),)


def test_a_defense_that_is_planned_with_fewer_seeds_is_not_ranked() -> None:
    shared = {"attackers": [2], "attack": ATTACKS}
    few = results({**shared, "defense": ["krum"], "seed": [0, 1]}, ends_at(0.9))
    more = results({**shared, "defense": ["median"], "seed": [0, 1, 2]}, ends_at(0.5))
    found = summarize((*few, *more))
    assert [item.defense for item in rank(found, F2)] == ["median"]
    (left_out,) = unranked(found, F2)
    assert left_out.unplanned == (("sign_flip", "iid"), ("gaussian", "iid"))


def test_an_attack_that_is_planned_elsewhere_alone_is_not_missed() -> None:
    shared = {"defense": ["median"], "seed": [0]}
    few = results({**shared, "attack": ["sign_flip"], "attackers": [1]}, ends_at(0.9))
    many = results({**shared, "attack": ATTACKS, "attackers": [2], "split": ["iid"]}, ends_at(0.5))
    found = summarize((*few, *many))
    assert [item.worst.mean for item in rank(found, Condition(20, 1, 1))] == [0.9]
    assert [item.worst.mean for item in rank(found, F2)] == [0.5]


def test_a_split_that_nobody_attacks_is_in_no_view_over_splits() -> None:
    shared = {"defense": ["median"], "attackers": [2], "seed": [0]}
    attacked = results({**shared, "attack": ATTACKS, "split": ["iid", "shards"]}, ends_at(0.8))
    fewer = results({**shared, "attack": ["alie"], "split": ["shards"]}, ends_at(0.7))
    calm = {"defense": ["median"], "byzantine": 2, "split": ["dirichlet"]}
    found = summarize((*attacked, *fewer, *results(calm, ends_at(0.5))))
    (standing,) = rank(found, F2)
    assert (standing.worst.mean, standing.attack, standing.split) == (0.7, "alie", "shards")
    free = unattacked(found, F2, "median")
    assert free is not None
    assert free.mean == pytest.approx(0.8)
    over, _, *each = matrices(found, F2, "accuracy")
    assert [one.view for one in each] == ["iid", "shards", "dirichlet"]
    values = [over.entries["median", attack].value for attack in over.columns]
    assert [value and value.value.mean for value in values] == [0.8, 0.8, 0.8, 0.7]
    assert each[2].columns == ("none",)


def test_over_splits_the_worst_is_of_one_and_the_mean_is_seed_by_seed() -> None:
    found = summary(
        lambda s: (0.9 if s.partition == "iid" else 0.5) + 0.1 * s.seed,
        defenses=("median",),
        split=["iid", "shards"],
    )
    worst = read(found, F2, ("median", "sign_flip"))
    assert worst is not None
    assert worst.split == "shards"
    assert worst.value.mean == pytest.approx(0.6)
    mean = read(found, F2, ("median", "sign_flip"), view="mean")
    assert mean is not None
    # Seeds 0.7, 0.8, 0.9: the spread between the splits is not the seeds'.
    assert mean.value.mean == pytest.approx(0.8)
    assert mean.value.half == pytest.approx(4.303 * 0.1 / math.sqrt(3), rel=1e-3)


def test_a_seed_without_the_figure_is_in_no_mean() -> None:
    def make(scenario: Scenario) -> SimulationRecord:
        # Where nobody was scored, nothing is known of false alarms.
        if scenario.seed == 1:
            return record(scenario, 0.9, trails={})
        first = {scenario.client_ids[0]: 4.0} if scenario.seed == 0 else {}
        return record(scenario, 0.9, trails=trails(scenario, first))

    tables = {"defense": ["mean"], "attack": ["sign_flip"], "attackers": [2], "seed": [0, 1, 2]}
    found = read(
        summarize(results({**tables, "split": ["iid", "shards"]}, make)),
        F2,
        ("mean", "sign_flip"),
        figure="false_alarms",
        view="mean",
    )
    assert found is not None
    # One of the 18 honest clients with the first seed, none with the last.
    assert found.value.mean == pytest.approx(1 / 36)
    assert found.value.seeds == 2


def test_a_split_without_a_result_leaves_no_worst_case() -> None:
    found = summary(
        lambda s: None if s.partition == "shards" else 0.9,
        defenses=("median",),
        split=["iid", "shards"],
    )
    assert read(found, F2, ("median", "sign_flip")) is None
    assert read(found, F2, ("median", "sign_flip"), splits=("iid",)) is not None


def test_of_the_attack_success_the_highest_is_the_worst() -> None:
    def make(scenario: Scenario) -> SimulationRecord:
        return record(scenario, 0.9, attack_success=0.7 if scenario.partition == "iid" else 0.2)

    tables = {
        "defense": ["mean"],
        "attack": ["sign_flip"],
        "attackers": [2],
        "split": ["iid", "shards"],
    }
    found = read(
        summarize(results(tables, make)),
        F2,
        ("mean", "sign_flip"),
        figure="attack_success",
        low_is_bad=False,
    )
    assert found is not None
    assert found.split == "iid"
    assert found.value.mean == pytest.approx(0.7)


def test_the_loss_is_against_plain_averaging_without_attackers() -> None:
    clean = {"mean": 0.95, "median": 0.92}
    found = summary(
        lambda s: clean[s.defense] if s.attack == "none" else 0.1, defenses=("mean", "median")
    )
    lost = loss(found, F2, "median")
    free = unattacked(found, F2, "median")
    assert lost is not None
    assert free is not None
    assert (lost.mean, free.mean) == pytest.approx((0.03, 0.92))


def test_without_averaging_in_the_grid_the_best_defense_stands_in() -> None:
    clean = {"krum": 0.8, "median": 0.92}
    found = summary(lambda s: clean[s.defense], defenses=("krum", "median"))
    lost = loss(found, F2, "krum")
    assert lost is not None
    assert lost.mean == pytest.approx(0.12)
    assert reference(found, F2) == "median"


def test_without_a_clean_run_nothing_is_said_of_loss_and_breakdown() -> None:
    found = summary(lambda s: 0.9, defenses=("median",), attack=["sign_flip"])
    assert loss(found, F2, "median") is None
    assert breakdown(found, [F2], "median") is None


@pytest.mark.parametrize(
    ("by_attackers", "words"),
    [
        ({1: 0.88, 2: 0.86, 4: 0.5}, "2, breaks at 4"),
        ({1: 0.84, 2: 0.9, 4: 0.9}, "0, breaks at 1"),  # breaks at once, whatever follows
        ({1: 0.9, 2: 0.9, 4: 0.86}, "≥ 4"),
        ({1: 0.9, 2: "refused", 4: 0.9}, "1, failed at 2"),
        ({1: "refused", 2: 0.9, 4: 0.9}, "0, failed at 1"),
        ({1: 0.9, 2: None, 4: 0.9}, "≥ 1"),  # not run yet: nothing is known beyond
        ({1: None, 2: 0.9, 4: 0.9}, "–"),
    ],
)
def test_the_breakdown_point_is_the_last_that_holds(
    by_attackers: dict[int, float | str | None], words: str
) -> None:
    def make(scenario: Scenario) -> SimulationRecord | str | None:
        made = by_attackers[scenario.attackers] if scenario.attackers else 0.9
        return record(scenario, made) if isinstance(made, float) else made

    grid = {"defense": ["median"], "attack": ATTACKS, "attackers": [4, 1, 2], "seed": [0, 1]}
    found = summarize(results(grid, make))
    (family,) = families(found).values()
    assert [item.attackers for item in family] == [1, 2, 4]
    assert breakdown_text(breakdown(found, family, "median")) == words


@pytest.mark.parametrize(("attacked", "words"), [(0.58, "≥ 2"), (0.54, "0, breaks at 2")])
def test_a_split_that_is_hard_without_an_attack_breaks_no_defense(
    attacked: float, words: str
) -> None:
    def final(scenario: Scenario) -> float:
        if scenario.partition == "iid":
            return 0.9
        return 0.6 if scenario.attack == "none" else attacked

    found = summary(final, defenses=("median",), split=["iid", "shards"])
    assert breakdown_text(breakdown(found, [F2], "median")) == words


def test_a_worst_case_of_which_a_run_is_missing_ends_no_breakdown_point() -> None:
    def make(scenario: Scenario) -> SimulationRecord | None:
        last = scenario.attackers == 4 and scenario.attack == "gaussian" and scenario.seed == 1
        return None if last else record(scenario, 0.9)

    grid = {"defense": ["median"], "attack": ATTACKS, "attackers": [2, 4], "seed": [0, 1]}
    found = summarize(results(grid, make))
    (family,) = families(found).values()
    assert breakdown_text(breakdown(found, family, "median")) == "≥ 2"


def test_where_a_run_without_an_attack_is_missing_nothing_is_said_of_breakdown() -> None:
    def make(scenario: Scenario) -> SimulationRecord | None:
        calm = scenario.attack == "none"
        return None if calm and scenario.seed == 2 else record(scenario, 0.9 if calm else 0.6)

    grid = {"defense": ["median"], "attack": ATTACKS, "attackers": [2], "seed": [0, 1, 2]}
    found = summarize(results(grid, make))
    assert breakdown(found, [F2], "median") is None


def test_a_defense_that_lets_a_backdoor_in_is_broken() -> None:
    def make(scenario: Scenario) -> SimulationRecord:
        success = 0.3 if scenario.attackers == 4 else 0.05
        backdoor = success if scenario.attack == "gaussian" else None
        return record(scenario, 0.9, backdoor, attack_success_floor=0.01)

    grid = {"defense": ["median"], "attack": ATTACKS, "attackers": [1, 2, 4], "seed": [0]}
    found = summarize(results(grid, make))
    (family,) = families(found).values()
    assert breakdown_text(breakdown(found, family, "median")) == "2, breaks at 4"


def test_a_defense_that_refuses_a_cohort_at_all_has_failed_there() -> None:
    def make(scenario: Scenario) -> SimulationRecord | str:
        return "TooFewClientsError: no" if scenario.byzantine == 4 else record(scenario, 0.9)

    grid = {"defense": ["krum"], "attack": ATTACKS, "attackers": [2, 4], "seed": [0]}
    found = summarize(results(grid, make))
    (family,) = families(found).values()
    assert breakdown_text(breakdown(found, family, "krum")) == "2, failed at 4"


def test_what_is_assumed_makes_families() -> None:
    grid = {"attackers": [1, 2], "byzantine": [1, 3]}
    found = summary(lambda s: 0.9, defenses=("median",), **grid)
    assert {name: [c.attackers for c in own] for name, own in families(found).items()} == {
        "n = 20, f assumed = 1": [1, 2],
        "n = 20, f assumed = 3": [1, 2],
    }


def test_the_cost_is_the_median_over_runs_of_the_defenses_stages() -> None:
    found = summary(lambda s: 0.9, defenses=("median",))
    # 0.1 + 0.2 + 0.1 of 2.0 seconds, in 2 rounds.
    takes = cost(found, F2, "median")
    assert takes is not None
    assert takes.seconds == pytest.approx(0.2)
    assert takes.runs == 9
    assert defense_seconds(record(Scenario(rounds=2), 0.9, seconds={"root": 3.0})) == 1.5


def test_what_was_not_timed_costs_nobody_knows_what() -> None:
    grid = {"defense": ["median"], "attack": ["none"], "attackers": [0], "seed": [0]}
    found = summarize(results(grid, lambda scenario: record(scenario, 0.9), strategy="flower"))
    clean = Condition(20, 0, 0)
    assert cost(found, clean, "median") is None
    assert cost(found, clean, "median", whole=True) == Cost(1.0, 1)


def test_the_cost_is_of_its_own_condition() -> None:
    def make(scenario: Scenario) -> SimulationRecord:
        return record(scenario, 0.9, seconds={"aggregate": scenario.byzantine, "total": 9.0})

    tables = {"defense": ["median"], "attack": ATTACKS, "attackers": [2, 4], "seed": [0]}
    found = summarize(results(tables, make))
    costs = [cost(found, condition, "median") for condition in found.conditions]
    assert costs == [Cost(1.0, 3), Cost(2.0, 3)]


def test_false_alarms_are_honest_clients_under_watch() -> None:
    scenario = Scenario(clients=4, attackers=1, attack="sign_flip")
    watched = trails(scenario, {"client-0": 4.0, "client-3": 9.0})
    assert false_alarms(record(scenario, 0.9, trails=watched)) == pytest.approx(1 / 3)
    assert false_alarms(record(scenario, 0.9, trails={})) is None
