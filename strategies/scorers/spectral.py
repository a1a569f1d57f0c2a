"""How far the update lies from the others along the direction in which all differ most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels.order import median
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.scoring import Signal

if TYPE_CHECKING:
    from quickthorn.strategies.facts import Facts

# Directions with at least this share of the largest variance are not told apart.
_AS_LARGE = 0.75
# A variance below this, in squared median lengths, is rounding.
_ROUNDING = 1e-12


def spectral(facts: Facts) -> Signal:
    """Measure how far each update lies out along the top singular direction of all.

        y_i = x_i / max(‖x_i‖, M),   M = median_j ‖x_j‖
        C = (y_1 − ȳ, …, y_n − ȳ) = U Σ Vᵀ,   p_i = σ₁ u_i1
        s_i = |p_i − median_j p_j|

    Liars that push one way together make that way the one of the largest variance, however
    many coordinates they spread it over. Updates are cut to the median length first, so that
    one loud liar hides no quiet ones. Where other directions have at least 3/4 of the largest
    variance, none is singled out: s_i is the length in all of them. It does not see liars whose
    common shift is smaller than the honest spread, nor where they are near half of all.

    Parameters
    ----------
    facts
        Of (n, d) updates.

    Returns
    -------
    Signal
        (n,) distances in median lengths, at least 0; large is suspicious.

    Example
    -------
    >>> from quickthorn.strategies.facts import Facts
    >>> rows = np.array([[1.0, 0.1], [1.0, 0.0], [1.0, -0.1], [1.0, 0.0], [-1.0, 0.0]])
    >>> spectral(Facts(rows)).values.round(2)
    array([0., 0., 0., 0., 2.])

    References
    ----------
    Shejwalkar and Houmansadr, "Manipulating the Byzantine", NDSS 2021, section VI (DnC).

    """
    limit = float(median(facts.lengths))
    sizes = np.minimum(facts.lengths / limit, 1.0) if limit else np.sign(facts.lengths)
    products = sizes[:, None] * facts.cosines * sizes
    products -= products.mean(axis=0)
    products -= products.mean(axis=1)[:, None]
    variances, vectors = np.linalg.eigh((products + products.T) / 2.0)
    top = (variances >= _AS_LARGE * variances[-1]) & (variances > _ROUNDING)
    places = vectors[:, top] * np.sqrt(variances[top])
    if places.shape[1] == 1:
        places -= median(places)
    apart = np.sqrt((places**2).sum(axis=1))
    return Signal(
        values=apart,
        position=apart,
        two_sided=False,
        resolution=0.05,  # nobody stands out by up to 0.17 median lengths more than the median
        words=(
            "lies {value:.2f} median lengths out along the direction in which all differ most "
            "(the others {low:.2f} to {high:.2f})"
        ),
    )


SPEC = Spec(
    name="spectral",
    kind="scorer",
    apply=spectral,
    min_clients=lambda _byzantine: 3,
    complexity="O(n² d + n³)",
    reference="Shejwalkar and Houmansadr, NDSS 2021",
)
