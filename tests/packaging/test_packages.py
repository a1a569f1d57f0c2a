"""What pyproject.toml says about the folders is what the folders hold."""

from __future__ import annotations

import ast
import importlib.metadata
import itertools
import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[2]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = ("ray",)  # those that users install; `dev` is for the tests
FOLDERS = ("client", "server", "simulations", "strategies")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def normalized(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def declared(requirements: list[str]) -> set[str]:
    names = (re.match(r"[\w.-]+", requirement) for requirement in requirements)
    return {normalized(name[0]) for name in names if name}


def brought(requirement: str) -> set[str]:
    """Return a distribution and what its named extras bring: with ``flwr[simulation]``, Ray."""
    name, _, extras = requirement.partition("]")[0].partition("[")
    found = declared([name])
    for line in importlib.metadata.requires(*found) or () if extras else ():
        _, _, condition = line.partition("extra ==")
        if condition.strip(" \"'") in extras.split(","):
            found |= declared([line])
    return found


def foreign(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the top-level names that these import from neither Python nor this package."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"quickthorn"}


def test_the_list_of_packages_is_the_folders_with_an_init() -> None:
    folders = {
        "quickthorn." + ".".join(path.parent.relative_to(ROOT).parts)
        for path in MODULES
        if path.name == "__init__.py"
    }
    assert sorted(PYPROJECT["tool"]["setuptools"]["packages"]) == sorted(folders)


def test_every_module_lies_in_a_package() -> None:
    lost = [relative(path) for path in MODULES if not (path.parent / "__init__.py").is_file()]
    assert not lost


def test_the_four_folders_are_mapped() -> None:
    assert set(PYPROJECT["tool"]["setuptools"]["package-dir"]) == {
        f"quickthorn.{folder}" for folder in FOLDERS
    }


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_folder_ships_its_types(folder: str) -> None:
    assert (ROOT / folder / "py.typed").is_file()


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_the_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_what_the_module_imports_is_declared(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    main = declared(PYPROJECT["project"]["dependencies"])
    extras = PYPROJECT["project"]["optional-dependencies"]
    optional = main.union(*map(brought, itertools.chain(*(extras[name] for name in EXTRAS))))
    assert not undeclared(foreign(ast.walk(tree)), optional)
    # What an extra brings may be missing, so it is imported where it is used.
    assert not undeclared(foreign(tree.body), main)


def undeclared(names: set[str], known: set[str]) -> set[str]:
    owners = importlib.metadata.packages_distributions()
    return {
        name for name in names if not known & {normalized(owner) for owner in owners.get(name, ())}
    }


def test_an_extra_brings_what_it_names() -> None:
    assert brought("rich>=14") == {"rich"}
    assert brought("flwr[simulation]") == {"flwr", "ray"}


def test_the_exact_versions_cover_every_dependency() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    project = PYPROJECT["project"]
    wanted = declared(project["dependencies"]) | declared(project["optional-dependencies"]["dev"])
    assert wanted <= declared(pins)


@pytest.mark.parametrize("group", ["quickthorn.commands", "console_scripts"])
def test_every_command_that_is_declared_can_be_loaded(group: str) -> None:
    commands = {
        entry.name: entry
        for entry in importlib.metadata.entry_points(group=group)
        if entry.value.startswith("quickthorn.")
    }
    project = PYPROJECT["project"]
    table = project["scripts"] if group == "console_scripts" else project["entry-points"][group]
    assert sorted(commands) == sorted(table)
    for entry in commands.values():
        assert callable(entry.load())
