"""The page in a real browser: its script runs, and nothing runs over the edge of a phone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape, unescape
from typing import TYPE_CHECKING, Any

import pytest

from quickthorn.simulations.comparison.report import report
from tests.comparisons import GRID, mixed, results

if TYPE_CHECKING:
    from pathlib import Path

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome")

SMALL = {**GRID, "attackers": [4], "split": ["iid"]}  # nothing to choose
# Of the last condition there is one split alone: not even runs without an attack have another.
ATTACKS = ["sign_flip", "gaussian", "alie"]
UNEVEN = [{**GRID, "attack": ATTACKS, "attackers": [2]}, {**SMALL, "attack": ATTACKS}]

FRAMES = ["phone", "desktop", "small grid", "uneven grid"]

_FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-quic"
)

# Before the page's own script runs.
_LISTEN = "<head><script>window.errors = []; onerror = (text) => errors.push(text);</script>"

# A browser's window is never as narrow as a phone, but a frame may be.
_DRIVER = """<!doctype html>
FRAMES
<pre id="seen"></pre>
<script>
const tell = (seen) => { document.getElementById("seen").textContent = JSON.stringify(seen); };
onerror = (text) => tell({ error: text });
onload = () => {
  const seen = {};
  for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument, dialog = page.querySelector("dialog");
    const shown = (query) => [...page.querySelectorAll(query)]
      .filter((node) => node.getClientRects().length);
    const panels = () => shown("[data-condition]")
      .map((node) => [node.dataset.condition, node.dataset.view ?? null]);
    const over = (node) => node.scrollWidth - node.clientWidth;
    const choose = (name, value) =>
      page.querySelector(`[name="${name}"][value="${value}"]`)?.click();
    const open = (button) => {
      button.click();
      const told = {
        open: dialog.open,
        title: dialog.querySelector("h3").textContent,
        curves: dialog.querySelectorAll(".place > svg path").length,
        legend: [...dialog.querySelectorAll(".legend li")].map((item) => item.textContent),
        over: Math.max(over(dialog), dialog.getBoundingClientRect().right - page.body.clientWidth),
      };
      dialog.querySelector("form button").click();
      return { ...told, closed: !dialog.open };
    };
    const buttons = [...page.querySelectorAll("button[data-cell]")];
    for (const node of page.querySelectorAll("details")) node.open = true;
    const first = { panels: panels(), over: over(page.documentElement) };
    choose("condition", "0");
    choose("view", "shards");
    const second = { panels: panels(), over: over(page.documentElement) };
    const dialogs = buttons.map(open);
    buttons[0].click();
    dialog.click();
    const closedFromOutside = !dialog.open;
    seen[frame.id] = {
      first,
      second,
      dialogs,
      one: open(shown('button[data-cell="0-1-2"]')[0]),
      closedFromOutside,
      controls: shown(".controls").length,
      errors: frame.contentWindow.errors,
    };
  }
  tell(seen);
};
</script>
"""


def _frame(name: str, width: int, page: str) -> str:
    listening = escape(page.replace("<head>", _LISTEN, 1))
    return f'<iframe id="{name}" width="{width}" height="844" srcdoc="{listening}"></iframe>'


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what the driver saw of the page, at each width."""
    folder: Path = tmp_path_factory.mktemp("browser")
    whole, small, uneven = (report(results(grid, mixed)) for grid in (GRID, SMALL, UNEVEN))
    widths = [
        ("phone", 390, whole),
        ("desktop", 1280, whole),
        ("small grid", 390, small),
        ("uneven grid", 390, uneven),
    ]
    frames = "\n".join(_frame(*one) for one in widths)
    driver = folder / "driver.html"
    driver.write_text(_DRIVER.replace("FRAMES", frames), encoding="utf-8")
    assert BROWSER is not None
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [BROWSER, *_FLAGS.split(), profile, "--dump-dom", driver.as_uri()]
    dumped = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="seen">(.*?)</pre>', dumped.stdout, re.DOTALL)
    assert found is not None, dumped.stderr
    told: dict[str, Any] = json.loads(unescape(found[1]))
    assert "error" not in told, told
    return told


@pytest.mark.parametrize("frame", FRAMES)
def test_the_script_runs_without_an_error(seen: dict[str, Any], frame: str) -> None:
    assert seen[frame]["errors"] == []


@pytest.mark.parametrize("frame", ["phone", "desktop"])
def test_one_condition_and_one_view_show_at_a_time(seen: dict[str, Any], frame: str) -> None:
    assert seen[frame]["controls"] == 1
    first, second = (seen[frame][when]["panels"] for when in ("first", "second"))
    assert {tuple(panel) for panel in first} == {("1", "worst over splits"), ("1", None)}
    assert {tuple(panel) for panel in second} == {("0", "shards"), ("0", None)}


def test_where_the_chosen_view_does_not_exist_another_shows(seen: dict[str, Any]) -> None:
    first, second = (seen["uneven grid"][when]["panels"] for when in ("first", "second"))
    assert {tuple(panel) for panel in first} == {("1", "iid"), ("1", None)}
    assert {tuple(panel) for panel in second} == {("0", "shards"), ("0", None)}


def test_where_nothing_can_be_chosen_all_shows_without_controls(seen: dict[str, Any]) -> None:
    small = seen["small grid"]
    assert small["controls"] == 0
    assert {tuple(panel) for panel in small["first"]["panels"]} == {("0", "iid"), ("0", None)}


@pytest.mark.parametrize("frame", FRAMES)
def test_every_cell_opens_its_curves(seen: dict[str, Any], frame: str) -> None:
    dialogs = seen[frame]["dialogs"]
    assert len(dialogs) > (100 if frame in {"phone", "desktop"} else 10)
    for told in dialogs:
        assert told["open"]
        assert told["closed"]
        assert told["curves"] > len(told["legend"]) > 0
    assert seen[frame]["closedFromOutside"]


@pytest.mark.parametrize("frame", ["phone", "desktop"])
def test_the_curves_are_those_of_the_cell(seen: dict[str, Any], frame: str) -> None:
    one = seen[frame]["one"]
    assert one["title"] == "median under gaussian, 2 of 20 hostile, f assumed 4"
    assert one["curves"] == 2 * (3 + 1)  # each split has three seeds and their mean
    assert one["legend"] == [
        f"{split}: 81.0 ± 2.5 % at the end, 3 seeds" for split in ("iid", "shards")
    ]


@pytest.mark.parametrize("frame", FRAMES)
def test_nothing_runs_over_the_edge(seen: dict[str, Any], frame: str) -> None:
    assert max(seen[frame][when]["over"] for when in ("first", "second")) <= 0
    assert max(told["over"] for told in seen[frame]["dialogs"]) <= 0
