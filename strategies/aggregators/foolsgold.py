"""FoolsGold (Fung et al. 2020): clients that push the same way, round after round, count less."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quickthorn.strategies.errors import ConfigurationError, UpdateError
from quickthorn.strategies.kernels.angles import cosine_matrix
from quickthorn.strategies.kernels.history import add_to_history
from quickthorn.strategies.kernels.rows import combine
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.supply import check_state
from quickthorn.strategies.updates import Aggregate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.rows import Rows
    from quickthorn.strategies.updates import Array

# A cosine that differs from 1 by less than this differs by rounding.
_ALIKE = 1e-9


def foolsgold(
    values: Rows,
    *,
    clients: tuple[str, ...],
    state: Mapping[str, Any] | None,
    confidence: float = 1.0,
) -> Aggregate:
    """Average the updates, each by how little its client's history resembles another's.

        c_ij = cos(H_i, H_j),   v_i = max(max_{j≠i} c_ij, 0),   c_ij ← c_ij v_i / v_j if v_j > v_i
        α_i = 1 − max(max_j c_ij, 0),   α_i ← α_i / max α
        w_i = κ (ln(α_i / (1 − α_i)) + 1/2), cut to [0, 1],   A(x) = Σ w_i x_i / Σ w_i

    H_i is the sum of all updates of client i so far. Sybils share a goal and so a direction;
    the second step pardons an honest client that only resembles somebody more similar still.
    It needs at least two sybils: a single liar looks like nobody and has full weight. On equal
    (IID) data honest clients look alike and pay for it. It limits no length: put clipping
    before it.

    The paper has the sum Σ w_i x_i, which changes the size of the step by up to n; we divide by
    Σ w_i, so that no learning rate has to be tuned anew. There a negative v_i turns the sign of
    c_ij; here nobody is less similar than 0. All coordinates count alike (the paper also
    tries the output layer alone). Where everybody has a double, all weights would be
    0 / 0, and the result is the mean.

    Parameters
    ----------
    values
        (n, d) updates; at least f + 1, so that one of them is honest.
    clients
        n ids, to whom the histories belong.
    state
        ``{"clients": (m,) ids, "history": (m, d)}`` of the round before, None in the first: the
        histories of all clients that ever took part, in the dtype of the updates.
    confidence
        κ > 0; larger makes the step from no weight to full weight steeper.

    Returns
    -------
    Aggregate
        (d,) vector, influence w_i / Σ w_i, and the state: a new array, while the old one stays.

    Raises
    ------
    ConfigurationError
        If ``confidence`` is not positive.
    UpdateError
        If the state is of another length than the updates, or no state of this rule.

    Example
    -------
    >>> rows = np.array([[1.0, 0.1], [0.1, 1.0], [-1.0, -1.0], [-1.0, -1.0]])
    >>> foolsgold(rows, clients=("a", "b", "c", "d"), state=None).influence
    array([0.5, 0.5, 0. , 0. ])

    References
    ----------
    Fung, Yoon and Beschastnikh, "The Limitations of Federated Learning in Sybil Settings",
    RAID 2020, Algorithm 1; arXiv:1808.04866.

    """
    if confidence <= 0:
        msg = f"confidence of foolsgold must be above 0; got {confidence}."
        raise ConfigurationError(msg)
    names, history = _remember(values, clients, state)
    weights = dissimilarity(cosine_matrix(history[: len(values)]), confidence)
    influence = weights / weights.sum()
    vector = combine(influence[None, :], values)[0]
    return Aggregate(vector, influence, {"clients": names, "history": history})


def dissimilarity(cosines: NDArray[np.float64], confidence: float = 1.0) -> NDArray[np.float64]:
    """Return the n weights from 0 to 1 that follow from the (n, n) cosines of the histories.

    >>> dissimilarity(np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    array([0., 0., 1.])
    """
    others = cosines.copy()
    np.fill_diagonal(others, 0.0)
    largest = np.maximum(others.max(axis=1), 0.0)
    above = np.maximum(largest[:, None], largest)
    pardon = np.divide(largest[:, None], above, out=np.ones_like(others), where=above > 0.0)
    alpha = 1.0 - np.maximum((others * pardon).max(axis=1), 0.0)
    alpha[alpha < _ALIKE] = 0.0
    if not alpha.any():
        return np.ones(len(alpha))
    alpha /= alpha.max()
    with np.errstate(divide="ignore"):
        logit = np.log(alpha) - np.log1p(-alpha)
    weights: NDArray[np.float64] = np.clip(confidence * (logit + 0.5), 0.0, 1.0)
    return weights


def _remember(
    values: Rows, clients: tuple[str, ...], state: Mapping[str, Any] | None
) -> tuple[NDArray[np.str_], Array]:
    """Return all names and histories, those of this round's clients first, in their order."""
    d = values.shape[1]
    check_state(state, "clients", "history", who="foolsgold")
    known = [] if state is None else [str(name) for name in state["clients"]]
    before = None if state is None else state["history"]
    if before is not None and before.shape != (len(known), d):
        msg = (
            f"the state of foolsgold holds histories of shape {before.shape}, the updates have "
            f"{d} columns; pass the state of the same model, or None to begin anew."
        )
        raise UpdateError(msg)
    place = {name: row for row, name in enumerate(known)}
    absent = [row for row, name in enumerate(known) if name not in set(clients)]
    history = add_to_history(values, before, [place.get(name) for name in clients], absent)
    names = np.array([*clients, *(known[row] for row in absent)], np.str_)
    return names, history


SPEC = Spec(
    name="foolsgold",
    kind="aggregator",
    apply=foolsgold,
    min_clients=lambda byzantine: byzantine + 1,
    traits=frozenset({"scale", "rotation"}),
    complexity="O(n² d), and a history of n d numbers for all n clients there ever were",
    reference="Fung et al., RAID 2020",
)
