"""What signals remember of every client: how its updates were, in a few numbers each."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from quickthorn.strategies.facts import log_ratios, ratios_to_median
from quickthorn.strategies.kernels.surveys import WIDTH
from quickthorn.strategies.supply import check_state

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from quickthorn.strategies.facts import Facts

# How much of a running mean is what was before: it is mostly of the last ten rounds.
_KEPT = 0.9
# A client that was not there for so many rounds is forgotten.
_FORGOTTEN = 100

_BY_CLIENT = ("seen", "count", "length", "direction", "ratio", "mean", "habit", "place")


@dataclass(frozen=True, eq=False)
class Past:
    """What is remembered of m clients: three kilobytes of each, whatever d.

    Attributes
    ----------
    rounds
        How many rounds there were.
    clients
        The m client ids.
    seen, count
        (m,) in which round each was there last, from 1 on, and in how many; 0 for one of whom
        nothing is known.
    length, direction
        (m,) and (m, 256), of the sketch of its last update.
    ratio
        (m,) running mean of the logarithm of its length in median lengths.
    mean
        (m, 256) running mean of the directions of its sketches.
    habit
        (m,) running mean of the cosine between a sketch and the mean of those before.
    place
        (m, 256) running mean of the sketches of the models that it was sent.

    """

    rounds: int
    clients: tuple[str, ...]
    seen: NDArray[np.int64]
    count: NDArray[np.int64]
    length: NDArray[np.float64]
    direction: NDArray[np.float32]
    ratio: NDArray[np.float64]
    mean: NDArray[np.float32]
    habit: NDArray[np.float64]
    place: NDArray[np.float32]

    @classmethod
    def of(cls, state: Mapping[str, Any] | None) -> Past:
        """Return the past that a state holds; None before the first round.

        Raises
        ------
        UpdateError
            If the state is of something else.

        """
        names = [field.name for field in fields(cls)]
        check_state(state, *names, who="the signals")
        if state is None:
            number, count = np.zeros(0), np.zeros(0, np.int64)
            sketch = np.zeros((0, WIDTH), np.float32)
            return cls(0, (), count, count, number, sketch, number, sketch, number, sketch)
        return cls(**{name: state[name] for name in names} | {"clients": tuple(state["clients"])})

    def state(self) -> dict[str, Any]:
        """Return the plain values and arrays that make a state."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def beside(self, clients: Sequence[str]) -> Past:
        """Return the past of these clients, in their order; zeros for those not remembered."""
        if tuple(clients) == self.clients:
            return self
        rows = {client: row for row, client in enumerate(self.clients)}
        places = [rows.get(client, -1) for client in clients]

        def pick(name: str) -> NDArray[Any]:
            array = getattr(self, name)
            padded = np.concatenate([array, np.zeros((1, *array.shape[1:]), array.dtype)])
            picked: NDArray[Any] = padded[places]  # -1 is the row of zeros
            return picked

        return Past(self.rounds, tuple(clients), **{name: pick(name) for name in _BY_CLIENT})

    def cosines(self, directions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the (m,) cosines between directions and the mean of those before, or 0."""
        means = self.mean.astype(np.float64)
        lengths = np.sqrt((means**2).sum(axis=1))
        products = (directions * means).sum(axis=1)
        return np.asarray(products / np.where(lengths > 0.0, lengths, 1.0))

    def after(self, facts: Facts, clients: Sequence[str]) -> Past:
        """Return the past of the next round: this one's updates belong to it."""
        before, rounds = self.beside(clients), self.rounds + 1
        lengths, directions = facts.sketches
        cosines = before.cosines(directions)
        kept = np.where(before.count, _KEPT, 0.0)  # a running mean begins with its first value
        usual = np.where(before.count > 1, _KEPT, 0.0)
        ratios = log_ratios(ratios_to_median(facts.lengths))
        mean = kept[:, None] * before.mean + (1.0 - kept)[:, None] * directions
        place = kept[:, None] * before.place + (1.0 - kept)[:, None] * facts.place
        present = Past(
            rounds,
            tuple(clients),
            np.full(len(clients), rounds),
            before.count + 1,
            lengths,
            directions.astype(np.float32),
            kept * before.ratio + (1.0 - kept) * ratios,
            mean.astype(np.float32),
            usual * before.habit + (1.0 - usual) * cosines,
            place.astype(np.float32),
        )
        here = set(clients)
        absent = [
            client
            for client, seen in zip(self.clients, self.seen, strict=True)
            if client not in here and rounds - seen <= _FORGOTTEN
        ]
        others = self.beside(absent)
        both = {n: np.concatenate([getattr(present, n), getattr(others, n)]) for n in _BY_CLIENT}
        return Past(rounds, (*clients, *absent), **both)
