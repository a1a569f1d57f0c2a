"""What a person wrote becomes typed values, or an error that names the place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from quickthorn.strategies.errors import ConfigurationError, QuickthornError, UnknownNameError
from quickthorn.strategies.settings import check_value, describe_type, read_settings


@dataclass(frozen=True)
class Engine:
    power: float
    fuel: Literal["gas", "sun"] = "sun"


@dataclass(frozen=True)
class Car:
    name: str
    engine: Engine
    seats: int = 4
    fast: bool = False
    tags: tuple[str, ...] = ()
    limit: float | Literal["none"] = "none"
    owner: str | None = None
    parts: dict[str, int] = field(default_factory=dict)
    extras: tuple[str, ...] = field(default_factory=tuple)


GOOD = {"name": "a", "engine": {"power": 3}}


def test_nested_tables_lists_and_unions_are_read() -> None:
    car = read_settings(
        Car,
        {**GOOD, "tags": ["x", "y"], "limit": 2, "owner": None, "fast": True, "parts": {"a": 1}},
        where="[car]",
    )
    assert car == Car("a", Engine(3.0), fast=True, tags=("x", "y"), limit=2.0, parts={"a": 1})
    assert isinstance(car.engine.power, float)
    assert isinstance(car.limit, float)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 3}, r"name in \[car\] must be a text; got 3"),
        ({"seats": 4.0}, r"seats in \[car\] must be an integer; got 4.0"),
        ({"seats": True}, "must be an integer; got True"),
        ({"seats": "4"}, "must be an integer; got '4'"),
        ({"fast": 1}, "must be true or false; got 1"),
        ({"tags": "x"}, "must be a list; got 'x'"),
        ({"tags": [1]}, "must be a text; got 1"),
        ({"limit": "some"}, "must be a number or 'none'; got 'some'"),
        ({"limit": True}, "must be a number or 'none'; got True"),
        ({"limit": float("nan")}, "must be a number or 'none'; got nan"),
        ({"engine": 3}, r"\[engine\] must be a table; got 3"),
        ({"engine": {"power": float("inf")}}, "must be a finite number; got inf"),
        ({"engine": {"power": True}}, "must be a number; got True"),
        ({"engine": {"power": 1, "fuel": "oil"}}, "must be 'gas' or 'sun'; got 'oil'"),
        ({"engine": {"power": 1, "fuel": ["gas"]}}, r"must be 'gas' or 'sun'; got \['gas'\]"),
        ({"engine": {}}, r"\[engine\] lacks power; add it"),
        ({"parts": 3}, "parts in .car. must be a table; got 3"),
        ({"parts": {"door": "5"}}, "door in parts in .car. must be an integer; got '5'"),
        ({"owner": 3}, "must be a text or nothing; got 3"),
    ],
)
def test_a_wrong_value_is_refused_with_place_need_and_value(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        read_settings(Car, {**GOOD, **change}, where="[car]")


def test_every_missing_key_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"\[car\] lacks name, engine; add it"):
        read_settings(Car, {}, where="[car]")


def test_an_unknown_key_names_the_near_miss() -> None:
    with pytest.raises(UnknownNameError, match=r"key of \[car\] 'seat'; did you mean 'seats'"):
        read_settings(Car, {**GOOD, "seat": 2}, where="[car]")
    with pytest.raises(UnknownNameError, match=r"key of \[engine\] 'powr'; did you mean 'power'"):
        read_settings(Car, {"name": "a", "engine": {"powr": 2}}, where="[car]")


def test_an_error_is_a_quickthorn_error_and_a_value_error() -> None:
    for kind in (QuickthornError, ValueError):
        with pytest.raises(kind):
            check_value("x", int, where="n")


def test_types_have_names_for_people() -> None:
    assert describe_type(int | None) == "an integer or nothing"
    assert describe_type(Literal[1, "a"]) == "1 or 'a'"
    assert describe_type(bool) == "true or false"
