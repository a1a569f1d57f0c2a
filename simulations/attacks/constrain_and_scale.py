"""Constrain and scale (Bagdasaryan et al. 2020): boost, but only up to a norm that passes."""

from __future__ import annotations

from typing import Literal

import numpy as np

from quickthorn.simulations.attacks.model_replacement import boost
from quickthorn.simulations.attacks.spec import AttackSpec, Forged, UpdateView
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.kernels.rows import row_norms


def constrain_and_scale(
    view: UpdateView, *, bound: float | Literal["honest", "own"] = "honest", rate: float = 1.0
) -> Forged:
    """Boost each own update to the largest norm that does not stand out.

        x_i = γ_i g_i,   γ_i = min(S / ‖g_i‖, n / (η k))

    A boost beyond model replacement would overshoot, so that is the other limit. This is the
    part of the paper that needs no training, train-and-scale: the model is trained without
    a constraint (by the attack on data before this one), and its update is scaled to the
    norm S. The other part, a loss (1 − α) that keeps the model close to what a detector
    expects while it trains, is not implemented.

    Parameters
    ----------
    view
        ``own`` (k, d), usually after an attack on data; ``honest`` (h, d).
    bound
        S > 0 in the unit of the updates, or the largest norm among the ``honest`` updates or
        among the members' ``own``.
    rate
        η > 0, the server's learning rate.

    Returns
    -------
    Forged
        (k, d) rows, no state. An update of zeros stays one.

    Raises
    ------
    ConfigurationError
        If ``bound`` or ``rate`` is not positive.

    Example
    -------
    >>> own, honest = np.array([[0.0, 1.0]], np.float32), np.array([[3.0, 4.0]] * 9, np.float32)
    >>> constrain_and_scale(UpdateView(own=own, honest=honest)).rows
    array([[0., 5.]], dtype=float32)

    References
    ----------
    Bagdasaryan et al., "How To Backdoor Federated Learning", AISTATS 2020
    (arXiv:1807.00459): constrain-and-scale, and its form train-and-scale.

    """
    for name, value in (("bound", bound), ("rate", rate)):
        if not isinstance(value, str) and value <= 0:
            msg = f"{name} of constrain_and_scale must be above 0; got {value}."
            raise ConfigurationError(msg)
    norms = row_norms(view.own)
    if isinstance(bound, str):
        bound = float((norms if bound == "own" else row_norms(view.honest)).max())
    reach = np.divide(bound, norms, out=np.zeros_like(norms), where=norms > 0)
    factors = np.minimum(reach, boost(view, rate))
    return Forged((view.own * factors[:, None]).astype(view.own.dtype))


SPEC = AttackSpec(
    name="constrain_and_scale",
    kind="update",
    apply=constrain_and_scale,
    knows="all honest updates",
    reference="Bagdasaryan et al., AISTATS 2020",
)
