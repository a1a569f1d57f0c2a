"""Every example in a docstring runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

PACKAGES = ("strategies", "server", "client", "simulations")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules() -> list[str]:
    """Return the names of all modules, packages included; only packages are imported."""
    found = []
    for package in PACKAGES:
        name = f"quickthorn.{package}"
        path = importlib.import_module(name).__path__
        found += [name, *(info.name for info in pkgutil.walk_packages(path, f"{name}."))]
    return [name for name in found if not name.endswith(".__main__")]


@pytest.mark.parametrize("name", modules())
def test_the_examples_hold(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    results = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    assert not results.failed, capsys.readouterr().out


@pytest.mark.parametrize("name", modules())
def test_the_module_has_a_docstring(name: str) -> None:
    assert importlib.import_module(name).__doc__
