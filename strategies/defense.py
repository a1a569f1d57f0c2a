"""The defense: pre-aggregators and one aggregator, as one pure function with explicit state."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from quickthorn.strategies.errors import (
    ConfigurationError,
    TooFewClientsError,
    UnknownNameError,
    UpdateError,
)
from quickthorn.strategies.registry import AGGREGATORS, PREAGGREGATORS, Spec, find
from quickthorn.strategies.settings import check_value
from quickthorn.strategies.updates import Aggregate, UpdateMatrix, check_values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.updates import Array

State = Mapping[str, Any]


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
        known = self.spec.parameters
        checked = {}
        for name, value in self.parameters.items():
            if name not in known:
                raise _unknown_parameter(self.spec.name, name, known)
            where = f"{name} of {self.spec.name}"
            checked[name] = check_value(value, known[name].annotation, where=where)
        for name, parameter in known.items():
            if parameter.default is parameter.empty and name not in checked:
                msg = f"{self.spec.name} needs {name}; write {self.spec.name}({name}=…)."
                raise ConfigurationError(msg)
        object.__setattr__(self, "parameters", checked)

    def __str__(self) -> str:
        """Return the text form: ``clip(radius=2.0)``."""
        if not self.parameters:
            return self.spec.name
        inner = ", ".join(f"{name}={value}" for name, value in self.parameters.items())
        return f"{self.spec.name}({inner})"


@dataclass(frozen=True)
class Defense:
    """A pipeline of steps that tolerates ``byzantine`` lying clients.

    Attributes
    ----------
    steps
        Pre-aggregators, then exactly one aggregator.
    byzantine
        f, how many clients may send anything at all.

    Example
    -------
    >>> defense = build("nnm | trimmed_mean", byzantine=1)
    >>> defense.min_clients, str(defense)
    (3, 'nnm | trimmed_mean')
    >>> defense.aggregate(np.array([[1.0], [2.0], [3.0], [-1e9]])).vector
    array([2.])

    """

    steps: tuple[Step, ...]
    byzantine: int

    def __post_init__(self) -> None:
        """Check that the steps form a pipeline and that ``byzantine`` is a count."""
        kinds = [step.spec.kind for step in self.steps]
        if not kinds or kinds[-1] != "aggregator" or set(kinds[:-1]) - {"preaggregator"}:
            msg = (
                "a defense is pre-aggregators and then one aggregator, as in 'nnm | median'; "
                f"got {self if kinds else 'no step'}."
            )
            raise ConfigurationError(msg)
        if isinstance(self.byzantine, bool) or not isinstance(self.byzantine, (int, np.integer)):
            msg = (
                "byzantine must be an integer, the number of liars to tolerate; "
                f"got {self.byzantine!r}."
            )
            raise ConfigurationError(msg)
        if self.byzantine < 0:
            msg = f"byzantine must be 0 or more; got {self.byzantine}."
            raise ConfigurationError(msg)

    def __str__(self) -> str:
        """Return the text form, which ``build`` reads back."""
        return " | ".join(map(str, self.steps))

    @property
    def min_clients(self) -> int:
        """Return the smallest n that every step accepts for this f."""
        return max(step.spec.min_clients(self.byzantine) for step in self.steps)

    @property
    def needs_weights(self) -> bool:
        """Return whether a step asks for the clients' claimed sample counts."""
        return any("weights" in step.spec.supplied for step in self.steps)

    def check_cohort(self, n: int) -> None:
        """Raise a ``TooFewClientsError`` unless ``n`` clients are enough.

        >>> build("krum", byzantine=3).check_cohort(7)
        Traceback (most recent call last):
        ...
        quickthorn.strategies.errors.TooFewClientsError: krum needs n >= 9 clients to tolerate \
byzantine=3; got n=7. Lower byzantine or raise the cohort.
        """
        if n >= self.min_clients:
            return
        step = max(self.steps, key=lambda step: step.spec.min_clients(self.byzantine))
        msg = (
            f"{step.spec.name} needs n >= {self.min_clients} clients to tolerate "
            f"byzantine={self.byzantine}; got n={n}. Lower byzantine or raise the cohort."
        )
        raise TooFewClientsError(msg)

    def aggregate(
        self,
        values: Array | UpdateMatrix,
        *,
        weights: Array | None = None,
        state: State | None = None,
        rng: np.random.Generator | None = None,
    ) -> Aggregate:
        """Run the pipeline over one round's updates; a pure function of its arguments.

        Parameters
        ----------
        values
            (n, d) float32 or float64 deltas, finite, or an ``UpdateMatrix``, whose rows lie
            in the order of the client ids, which makes the result the same bits for any
            order of arrival.
        weights
            (n,) claimed sample counts, for a rule that asks for them; taken from the
            ``UpdateMatrix`` where there is one.
        state
            ``Aggregate.state`` of the round before; None in the first.
        rng
            For a rule that draws; None gives a generator seeded with 0.

        Returns
        -------
        Aggregate
            ``vector`` (d,) of the dtype of the input, ``influence`` (n,) or None, ``state``.

        Raises
        ------
        UpdateError
            If ``values`` is no finite float matrix, or weights are needed and missing.
        TooFewClientsError
            If n is below ``min_clients``.

        """
        if isinstance(values, UpdateMatrix):
            weights = values.weights if weights is None else weights
            values = values.values
        else:
            check_values(values)
        self.check_cohort(len(values))
        supply: dict[str, Any] = {
            "byzantine": self.byzantine,
            "weights": self._check_weights(weights, len(values)),
            "rng": np.random.default_rng(0) if rng is None else rng,
        }
        return self._run(values, supply, dict(state or {}))

    def _run(self, values: Array, supply: dict[str, Any], state: dict[str, Any]) -> Aggregate:
        mixings: list[NDArray[np.float64]] = []
        for position, step in enumerate(self.steps):
            key = f"{position}:{step.spec.name}"
            given = {name: supply[name] for name in step.spec.supplied - {"state"}}
            if "state" in step.spec.supplied:
                given["state"] = state.get(key)
            outcome = step.spec.apply(values, **given, **step.parameters)
            if outcome.state is not None:
                state[key] = outcome.state
            if isinstance(outcome, Aggregate):
                influence = outcome.influence
                for mixing in reversed(mixings):
                    influence = None if influence is None else influence @ mixing
                return Aggregate(outcome.vector, influence, state or None)
            values = outcome.values
            if outcome.mixing is not None:
                mixings.append(outcome.mixing)
        raise AssertionError  # pragma: no cover - __post_init__ demands a last aggregator

    def _check_weights(self, weights: Array | None, n: int) -> NDArray[np.float64] | None:
        if not self.needs_weights:
            return None
        if weights is None or np.shape(weights) != (n,):
            got = "none" if weights is None else f"shape {np.shape(weights)}"
            msg = (
                f"{self} needs one sample count per client, shape ({n},); got {got}. Pass weights=."
            )
            raise UpdateError(msg)
        return np.asarray(weights, np.float64)


