"""Sybils: one poisoned update under many names (Fung et al. 2020)."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Literal

import numpy as np

from quickthorn.simulations.attacks.honest import Vector, mean_of
from quickthorn.simulations.attacks.spec import AttackSpec, Forged, UpdateView
from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray


def sybil(
    view: UpdateView, *, rng: Generator, noise: float | Literal["orthogonal"] = 0.0
) -> Forged:
    """Send one poisoned update k times, or k different ones that add up to it.

        x_i = p + s_i,   p = mean of the own,   Σ s_i = 0,   ⟨s_i, p⟩ = 0,   ‖s_i‖ = ν ‖p‖

    Copies are what FoolsGold looks for: the cosine of two of them is 1. With noise the mean
    of the members is still p, but the cosine falls to (1 − ν²/(k − 1)) / (1 + ν²), because
    the s_i point to the corners of a simplex; ``"orthogonal"``, ν = √(k − 1), makes it 0.
    The directions are drawn once and kept while as many members take part, so that a defense
    that adds updates up over the rounds sees them add up, too.

    Parameters
    ----------
    view
        ``own`` (k, d), usually after an attack on data, and ``state``.
    rng
        Draws (k − 1) × d numbers in the first round with noise, and where k is another than in
        the round before.
    noise
        ν ≥ 0, or ``"orthogonal"``. A model with fewer than k weights has room for fewer
        directions, and the cosines fall less; a single member sends p.

    Returns
    -------
    Forged
        (k, d) rows. State with noise: ``directions`` (k − 1, d).

    Raises
    ------
    ConfigurationError
        If ``noise`` is negative.

    Example
    -------
    >>> own = np.array([[1.0, 0.0, 0.0, 0.0]] * 3, np.float32)
    >>> view = UpdateView(own=own, honest=own[:0])
    >>> rows = sybil(view, rng=np.random.default_rng(0), noise="orthogonal").rows
    >>> (rows @ rows.T).round(3) + 0.0, rows.mean(axis=0).round(3) + 0.0
    (array([[3., 0., 0.],
           [0., 3., 0.],
           [0., 0., 3.]], dtype=float32), array([1., 0., 0., 0.], dtype=float32))

    References
    ----------
    Fung, Yoon and Beschastnikh, "The Limitations of Federated Learning in Sybil Settings",
    RAID 2020 (FoolsGold, and sybils that perturb their updates).

    """
    if noise != "orthogonal" and noise < 0:
        msg = f"noise of sybil must be 0 or more, or 'orthogonal'; got {noise}."
        raise ConfigurationError(msg)
    poison = mean_of(view.own)
    k, d = view.own.shape
    rows = np.tile(poison, (k, 1))
    if k == 1 or not noise:
        return Forged(rows.astype(view.own.dtype), view.state)
    directions = np.zeros((0, d)) if view.state is None else view.state["directions"]
    is_first = directions.shape != (k - 1, d)
    if is_first:
        directions = rng.standard_normal((k - 1, d))
    basis, signs = _across(directions, poison)
    if is_first:
        directions[: len(signs)] *= signs
    else:
        basis *= signs
    ratio = sqrt(k - 1) if noise == "orthogonal" else noise
    corners = _simplex(k)[:, : len(basis)]
    rows += ratio * float(np.linalg.norm(poison)) * corners @ basis
    return Forged(rows.astype(view.own.dtype), {"directions": directions})


def _across(
    directions: NDArray[np.float64], poison: Vector
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return orthonormal rows in the span of the directions, orthogonal to ``poison``.

    And, as a column, the sign of each against its direction, which QR leaves open.
    """
    square = float(poison @ poison)
    if square:
        directions = directions - np.outer(directions @ poison / square, poison)
    room = len(poison) - bool(square)
    basis, lengths = np.linalg.qr(directions[:room].T)
    return basis.T, np.copysign(1.0, np.diag(lengths))[:, None]


def _simplex(k: int) -> NDArray[np.float64]:
    """Return the k corners of a regular simplex, unit vectors with the sum 0, (k, k − 1)."""
    centered = np.eye(k) - 1.0 / k
    corners: NDArray[np.float64] = np.linalg.svd(centered)[0][:, : k - 1]
    return corners * sqrt(k / (k - 1))


SPEC = AttackSpec(
    name="sybil",
    kind="update",
    apply=sybil,
    knows="own data",
    reference="Fung et al., RAID 2020",
)
