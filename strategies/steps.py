"""One rule with its parameters, and how a person writes it: as text, as a table, as a ``Step``."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.parameters import as_call, check_parameters
from quickthorn.strategies.registry import Spec

Finder = Callable[[str], Spec]


@dataclass(frozen=True)
class Step:
    """One rule with its parameters: ``Step(find("preaggregator", "clip"), {"radius": 2.0})``.

    A rule of one's own needs no registration: write its ``Spec`` and put it in a ``Step``.

    Raises
    ------
    UnknownNameError
        For a parameter that the rule does not have.
    ConfigurationError
        For a value of the wrong type and for a missing parameter.

    """

    spec: Spec
    parameters: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the parameters against the signature of the rule."""
        checked = check_parameters(self.spec, self.parameters)
        object.__setattr__(self, "parameters", checked)

    def __str__(self) -> str:
        """Return the text form: ``clip(radius=2.0)``."""
        return as_call(self.spec.name, self.parameters)

    def min_clients(self, byzantine: int) -> int:
        """Return the smallest n that the rule accepts for this f, with these parameters."""
        asked = inspect.signature(self.spec.min_clients).parameters
        own = {name: value for name, value in self.parameters.items() if name in asked}
        return self.spec.min_clients(byzantine, **own)

    def rows(self, n: int) -> int:
        """Return how many rows come out of this step for ``n`` that go in."""
        return n if self.spec.rows is None else self.spec.rows(n, **self.parameters)


_STEP = re.compile(r"\s*(?P<name>[a-z_][a-z_0-9]*)\s*(?:\((?P<inner>[^()]*)\))?\s*")
_PARAMETER = re.compile(r"\s*(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<value>[^=,]+?)\s*")


def parse_step(part: str, find_rule: Finder, *, whole: str) -> Step:
    """Read ``name`` or ``name(key=value, …)``.

    Parameters
    ----------
    part
        The text of one step.
    find_rule
        Name to ``Spec``; raises an ``UnknownNameError`` for a name that it does not know.
    whole
        What to quote in an error beside ``part``, for instance ``"the defense 'nnm | x('"``.

    Raises
    ------
    UnknownNameError
        For a rule or a parameter that does not exist.
    ConfigurationError
        For a text that cannot be read and for a wrong value.

    Example
    -------
    >>> from quickthorn.strategies.registry import find
    >>> step = parse_step("multi_krum(select=3)", lambda name: find("aggregator", name), whole="")
    >>> step.spec.name, dict(step.parameters)
    ('multi_krum', {'select': 3})

    """
    name, parameters = parse_call(part, whole=whole)
    return Step(find_rule(name), parameters)


def parse_call(part: str, *, whole: str) -> tuple[str, dict[str, object]]:
    """Return the name and the parameters of ``name(key=value, …)``, whatever it names.

    Raises
    ------
    ConfigurationError
        For a text that cannot be read; ``whole`` is quoted.

    Example
    -------
    >>> parse_call("clip(radius=median)", whole="")
    ('clip', {'radius': 'median'})

    """
    match = _STEP.fullmatch(part)
    if match is None:
        msg = (
            f"cannot read {part.strip()!r} in {whole}; "
            "write steps as name or name(key=value), joined by '|'."
        )
        raise ConfigurationError(msg)
    parameters: dict[str, object] = {}
    for item in filter(str.strip, (match["inner"] or "").split(",")):
        pair = _PARAMETER.fullmatch(item)
        if pair is None or pair["name"] in parameters:
            fault = "names it twice" if pair else "is not key=value"
            msg = f"cannot read {match[0].strip()!r} in {whole}: {item.strip()!r} {fault}."
            raise ConfigurationError(msg)
        parameters[pair["name"]] = _parse_value(pair["value"])
    return match["name"], parameters


def read_step(item: object, find_rule: Finder, *, what: str) -> Step:
    """Return ``item``, a ``Step`` or a table ``{rule = "nnm", …}`` of a ``what``, as a ``Step``.

    Raises
    ------
    UnknownNameError, ConfigurationError
        As ``parse_step`` does.

    """
    if isinstance(item, Step):
        return item
    if not isinstance(item, Mapping) or not isinstance(item.get("rule"), str):
        msg = f'a step of {what} is a table like {{rule = "nnm"}}; got {item!r}.'
        raise ConfigurationError(msg)
    parameters = {str(name): value for name, value in item.items() if name != "rule"}
    return Step(find_rule(str(item["rule"])), parameters)


def _parse_value(text: str) -> object:
    if text in {"true", "false"}:
        return text == "true"
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if math.isfinite(number):
            return number
    # nan and inf are words: no number that a rule takes, but a choice that an attack offers.
    return text.strip("\"'")
