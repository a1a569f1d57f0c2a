"""Constrain and scale (Bagdasaryan et al. 2020): train near, boost up to a norm that passes."""

from __future__ import annotations

from typing import Literal

import numpy as np

from quickthorn.simulations.attacks.model_replacement import boost
from quickthorn.simulations.attacks.spec import AttackSpec, Forged, UpdateView
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.kernels.rows import row_norms


def constrain_and_scale(
    view: UpdateView,
    *,
    bound: float | Literal["honest", "own"] = "honest",
    rate: float = 1.0,
    alpha: float = 1.0,  # noqa: ARG001 - its members' training uses it
) -> Forged:
    """Train close to the model that was sent, then boost to a norm that does not stand out.

        min over w_i of  α L(w_i) + (1 − α) ‖w_i − w₀‖²,   g_i = w_i − w₀
        x_i = γ_i g_i,   γ_i = min(S / ‖g_i‖, n / (η k))

    The members train on what the attack on data before this one leaves them, from the model w₀
    that was sent, as all others do but for the loss: L is the usual one, the mean cross-entropy
    of a batch in nats, and the squared Euclidean distance over all trained weights stands for
    what an anomaly detector sees. A boost beyond model replacement would overshoot, so n / (η k)
    is the other limit. With ``alpha`` 1 nothing constrains the training: the authors call that
    train-and-scale. With a ``bound`` that is never reached, the row is the boosted model of a
    constrained training alone: then a smaller α makes it shorter, where up to the bound it
    only turns it.

    Parameters
    ----------
    view
        ``own`` (k, d), usually after an attack on data; ``honest`` (h, d).
    bound
        S > 0 in the unit of the updates, or the largest norm among the ``honest`` updates or
        among the members' ``own``. Only with ``honest`` does it need to know these.
    rate
        η > 0, the server's learning rate.
    alpha
        α, above 0 and at most 1; for the training alone.

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
    (arXiv:1807.00459): constrain-and-scale, and its form train-and-scale. The code that its
    authors published weighs the two terms so, with the distance itself, not its square, as the
    second: the same α does not mean the same there. It also trains longer, at rates of its own.

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
    loss_weight="alpha",
    reference="Bagdasaryan et al., AISTATS 2020",
    knows_by="bound",
)
