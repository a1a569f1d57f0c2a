"""One round as a pure function: the same in deployment and in every simulation."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from quickthorn.strategies.errors import QuickthornError
from quickthorn.strategies.facts import Facts
from quickthorn.strategies.kernels.mapped import by_blocks
from quickthorn.strategies.optimizer import Optimizer, build_optimizer
from quickthorn.strategies.registry import SCORERS
from quickthorn.strategies.scoring import score_updates
from quickthorn.strategies.votes import Votes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from quickthorn.strategies.defense import Defense, State
    from quickthorn.strategies.held import HeldOut
    from quickthorn.strategies.updates import Array, ModelLayout, Score, UpdateMatrix


PLAIN = build_optimizer("sgd")  # the model moves by the aggregate itself


@dataclass(frozen=True, eq=False)
class RoundOutcome:
    """What a round leads to.

    Attributes
    ----------
    weights, counters
        The new flat model, or None where the model stays as it is.
    reason
        Why it stays; empty where it moves.
    influence
        Client to its share in the update, 0 for the excluded, or None where the rule has no such
        notion.
    scores
        Every client on every signal.
    state
        For the defense, the optimizer and, under ``"scorers"``, the signals in the next round.

    """

    weights: Array | None
    counters: Array | None
    reason: str
    influence: Mapping[str, float] | None
    scores: tuple[Score, ...]
    state: State | None


def run_round(  # noqa: PLR0913 - a round depends on all of these, and on nothing else
    defense: Defense,
    matrix: UpdateMatrix | None,
    *,
    weights: Array,
    counters: Sequence[NDArray[np.int64]],
    quorum: int,
    scorers: Sequence[str] = SCORERS,
    optimizer: Optimizer = PLAIN,
    trusted: Array | None = None,
    layout: ModelLayout | None = None,
    excluded: Collection[str] = frozenset(),
    organizations: Mapping[str, str] = MappingProxyType({}),
    held: HeldOut | None = None,
    fault: str = "",
    state: Any = None,  # noqa: ANN401 - whatever the rules keep
    rng: np.random.Generator | None = None,
    stage: Callable[[str], AbstractContextManager[object]] = nullcontext,
) -> RoundOutcome:
    """Aggregate the updates, move the model and score the updates.

    They are scored last, so that the influence that the rule gave them is a signal too, and
    scored also where the model stays.

    Parameters
    ----------
    defense
        The pipeline.
    matrix
        The accepted updates; None where there is not one.
    weights
        (d,) the flat model that was sent.
    counters
        One (c,) array of integer tensors per client, in the order of the rows. The new
        value of each is the lower median of the votes: a value that some client sent, within the
        honest range while fewer than half lie.
    quorum
        The fewest votes with which the model may move; never below ``defense.min_clients``.
    optimizer
        Turns the aggregate into a step of the model; by default that is the aggregate.
    fault
        Why the caller knows already that the model has to stay; the updates are only scored.
    excluded
        Clients in quarantine, say: they are scored and not aggregated.
    organizations
        Client to its organization, of which all nodes are one vote; as in ``Votes.of``.
    scorers, trusted, layout, held, state, rng
        As in ``score_updates`` and ``Defense.aggregate``.
    stage
        Entered with ``"score"`` and ``"aggregate"`` around these two, for a caller that times
        them.

    Returns
    -------
    RoundOutcome
        ``weights`` is None, with the reason, if there were too few updates for the defense,
        the result is not finite or there is a ``fault``.

    Example
    -------
    >>> from quickthorn.strategies import UpdateMatrix, build
    >>> matrix = UpdateMatrix.of({c: np.array([1.0]) for c in "abc"})
    >>> run_round(build("median", byzantine=1), matrix, weights=np.array([0.5]),
    ...           counters=[np.array([4])] * 3, quorum=3).weights
    array([1.5])

    """
    clients = () if matrix is None else matrix.clients
    votes = Votes.of(clients, excluded=excluded, organizations=organizations)
    known = None if matrix is None else Facts(by_blocks(matrix.values), layout, weights)
    given = {"votes": votes, "trusted": trusted, "layout": layout, "state": state, "rng": rng}
    given["known"] = known
    needed = max(quorum, defense.min_clients)
    if matrix is None or len(votes) < needed:
        outcome = _stays(_too_few(votes, needed, defense.byzantine), state)
    elif fault:
        outcome = _stays(fault, state)
    else:
        with stage("aggregate"):
            outcome = _move(defense, matrix, weights, counters, optimizer, given)
    if matrix is None:
        return outcome
    with stage("score"):
        scores, kept = score_updates(
            matrix,
            byzantine=defense.byzantine,
            scorers=scorers,
            influence=_in_equal_shares(outcome.influence, votes, clients),
            held=held,
            state=(state or {}).get("scorers"),
            known=known,
        )
    following = outcome.state if kept is None else {**(outcome.state or {}), "scorers": kept}
    return replace(outcome, scores=scores, state=following)


def _stays(reason: str, state: State | None) -> RoundOutcome:
    return RoundOutcome(None, None, reason, None, (), state)


def _too_few(votes: Votes, needed: int, byzantine: int) -> str:
    """Say how many votes there are, and why that is not the number of updates."""
    n, voters = votes.clients, sum(map(len, votes.members))
    several = [len(rows) for rows in votes.members if len(rows) > 1]
    counted = f"{len(votes)} votes of {n}" if len(votes) < n else f"{n}"
    reason = f"{counted} valid updates, the defense needs {needed} (byzantine={byzantine})"
    if voters < n:
        reason += f"; {n - voters} in quarantine"
    if several:
        reason += f"; {sum(several)} nodes share {len(several)} of the votes"
    return reason


def _in_equal_shares(
    influence: Mapping[str, float] | None, votes: Votes, clients: Sequence[str]
) -> Mapping[str, float] | None:
    """Return how many times its equal share each client has that has a vote, or a part of one."""
    if influence is None:
        return None
    equal = {clients[row]: len(votes) * len(rows) for rows in votes.members for row in rows}
    return {client: influence[client] * times for client, times in equal.items()}


def _move(  # noqa: PLR0913, PLR0917 - as above
    defense: Defense,
    matrix: UpdateMatrix,
    weights: Array,
    counters: Sequence[NDArray[np.int64]],
    optimizer: Optimizer,
    given: Mapping[str, Any],
) -> RoundOutcome:
    """Aggregate the updates and move the model, or say why it stays."""
    votes: Votes = given["votes"]
    try:
        aggregate = defense.aggregate(matrix, **given)
        step, kept = optimizer.move(aggregate.vector, aggregate.state)
    except QuickthornError as error:  # a parameter that does not fit so few clients, say
        return _stays(str(error), given["state"])
    with np.errstate(over="ignore", invalid="ignore"):
        moved = weights + step
    if not _fits(moved, given["layout"]):
        reason = f"{defense} made a model with NaN or infinity out of {len(votes)} votes"
        return _stays(reason, given["state"])
    influence = aggregate.influence
    return RoundOutcome(
        moved,
        _lower_median([_lower_median([counters[row] for row in rows]) for rows in votes.members]),
        "",
        None if influence is None else dict(zip(matrix.clients, influence.tolist(), strict=True)),
        (),
        kept,
    )


def _fits(weights: Array, layout: ModelLayout | None) -> bool:
    """Return whether a model is finite, also in the dtypes of its tensors."""
    if not np.isfinite(weights).all():
        return False
    narrow = [] if layout is None else [t for t in layout.weights if t.dtype != weights.dtype]
    with np.errstate(over="ignore"):
        parts = (weights[t.offset : t.offset + t.size].astype(t.dtype) for t in narrow)
        return all(bool(np.isfinite(part).all()) for part in parts)


def _lower_median(values: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return per column of n (c,) integers the lower of the two middle values."""
    middle: NDArray[np.int64] = np.sort(np.stack(values), axis=0)[(len(values) - 1) // 2]
    return middle
