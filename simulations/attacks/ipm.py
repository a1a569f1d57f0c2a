"""Inner product manipulation, also called fall of empires (Xie et al. 2019)."""

from __future__ import annotations

from quickthorn.simulations.attacks.honest import copies, mean_of
from quickthorn.simulations.attacks.spec import AttackSpec, Forged, UpdateView
from quickthorn.strategies.errors import ConfigurationError


def ipm(view: UpdateView, *, epsilon: float = 0.1) -> Forged:
    """Send a multiple of the negative honest mean.

        x = −ε m_H

    A small ε hides among honest updates and turns the inner product of the result with the
    honest mean negative where a rule picks single updates; against the mean of all n it
    takes ε > (n − k)/k.

    Parameters
    ----------
    view
        ``honest`` (h, d).
    epsilon
        ε, above 0; 0.1 and 0.5 are stealthy, 100 is not.

    Returns
    -------
    Forged
        (k, d) equal rows, no state.

    Raises
    ------
    ConfigurationError
        If ``epsilon`` is not positive.

    Example
    -------
    >>> import numpy as np
    >>> honest = np.array([[1.0], [3.0]], np.float32)
    >>> ipm(UpdateView(own=honest[:1], honest=honest), epsilon=0.5).rows
    array([[-1.]], dtype=float32)

    References
    ----------
    Xie, Koyejo and Gupta, "Fall of Empires: Breaking Byzantine-tolerant SGD by Inner Product
    Manipulation", UAI 2019.

    """
    if epsilon <= 0:
        msg = f"epsilon of ipm must be above 0; got {epsilon}."
        raise ConfigurationError(msg)
    return Forged(copies(-epsilon * mean_of(view.honest), view))


SPEC = AttackSpec(
    name="ipm",
    kind="update",
    apply=ipm,
    knows="all honest updates",
    reference="Xie et al., UAI 2019",
    looks_at_own=False,
)
