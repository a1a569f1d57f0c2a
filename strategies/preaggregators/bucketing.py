"""Bucketing (Karimireddy et al. 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.kernels.rows import mix
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.updates import Mixed

if TYPE_CHECKING:
    from quickthorn.strategies.kernels.rows import Rows


def bucketing(values: Rows, *, rng: np.random.Generator, size: int = 2) -> Mixed:
    """Put the clients into buckets of s by lot and hand on the mean of each bucket.

        y_k = 1/|B_k| Σ_{i ∈ B_k} x_i,   k = 1 … m,   m = ⌈n/s⌉

    The buckets B_k are consecutive runs of a random permutation of the clients, new in every
    call; each client is in exactly one. Means of s differ less than the clients do, which
    helps a rule behind it on unequal data. f liars spoil up to f buckets, so f stays what it is
    and the rule behind it needs its n in buckets: ``Defense.min_clients`` says how many
    clients that takes. Where s does not divide n, the last bucket is shorter and its clients
    weigh more, as the paper allows. A rule that asks for claimed sample counts gets the mean
    claim of each bucket.

    Parameters
    ----------
    values
        (n, d) updates.
    rng
        Draws one permutation of n.
    size
        s, clients to a bucket, at least 1.

    Returns
    -------
    Mixed
        (m, d) rows and the (m, n) mixing matrix.

    Raises
    ------
    ConfigurationError
        If ``size`` is below 1.

    Example
    -------
    >>> rows = np.arange(5.0)[:, None]
    >>> mixed = bucketing(rows, rng=np.random.default_rng(0), size=2)
    >>> mixed.mixing
    array([[0. , 0. , 0.5, 0. , 0.5],
           [0.5, 0. , 0. , 0.5, 0. ],
           [0. , 1. , 0. , 0. , 0. ]])
    >>> mixed.values[:, :].ravel()
    array([3. , 1.5, 1. ])

    References
    ----------
    Karimireddy et al., "Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing",
    ICLR 2022, Algorithm 1.

    """
    n = len(values)
    m = buckets(n, size=size)
    order = rng.permutation(n)
    mixing = np.zeros((m, n))
    for k in range(m):
        members = order[k * size : (k + 1) * size]
        mixing[k, members] = 1.0 / len(members)
    return Mixed(mix(mixing, values), mixing)


def buckets(n: int, *, size: int = 2) -> int:
    """Return m = ⌈n/s⌉.

    >>> buckets(5), buckets(5, size=5), buckets(5, size=9)
    (3, 1, 1)
    """
    if size < 1:
        msg = f"size of bucketing must be at least 1 client; got {size}."
        raise ConfigurationError(msg)
    return -(-n // size)


SPEC = Spec(
    name="bucketing",
    kind="preaggregator",
    apply=bucketing,
    min_clients=lambda _byzantine: 1,
    rows=buckets,
    traits=frozenset({"translation", "scale", "rotation"}),
    complexity="O(n d)",
    reference="Karimireddy et al., ICLR 2022",
)
