"""Free riding: take part without training (Lin et al. 2019; Fraboni et al. 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from quickthorn.simulations.attacks.spec import AttackSpec, Forged, UpdateView
from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    from numpy.random import Generator


def free_rider(
    view: UpdateView,
    *,
    rng: Generator,
    send: Literal["previous", "nothing"] = "previous",
    noise: float = 0.1,
) -> Forged:
    """Send the last step of the model, or nothing, under some noise.

        x_i = Δ + ξ_i,   ξ_ij ~ N(0, (ν r)²),   r = ‖Δ_last‖ / √d

    A free rider knows only the models that it was sent. The difference of the last two, Δ,
    looks like an update; the noise makes each member's its own. In the first round there is
    no step yet, and the update is zero.

    Parameters
    ----------
    view
        ``previous`` (d,); ``own`` (k, d), of which only the shape matters.
    rng
        Draws k × d numbers, another row for each member; none without noise.
    send
        Δ: the last step, or zero.
    noise
        ν ≥ 0, in units of the root mean square r of the last step's coordinates.

    Returns
    -------
    Forged
        (k, d) rows, no state.

    Raises
    ------
    ConfigurationError
        If ``noise`` is negative.

    Example
    -------
    >>> last = np.array([1.0, -1.0], np.float32)
    >>> view = UpdateView(own=np.zeros((1, 2), np.float32), honest=last[None], previous=last)
    >>> free_rider(view, rng=np.random.default_rng(0), noise=0.0).rows
    array([[ 1., -1.]], dtype=float32)

    References
    ----------
    Lin, Du and Liu, "Free-riders in Federated Learning: Attacks and Defenses",
    arXiv:1911.12560 (delta weights); Fraboni, Vidal and Lorenzi, "Free-rider Attacks on Model
    Aggregation in Federated Learning", AISTATS 2021 (plain and disguised free riders).

    """
    if noise < 0:
        msg = f"noise of free_rider must be 0 or more; got {noise}."
        raise ConfigurationError(msg)
    last = np.asarray(view.previous, np.float64)
    rows = np.zeros_like(view.own)
    if noise:
        rows[:] = rng.standard_normal(rows.shape, np.float32)
        rows *= np.float32(noise * np.sqrt(np.mean(last * last)))
    if send == "previous":
        rows += view.previous
    return Forged(rows)


SPEC = AttackSpec(
    name="free_rider",
    kind="update",
    apply=free_rider,
    knows="own data",
    reference="Lin et al., arXiv:1911.12560; Fraboni et al., AISTATS 2021",
    looks_at_own=False,
)
