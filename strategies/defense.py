"""The defense: pre-aggregators and one aggregator, as one pure function with explicit state."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quickthorn.strategies.errors import (
    ConfigurationError,
    TooFewClientsError,
    UnknownNameError,
)
from quickthorn.strategies.kernels.mapped import by_blocks
from quickthorn.strategies.registry import AGGREGATORS, PREAGGREGATORS, Spec, find
from quickthorn.strategies.steps import Step, parse_step, read_step
from quickthorn.strategies.supply import (
    check_layout,
    check_trusted,
    check_weights,
    row_names,
    trial_supply,
)
from quickthorn.strategies.updates import Aggregate, UpdateMatrix, check_values
from quickthorn.strategies.votes import Votes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.facts import Facts
    from quickthorn.strategies.kernels.device import DeviceTensor
    from quickthorn.strategies.kernels.rows import Rows
    from quickthorn.strategies.updates import Array, ModelLayout

State = Mapping[str, Any]


# Parameters are tried on as few rows as the rule accepts, unless these are many.
_TRIAL_ROWS = 1000


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
        grouping = ""
        for step in self.steps:
            if grouping and "clients" in step.spec.supplied:
                msg = (
                    f"{step.spec.name} knows each client by its own row, and behind {grouping} a "
                    f"row is a group of clients; leave {grouping} out."
                )
                raise ConfigurationError(msg)
            grouping = grouping if step.spec.rows is None else str(step)
            # Each rule checks its parameters: now, and not in the first round of a federation.
            n = step.min_clients(self.byzantine)
            if n <= _TRIAL_ROWS:
                supply = {**trial_supply(n), "byzantine": self.byzantine}
                _apply(step, np.zeros((n, 1)), supply, None)

    def __str__(self) -> str:
        """Return the text form, which ``build`` reads back."""
        return " | ".join(map(str, self.steps))

    @property
    def min_clients(self) -> int:
        """Return the smallest n for which every step sees enough rows for this f.

        A step that makes fewer rows of many, such as bucketing, leaves f as it is: the steps
        behind it need their own n in groups.

        >>> build("median", byzantine=2).min_clients
        5
        >>> build("bucketing(size=3) | median", byzantine=2).min_clients
        13
        """
        return max(self._needed(position) for position in range(len(self.steps)))

    def _needed(self, position: int) -> int:
        """Return the smallest n for which the step at ``position`` sees enough rows."""
        least = self.steps[position].min_clients(self.byzantine)
        for step in reversed(self.steps[:position]):
            least = _fewest_giving(step, least)
        return least

    @property
    def needs_weights(self) -> bool:
        """Return whether a step asks for the clients' claimed sample counts."""
        return self._asks("weights")

    @property
    def needs_trusted(self) -> bool:
        """Return whether a step asks for the server's own update."""
        return self._asks("trusted")

    def _asks(self, name: str) -> bool:
        return any(name in step.spec.supplied for step in self.steps)

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
        position = max(range(len(self.steps)), key=self._needed)
        shrinking = [str(step) for step in self.steps[:position] if step.spec.rows is not None]
        behind = f" behind {' | '.join(shrinking)}" if shrinking else ""
        name = f"{self.steps[position].spec.name}{behind}"
        msg = (
            f"{name} needs n >= {self.min_clients} clients to tolerate "
            f"byzantine={self.byzantine}; got n={n}. Lower byzantine or raise the cohort."
        )
        raise TooFewClientsError(msg)

    def aggregate(  # noqa: PLR0913 - what the rules may ask for, each under its own name
        self,
        values: Array | DeviceTensor | UpdateMatrix,
        *,
        votes: Votes | None = None,
        weights: Array | None = None,
        trusted: Array | DeviceTensor | None = None,
        layout: ModelLayout | None = None,
        state: State | None = None,
        rng: np.random.Generator | None = None,
        known: Facts | None = None,
    ) -> Aggregate:
        """Run the pipeline over one round's updates; a pure function of its arguments.

        Parameters
        ----------
        values
            (n, d) float32 or float64 deltas, finite, or an ``UpdateMatrix``, whose rows lie
            in the order of the client ids, which makes the result the same bits for any
            order of arrival. A torch tensor is aggregated on the device where it lies.
        votes
            Whose updates count, and which of them together as one, for ``byzantine`` and
            ``min_clients`` too: ``Votes.of(clients, …)``. Every row is a vote by default. Where
            some have none, the result is that of the matrix without them: the same bits, but
            for the last digits of what follows nearest-neighbor mixing.
        weights
            (n,) claimed sample counts, for a rule that asks for them; taken from the
            ``UpdateMatrix`` where there is one. A vote of several clients has the sum of their
            claims; where rows are groups, a group has the mean claim of its members.
        trusted
            (d,) the server's own update, trained on data that it trusts, for a rule that asks
            for one.
        layout
            Which columns are which tensor of the model, for a rule that works layer by layer;
            without it all columns are one layer.
        state
            ``Aggregate.state`` of the round before; None in the first.
        rng
            For a rule that draws; None gives a generator seeded with 0.
        known
            The facts of these very updates, for the rules and the signals of a round to share
            what each computes; the same bits with and without.

        Returns
        -------
        Aggregate
            ``vector`` (d,) of the dtype of the input and where that lies, ``influence`` (n,) or
            None, ``state``. Who has no vote has no influence; who share one, share it equally.

        Raises
        ------
        UpdateError
            If ``values`` is no finite float matrix, or what a rule asks for is missing or does
            not fit.
        TooFewClientsError
            If there are fewer votes than ``min_clients``.

        """
        if isinstance(values, UpdateMatrix):
            weights = values.weights if weights is None else weights
            clients, values = values.clients, values.values
        else:
            check_values(values)
            clients = row_names(len(values))
        n, d = values.shape
        votes = Votes.of(clients) if votes is None else votes
        votes.check_rows(n)
        self.check_cohort(len(votes))
        who = str(self)
        claims = check_weights(weights, n, who=who) if self.needs_weights else None
        own = by_blocks(values) if known is None else known.values
        rows = votes.rows(own)
        supply = {
            "byzantine": self.byzantine,
            "weights": None if claims is None else votes.claims(claims),
            "trusted": check_trusted(trusted, values, who=who) if self.needs_trusted else None,
            "layout": check_layout(layout, d, who=who),
            "clients": votes.names,
            "known": known if rows is own else None,
            "rng": np.random.default_rng(0) if rng is None else rng,
        }
        found = self._run(rows, supply, dict(state or {}))
        if found.influence is None:
            return found
        return replace(found, influence=votes.by_client(found.influence))

    def _run(self, values: Rows, supply: dict[str, Any], state: dict[str, Any]) -> Aggregate:
        mixings: list[NDArray[np.float64]] = []
        for position, step in enumerate(self.steps):
            key = f"{position}:{step.spec.name}"
            outcome = _apply(step, values, supply, state.get(key))
            if outcome.state is not None:
                state[key] = outcome.state
            if isinstance(outcome, Aggregate):
                influence = outcome.influence
                for mixing in reversed(mixings):
                    influence = None if influence is None else influence @ mixing
                return Aggregate(outcome.vector, influence, state or None)
            values, supply["known"] = outcome.values, None
            if outcome.mixing is not None:
                mixings.append(outcome.mixing)
                if len(outcome.mixing) < outcome.mixing.shape[1]:
                    supply["weights"] = _group_weights(supply["weights"], outcome.mixing)
        raise AssertionError  # pragma: no cover - __post_init__ demands a last aggregator


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
        whole = f"the defense {description!r}"
        steps = [parse_step(part, _find_rule, whole=whole) for part in description.split("|")]
    elif isinstance(description, Step):
        steps = [description]
    else:
        steps = [read_step(item, _find_rule, what="a defense") for item in description]
    return Defense(tuple(steps), byzantine)


