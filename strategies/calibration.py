"""What a z is worth: how rarely an honest client's is so large, measured on honest clients.

Scales and floors are set by ``docs/explanation/reputation.md`` on some seeds and held to their
word by ``tests/unit/test_calibration.py`` on others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


# Signal to (scale in one round, scale over rounds, floor). With the scale as the unit of z, honest
# clients with the most unequal data have the tail of `chance`. The floor is how far honest clients
# may lie apart on average over many rounds, in z: less is no evidence, however steady.
_MEASURED = {
    "consistency": (5.0, 4.2, 1.0),
    "cosine": (3.0, 2.3, 0.25),
    "drift": (1.6, 1.6, 1.0),
    "growth": (2.2, 2.0, 1.0),
    "krum_distance": (4.5, 3.2, 0.25),
    "layers": (2.1, 1.6, 1.0),
    "norm": (3.5, 2.8, 0.25),
    "response": (1.8, 2.0, 0.25),
    "signs": (7.2, 5.0, 1.0),
    "similarity": (2.6, 1.6, 1.5),
    "spectral": (6.6, 4.6, 1.0),
}
# For a signal that nobody has measured: as heavy as the heaviest.
_UNKNOWN = (7.2, 5.0, 1.5)

# Below so many clients scales grow: the spread of five is itself a guess.
_MANY = 10
_GROWTH = 1.4


def floor_of(signal: str) -> float:
    """Return the smallest spread of means over rounds that counts, in z.

    >>> floor_of("cosine")
    0.25
    """
    return _MEASURED.get(signal, _UNKNOWN)[2]


def chance(signal: str, z: float, clients: int, *, steady: bool = False) -> float:
    """Return how rarely one honest client of so many reaches ``z`` in the signal, at most.

        p = (1 + (z / scale)²)⁻³,   1 below z = 0

    ``z`` is that of one round or, if ``steady``, of the means over all rounds. The tails are far
    heavier than normal: z = 3.5 stands for 1 in 4000 there and for 1 in 13 here, because honest
    organizations with unequal data are no draws from one distribution.

    >>> round(chance("cosine", 3.5, 20), 3), round(chance("cosine", 3.5, 5), 3)
    (0.076, 0.585)
    """
    scale = _MEASURED.get(signal, _UNKNOWN)[int(steady)] * max(1.0, (_MANY / clients) ** _GROWTH)
    return float((1.0 + (max(z, 0.0) / scale) ** 2) ** -3)


def fused(chances: Sequence[float]) -> float:
    """Return the harmonic mean of the chances of several signals, 1 where there is none.

    Near the smallest times their number (Bonferroni) where one is small, and smaller where
    several agree; signals may depend on each other.

    >>> round(fused([0.001, 1.0, 1.0]), 6), fused([0.01, 0.01])
    (0.002994, 0.01)

    References
    ----------
    Wilson, "The harmonic mean p-value for combining dependent tests", PNAS 2019.

    """
    return len(chances) / float(np.sum(1.0 / np.array(chances))) if chances else 1.0


def least(clients: int) -> float:
    """Return the smallest chance to which so many clients can testify: 2^(1 − n).

    As in a sign test: each of the n − 1 others can only lie on one side or on the other. So one
    round convicts nobody among seven or fewer.

    >>> least(5), least(8)
    (0.0625, 0.0078125)
    """
    return 2.0 ** (1 - clients)
