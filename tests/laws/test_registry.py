"""Being registered means being documented, tabled and twinned."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

import quickthorn.strategies
from quickthorn.strategies import Spec, available, find
from tests.naive import OPTIMIZER_TWINS, PRE_TWINS, TWINS

ALL_SPECS = [find(kind, name) for kind, names in available().items() for name in names]
ROOM = Path(quickthorn.strategies.__file__).parent

by_spec = pytest.mark.parametrize("spec", ALL_SPECS, ids=lambda spec: f"{spec.kind} {spec.name}")


@by_spec
def test_the_spec_is_documented(spec: Spec) -> None:
    doc = inspect.getdoc(spec.apply) or ""
    assert spec.summary.endswith(".")
    assert len(spec.summary) <= 100
    assert spec.complexity.startswith("O(")
    assert spec.reference
    positions = [doc.find(f"\n{name}\n{'-' * len(name)}\n") for name in SECTIONS]
    assert -1 not in positions, f"{spec.name} lacks one of {SECTIONS}"
    assert positions == sorted(positions)
    section = doc[positions[0] : positions[1]]
    first = next(iter(inspect.signature(spec.apply).parameters))
    for name in (first, *spec.supplied - {"state"}, *spec.parameters):
        assert f"\n{name}\n    " in section, f"{spec.name} does not document {name}"
    assert ">>> " in doc[positions[2] : positions[3]]


SECTIONS = ("Parameters", "Returns", "Example", "References")


@by_spec
def test_claims_are_known_words_and_resilience_has_its_constant(spec: Spec) -> None:
    assert spec.traits <= TRAITS
    assert ("resilient" in spec.traits) == (spec.kappa is not None)


TRAITS = {"translation", "scale", "rotation", "containment", "resilient", "rowwise"}


@by_spec
def test_a_spec_stands_under_its_own_name(spec: Spec) -> None:
    assert spec.name in available()[spec.kind]
    assert find(spec.kind, spec.name) is spec


@pytest.mark.parametrize("kind", ["aggregator", "preaggregator", "scorer", "optimizer"])
def test_every_module_is_in_a_table_and_every_entry_has_a_module(kind: Any) -> None:  # noqa: ANN401 - a Literal
    folder = ROOM / f"{kind}s"
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    used = {
        inspect.getmodule(find(kind, name).apply).__name__.rpartition(".")[2]  # type: ignore[union-attr]  # a rule lies in a module
        for name in available()[kind]
    }
    assert used == modules


def test_every_table_is_sorted_and_every_rule_has_its_twin() -> None:
    for names in available().values():
        assert list(names) == sorted(set(names))
    assert set(TWINS) == set(available()["aggregator"])
    assert set(PRE_TWINS) == set(available()["preaggregator"])
    assert set(OPTIMIZER_TWINS) == set(available()["optimizer"])
