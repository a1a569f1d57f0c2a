"""Zero: send nothing, and slow everybody down."""

from __future__ import annotations

import numpy as np

from quickthorn.simulations.attacks.spec import AttackSpec, Forged, UpdateView


def zero(view: UpdateView) -> Forged:
    """Send an update of zeros.

        x = 0

    Parameters
    ----------
    view
        ``own`` (k, d), of which only the shape matters.

    Returns
    -------
    Forged
        (k, d) zeros, no state.

    Example
    -------
    >>> own = np.ones((1, 2), np.float32)
    >>> zero(UpdateView(own=own, honest=own)).rows
    array([[0., 0.]], dtype=float32)

    References
    ----------
    No paper: the weakest thing to send, with which others compare.

    """
    return Forged(np.zeros_like(view.own))


SPEC = AttackSpec(
    name="zero",
    kind="update",
    apply=zero,
    knows="own data",
    reference="no paper: the weakest thing to send",
    looks_at_own=False,
    by_row=True,
)
