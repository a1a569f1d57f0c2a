"""Gaussian noise instead of an update."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.simulations.attacks.spec import AttackSpec, Forged, UpdateView
from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    from numpy.random import Generator


def gaussian(
    view: UpdateView, *, rng: Generator, mean: float = 0.0, deviation: float = 1.0
) -> Forged:
    """Send independent normal noise that has nothing to do with the data.

        x_ij ~ N(μ, σ²)

    Parameters
    ----------
    view
        ``own`` (k, d), of which only the shape matters.
    rng
        Draws k × d numbers, another row for each member.
    mean
        μ, in the unit of the updates.
    deviation
        σ, above 0, in the unit of the updates; honest deltas are usually far smaller than 1.

    Returns
    -------
    Forged
        (k, d) rows, no state.

    Raises
    ------
    ConfigurationError
        If ``deviation`` is not positive.

    Example
    -------
    >>> own = np.zeros((2, 1000), np.float32)
    >>> view = UpdateView(own=own, honest=own[:0])
    >>> rows = gaussian(view, rng=np.random.default_rng(0), deviation=3.0).rows
    >>> bool(abs(rows.std() - 3) < 0.1)
    True

    References
    ----------
    Blanchard et al., "Machine Learning with Adversaries: Byzantine Tolerant Gradient
    Descent", NeurIPS 2017 (its Gaussian Byzantine workers).

    """
    if deviation <= 0:
        msg = f"deviation of gaussian must be above 0; got {deviation}."
        raise ConfigurationError(msg)
    rows = np.empty_like(view.own)
    rows[:] = rng.standard_normal(rows.shape, np.float32)
    rows *= np.float32(deviation)
    rows += np.float32(mean)
    return Forged(rows)


SPEC = AttackSpec(
    name="gaussian",
    kind="update",
    apply=gaussian,
    knows="own data",
    reference="Blanchard et al., NeurIPS 2017",
    looks_at_own=False,
)
