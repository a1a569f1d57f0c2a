"""Who holds which samples: pure functions from labels to one index array per client.

Every sample goes to exactly one client and every client gets at least one.
Indices are sorted; the same arguments give the same partition.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.errors import ConfigurationError, UnknownNameError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCHEMES = ("dirichlet", "iid", "shards")


def partition(  # noqa: PLR0913 - one keyword per parameter of the schemes reads best
    labels: NDArray[np.int64],
    clients: int,
    scheme: str,
    *,
    alpha: float = 0.5,
    shards_per_client: int = 2,
    seed: int = 0,
) -> list[NDArray[np.int64]]:
    """Deal the samples to the clients.

    Parameters
    ----------
    labels
        ``(samples,)``, integers.
    clients
        How many clients there are, at least 1 and at most the number of samples.
    scheme
        ``iid``: shuffled, cut into equal parts (sizes differ by at most one).
        ``dirichlet``: of each class, each client gets a share drawn from
        Dirichlet(``alpha``, ..., ``alpha``); afterwards each client left without a sample
        takes, in the order of the clients, one from the client that then holds the most.
        ``shards``: sorted by label, cut into ``clients * shards_per_client`` contiguous
        shards, dealt at random, so that a client sees few classes.
    alpha
        Concentration for ``dirichlet``, above 0; small is unequal.
    shards_per_client
        For ``shards``, at least 1.
    seed
        Of the shuffling.

    Returns
    -------
    list of NDArray
        For each client the sorted indices of its samples, int64, disjoint, never empty;
        together they are all samples.

    Raises
    ------
    UnknownNameError
        If there is no such scheme.
    ConfigurationError
        If a parameter is out of range or the samples do not suffice.

    Example
    -------
    >>> [part.tolist() for part in partition(np.array([1, 0, 1, 0]), 2, "shards",
    ...                                      shards_per_client=1)]
    [[1, 3], [0, 2]]

    Notes
    -----
    Sources: shards, McMahan et al. 2017 (arXiv:1602.05629), section 3; Dirichlet shares as a
    federated benchmark, Hsu et al. 2019 (arXiv:1909.06335), in the form that draws per class
    over the clients, Yurochkin et al. 2019 (arXiv:1905.12022), so that each sample is used.

    """
    if scheme not in SCHEMES:
        raise UnknownNameError("partition", scheme, SCHEMES)
    if labels.ndim != 1:
        msg = f"a partition needs labels of shape (samples,); got {labels.shape}."
        raise ConfigurationError(msg)
    if clients < 1:
        msg = f"a partition needs at least 1 client; got {clients}."
        raise ConfigurationError(msg)
    if clients > len(labels):
        msg = (
            f"{clients} clients cannot share {len(labels)} samples; "
            "lower the number of clients or use a larger data set."
        )
        raise ConfigurationError(msg)
    rng = np.random.default_rng(seed)
    if scheme == "dirichlet":
        parts = _dirichlet(labels, clients, alpha, rng)
    elif scheme == "shards":
        parts = _shards(labels, clients, shards_per_client, rng)
    else:
        parts = np.array_split(rng.permutation(len(labels)), clients)
    return [np.sort(part).astype(np.int64) for part in parts]


def _dirichlet(
    labels: NDArray[np.int64], clients: int, alpha: float, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    if not (alpha > 0 and math.isfinite(alpha)):
        msg = f"alpha of the dirichlet partition must be a finite number above 0; got {alpha}."
        raise ConfigurationError(msg)
    owner = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        shares = rng.dirichlet(np.full(clients, alpha))
        cuts = np.rint(np.cumsum(shares)[:-1] * len(members)).astype(np.int64)
        for client, part in enumerate(np.split(members, cuts)):
            owner[part] = client
    _fill_empty(owner, np.bincount(owner, minlength=clients), rng)
    return [np.flatnonzero(owner == client) for client in range(clients)]


def _fill_empty(
    owner: NDArray[np.int64], counts: NDArray[np.int64], rng: np.random.Generator
) -> None:
    """Give each client without a sample one of the then largest client (ties: lowest id).

    At most one move per client; samples >= clients, so the largest always has one to spare.
    """
    for client in np.flatnonzero(counts == 0):
        donor = int(np.argmax(counts))
        owner[rng.choice(np.flatnonzero(owner == donor))] = client
        counts[donor] -= 1
        counts[client] += 1


def _shards(
    labels: NDArray[np.int64], clients: int, shards_per_client: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    shards = clients * shards_per_client
    if shards_per_client < 1 or shards > len(labels):
        msg = (
            f"{clients} clients with {shards_per_client} shards each need as many samples as "
            f"shards, and at least 1 shard each; got {len(labels)} samples. "
            "Change shards_per_client or the number of clients."
        )
        raise ConfigurationError(msg)
    pieces = np.array_split(np.argsort(labels, kind="stable"), shards)
    dealt = rng.permutation(shards).reshape(clients, shards_per_client)
    return [np.concatenate([pieces[shard] for shard in hand]) for hand in dealt]
