"""Robust learning rate (Ozdayi et al. 2021): go back where too few clients agree on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.kernels.signs import vote_mean
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.updates import Aggregate

if TYPE_CHECKING:
    from quickthorn.strategies.kernels.rows import Rows


def rlr(values: Rows, *, byzantine: int, threshold: int | None = None) -> Aggregate:
    """Average each coordinate, but against its mean where too few clients agree on the sign.

        A(x)_k = m_k if |Σ_i sign(x_ik)| ≥ θ, else −m_k,   m_k = 1/n Σ_i x_ik

    The signs are those of the updates, not of the models. A backdoor lives in coordinates that
    only the liars push; there the model is pushed back. It is a defense against backdoors, not
    against arbitrary rows: a liar that adds to what the others agree on owns the mean, so put
    clipping before it. Where honest clients disagree, on unequal data, they lose as well.

    Parameters
    ----------
    values
        (n, d) updates, n >= 2f + 1.
    byzantine
        f, how many clients may lie.
    threshold
        θ, from f + 1 to n − f; f + 1 by default: f liars alone do not reach it.

    Returns
    -------
    Aggregate
        (d,) vector; no influence, since a client pulls forward here and back there.

    Raises
    ------
    ConfigurationError
        If ``threshold`` is outside f + 1 to n − f for this cohort.

    Example
    -------
    >>> import numpy as np
    >>> rlr(np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 6.0]]), byzantine=1).vector
    array([ 2., -2.])

    References
    ----------
    Ozdayi, Kantarcioglu and Gel, "Defending Against Backdoors in Federated Learning with
    Robust Learning Rate", AAAI 2021, with a plain mean (there weighted by claimed sample
    counts) and the server's rate η left to the optimizer.

    """
    n = len(values)
    least = byzantine + 1 if threshold is None else threshold
    if not byzantine + 1 <= least <= n - byzantine:
        msg = (
            f"rlr needs a threshold from f + 1 = {byzantine + 1} to n - f = {n - byzantine} "
            f"clients; got {least}."
        )
        raise ConfigurationError(msg)
    return Aggregate(vote_mean(values, least))


SPEC = Spec(
    name="rlr",
    kind="aggregator",
    apply=rlr,
    min_clients=lambda byzantine, threshold=None: max(
        2 * byzantine + 1, (threshold or 0) + byzantine
    ),
    traits=frozenset({"scale"}),
    complexity="O(n d)",
    reference="Ozdayi et al., AAAI 2021",
)
