"""Sign flip: send the opposite of what was learned."""

from __future__ import annotations

from quickthorn.simulations.attacks.spec import AttackSpec, Forged, UpdateView


def sign_flip(view: UpdateView) -> Forged:
    """Send the negative of one's own update.

        x_i = −g_i

    Each hostile member negates the delta that it learned itself: neither the weights nor the
    mean of the honest updates.

    Parameters
    ----------
    view
        ``own`` (k, d).

    Returns
    -------
    Forged
        (k, d) rows, no state.

    Example
    -------
    >>> import numpy as np
    >>> own = np.array([[1.0, -2.0]], np.float32)
    >>> sign_flip(UpdateView(own=own, honest=own[:0])).rows
    array([[-1.,  2.]], dtype=float32)

    References
    ----------
    Li et al., "RSA: Byzantine-Robust Stochastic Aggregation Methods for Distributed Learning
    from Heterogeneous Datasets", AAAI 2019 (the sign-flipping attack).

    """
    return Forged(-view.own)


SPEC = AttackSpec(
    name="sign_flip",
    kind="update",
    apply=sign_flip,
    knows="own data",
    reference="Li et al., AAAI 2019",
    by_row=True,
)
