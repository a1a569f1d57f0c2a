"""What the server measures on its own samples: a model per client, its update alone applied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.errors import UpdateError
from quickthorn.strategies.scoring import Signal

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Loss and recalls of the model that was sent, and of that model after each update alone.

    Attributes
    ----------
    loss
        Of the model that was sent.
    losses
        (n,) with each client's update alone applied; infinity where that model cannot be judged.
    recalls
        (n, k) the share of each class that those models recognize; NaN in the columns of classes
        of which the server has no sample. k may be 0.

    Raises
    ------
    UpdateError
        If the shapes disagree, or ``loss`` is not finite.

    Example
    -------
    >>> HeldOut(0.5, np.array([0.4, np.inf]), np.array([[1.0, 0.9], [0.0, 0.0]])).losses
    array([0.4, inf])

    """

    loss: float
    losses: NDArray[np.float64]
    recalls: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Check that there is one row per client."""
        if not np.isfinite(self.loss):
            raise UpdateError(
                f"the loss of the model that was sent must be finite; got {self.loss}."
            )
        if self.losses.ndim != 1 or self.recalls.shape[:-1] != self.losses.shape:
            raise UpdateError(
                "held needs losses of shape (n,) and recalls of shape (n, k); "
                f"got {self.losses.shape} and {self.recalls.shape}."
            )


def honest_reach(excess: NDArray[np.float64], byzantine: int) -> NDArray[np.float64]:
    """Return how far above the median an honest client is found: the (f + 1)-th largest excess.

    Of f + 1 clients one is honest, so that whatever is no larger is no evidence, however closely
    most of the others agree.

    Parameters
    ----------
    excess
        (n, ...) above the median, n > f.
    byzantine
        f.

    >>> honest_reach(np.array([0.0, 0.1, 5.0, -0.2, 4.0]), byzantine=2)
    array(0.1)
    """
    reach: NDArray[np.float64] = np.asarray(np.sort(excess, axis=0)[len(excess) - 1 - byzantine])
    return reach


def without_held(n: int) -> Signal:
    """Return a signal that says nothing of n clients, where the server holds no samples.

    >>> without_held(2).known
    array([False, False])
    """
    nothing = np.zeros(n)
    unknown = np.zeros(n, np.bool_)
    return Signal(nothing, nothing, two_sided=False, resolution=1.0, words="", known=unknown)
