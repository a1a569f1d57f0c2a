"""LASA (Xu et al. 2025): filter layer by layer, by the sparsified update; average the dense one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.aggregators.median import median
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.kernels.angles import exponents_of
from quickthorn.strategies.kernels.rows import row_norms
from quickthorn.strategies.kernels.sparse import kept_from, measure, mix_layers
from quickthorn.strategies.preaggregators.clip import clip_factors
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.updates import Aggregate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.rows import Rows
    from quickthorn.strategies.updates import ModelLayout

# Sizes and purities, from 0 to 1, that differ by less than this differ by rounding.
_ROUNDING = 1e-12


def lasa(
    values: Rows,
    *,
    layout: ModelLayout | None,
    sparsity: float = 0.3,
    norm_radius: float = 2.0,
    sign_radius: float = 1.0,
) -> Aggregate:
    """Average each layer over who is usual there in length and in the purity of its signs.

        s_i = x_i without its smallest 30 %,   ρ_i = (1 + (p_i − q_i) / (p_i + q_i)) / 2
        B = {i : |‖s_i‖ − median| ≤ λ_n σ and |ρ_i − median| ≤ λ_s σ}
        A(x) = 1/|B| Σ_{i ∈ B} x_i min(1, M / ‖x_i‖),   M = median_i ‖x_i‖

    ‖s_i‖, B and the purity ρ_i, from the p_i positive and q_i negative numbers of s_i, are those
    of one layer; σ is the standard deviation over the clients; the cut of s_i and the norms ‖x_i‖
    are those of the whole update. Whoever stands out in one layer is left out there and counts
    elsewhere. A layer that nobody survives is averaged over everybody, clipped, as in the
    authors' code; a row without a sign left in a layer has ρ = 1/2.

    Updates are judged sparsified, at their full length, and averaged dense, clipped: our reading
    of the paper. In the authors' code both share their memory, so that clipped updates are
    judged and sparsified ones averaged; biases stay dense, who stands out by exactly λ σ is
    dropped, and where nobody differs 0 is divided by 0. Here every tensor is sparsified and
    the bounds belong to B.

    Parameters
    ----------
    values
        (n, d) updates, n >= 2f + 1.
    layout
        Each floating-point tensor of the model is a layer; without it all columns are one.
    sparsity
        Which share of each update counts as unimportant, at least 0, below 1.
    norm_radius
        λ_n > 0; the paper has 2, and 1 for CIFAR.
    sign_radius
        λ_s > 0.

    Returns
    -------
    Aggregate
        (d,) vector. Influence, of the clipped updates, where there is one layer; with more there
        is none, since others survive in each.

    Raises
    ------
    ConfigurationError
        If a parameter is outside its range.

    Example
    -------
    >>> rows = np.array([[1.0, 1.0], [1.1, 0.9], [0.9, 1.0], [-1.0, -1.0], [1.0, 1.1]])
    >>> lasa(rows, layout=None).influence
    array([0.25, 0.25, 0.25, 0.  , 0.25])

    References
    ----------
    Xu, Zhang and Hu, "Achieving Byzantine-Resilient Federated Learning via Layer-Adaptive
    Sparsified Model Aggregation", WACV 2025; arXiv:2409.01435, and its code.

    """
    _check(sparsity, norm_radius, sign_radius)
    d = values.shape[1]
    layers = [slice(0, d)]
    if layout is not None:
        layers = [slice(t.offset, t.offset + t.size) for t in layout.weights if t.size]
    sizes, purities = _describe(values, layers, d - int(sparsity * d))
    survivors = _usual(sizes, norm_radius) & _usual(purities, sign_radius)
    survivors[:, ~survivors.any(axis=0)] = True
    shares = survivors / np.count_nonzero(survivors, axis=0)
    norms = row_norms(values)
    factors = clip_factors(norms, median(norms[:, None]).vector.item())
    vector = mix_layers(shares * factors[:, None], values, layers)
    return Aggregate(vector, shares[:, 0] if len(layers) == 1 else None)


def _describe(
    values: Rows, layers: list[slice], keep: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the (n, k) lengths ‖s_i‖, in units of the longest, and the (n, k) purities."""
    exponents = exponents_of(values)
    sparse = measure(values, kept_from(values, keep), exponents, layers)
    top = exponents.max(where=sparse.lengths.any(axis=1), initial=-2000)  # zeros have no size
    lengths = np.ldexp(sparse.lengths, (exponents - top)[:, None])
    longest = lengths.max(axis=0)
    sizes = lengths / np.where(longest > 0.0, longest, 1.0)
    signs = sparse.positive + sparse.negative
    purities = (1.0 + (sparse.positive - sparse.negative) / np.maximum(signs, 1)) / 2.0
    return sizes, purities


def _usual(figures: NDArray[np.float64], radius: float) -> NDArray[np.bool_]:
    """Return, per column, who lies within ``radius`` standard deviations of the median."""
    away = np.abs(figures - np.median(figures, axis=0))
    usual: NDArray[np.bool_] = away <= radius * figures.std(axis=0) + _ROUNDING
    return usual


def _check(sparsity: float, norm_radius: float, sign_radius: float) -> None:
    if not 0 <= sparsity < 1:
        msg = f"sparsity of lasa must be at least 0 and below 1; got {sparsity}."
        raise ConfigurationError(msg)
    if norm_radius <= 0 or sign_radius <= 0:
        msg = (
            "norm_radius and sign_radius of lasa must be above 0 standard deviations; "
            f"got {norm_radius} and {sign_radius}."
        )
        raise ConfigurationError(msg)


SPEC = Spec(
    name="lasa",
    kind="aggregator",
    apply=lasa,
    min_clients=lambda byzantine: 2 * byzantine + 1,
    traits=frozenset({"scale"}),
    complexity="O(n d)",
    reference="Xu et al., WACV 2025",
)
