"""The figures for a paper: each is there, as PNG and as PDF, and says what the page says."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from quickthorn.simulations.comparison.figures import figures, write_figures
from quickthorn.simulations.comparison.summary import summarize
from tests.comparisons import GRID, mixed, record, results

if TYPE_CHECKING:
    from pathlib import Path

    from quickthorn.simulations.comparison.results import Result
    from quickthorn.simulations.record import SimulationRecord
    from quickthorn.simulations.scenario import Scenario


@pytest.fixture(scope="module")
def found() -> tuple[Result, ...]:
    return results(GRID, mixed)


def test_a_figure_names_the_worst_split_and_what_is_missing() -> None:
    def make(scenario: Scenario) -> SimulationRecord | None:
        last = (scenario.defense, scenario.attack, scenario.seed) == ("krum", "gaussian", 2)
        return None if last else record(scenario, 0.5 if scenario.partition == "shards" else 0.9)

    drawn = dict(figures(summarize(results({**GRID, "attackers": [4]}, make))))
    heat_map = drawn["accuracy-worst-over-splits-f4-assumed4-n20"]
    texts = [text.get_text() for text in heat_map.axes[0].texts]
    assert texts[-2:] == ["50.0 ± 0.0\npeak 51.0\nshards", "50.0\npeak 51.0\nshards\n2 not run"]


@pytest.mark.parametrize(("name", "unit"), [("accuracy-worst", 0.01), ("detection-mean", 1)])
def test_the_bar_of_a_heat_map_counts_as_its_cells_do(
    found: tuple[Result, ...], name: str, unit: float
) -> None:
    drawn = dict(figures(summarize(found)))
    figure = drawn[f"{name}-over-splits-f4-assumed4-n20"]
    figure.draw_without_rendering()
    bar = figure.axes[1]
    told = [unit * float(label.get_text()) for label in bar.get_yticklabels()]
    assert told == pytest.approx(list(bar.get_yticks()))


@pytest.mark.parametrize("measure", ["accuracy", "detection", "attack success"])
@pytest.mark.parametrize("value", [1.0, 0.93])
def test_the_scale_is_that_of_the_page_and_never_of_one_color(measure: str, value: float) -> None:
    changes = {"attack_success_floor": 0.0}
    made = results(
        {**GRID, "attackers": [4]}, lambda one: record(one, value, value, **changes), clients=20
    )
    names = [name for name in dict(figures(summarize(made))) if name.startswith(measure[:6])]
    start = {"accuracy": 0.9, "detection": 0.5, "attack success": 0.0}[measure]
    for name in names:
        (image,) = dict(figures(summarize(made)))[name].axes[0].get_images()
        assert image.get_clim() == pytest.approx((start, 1.0))
    assert names


def test_a_split_may_be_called_what_is_no_formula(tmp_path: Path) -> None:
    splits = [{"name": "$x^$", "alpha": 1.0}, {"name": "$", "alpha": 2.0}]
    grid = {"defense": ["mean"], "split": splits}
    write_figures(summarize(results(grid, lambda one: record(one, 0.9))), tmp_path)
    assert any(tmp_path.iterdir())


def test_splits_that_differ_in_a_greek_letter_have_figures_of_their_own() -> None:
    splits = [{"name": "β = 0", "alpha": 1.0}, {"name": "γ = 0", "alpha": 2.0}]
    found = summarize(results({"defense": ["mean"], "split": splits}, lambda one: record(one, 0.9)))
    names = [name for name, _ in figures(found)]
    assert len(names) == len(set(names))
    assert {"accuracy-split1-0-f0-assumed0-n20", "accuracy-split2-0-f0-assumed0-n20"} < set(names)


def test_every_figure_is_a_png_and_a_pdf(found: tuple[Result, ...], tmp_path: Path) -> None:
    write_figures(summarize(results(GRID, lambda _: None)), tmp_path / "empty")
    assert any((tmp_path / "empty").iterdir())
    shutil.rmtree(tmp_path / "empty")
    write_figures(summarize([item for item in found if item.run.scenario.attackers != 2]), tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    stems = {name.rpartition(".")[0] for name in names}
    assert names == sorted(f"{stem}.{kind}" for stem in stems for kind in ("pdf", "png"))
    ending = "f4-assumed4-n20"
    assert stems == {
        f"accuracy-worst-over-splits-{ending}",
        f"accuracy-mean-over-splits-{ending}",
        f"accuracy-split1-iid-{ending}",
        f"accuracy-split2-shards-{ending}",
        f"worst-class-worst-over-splits-{ending}",
        f"attack-success-worst-over-splits-{ending}",
        f"attack-success-mean-over-splits-{ending}",
        f"attack-success-split1-iid-{ending}",
        f"attack-success-split2-shards-{ending}",
        f"detection-mean-over-splits-{ending}",
        f"curves-{ending}",
        f"cost-and-loss-{ending}",
    }
    assert all((tmp_path / name).read_bytes()[:4] in {b"\x89PNG", b"%PDF"} for name in names)
