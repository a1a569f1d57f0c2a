"""The documents hold: their links lead somewhere, and their code runs.

A fenced ``python`` block of a page runs after the blocks above it on the same page, in one
namespace and in an empty folder, unless ``<!-- not run -->`` stands on the line before its
fence; then it must only compile. A ``toml`` block must parse.
"""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
OUTSIDE = re.compile(r"[a-z][a-z0-9+.-]*:|#", re.IGNORECASE)
FENCE = re.compile(
    r"^(?P<mark>(?:<!--[^\n]*-->\n)?)(?P<indent> *)(?P<fence>`{3,})(?P<language>[^\n`]*)\n"
    r"(?P<code>.*?)^(?P=indent)(?P=fence) *$",
    re.MULTILINE | re.DOTALL,
)
CODE_SPAN = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its code, the line of its fence, and whether it runs."""

    language: str
    code: str
    line: int
    runs: bool


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    return [
        Block(
            language=match["language"].strip(),
            code=re.sub(rf"^{match['indent']}", "", match["code"], flags=re.MULTILINE),
            line=text.count("\n", 0, match.start("fence")) + 1,
            runs="not run" not in match["mark"],
        )
        for match in FENCE.finditer(text)
    ]


def links(text: str) -> list[str]:
    """Return the paths that a page links to, without anchors and addresses of other places."""
    prose = CODE_SPAN.sub("", FENCE.sub("", text))
    targets = (match[1] for match in LINK.finditer(prose))
    return [unquote(target.partition("#")[0]) for target in targets if not OUTSIDE.match(target)]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_links_lead_somewhere(page: Path) -> None:
    dead = [link for link in links(page.read_text(encoding="utf-8")) if not exists(page, link)]
    assert not dead


def exists(page: Path, link: str) -> bool:
    """Tell whether a link leads to something inside the repository."""
    target = (page.parent / link).resolve()
    return target.exists() and target.is_relative_to(ROOT.resolve())


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # A module like any other, so that what a page defines can be looked up by its module.
    module = ModuleType("__page__")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.language == "python":
            # The blank lines make a traceback name the line of the page.
            code = compile("\n" * block.line + block.code, name(page), "exec")
            if block.runs:
                exec(code, vars(module))  # noqa: S102  # the documents' own code is what is tested


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_toml_blocks_parse(page: Path) -> None:
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.language == "toml":
            tomllib.loads(block.code)


def test_blocks_and_links_are_found() -> None:
    text = (
        "[a](docs/a.md#b) ![c](<d.png>) [e](https://f) `[g](h)`\n\n"
        "```python\nx = 1\n```\n\n<!-- not run -->\n```python\nx = 2\n```\n"
    )
    assert links(text) == ["docs/a.md", "d.png"]
    assert [(block.code, block.line, block.runs) for block in blocks(text)] == [
        ("x = 1\n", 3, True),
        ("x = 2\n", 8, False),
    ]
