"""NaN or infinity: what one such value does to whoever does not look."""

from __future__ import annotations

from typing import Literal

import numpy as np

from quickthorn.simulations.attacks.spec import AttackSpec, Forged, UpdateView


def not_finite(view: UpdateView, *, kind: Literal["nan", "inf"] = "nan") -> Forged:
    """Send values that are no numbers.

        x_j = NaN,   or ∞

    A server that admits such an update loses its model in one round, whatever the rule. Here
    it becomes a verdict.

    Parameters
    ----------
    view
        ``own`` (k, d), of which only the shape matters.
    kind
        What every coordinate is.

    Returns
    -------
    Forged
        (k, d) rows, no state.

    Example
    -------
    >>> own = np.ones((1, 2), np.float32)
    >>> not_finite(UpdateView(own=own, honest=own), kind="inf").rows
    array([[inf, inf]], dtype=float32)

    References
    ----------
    No paper: a crash, or a client that tries.

    """
    return Forged(np.full_like(view.own, float(kind)))


SPEC = AttackSpec(
    name="not_finite",
    kind="update",
    apply=not_finite,
    knows="own data",
    reference="no paper: a crash, or a client that tries",
    looks_at_own=False,
    by_row=True,
)
