"""Scaling, also called boosting: outweigh the others in an average."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from quickthorn.simulations.attacks.spec import AttackSpec, Forged, UpdateView
from quickthorn.strategies.errors import ConfigurationError, UpdateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


def scaling(view: UpdateView, *, factor: float = 10.0) -> Forged:
    """Multiply one's own update.

        x_i = c · g_i

    Parameters
    ----------
    view
        ``own`` (k, d), usually after an attack on data.
    factor
        c: 1 is honest, negative undoes what was learned; see ``model_replacement`` for the
        one that replaces an average.

    Returns
    -------
    Forged
        (k, d) rows, no state. What float32 cannot hold becomes infinite, as it would for an
        attacker.

    Example
    -------
    >>> own = np.array([[0.5, -1.0]], np.float32)
    >>> scaling(UpdateView(own=own, honest=own), factor=6.0).rows
    array([[ 3., -6.]], dtype=float32)

    References
    ----------
    Bagdasaryan et al., "How To Backdoor Federated Learning", AISTATS 2020
    (arXiv:1807.00459), equation 3.

    """
    with np.errstate(over="ignore"):
        return Forged((view.own * np.float64(factor)).astype(view.own.dtype))


def scale_state(
    sent: Mapping[str, NDArray[Any]], trained: Mapping[str, NDArray[Any]], factor: float
) -> dict[str, NDArray[Any]]:
    """Return sent + factor * (trained - sent): ``scaling`` for a member of a real federation.

    Parameters
    ----------
    sent
        The state that the server sent, array by name.
    trained
        The state after local training; same names and shapes.
    factor
        As in ``scaling``.

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
    >>> scale_state(before, {"w": np.array([1.5, 0.0])}, 10)["w"]
    array([ 6., -9.])

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


SPEC = AttackSpec(
    name="scaling",
    kind="update",
    apply=scaling,
    knows="own data",
    reference="Bagdasaryan et al., AISTATS 2020",
    by_row=True,
)
