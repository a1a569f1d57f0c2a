"""Direction of the update against the coordinate-wise median."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels.blocks import column_blocks
from quickthorn.strategies.kernels.rows import row_norms, sum_rows
from quickthorn.strategies.kernels.threads import each
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.scoring import Signal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.facts import Facts


def cosine(facts: Facts) -> Signal:
    """Measure the cosine between each update and the coordinate-wise median of all.

        c_i = ⟨x_i, m⟩ / (‖x_i‖ ‖m‖),   m = median(x_1, …, x_n)

    Sign flips and flipped labels point away from where the others go. An update or a median
    of length zero has cosine 0.

    Parameters
    ----------
    facts
        Of (n, d) updates.

    Returns
    -------
    Signal
        (n,) cosines in [−1, 1]; small is suspicious.

    Example
    -------
    >>> from quickthorn.strategies.facts import Facts
    >>> cosine(Facts(np.array([[1.0, 0.0], [2.0, 0.0], [-3.0, 0.0]]))).values
    array([ 1.,  1., -1.])

    References
    ----------
    Cao et al., "FLTrust", NDSS 2021, section IV (there against a server's own update).

    """
    values, center, lengths = facts.values, facts.center, facts.lengths
    center_length = float(row_norms(center[None, :])[0])
    # Both sides are divided first: the product of two lengths of 1e200 would overflow.
    scales = np.where(lengths > 0, lengths, 1.0)[:, None]

    def work(block: slice) -> NDArray[np.float64]:
        unit = center[block].astype(np.float64) / (center_length or 1.0)
        part: NDArray[np.float64] = np.add.reduce(values[:, block] / scales * unit, axis=1)
        return part

    products = sum_rows(np.array(each(work, list(column_blocks(*values.shape)))))
    cosines = np.clip(products, -1.0, 1.0)
    return Signal(
        values=cosines,
        position=-cosines,
        two_sided=False,
        resolution=0.05,  # nobody stands out by a cosine of up to 0.17 below the median
        words=(
            "points away from the others (cosine {value:.2f}, the others {low:.2f} to {high:.2f})"
        ),
    )


SPEC = Spec(
    name="cosine",
    kind="scorer",
    apply=cosine,
    min_clients=lambda _byzantine: 1,
    complexity="O(n log n · d)",
    reference="Cao et al., NDSS 2021, with the median in place of the server's update",
)
