"""Scaling, also called boosting or model replacement: outweigh the others in an average."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from quickthorn.strategies.errors import ConfigurationError, UpdateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


def scaling(
    sent: Mapping[str, NDArray[Any]], trained: Mapping[str, NDArray[Any]], factor: float
) -> dict[str, NDArray[Any]]:
    """Return sent + factor * (trained - sent).

    Parameters
    ----------
    sent
        The state that the server sent, array by name.
    trained
        The state after local training; same names and shapes.
    factor
        1 is honest; the number of clients replaces an unweighted average of updates that
        otherwise cancel; negative undoes what was learned.

    Returns
    -------
    dict
        New arrays with the names and dtypes of ``trained``. Integer and boolean buffers are
        those of ``trained``. What float32 cannot hold becomes infinite, as it would for an
        attacker.

    Raises
    ------
    ConfigurationError
        If the factor is not finite.
    UpdateError
        If names or shapes differ.

    Example
    -------
    >>> before = {"w": np.array([1.0, 1.0])}
    >>> scaling(before, {"w": np.array([1.5, 0.0])}, 10)["w"]
    array([ 6., -9.])

    Notes
    -----
    Source: Bagdasaryan et al. 2020, *How To Backdoor Federated Learning*, AISTATS
    (arXiv:1807.00459), equation 3.

    """
    if not math.isfinite(factor):
        msg = f"the factor of scaling must be finite; got {factor}."
        raise ConfigurationError(msg)
    if sent.keys() != trained.keys():
        odd = ", ".join(sorted(sent.keys() ^ trained.keys()))
        msg = f"scaling needs the same arrays before and after training; got {odd} in one only."
        raise UpdateError(msg)
    return {key: _scale(key, sent[key], array, factor) for key, array in trained.items()}


def _scale(key: str, before: NDArray[Any], after: NDArray[Any], factor: float) -> NDArray[Any]:
    if before.shape != after.shape:
        msg = f"scaling needs {key} in one shape; got {before.shape} before, {after.shape} after."
        raise UpdateError(msg)
    if not np.issubdtype(after.dtype, np.floating):
        return after.copy()
    start = before.astype(np.float64)
    with np.errstate(over="ignore"):
        moved: NDArray[Any] = start + factor * (after.astype(np.float64) - start)
        return moved.astype(after.dtype)
