"""Label flipping: learn the opposite, with honest arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def label_flip(labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Replace each label y by classes - 1 - y.

    Parameters
    ----------
    labels
        ``(samples,)``, each from 0 to ``classes - 1``.
    classes
        How many classes there are.

    Returns
    -------
    NDArray
        ``(samples,)``, a new array. Flipping twice gives the labels back. The middle class of
        an odd number of classes stays as it is.

    Raises
    ------
    ConfigurationError
        If a label lies outside its range.

    Example
    -------
    >>> import numpy as np
    >>> label_flip(np.array([0, 1, 1]), 2)
    array([1, 0, 0])

    Notes
    -----
    Source: Fang et al. 2020, *Local Model Poisoning Attacks to Byzantine-Robust Federated
    Learning*, USENIX Security (arXiv:1911.11815), section 5.1.

    """
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        msg = f"label_flip needs labels 0 to {classes - 1}; got {labels.min()} to {labels.max()}."
        raise ConfigurationError(msg)
    return classes - 1 - labels
