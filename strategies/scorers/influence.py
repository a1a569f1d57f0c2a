"""How much of its share in the result the rule took from the client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.registry import Spec
from quickthorn.strategies.scoring import Signal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from quickthorn.strategies.facts import Facts


def influence(
    facts: Facts,  # noqa: ARG001 - what every signal is of
    *,
    clients: Sequence[str],
    influence: Mapping[str, float] | None,
) -> Signal:
    """Compare the share that the rule gave each client with the median share.

        t_i = max(−1, 1 − w_i / median_j w_j)

    The rule has judged the updates already, and this shows what it took from whom. It counts
    little: rules that leave out f clients do so when nobody lies, so z is at most 3.3 to either
    side, and nobody has measured a scale for it. By itself it never reaches a threshold.

    Parameters
    ----------
    facts
        Of n updates, n >= 3.
    clients
        The n client ids.
    influence
        Client to w_i, in equal shares; who has no vote is not in it and has no value. Nobody has
        one where the rule has no such notion or half of all or more have no share (Krum chooses
        one).

    Returns
    -------
    Signal
        (n,) w_i, 1 is an equal share; compared by t_i, large is suspicious.

    Example
    -------
    >>> from quickthorn.strategies.facts import Facts
    >>> shares = {"a": 1.25, "b": 1.25, "c": 1.25, "d": 1.25, "e": 0.0}
    >>> influence(Facts(np.ones((5, 1))), clients="abcde", influence=shares).position
    array([0., 0., 0., 0., 1.])

    References
    ----------
    Cao et al., "FLTrust", NDSS 2021, section IV, whose weights are scores of trust; here those of
    whatever rule aggregates.

    """
    given = {} if influence is None else influence
    known = np.array([client in given for client in clients])
    shares = np.array([given.get(client, 0.0) for client in clients])
    most_have = 2 * np.count_nonzero(shares[known]) > np.count_nonzero(known)
    typical = float(np.median(shares[known])) if most_have else 1.0
    return Signal(
        values=shares,
        position=np.maximum(1.0 - shares / typical, -1.0),
        two_sided=False,
        resolution=0.3,  # even who has no share, or all of it, stands out by no more than 3.3
        words="has {value:.2f} of an equal share in the result (others {low:.2f} to {high:.2f})",
        known=known & most_have,
    )


SPEC = Spec(
    name="influence",
    kind="scorer",
    apply=influence,
    min_clients=lambda _byzantine: 3,
    complexity="O(n)",
    reference="after Cao et al., NDSS 2021, with the weights of whatever rule",
)
