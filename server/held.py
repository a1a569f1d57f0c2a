"""The server's own samples as a judge of each update: by a function that its operator names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from quickthorn.server.recorder import LOG
from quickthorn.server.text import printable
from quickthorn.strategies.held import HeldOut
from quickthorn.strategies.kernels.mapped import by_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.updates import Array, ModelLayout, UpdateMatrix

Held = Callable[[int, dict[str, np.ndarray[Any, np.dtype[Any]]]], tuple[float, Sequence[float]]]
"""(round, model) to its loss and its recall of each class, NaN for a class without a sample."""

_NO_SIGNALS = "round %d: no signals from the server's own samples; held failed %s: %s"


def judge_alone(  # noqa: PLR0913, PLR0917 - the function, and all that it judges
    held: Held,
    number: int,
    matrix: UpdateMatrix,
    layout: ModelLayout,
    weights: Array,
    counters: NDArray[np.int64],
) -> HeldOut | None:
    """Judge the model with each update alone applied, one after the other; never raises.

    It calls ``held`` n + 1 times and has one such model in memory at a time.

    Parameters
    ----------
    held
        The operator's function; it gets copies and may overwrite them.
    number
        The round.
    matrix
        The n updates.
    layout, weights, counters
        Of the model that was sent: its layout and its flat form, (d,) and (c,).

    Returns
    -------
    HeldOut | None
        A model on which ``held`` raises or returns NaN has an infinite loss and recalls nothing:
        no client can switch it off for the others. Where that is so for the model that was sent
        or for more than half of the clients, ``held`` itself is at fault: then it is None, and
        the log says why.

    Example
    -------
    >>> from quickthorn.strategies import ModelLayout, UpdateMatrix
    >>> model = {"w": np.array([1.0, 2.0])}
    >>> matrix = UpdateMatrix.of({"a": np.ones(2), "b": -np.ones(2)})
    >>> found = judge_alone(lambda number, model: (float(sum(model["w"])), [0.5]), 1,
    ...                     matrix, ModelLayout.of(model), model["w"], np.empty(0, np.int64))
    >>> found.loss, found.losses.tolist()
    (3.0, [5.0, 1.0])

    """
    loss, classes, fault = _judge(held, number, layout.unflatten(weights, counters))
    if fault:
        LOG.warning(_NO_SIGNALS, number, "with the model that was sent", fault)
        return None
    n, rows = len(matrix.clients), by_blocks(matrix.values)
    losses, recalls = np.empty(n), np.empty((n, len(classes)))
    for row in range(n):
        with np.errstate(over="ignore", invalid="ignore"):
            losses[row], found, said = _judge(
                held, number, layout.unflatten(weights + rows[row, :], counters), np.isnan(classes)
            )
        recalls[row] = np.where(np.isnan(classes), np.nan, found)
        fault = said or fault
    failed = int(np.isinf(losses).sum())
    if 2 * failed > n:
        LOG.warning(_NO_SIGNALS, number, f"with the updates of {failed} of {n} clients", fault)
        return None
    return HeldOut(loss, losses, recalls)


def _judge(
    held: Held, number: int, model: dict[str, Array], absent: NDArray[np.bool_] | None = None
) -> tuple[float, NDArray[np.float64], str]:
    """Return loss, recalls and ``""``; or infinity, 0 and the fault of the operator's function."""
    try:
        found = held(number, model)
        loss, recalls = float(found[0]), np.asarray(found[1], np.float64)
        if not np.isfinite(loss):
            return np.inf, np.zeros(1), f"it returned the loss {loss}"
        known = np.isnan(recalls) if absent is None else absent
        if recalls.ndim != 1 or not np.array_equal(np.isfinite(recalls), ~known):
            return np.inf, np.zeros(1), f"it returned the recalls {printable(recalls, 80)}"
    except Exception as error:  # noqa: BLE001 - the operator's code must not end the run
        return np.inf, np.zeros(1), f"{type(error).__name__}: {printable(error)}"
    return loss, recalls, ""
