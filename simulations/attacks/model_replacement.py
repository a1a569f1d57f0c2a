"""Model replacement (Bagdasaryan et al. 2020): boost the update until the average is yours."""

from __future__ import annotations

from quickthorn.simulations.attacks.scaling import scaling
from quickthorn.simulations.attacks.spec import AttackSpec, Forged, UpdateView
from quickthorn.strategies.errors import ConfigurationError


def model_replacement(view: UpdateView, *, rate: float = 1.0) -> Forged:
    """Boost the own updates so that their average replaces the model.

        x_i = n / (η k) · g_i

    If the honest updates cancel, as they do near convergence, the mean of all n is then
    (1/η) times the mean of the members' own, and a server that adds η times that ends at the
    hostile model. The boost is shared evenly by the k members.

    Parameters
    ----------
    view
        ``own`` (k, d), usually after an attack on data; n is ``cohort``.
    rate
        η > 0, the server's learning rate.

    Returns
    -------
    Forged
        (k, d) rows, no state.

    Raises
    ------
    ConfigurationError
        If ``rate`` is not positive.

    Example
    -------
    >>> import numpy as np
    >>> own = np.array([[1.0], [2.0]], np.float32)
    >>> model_replacement(UpdateView(own=own, honest=own[:0], cohort=10)).rows
    array([[ 5.],
           [10.]], dtype=float32)

    References
    ----------
    Bagdasaryan et al., "How To Backdoor Federated Learning", AISTATS 2020
    (arXiv:1807.00459), equation 3.

    """
    if rate <= 0:
        msg = f"rate of model_replacement must be above 0; got {rate}."
        raise ConfigurationError(msg)
    return scaling(view, factor=boost(view, rate))


def boost(view: UpdateView, rate: float) -> float:
    """Return n / (η k).

    >>> import numpy as np
    >>> own = np.zeros((2, 1), np.float32)
    >>> boost(UpdateView(own=own, honest=own), rate=0.5)
    4.0
    """
    return view.cohort / (rate * len(view.own))


SPEC = AttackSpec(
    name="model_replacement",
    kind="update",
    apply=model_replacement,
    knows="own data",
    reference="Bagdasaryan et al., AISTATS 2020",
)