def _apply(step: Step, values: Rows, supply: Mapping[str, Any], state: object) -> Any:  # noqa: ANN401 - an Aggregate or a Mixed
    """Call one rule with what it asks for."""
    asked = {**supply, "state": state}
    given = {name: asked[name] for name in step.spec.supplied}
    return step.spec.apply(values, **given, **step.parameters)


def _fewest_giving(step: Step, rows: int) -> int:
    """Return the smallest n of which ``step`` makes ``rows`` rows or more."""
    if step.spec.rows is None:
        return rows
    enough = 1
    while step.rows(enough) < rows:
        enough *= 2
    return bisect_left(range(enough), rows, lo=enough // 2, key=step.rows)


def _group_weights(
    weights: NDArray[np.float64] | None, mixing: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Return the claim of each group: its members' claims as the rows were mixed."""
    if weights is None:
        return None
    groups = [np.flatnonzero(shares) for shares in mixing]
    # Members only: a claim of infinity must not reach the other groups as 0 · ∞. A group that
    # has no finite claim leaves it to the rule to say what that is worth.
    with np.errstate(over="ignore", invalid="ignore"):
        claims = [
            np.add.reduce(shares[group] * weights[group])
            for shares, group in zip(mixing, groups, strict=True)
        ]
    return np.array(claims)


def _find_rule(name: str) -> Spec:
    if name in PREAGGREGATORS:
        return find("preaggregator", name)
    if name in AGGREGATORS:
        return find("aggregator", name)
    raise UnknownNameError("rule", name, [*PREAGGREGATORS, *AGGREGATORS])
