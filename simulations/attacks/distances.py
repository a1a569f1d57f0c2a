"""How far a forged row may leave the honest mean: the shared part of Min-Max and Min-Sum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from quickthorn.simulations.attacks.honest import Vector, deviation_of
from quickthorn.strategies.kernels.blocks import column_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.simulations.attacks.spec import Rows

Deviation: TypeAlias = Literal["std", "unit", "sign"]


def away(honest: Rows, mean: Vector, deviation: Deviation) -> Vector:
    """Return the (d,) direction p in which the forged row m_H + γ p leaves the mean.

    ``std`` −σ_H, ``unit`` −m_H / ‖m_H‖, ``sign`` −sign(m_H).

    >>> away(np.array([[3.0, -4.0]], np.float32), np.array([3.0, -4.0]), "unit")
    array([-0.6,  0.8])
    """
    if deviation == "std":
        return -deviation_of(honest, mean)
    if deviation == "sign":
        return -np.sign(mean)
    length = float(np.linalg.norm(mean))
    return -mean / length if length else -mean


def offsets(
    honest: Rows, mean: Vector, direction: Vector
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the (h,) ‖m_H − x_i‖² and the (h,) ⟨p, m_H − x_i⟩.

    With them, and with ‖p‖², the distance to any forged row on the line is known:
    ‖m_H + γ p − x_i‖² = ‖m_H − x_i‖² + 2 γ ⟨p, m_H − x_i⟩ + γ² ‖p‖².
    """
    squares, slopes = np.zeros(len(honest)), np.zeros(len(honest))
    for block in column_blocks(*honest.shape):
        apart = mean[block] - honest[:, block]
        squares += (apart * apart).sum(axis=1)
        slopes += apart @ direction[block]
    return squares, slopes
