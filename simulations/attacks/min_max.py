"""Min-Max (Shejwalkar and Houmansadr 2021): no farther from anyone than two honest are apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.simulations.attacks.distances import Deviation, away, offsets
from quickthorn.simulations.attacks.honest import copies, mean_of
from quickthorn.simulations.attacks.spec import AttackSpec, Forged, UpdateView
from quickthorn.strategies.kernels.pairwise import squared_distances

if TYPE_CHECKING:
    from numpy.typing import NDArray


def min_max(view: UpdateView, *, deviation: Deviation = "std") -> Forged:
    """Leave the honest mean as far as the largest distance between two honest updates allows.

        x = m_H + γ p,   the largest γ with   max_i ‖x − x_i‖ ≤ max_ij ‖x_i − x_j‖

    The paper bisects for γ. Each ‖x − x_i‖² is a quadratic in γ, so the largest feasible γ is
    the smallest of h roots: the value to which the bisection converges, from its feasible
    side, without reading the updates again.

    Parameters
    ----------
    view
        ``honest`` (h, d).
    deviation
        p: ``std`` −σ_H, ``unit`` −m_H / ‖m_H‖, or ``sign`` −sign(m_H). The paper chooses by
        the data set.

    Returns
    -------
    Forged
        (k, d) equal rows, no state. With one honest update, or equal ones, γ is 0.

    Example
    -------
    >>> honest = np.array([[1.0], [2.0], [3.0]], np.float32)
    >>> min_max(UpdateView(own=honest[:1], honest=honest), deviation="sign").rows
    array([[1.]], dtype=float32)

    References
    ----------
    Shejwalkar and Houmansadr, "Manipulating the Byzantine: Optimizing Model Poisoning Attacks
    and Defenses for Federated Learning", NDSS 2021 (AGR-agnostic attacks).

    """
    mean = mean_of(view.honest)
    direction = away(view.honest, mean, deviation)
    squares, slopes = offsets(view.honest, mean, direction)
    limit = float(squared_distances(view.honest).max())
    gamma = _largest(squares - limit, slopes, float(direction @ direction))
    return Forged(copies(mean + gamma * direction, view))


def _largest(rest: NDArray[np.float64], slopes: NDArray[np.float64], square: float) -> float:
    """Return the largest γ ≥ 0 with c_i + 2 γ b_i + γ² ‖p‖² ≤ 0 for all i; every c_i ≤ 0."""
    if square == 0.0:
        return 0.0
    room = np.maximum(-rest, 0.0)
    roots = np.sqrt(slopes**2 + square * room)
    # The form without cancellation on either side of b = 0.
    below = np.where(slopes > 0.0, roots + slopes, 1.0)
    gammas = np.where(slopes > 0.0, room / below, (roots - slopes) / square)
    return float(gammas.min())


SPEC = AttackSpec(
    name="min_max",
    kind="update",
    apply=min_max,
    knows="all honest updates",
    reference="Shejwalkar and Houmansadr, NDSS 2021",
    looks_at_own=False,
)
