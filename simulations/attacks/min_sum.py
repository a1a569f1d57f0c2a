"""Min-Sum (Shejwalkar and Houmansadr 2021): no farther from all than the loneliest honest one."""

from __future__ import annotations

import numpy as np

from quickthorn.simulations.attacks.distances import Deviation, away, offsets
from quickthorn.simulations.attacks.honest import copies, mean_of
from quickthorn.simulations.attacks.spec import AttackSpec, Forged, UpdateView
from quickthorn.strategies.kernels.pairwise import squared_distances


def min_sum(view: UpdateView, *, deviation: Deviation = "std") -> Forged:
    """Leave the honest mean as far as the largest sum of squared honest distances allows.

        x = m_H + γ p,   the largest γ with   Σ_i ‖x − x_i‖² ≤ max_i Σ_j ‖x_i − x_j‖²

    Squared distances here, unsquared ones in Min-Max, as in the paper. The paper bisects for
    γ; the slopes of the h quadratics in γ cancel about the mean, so the largest feasible γ is
    one root: the value to which the bisection converges.

    Parameters
    ----------
    view
        ``honest`` (h, d).
    deviation
        p: ``std`` −σ_H, ``unit`` −m_H / ‖m_H‖, or ``sign`` −sign(m_H).

    Returns
    -------
    Forged
        (k, d) equal rows, no state. With one honest update, or equal ones, γ is 0.

    Example
    -------
    >>> honest = np.array([[1.0], [2.0], [3.0]], np.float32)
    >>> min_sum(UpdateView(own=honest[:1], honest=honest), deviation="sign").rows
    array([[1.]], dtype=float32)

    References
    ----------
    Shejwalkar and Houmansadr, "Manipulating the Byzantine: Optimizing Model Poisoning Attacks
    and Defenses for Federated Learning", NDSS 2021 (AGR-agnostic attacks).

    """
    mean = mean_of(view.honest)
    direction = away(view.honest, mean, deviation)
    squares, _ = offsets(view.honest, mean, direction)
    limit = float(squared_distances(view.honest).sum(axis=1).max())
    square = len(view.honest) * float(direction @ direction)
    room = max(limit - float(squares.sum()), 0.0)
    gamma = float(np.sqrt(room / square)) if square else 0.0
    return Forged(copies(mean + gamma * direction, view))


SPEC = AttackSpec(
    name="min_sum",
    kind="update",
    apply=min_sum,
    knows="all honest updates",
    reference="Shejwalkar and Houmansadr, NDSS 2021",
    looks_at_own=False,
)
