"""The answer at the top of a comparison says no more than its cells and its seeds do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from quickthorn.simulations.comparison.answers import answers
from quickthorn.simulations.comparison.summary import summarize
from tests.comparisons import ATTACKS, record, results, summary

if TYPE_CHECKING:
    from quickthorn.simulations.record import SimulationRecord
    from quickthorn.simulations.scenario import Scenario


@pytest.mark.parametrize(
    ("success", "words"),
    [
        ({}, "<b>mean</b>: nothing in this grid has a better worst case"),
        (
            {"mean": 0.5, "median": 0.0},
            "<b>median</b>: nothing in this grid that lets no backdoor in has a better worst case",
        ),
        ({"mean": 0.5, "median": 0.5}, "<b>Every defense lets a backdoor in.</b>"),
    ],
)
def test_the_answer_says_what_it_is_the_best_of(success: dict[str, float], words: str) -> None:
    def make(scenario: Scenario) -> SimulationRecord:
        final = 0.95 if scenario.defense == "mean" else 0.9
        backdoor = success.get(scenario.defense) if scenario.attack == "gaussian" else None
        return record(scenario, final, backdoor, attack_success_floor=0.01)

    grid = {"defense": ["mean", "median"], "attack": ATTACKS, "attackers": [2], "seed": [0]}
    page = answers(summarize(results(grid, make)))
    assert words in page
    assert ("Every defense lets" in page) == (success == {"mean": 0.5, "median": 0.5})


@pytest.mark.parametrize(
    ("attacked", "words"),
    [
        ({1: 0.86, 2: 0.86}, ""),
        ({1: 0.86, 2: 0.84}, " under 1 of 2 conditions"),
        ({1: 0.84, 2: 0.84}, " under all conditions"),
    ],
)
def test_the_best_is_not_praised_where_an_attack_costs_it_much(
    attacked: dict[int, float], words: str
) -> None:
    found = summary(
        lambda s: attacked[s.attackers] if s.attackers else 0.9,
        defenses=("median",),
        attackers=[1, 2],
    )
    page = answers(found)
    told = f" <b>But an attack takes more than 5 points from it{words}.</b>"
    assert (told in page, "But an attack" in page) == (bool(words), bool(words))
    why = "sign_flip; without an attack 90.0 %"
    takes = ["Take" if final > 0.85 else "Best of these:" for final in attacked.values()]
    assert re.findall(r'<p class="take">(.*?) median</p>', page) == takes
    assert page.count(f"accuracy in the worst case: {why}</p>") == 2


@pytest.mark.parametrize(
    ("seeds", "gap", "tie"),
    [
        ([0, 1, 2], 0.2, "Tied with</dt><dd>none"),
        ([0, 1, 2], 0.0, "Tied with</dt><dd>krum (90.0)"),
        ([0, 1], 0.2, "Within 1 point</dt><dd>none"),
    ],
)
def test_a_tie_of_few_seeds_is_not_called_one(seeds: list[int], gap: float, tie: str) -> None:
    found = summary(
        lambda s: 0.9 - gap * (s.defense == "krum"), defenses=("median", "krum"), seed=seeds
    )
    page = answers(found)
    assert "<b>median</b>: nothing in this grid has a better worst case" in page
    assert f"<dt>{tie}<small>" in page


def test_who_is_tied_with_the_first_is_not_said_to_be_beaten_by_nobody() -> None:
    def final(scenario: Scenario) -> float:
        # By 1 the median is better in the mean and not in every seed, by 2 it is much worse.
        if scenario.defense == "krum":
            return 0.8
        return 0.75 if scenario.attackers == 2 else (0.8, 0.8, 0.83)[scenario.seed]

    page = answers(summary(final, defenses=("median", "krum"), attackers=[1, 2]))
    lead = "<b>krum</b>: nothing in this grid has a clearly better worst case under all conditions"
    assert lead in page


@pytest.mark.parametrize(
    ("lacking", "lead", "card"),
    [
        (
            None,
            "No answer yet, as runs are missing. So far <b>mean</b>: nothing ranked ",
            "So far mean",
        ),
        ("ValueError: no", "<b>mean</b>: nothing ranked ", "Take mean"),
    ],
)
def test_an_answer_names_whom_it_leaves_out_and_why(
    lacking: str | None, lead: str, card: str
) -> None:
    def make(scenario: Scenario) -> SimulationRecord | str | None:
        lacks = (scenario.defense, scenario.attack) == ("median", "gaussian")
        return lacking if lacks and scenario.seed else record(scenario, 0.9)

    grid = {"defense": ["mean", "median"], "attack": ATTACKS, "attackers": [2], "seed": [0, 1, 2]}
    page = answers(summarize(results(grid, make)))
    assert f'<p class="lead">{lead}' in page
    assert "Not ranked: median." in page
    assert f'<p class="take">{card}</p>' in page
    state = "failed" if lacking else "not done yet"
    assert f"<b>median</b>: 7 of 9 runs done; 2 {state} (gaussian)</li>" in page


def test_where_nothing_is_ranked_nothing_is_answered() -> None:
    shared = {"attack": ATTACKS, "attackers": [2], "seed": [0]}
    parts = [
        results(
            {**shared, "defense": [name], "split": [split]}, lambda scenario: record(scenario, 0.9)
        )
        for name, split in (("mean", "iid"), ("median", "shards"))
    ]
    page = answers(summarize([item for part in parts for item in part]))
    assert "No defense is ranked" in page
    assert "Take" not in page
    lacks = "not in the grid, or with fewer seeds: sign_flip on shards, gaussian on shards"
    assert f"<b>mean</b>: 3 of 3 runs done; {lacks}</li>" in page
    assert "<li>iid: <b>mean</b>, 90.0 % under sign_flip; 1 of 2 not ranked</li>" in page


def test_where_every_run_of_a_defense_failed_they_are_counted_and_not_listed() -> None:
    found = summary(lambda s: None if s.defense == "krum" else 0.9, defenses=("median", "krum"))
    assert "<b>krum</b>: 0 of 9 runs done; 9 failed</li>" in answers(found)


@pytest.mark.parametrize(("done", "words"), [(0, ""), (1, "iid: <b>median</b>, 90.0 ± 0.0 %")])
def test_each_split_has_an_answer_in_view_where_there_is_one(done: int, words: str) -> None:
    splits = ["iid", "shards"]
    page = answers(
        summary(
            lambda s: 0.9 if s.partition in splits[:done] else None,
            defenses=("median",),
            split=splits,
        )
    )
    shown = "<details open><summary>On each split</summary>"
    assert (shown in page, "On each split" in page) == (bool(words), bool(words))
    assert words in page
