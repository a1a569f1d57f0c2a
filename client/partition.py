"""Who holds which samples: pure functions from labels to one index array per client.

Every sample goes to exactly one client (``long_tail`` drops some first) and every client
gets at least one. Indices are sorted; the same arguments give the same partition.

The published benchmark of Karimireddy et al. 2022 deals n - f sorted shards to the honest
clients, and IID parts of the same samples to the f hostile ones:

    partition(labels, n - f, "shards", shards_per_client=1) + outsiders(len(labels), n - f, f)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.errors import ConfigurationError, UnknownNameError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# An alpha with which the shares of all clients can still be added up.
_MOST_EQUAL = 1e300

SCHEMES = ("dirichlet", "gamma", "iid", "long_tail", "shards")


def partition(  # noqa: PLR0913 - one keyword per parameter of the schemes reads best
    labels: NDArray[np.int64],
    clients: int,
    scheme: str,
    *,
    alpha: float = 0.5,
    gamma: float = 0.5,
    shards_per_client: int = 2,
    tail_factor: float = 0.5,
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
        shards, so that a client sees few classes. Several per client are dealt at random; of
        one each, client i holds shard i.
        ``gamma``: a share ``gamma`` of the samples, drawn at random, as ``iid``; the others
        sorted by label and cut, client i the i-th piece. The sizes differ by at most one.
        ``long_tail``: what ``long_tail`` keeps of the samples, as ``iid``.
    alpha
        Concentration for ``dirichlet``, above 0; small is unequal.
    gamma
        Similarity for ``gamma``: 1 is IID, 0 is one sorted shard each.
    shards_per_client
        For ``shards``, at least 1.
    tail_factor
        For ``long_tail``, above 0 and at most 1.
    seed
        Of the shuffling.

    Returns
    -------
    list of NDArray
        For each client the sorted indices of its samples, int64, disjoint, never empty;
        together they are all samples, or, for ``long_tail``, those that it keeps.

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
    over the clients, Yurochkin et al. 2019 (arXiv:1905.12022), so that each sample is used;
    one sorted shard each and the long tail, Karimireddy et al. 2022 (arXiv:2006.09365);
    γ-similarity, Karimireddy et al. 2020, *SCAFFOLD* (arXiv:1910.06378).

    """
    if scheme not in SCHEMES:
        raise UnknownNameError("partition", scheme, SCHEMES)
    if labels.ndim != 1:
        msg = f"a partition needs labels of shape (samples,); got {labels.shape}."
        raise ConfigurationError(msg)
    if clients < 1:
        msg = f"a partition needs at least 1 client; got {clients}."
        raise ConfigurationError(msg)
    kept = kept_samples(labels, scheme, tail_factor)
    if clients > len(kept):
        msg = (
            f"{clients} clients cannot share {len(kept)} samples; "
            "lower the number of clients or use a larger data set."
        )
        raise ConfigurationError(msg)
    rng = np.random.default_rng(seed)
    if scheme == "dirichlet":
        parts = _dirichlet(labels, clients, alpha, rng)
    elif scheme == "gamma":
        parts = _gamma(labels, clients, gamma, rng)
    elif scheme == "shards":
        parts = _shards(labels, clients, shards_per_client, rng)
    else:
        parts = np.array_split(rng.permutation(kept), clients)
    return [np.sort(part).astype(np.int64) for part in parts]


def kept_samples(labels: NDArray[np.int64], scheme: str, tail_factor: float) -> NDArray[np.int64]:
    """Return which samples anybody holds: all, or what the long tail leaves; sorted indices.

    >>> kept_samples(np.array([0, 1, 1]), "iid", 0.5)
    array([0, 1, 2])
    >>> kept_samples(np.array([0, 1, 1]), "long_tail", 0.5)
    array([0, 1])
    """
    return long_tail(labels, tail_factor) if scheme == "long_tail" else np.arange(len(labels))


