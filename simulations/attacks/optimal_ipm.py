"""Inner product manipulation with the ε that hurts this defense most."""

from __future__ import annotations

from quickthorn.simulations.attacks.honest import copies, mean_of
from quickthorn.simulations.attacks.oracle import check_search, damage_along, worst_tau
from quickthorn.simulations.attacks.spec import AttackSpec, Forged, UpdateView


def optimal_ipm(view: UpdateView, *, evaluations: int = 20, step: float = 10.0) -> Forged:
    """Send the multiple of the honest mean, from 1 downward, that moves the answer most.

        x = m_H − τ m_H,   τ ≈ argmax_{τ ≥ 0} ‖A(H, x, …, x) − m_H‖

    With ε = τ − 1 this is inner product manipulation, x = −ε m_H. The search and its cost are
    those of ``optimal_alie``.

    Parameters
    ----------
    view
        ``honest`` (h, d) and ``defense``, an ``Oracle`` or any function.
    evaluations
        At least 1; with 1 the row is the mean.
    step
        The first step of τ, above 0.

    Returns
    -------
    Forged
        (k, d) equal rows, no state.

    Raises
    ------
    ConfigurationError
        If a parameter is out of its range.

    Example
    -------
    >>> import numpy as np
    >>> honest = np.array([[1.0], [2.0], [3.0]], np.float32)
    >>> mean = lambda values: values.mean(axis=0)
    >>> optimal_ipm(UpdateView(own=honest[:1], honest=honest, defense=mean), evaluations=3).rows
    array([[-58.]], dtype=float32)

    References
    ----------
    Xie, Koyejo and Gupta, "Fall of Empires", UAI 2019; Allouah et al., "Fixing by Mixing",
    AISTATS 2023 (the search over the factor of ALIE and of fall of empires).

    """
    check_search("optimal_ipm", evaluations, step)
    mean = mean_of(view.honest)
    tau = worst_tau(damage_along(view, -mean), evaluations=evaluations, step=step)
    return Forged(copies(mean - tau * mean, view))


SPEC = AttackSpec(
    name="optimal_ipm",
    kind="update",
    apply=optimal_ipm,
    knows="the defense",
    reference="Xie et al., UAI 2019; Allouah et al., AISTATS 2023",
    looks_at_own=False,
)
