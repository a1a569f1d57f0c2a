"""From signals to scores: robust z-scores within one round, and a sentence for who stands out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.facts import Facts
from quickthorn.strategies.kernels.mapped import by_blocks
from quickthorn.strategies.kernels.order import median
from quickthorn.strategies.past import Past
from quickthorn.strategies.registry import SCORERS, find
from quickthorn.strategies.supply import check_layout
from quickthorn.strategies.updates import Score

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from quickthorn.strategies.defense import State
    from quickthorn.strategies.held import HeldOut
    from quickthorn.strategies.updates import UpdateMatrix

# Iglewicz and Hoaglin, "How to Detect and Handle Outliers" (1993), call a modified z-score
# above 3.5 an outlier. It marks; it does not convict.
STANDS_OUT = 3.5

# In a small cohort the MAD itself is uncertain. These factors widen it so that, for normally
# distributed honest clients, |z| > 3.5 happens to one in a hundred clients and rounds; from 16
# clients on it is rarer without them. Simulated: docs/explanation/scores.md.
_WIDER = {
    3: 10.5,
    4: 2.24,
    5: 2.54,
    6: 1.57,
    7: 1.64,
    8: 1.30,
    9: 1.32,
    10: 1.16,
    11: 1.17,
    12: 1.08,
    13: 1.08,
    14: 1.02,
    15: 1.02,
}

# MAD of a normal distribution times this is its standard deviation.
_MAD_TO_SIGMA = 1.4826

SUBJECT = "update "


@dataclass(frozen=True, eq=False)
class Signal:
    """What a scorer measured in one round.

    Attributes
    ----------
    values
        (n,) in the signal's own unit, for people.
    position
        (n,) on the scale on which clients are compared; larger is more suspicious, or, where
        ``two_sided``, farther from the median in either direction is.
    two_sided
        Whether small positions are suspicious too.
    resolution
        The smallest spread that counts, on the scale of ``position``: when the others agree
        closely, a small difference is no evidence.
    words
        The sentence after its subject, with ``{value}``, ``{low}``, ``{high}`` and ``{where}``.
    known
        (n,) False for a client of whom the signal says nothing: it gets no score and the others
        are compared without it. None where all are known.
    where
        (n,) names for ``{where}``: the layer of the server's model, say.

    """

    values: NDArray[np.float64]
    position: NDArray[np.float64]
    two_sided: bool
    resolution: float
    words: str
    known: NDArray[np.bool_] | None = None
    where: Sequence[str] = ()


def score_updates(  # noqa: PLR0913 - what the signals may ask for, each under its own name
    matrix: UpdateMatrix,
    *,
    byzantine: int,
    scorers: Sequence[str] = SCORERS,
    influence: Mapping[str, float] | None = None,
    held: HeldOut | None = None,
    state: State | None = None,
    known: Facts | None = None,
) -> tuple[tuple[Score, ...], State | None]:
    """Score every client of one round on every signal; a pure function, whatever the rule.

    Parameters
    ----------
    matrix
        The updates.
    byzantine
        f, how many clients may lie; some signals depend on it.
    scorers
        Names of the signals. One that needs more clients than there are is left out.
    influence
        Client to the share that the rule gave it, in equal shares: 1 where all votes count
        alike. Who has no vote is not in it. None where the rule has no such notion.
    held
        What the server measured on data that it holds itself.
    state
        What this function returned in the round before; None in the first.
    known
        The facts of these updates, with the layout of the model and the model that was sent for
        the signals that look at them, and with what the rule has computed; else bare ones.

    Returns
    -------
    tuple[tuple[Score, ...], State | None]
        The scores, by signal, then by client: of those about whom the signal says something;
        ``z`` is (position − median) / (1.4826 · MAD). And the state for the next round, as it
        came where no signal asks for the past.

    Raises
    ------
    UpdateError
        If the layout is of another d, or the state of something else.

    Example
    -------
    >>> from quickthorn.strategies.updates import UpdateMatrix
    >>> rows = {c: np.array([1.0, float(i % 2)]) for i, c in enumerate("abcde")}
    >>> matrix = UpdateMatrix.of(rows | {"f": np.array([-9.0, 3.0])})
    >>> scores, state = score_updates(matrix, byzantine=1)
    >>> [score.reason for score in scores if score.client == "f"][0]
    'update points away from the others (cosine -0.71, the others 0.89 to 0.95)'

    """
    facts = Facts(by_blocks(matrix.values)) if known is None else known
    check_layout(facts.layout, matrix.values.shape[1], who="scoring")
    past = Past.of(state)
    supply = {
        "byzantine": byzantine,
        "clients": matrix.clients,
        "layout": facts.layout,
        "influence": influence,
        "held": held,
        "past": past.beside(matrix.clients),
    }
    specs = [find("scorer", name) for name in scorers]
    scores: list[Score] = []
    # Lengths near the end of float64 overflow on the way; what comes out is made finite.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for spec in specs:
            if len(matrix.clients) >= spec.min_clients(byzantine):
                signal = spec.apply(facts, **{key: supply[key] for key in spec.supplied})
                scores.extend(_judge(spec.name, *_of_known(signal, matrix.clients)))
        if any("past" in spec.supplied for spec in specs):
            state = past.after(facts, matrix.clients).state()
    return tuple(scores), state


def suspicion(scores: Iterable[Score]) -> dict[str, float]:
    """Return per client the largest z over its signals in one round, 0 where none is above.

    >>> suspicion([Score("a", "norm", 1.0, -0.3), Score("a", "cosine", 0.1, 4.2)])
    {'a': 4.2}
    """
    worst: dict[str, float] = {}
    for score in scores:
        worst[score.client] = max(worst.get(score.client, 0.0), score.z)
    return worst


def explain(scores: Iterable[Score]) -> dict[str, str]:
    """Return, for each client that stands out in one round, one sentence; the worst comes first.

    >>> far, long = "update lies far", "update is long"
    >>> explain([Score("a", "norm", 9.0, 5.0, long), Score("a", "krum_distance", 7.0, 8.0, far)])
    {'a': 'update lies far; is long'}
    """
    found: dict[str, list[Score]] = {}
    for score in scores:
        if score.reason:
            found.setdefault(score.client, []).append(score)
    return {
        client: SUBJECT
        + "; ".join(
            score.reason.removeprefix(SUBJECT)
            for score in sorted(reasons, key=lambda score: -score.z)
        )
        for client, reasons in found.items()
    }


def robust_z(signal: Signal) -> NDArray[np.float64]:
    """Return the (n,) robust z-scores of a signal; positive is suspicious.

    The distance from the median in units of 1.4826 · MAD, widened for small n, or of the
    signal's resolution where that is larger.

    >>> signal = Signal(np.arange(20.0), np.arange(20.0), False, 0.1, "")
    >>> robust_z(signal)[[0, 10, 19]].round(2)
    array([-1.28,  0.07,  1.28])
    """
    position = _finite(signal.position)
    away = _finite(position - _finite(median(position)))
    unit = max(spread(away), signal.resolution)
    z: NDArray[np.float64] = _finite((np.abs(away) if signal.two_sided else away) / unit)
    return z


def spread(away: NDArray[np.float64]) -> float:
    """Return 1.4826 · MAD of (n,) distances from their median, widened for small n.

    >>> round(spread(np.arange(-10.0, 11.0)), 2), round(spread(np.arange(-2.0, 3.0)), 2)
    (7.41, 3.77)
    """
    return _MAD_TO_SIGMA * _WIDER.get(len(away), 1.0) * float(median(np.abs(away)))


def _finite(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``np.nan_to_num``, which is slow even where nothing is to be mended."""
    return numbers if np.isfinite(numbers).all() else np.asarray(np.nan_to_num(numbers))