def build(
    description: str | Step | Defense | Sequence[Step | Mapping[str, object]],
    *,
    byzantine: int,
) -> Defense:
    """Make a ``Defense`` from its text, its TOML form or its dataclasses: one meaning.

    Parameters
    ----------
    description
        ``"clip(radius=median) | nnm | trimmed_mean"``, or a list of tables
        ``[{rule = "clip", radius = "median"}, {rule = "nnm"}, …]``, or of ``Step``.
    byzantine
        f, how many clients may lie.

    Raises
    ------
    UnknownNameError
        For a rule or a parameter that does not exist; the near miss is named.
    ConfigurationError
        For a text that cannot be read, a wrong value or a wrong order of steps.

    Example
    -------
    >>> tables = [{"rule": "clip", "radius": "median"}, {"rule": "median"}]
    >>> build("clip(radius=median) | median", byzantine=1) == build(tables, byzantine=1)
    True

    """
    if isinstance(description, Defense):
        description = description.steps
    if isinstance(description, str):
        steps = [_parse_step(part, description) for part in _split(description)]
    elif isinstance(description, Step):
        steps = [description]
    else:
        steps = [_read_step(item) for item in description]
    return Defense(tuple(steps), byzantine)


_STEP = re.compile(r"\s*(?P<name>[a-z_][a-z_0-9]*)\s*(?:\((?P<inner>[^()]*)\))?\s*")
_PARAMETER = re.compile(r"\s*(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<value>[^=,]+?)\s*")


def _split(text: str) -> list[str]:
    return text.split("|")


def _parse_step(part: str, whole: str) -> Step:
    match = _STEP.fullmatch(part)
    if match is None:
        msg = (
            f"cannot read {part.strip()!r} in the defense {whole!r}; "
            "write steps as name or name(key=value), joined by '|'."
        )
        raise ConfigurationError(msg)
    parameters: dict[str, object] = {}
    for item in filter(str.strip, (match["inner"] or "").split(",")):
        pair = _PARAMETER.fullmatch(item)
        if pair is None or pair["name"] in parameters:
            fault = "names it twice" if pair else "is not key=value"
            msg = f"cannot read {match[0].strip()!r} in the defense: {item.strip()!r} {fault}."
            raise ConfigurationError(msg)
        parameters[pair["name"]] = _parse_value(pair["value"])
    return Step(_find_rule(match["name"]), parameters)


def _parse_value(text: str) -> object:
    if text in {"true", "false"}:
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text.strip("\"'")


def _read_step(item: object) -> Step:
    if isinstance(item, Step):
        return item
    if not isinstance(item, Mapping) or not isinstance(item.get("rule"), str):
        msg = f'a step of a defense is a table like {{rule = "nnm"}}; got {item!r}.'
        raise ConfigurationError(msg)
    parameters = {str(name): value for name, value in item.items() if name != "rule"}
    return Step(_find_rule(str(item["rule"])), parameters)


def _find_rule(name: str) -> Spec:
    if name in PREAGGREGATORS:
        return find("preaggregator", name)
    if name in AGGREGATORS:
        return find("aggregator", name)
    raise UnknownNameError("rule", name, [*PREAGGREGATORS, *AGGREGATORS])


def _unknown_parameter(rule: str, name: str, known: Mapping[str, object]) -> Exception:
    if known:
        return UnknownNameError(f"parameter of {rule}", name, known)
    return ConfigurationError(f"{rule} has no parameter {name!r}; it takes none. Leave it out.")
