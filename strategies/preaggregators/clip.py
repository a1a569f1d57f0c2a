"""Norm clipping (Sun et al. 2019), with a fixed radius or the median norm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from quickthorn.strategies.aggregators.median import median
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.kernels.rows import LARGEST, mix, row_norms
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.updates import Mixed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.rows import MixedRows, Rows


def clip(values: Rows, *, radius: float | Literal["median"] = "median") -> Mixed:
    """Scale every update that is longer than the radius down to it.

        y_i = x_i · min(1, C / ‖x_i‖)

    It limits how far a liar reaches, not where to: put a robust rule behind it.

    Parameters
    ----------
    values
        (n, d) updates.
    radius
        C > 0, in the unit of the updates, or ``"median"``: the median of the n norms,
        which fewer than n/2 liars cannot move outside the honest norms.

    Returns
    -------
    Mixed
        (n, d) rows, row i still client i's alone.

    Raises
    ------
    ConfigurationError
        If a fixed radius is not positive.

    Example
    -------
    >>> clip(np.array([[3.0, 4.0], [0.6, 0.8]]), radius=1.0).values[:, :]
    array([[0.6, 0.8],
           [0.6, 0.8]])

    References
    ----------
    Sun et al., "Can You Really Backdoor Federated Learning?", arXiv:1911.07963, section 3;
    median norm: Nguyen et al., "FLAME", USENIX Security 2022.

    """
    if radius != "median" and radius <= 0:
        msg = f"radius of clip must be above 0 or 'median'; got {radius}."
        raise ConfigurationError(msg)
    norms = row_norms(values)
    limit = median(norms[:, None]).vector.item() if radius == "median" else radius
    return Mixed(shorten(values, norms, limit))


def shorten(values: Rows, norms: NDArray[np.float64], limit: float) -> MixedRows:
    """Return the (n, d) rows, each of those with a norm above ``limit`` scaled down to it."""
    return mix(np.diag(clip_factors(norms, limit)), values)


def clip_factors(norms: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    """Return min(1, C / ‖x_i‖) of each row.

    >>> clip_factors(np.array([0.0, 1.0, 4.0]), 2.0)
    array([1. , 1. , 0.5])
    """
    factors = np.ones(len(norms))
    longer = norms > limit
    # A norm beyond float64 has no factor; nothing of such a row is left.
    factors[longer] = np.where(norms[longer] < LARGEST, limit / norms[longer], 0.0)
    return factors


SPEC = Spec(
    name="clip",
    kind="preaggregator",
    apply=clip,
    min_clients=lambda byzantine: 2 * byzantine + 1,
    traits=frozenset({"rowwise", "rotation"}),
    complexity="O(n d)",
    reference="Sun et al., arXiv:1911.07963; median norm: Nguyen et al., USENIX Security 2022",
)