def _of_known(signal: Signal, clients: Sequence[str]) -> tuple[Signal, Sequence[str]]:
    """Leave out the clients of whom a signal says nothing."""
    if signal.known is None:
        return signal, clients
    known = np.flatnonzero(signal.known).tolist()
    signal = replace(
        signal,
        values=signal.values[known],
        position=signal.position[known],
        where=[signal.where[row] for row in known] if signal.where else (),
    )
    return signal, [clients[row] for row in known]


def _judge(name: str, signal: Signal, clients: Sequence[str]) -> list[Score]:
    if not clients:
        return []
    z, values = robust_z(signal), _finite(signal.values)
    usual = values[z <= STANDS_OUT]
    below = signal.position < median(signal.position)
    low, high = float(usual.min()), float(usual.max())
    places = signal.where or [""] * len(clients)
    return [
        Score(
            client,
            name,
            float(value),
            float(score),
            _sentence(signal, float(value), low, high, where) if score > STANDS_OUT else "",
            (-1 if under else 1) if signal.two_sided else 0,
        )
        for client, value, score, under, where in zip(
            clients, values, z, below, places, strict=True
        )
    ]


def _sentence(signal: Signal, value: float, low: float, high: float, where: str) -> str:
    return SUBJECT + signal.words.format(value=value, low=low, high=high, where=where)
