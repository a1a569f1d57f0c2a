"""Fang's attack on the trimmed mean and the median (Fang et al. 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from quickthorn.simulations.attacks.honest import deviation_of, mean_of
from quickthorn.simulations.attacks.spec import AttackSpec, Forged, UpdateView
from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    from numpy.random import Generator

    from quickthorn.simulations.attacks.honest import Vector
    from quickthorn.simulations.attacks.spec import Rows

# With partial knowledge, how many deviations beyond the mean: where a normal value is rare.
_NEAR, _FAR = 3.0, 4.0


def fang_trimmed_mean(
    view: UpdateView,
    *,
    rng: Generator,
    knowledge: Literal["full", "partial"] = "full",
    stretch: float = 2.0,
) -> Forged:
    """Send values just beyond the honest ones, on the side from which the model comes.

        m_j > 0:  x_j ~ U[min_j / b, min_j] if min_j > 0, else U[b min_j, min_j]
        m_j ≤ 0:  x_j ~ U[max_j, b max_j] if max_j > 0, else U[max_j, max_j / b]

    Trimming then takes honest values from the far side. Every coordinate is attacked, in
    either direction. The paper forges weights; on deltas the same interval is as far beyond
    the honest values, in their own scale.

    Parameters
    ----------
    view
        ``honest`` (h, d) or ``own`` (k, d).
    rng
        Draws k × d numbers.
    knowledge
        ``full``: min, max and mean are those of the honest updates. ``partial``: mean and
        deviation are those of the members' own, and x_j ~ U[m_j − 4σ_j, m_j − 3σ_j] or
        U[m_j + 3σ_j, m_j + 4σ_j]; σ is 0 for a single member, who then sends its own.
    stretch
        b, above 1; with full knowledge only.

    Returns
    -------
    Forged
        (k, d) rows, no state.

    Raises
    ------
    ConfigurationError
        If ``stretch`` is not above 1.

    Example
    -------
    >>> honest = np.array([[1.0, -2.0], [2.0, -1.0]], np.float32)
    >>> view = UpdateView(own=honest[:1], honest=honest)
    >>> low, high = fang_trimmed_mean(view, rng=np.random.default_rng(0)).rows[0].tolist()
    >>> 0.5 <= low <= 1.0, -1.0 <= high <= -0.5
    (True, True)

    References
    ----------
    Fang, Cao, Jia and Gong, "Local Model Poisoning Attacks to Byzantine-Robust Federated
    Learning", USENIX Security 2020 (the attack on the trimmed mean; b = 2).

    """
    if stretch <= 1:
        msg = f"stretch of fang_trimmed_mean must be above 1; got {stretch}."
        raise ConfigurationError(msg)
    if knowledge == "full":
        near, far = _beyond_all(view.honest, stretch)
    else:
        mean = mean_of(view.own)
        side = np.where(mean > 0.0, -deviation_of(view.own, mean), deviation_of(view.own, mean))
        near, far = mean + _NEAR * side, mean + _FAR * side
    rows = np.empty_like(view.own)
    for row in rows:
        row[:] = near + rng.random(len(near)) * (far - near)
    return Forged(rows)


def _beyond_all(honest: Rows, stretch: float) -> tuple[Vector, Vector]:
    """Return the ends of the interval of each coordinate, the one at the honest values first."""
    positive = mean_of(honest) > 0.0
    near = np.where(positive, honest.min(axis=0), honest.max(axis=0)).astype(np.float64)
    outward = (near > 0.0) != positive  # away from zero, or toward it
    return near, np.where(outward, near * stretch, near / stretch)


SPEC = AttackSpec(
    name="fang_trimmed_mean",
    kind="update",
    apply=fang_trimmed_mean,
    knows="all honest updates",
    reference="Fang et al., USENIX Security 2020",
    knows_by="knowledge",
)
