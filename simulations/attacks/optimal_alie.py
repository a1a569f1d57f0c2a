"""ALIE with the z that hurts this defense most (Shejwalkar and Houmansadr 2021)."""

from __future__ import annotations

from quickthorn.simulations.attacks.honest import copies, deviation_of, mean_of
from quickthorn.simulations.attacks.oracle import check_search, damage_along, worst_tau
from quickthorn.simulations.attacks.spec import AttackSpec, Forged, UpdateView


def optimal_alie(view: UpdateView, *, evaluations: int = 20, step: float = 10.0) -> Forged:
    """Shift the honest mean by as many deviations as move the defense's answer most.

        x = m_H + τ σ_H,   τ ≈ argmax_{τ ≥ 0} ‖A(H, x, …, x) − m_H‖

    The defense is asked ``evaluations`` times: τ grows from 0 by steps that double while it
    gets worse, then closes in by steps that shrink by 0.8. A row that the server would not
    admit, for its length, is never sent. Where every rule of the defense
    follows from inner products, a question costs O(n³) at most and does not depend on d;
    before the first, the updates are read once. A coordinate-wise rule (``median``,
    ``trimmed_mean``, ``bulyan``, …) is asked with whole rows, O(n d) and more each.

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
    >>> optimal_alie(UpdateView(own=honest[:1], honest=honest, defense=mean), evaluations=3).rows
    array([[32.]], dtype=float32)

    References
    ----------
    Shejwalkar and Houmansadr, "Manipulating the Byzantine", NDSS 2021 (an attack tailored to
    the rule); Allouah et al., "Fixing by Mixing", AISTATS 2023 (the search over the factor of
    ALIE and of fall of empires).

    """
    check_search("optimal_alie", evaluations, step)
    mean = mean_of(view.honest)
    direction = deviation_of(view.honest, mean)
    tau = worst_tau(damage_along(view, direction), evaluations=evaluations, step=step)
    return Forged(copies(mean + tau * direction, view))


SPEC = AttackSpec(
    name="optimal_alie",
    kind="update",
    apply=optimal_alie,
    knows="the defense",
    reference="Shejwalkar and Houmansadr, NDSS 2021; Allouah et al., AISTATS 2023",
    looks_at_own=False,
)
