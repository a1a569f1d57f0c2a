"""The page of the worst case is that of its runs, and its grid holds every attack there is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from quickthorn.simulations.attacks.registry import available_attacks
from quickthorn.simulations.comparison.plan import read_grid, scenarios
from quickthorn.simulations.comparison.worst_case import GRID, PUBLISHED, main, page
from tests.comparisons import ROOT, ends_at, told_and_made

if TYPE_CHECKING:
    from quickthorn.simulations.scenario import Scenario


def planned(**settings: object) -> dict[str, Scenario]:
    """Return the grid's scenarios by attack."""
    told = scenarios(read_grid(GRID), {"data_dir": "elsewhere", **settings})
    return {scenario.attack: scenario for _, scenario in told}


def test_the_grid_has_every_attack_that_works_on_images() -> None:
    told = {part.partition("(")[0] for attack in planned() for part in attack.split(" | ")}
    every = {name for names in available_attacks().values() for name in names}
    assert told == every - {"tabular_backdoor"} | {"none"}
    assert {(s.clients, s.attackers, s.byzantine, s.partition) for s in planned().values()} == {
        (25, 5, 5, "shards"),
        (25, 0, 5, "shards"),
    }


def test_the_worst_attack_is_named_beside_the_published_figure() -> None:
    own = planned()
    good = [
        ends_at(own["none"], *[0.5] * 5),
        ends_at(own["zero"], 0.98, 0.98, 0.98, 0.98, 0.97),
        ends_at(own["patch_backdoor"], *[0.99] * 5, success=0.25),
    ]
    text = page(good)
    assert f"Of {len(own) - 1} attacks 2 have been run. The worst of them is `zero`" in text
    assert f"with **97.80 %**: the published best, {PUBLISHED} %, is reached so far." in text
    assert "| `zero` | 97.80 | 97.0 |  | 1.00 |" in text
    assert "| `patch_backdoor` | 99.00 | 97.0 | 25.0% (12.5%) | 1.00 |" in text
    assert "| `label_flip \\| sybil` | – | – | – | – |" in text
    tail = ends_at(own["tail_backdoor"], *[0.99] * 5, success=0.15)  # the floor is 12.5 %
    assert "of 2 that have been run 1 succeed by more than 5 points above" in page([*good, tail])
    assert "that have been run" not in page([good[1]])
    bad = page([*good, ends_at(own["alie"], *[0.975] * 5)])
    assert "is `alie`, with **97.50 %**: the published best, 97.6 %, is not reached." in bad


def test_only_all_attacks_together_reach_the_published_figure() -> None:
    every = page([ends_at(scenario, *[0.98] * 5) for scenario in planned().values()])
    attacks = len(planned()) - 1
    assert f"Of {attacks} attacks {attacks} have been run." in every
    assert f"the published best, {PUBLISHED} %, is reached." in every


def test_before_any_run_the_page_says_so() -> None:
    assert f"Of {len(planned()) - 1} attacks 0 have been run.\n" in page([])


def test_a_run_of_other_settings_stands_among_what_else_was_tried() -> None:
    other = planned(rounds=6, client_damping=False)
    accuracies = {"zero": 0.5, "alie": 0.7, "none": 0.2, "ipm(epsilon=0.1)": 0.4}
    more = {"label_flip | sybil": 0.6, "min_max": 0.9}
    runs = [ends_at(other[attack], *[end] * 5) for attack, end in (accuracies | more).items()]
    text = page([*runs, ends_at(planned()["zero"], *[0.98] * 5)])
    assert f"Of {len(other) - 1} attacks 1 have been run." in text
    assert (
        "| `rounds=6`, `client_damping=false` | 5 | 20.0 under `none` | `ipm(epsilon=0.1)` 40.00, "
        "`zero` 50.00 (98.00), `label_flip \\| sybil` 60.00, `alie` 70.00 |\n"
    ) in text
    clean = page([runs[2]])
    assert "| `rounds=6`, `client_damping=false` | 0 | 20.0 under `none` | – |\n" in clean
    fewer = replace(planned()["zero"], attackers=2)
    assert "| `attackers=2` | 1 | 90.0 under `zero` | `zero` 90.00 |" in page(
        [ends_at(fewer, *[0.9] * 5)]
    )


def test_dips_are_told_beside_the_mean_of_the_last_evaluations() -> None:
    own = planned()
    steady = ends_at(own["zero"], *[0.99] * 9)
    dips = ends_at(own["alie"], 0.1, 0.1, 0.1, 0.5, 0.6, 0.98, 0.99, 0.985, 0.975, 0.98)
    text = page([steady, dips])
    assert "In the second half of these runs the accuracy never falls below 60.0 % (`alie`)" in text
    assert "the last 5 evaluations of each lie within 1.50 points." in text


def test_the_page_of_the_documentation_is_that_of_its_runs() -> None:
    told, made = told_and_made(ROOT / "docs/explanation/worst-case.md", main)
    assert made == told
