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

WIDTHS = {"phone": 390, "desktop": 1280}

_FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-quic"
)

# Errors are counted before the page's own script runs.
_LISTEN = "<head><script>window.errors = []; onerror = (text) => errors.push(text);</script>"

# A browser's window is never as narrow as a phone, but a frame may be.
_DRIVER = """<!doctype html>
{frames}
<pre id="seen"></pre>
<script>
const tell = (seen) => {{ document.getElementById("seen").textContent = JSON.stringify(seen); }};
onerror = (text) => tell({{ error: text }});
onload = () => {{
  const seen = {{}};
  for (const frame of document.querySelectorAll("iframe")) {{
    const page = frame.contentDocument, dialog = page.querySelector("dialog");
    const shown = (nodes) => [...nodes].filter((node) => node.getClientRects().length);
    const panels = () => shown(page.querySelectorAll("[data-view]"))
      .map((node) => [node.dataset.condition, node.dataset.view]);
    const choose = (name, value) =>
      page.querySelector(`[name="${{name}}"][value="${{value}}"]`).click();
    const open = (button) => {{
      button.click();
      const told = {{
        open: dialog.open,
        title: dialog.querySelector("h3").textContent,
        curves: dialog.querySelectorAll(".place > svg path").length,
        legend: [...dialog.querySelectorAll(".legend li")].map((item) => item.textContent),
        right: dialog.getBoundingClientRect().right,
      }};
      dialog.querySelector("form button").click();
      return {{ ...told, closed: !dialog.open }};
    }};
    const before = panels();
    choose("condition", "0");
    choose("view", "shards");
    const after = panels();
    const buttons = [...page.querySelectorAll("button[data-cell]")];
    seen[frame.id] = {{
      before,
      after,
      dialogs: buttons.map(open),
      one: open(page.querySelector('[data-view="shards"] button[data-cell="0-1-2"]')),
      errors: frame.contentWindow.errors,
      right: page.documentElement.scrollWidth,
    }};
  }}
  tell(seen);
}};
</script>
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what the driver saw of the page, at each width."""
    folder: Path = tmp_path_factory.mktemp("browser")
    page = escape(report(results(GRID, mixed)).replace("<head>", _LISTEN, 1))
    frames = "\n".join(
        f'<iframe id="{name}" width="{width}" height="844" srcdoc="{page}"></iframe>'
        for name, width in WIDTHS.items()
    )
    driver = folder / "driver.html"
    driver.write_text(_DRIVER.format(frames=frames), encoding="utf-8")
    assert BROWSER is not None
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [BROWSER, *_FLAGS.split(), profile, "--dump-dom", driver.as_uri()]
    dumped = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="seen">(.*?)</pre>', dumped.stdout, re.DOTALL)
    assert found is not None, dumped.stderr
    return json.loads(unescape(found[1]))  # type: ignore[no-any-return]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_script_runs_without_an_error(seen: dict[str, Any], width: str) -> None:
    assert seen[width]["errors"] == []


@pytest.mark.parametrize("width", WIDTHS)
def test_one_condition_and_one_view_show_at_a_time(seen: dict[str, Any], width: str) -> None:
    before, after = seen[width]["before"], seen[width]["after"]
    assert {tuple(panel) for panel in before} == {("1", "worst over splits")}
    assert {tuple(panel) for panel in after} == {("0", "shards")}


@pytest.mark.parametrize("width", WIDTHS)
def test_every_cell_opens_its_curves(seen: dict[str, Any], width: str) -> None:
    dialogs = seen[width]["dialogs"]
    assert len(dialogs) > 100
    for told in dialogs:
        assert told["open"]
        assert told["closed"]
        assert told["curves"] > len(told["legend"]) > 0
    one = seen[width]["one"]
    assert one["title"] == "median under gaussian, 2 of 20 hostile, f assumed 4"
    assert one["curves"] == 2 * (3 + 1)  # each split has three seeds and their mean
    assert one["legend"] == [
        f"{split}: 81.0 ± 2.5 % at the end, 3 seeds" for split in ("iid", "shards")
    ]


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_runs_over_the_edge(seen: dict[str, Any], width: str) -> None:
    assert seen[width]["right"] <= WIDTHS[width]
    assert max(told["right"] for told in seen[width]["dialogs"]) <= WIDTHS[width]
