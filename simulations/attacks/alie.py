"""A little is enough (Baruch et al. 2019): stay inside the spread of the honest updates."""

from __future__ import annotations

from statistics import NormalDist

from quickthorn.simulations.attacks.honest import copies, deviation_of, mean_of
from quickthorn.simulations.attacks.spec import AttackSpec, Forged, UnforgeableError, UpdateView


def alie(view: UpdateView, *, z: float | None = None) -> Forged:
    """Send the honest mean shifted by z honest standard deviations in every coordinate.

        x = m_H + z σ_H,   z = Φ⁻¹((n − k − s) / (n − k)),   s = ⌊n/2 + 1⌋ − k

    The k hostile members need s honest supporters for a majority. z is how far they can go
    so that, if each coordinate is normal, s of the n − k honest values lie farther out than
    theirs, which then looks like the middle.

    The plus is that of the paper; for a rule that treats a coordinate and its negative alike
    the sign does not matter. Few hostile members need more than half of the honest as
    supporters: z is then negative, and the row leans to the other side, by |z| standard
    deviations. Nothing is cut off, so that z falls smoothly as k does; give z to attack in
    another way. With more than half of all clients hostile, s ≤ 0 and no z is too large:
    there is no formula, and z has to be given.

    Parameters
    ----------
    view
        ``honest`` (h, d); k is the number of rows in ``own``, whose values do not matter.
    z
        The number of standard deviations (over h − 1); the formula's by default.

    Returns
    -------
    Forged
        (k, d) equal rows, no state. With one honest update nothing varies: its copies.

    Raises
    ------
    UnforgeableError
        If the hostile are a majority and ``z`` is not given.

    Example
    -------
    >>> import numpy as np
    >>> honest = np.array([[1.0], [2.0], [3.0]], np.float32)
    >>> alie(UpdateView(own=honest[:1], honest=honest), z=1.5).rows
    array([[3.5]], dtype=float32)

    References
    ----------
    Baruch, Baruch and Goldberg, "A Little Is Enough: Circumventing Defenses For Distributed
    Learning", NeurIPS 2019.

    """
    mean = mean_of(view.honest)
    if len(view.honest) == 1:
        return Forged(copies(mean, view))
    if z is None:
        z = supporters_z(len(view.honest) + len(view.own), len(view.own))
    return Forged(copies(mean + z * deviation_of(view.honest, mean), view))


def supporters_z(clients: int, hostile: int) -> float:
    """Return z = Φ⁻¹((n − k − s) / (n − k)) for n clients of which k are hostile.

    Raises
    ------
    UnforgeableError
        If the hostile need no supporters, or there is nobody to support them.

    Example
    -------
    >>> round(supporters_z(25, 5), 3), round(supporters_z(10, 1), 2)
    (0.253, -0.14)

    """
    honest = clients - hostile
    supporters = clients // 2 + 1 - hostile
    if not 0 < supporters < honest:
        msg = (
            f"alie has no z for {hostile} hostile of {clients} clients: it needs {supporters} of "
            f"{honest} honest supporters. Give it, as in alie(z=1.5)."
        )
        raise UnforgeableError(msg)
    return NormalDist().inv_cdf((honest - supporters) / honest)


SPEC = AttackSpec(
    name="alie",
    kind="update",
    apply=alie,
    knows="all honest updates",
    reference="Baruch et al., NeurIPS 2019",
    looks_at_own=False,
)