def long_tail(labels: NDArray[np.int64], factor: float) -> NDArray[np.int64]:
    """Return which samples stay when class i keeps the share factor^i of its own.

    Parameters
    ----------
    labels
        ``(samples,)``, integers of at least 0.
    factor
        Above 0 and at most 1.

    Returns
    -------
    NDArray
        Sorted indices, int64: of class i with c samples the first max(1, ⌊c * factor^i⌋).
        No random numbers, so that a test set can be thinned in the same way.

    Raises
    ------
    ConfigurationError
        If the factor is out of range or a label is negative.

    Example
    -------
    >>> long_tail(np.array([0, 1, 0, 1, 2, 2]), 0.5).tolist()
    [0, 1, 2, 4]

    Notes
    -----
    Source: Karimireddy et al. 2022, *Byzantine-Robust Learning on Heterogeneous Datasets via
    Bucketing* (arXiv:2006.09365), with factor 0.5 on the training and on the test set.

    """
    if not 0 < factor <= 1:
        msg = f"tail_factor of the long_tail partition must be above 0 and at most 1; got {factor}."
        raise ConfigurationError(msg)
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) and classes[0] < 0:
        msg = f"a long tail needs labels of at least 0; got {classes[0]}."
        raise ConfigurationError(msg)
    kept = np.zeros(len(labels), dtype=np.bool_)
    for label, count in zip(classes, counts, strict=True):
        kept[np.flatnonzero(labels == label)[: max(1, int(count * factor ** int(label)))]] = True
    return np.flatnonzero(kept)


def outsiders(samples: int, clients: int, count: int, *, seed: int = 0) -> list[NDArray[np.int64]]:
    """Return IID parts for clients that stand beside a partition and take nothing from it.

    In the published benchmark the hostile clients are such: they hold IID data, while the
    others share the same samples in sorted shards.

    Parameters
    ----------
    samples
        How many there are.
    clients
        Among how many clients the partition divides them; sets the size of a part.
    count
        How many clients stand beside it. From the ``clients``-th on, parts repeat.
    seed
        Of the shuffling, which is another than that of ``partition``.

    Returns
    -------
    list of NDArray
        For each outsider the sorted indices of its samples, int64.

    Raises
    ------
    ConfigurationError
        If ``clients`` is not 1 to ``samples`` or ``count`` is negative.

    Example
    -------
    >>> [len(part) for part in outsiders(100, 20, 2)]
    [5, 5]

    Notes
    -----
    Source: Karimireddy et al. 2022 (arXiv:2006.09365), the code of its experiments.

    """
    if not 1 <= clients <= samples or count < 0:
        msg = (
            "outsiders need 1 to samples clients beside them and a count of at least 0; got "
            f"clients={clients}, samples={samples} and count={count}."
        )
        raise ConfigurationError(msg)
    shuffled = np.random.default_rng((seed, 1)).permutation(samples)
    parts = np.array_split(shuffled, clients)
    return [np.sort(parts[number % clients]).astype(np.int64) for number in range(count)]


def _dirichlet(
    labels: NDArray[np.int64], clients: int, alpha: float, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    if not 0 < alpha <= _MOST_EQUAL:
        msg = (
            "alpha of the dirichlet partition must be above 0 and at most "
            f"{_MOST_EQUAL:g}; got {alpha}."
        )
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


def _gamma(
    labels: NDArray[np.int64], clients: int, gamma: float, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    if not 0 <= gamma <= 1:
        msg = f"gamma of the gamma partition must be 0 to 1; got {gamma}."
        raise ConfigurationError(msg)
    shuffled = rng.permutation(len(labels))
    similar = np.array_split(shuffled[: round(gamma * len(labels))], clients)
    others = np.sort(shuffled[sum(map(len, similar)) :])
    others = others[np.argsort(labels[others], kind="stable")]
    # Whoever got one IID sample more than the others gets one sorted sample less.
    sizes = [len(part) for part in np.array_split(shuffled, clients)]
    rest = [size - len(part) for size, part in zip(sizes, similar, strict=True)]
    pieces = np.split(others, np.cumsum(rest)[:-1])
    return [np.concatenate(pair) for pair in zip(similar, pieces, strict=True)]


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
    if shards_per_client == 1:
        return pieces
    dealt = rng.permutation(shards).reshape(clients, shards_per_client)
    return [np.concatenate([pieces[shard] for shard in hand]) for hand in dealt]
