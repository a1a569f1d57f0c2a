"""The layer in which the update lies farthest from the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.facts import log_ratios, ratios_to_median
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.scoring import Signal, robust_z

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.facts import Facts


def layers(facts: Facts) -> Signal:
    """Find for each update the layer in which it lies farthest from the median, for that layer.

        r_ik = ‖x_i − m‖_k / median_j ‖x_j − m‖_k,   m = median(x_1, …, x_n)
        t_i = max_k z_ik

    z_ik is the robust z-score of log r_ik among the clients in layer k (each weight tensor of the
    model is one): how far the others scatter in a layer decides what is far in it. An honest
    update is farthest in some layer too, the more so the more layers there are; so t_i counts
    beside the t_j of the others, and not by itself. Backdoors and flipped labels move the last
    layers most; over the whole update that may be little.

    Parameters
    ----------
    facts
        Of (n, d) updates with the model's layout, n >= 3; without one nobody has a value.

    Returns
    -------
    Signal
        (n,) the r_ik of the worst layer; compared by t_i, large is suspicious.

    Example
    -------
    >>> import numpy as np
    >>> from quickthorn.strategies.facts import Facts
    >>> from quickthorn.strategies.updates import ModelLayout
    >>> layout = ModelLayout.of({"fc1": np.zeros(2), "fc2": np.zeros(1)})
    >>> rows = np.array([[0.0, 1, 1], [1, 0, 2], [0, 0, 3], [1, 1, 4], [0, 1, 40]])
    >>> signal = layers(Facts(rows, layout))
    >>> signal.values.round(1), signal.where[4]
    (array([ 2. ,  1.4,  1. ,  1. , 37. ]), 'fc2')

    References
    ----------
    Per layer as in Xu et al., LASA, WACV 2025, section 4; there by lengths and signs.

    """
    n = len(facts.values)
    if facts.layout is None:
        nothing = np.zeros(n)
        return Signal(
            nothing, nothing, two_sided=False, resolution=1.0, words="", known=nothing > 0
        )
    distances = np.sqrt(facts.survey.apart) * np.ldexp(1.0, facts.exponents)[:, None]
    ratios = np.array([ratios_to_median(column) for column in distances.T])
    z = np.array([_z(log_ratios(layer)) for layer in ratios])
    worst = np.argmax(z, axis=0)
    rows = np.arange(n)
    return Signal(
        values=ratios[worst, rows],
        position=z[worst, rows],
        two_sided=False,
        resolution=1.0,  # nobody stands out by up to 3.5 of z more than the median
        words=(
            "is largest in layer {where}, {value:.1f} times as far from the median there as usual "
            "(the others in their own worst layers {low:.1f} to {high:.1f})"
        ),
        where=[facts.layout.weights[layer].name for layer in worst.tolist()],
    )


def _z(position: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the robust z-scores within one layer; nobody is far by up to twice the median."""
    return robust_z(Signal(position, position, two_sided=False, resolution=0.2, words=""))


SPEC = Spec(
    name="layers",
    kind="scorer",
    apply=layers,
    min_clients=lambda _byzantine: 3,
    complexity="O(n log n · d)",
    reference="per layer as in Xu et al., WACV 2025",
)
