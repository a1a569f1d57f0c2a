"""What a rule may ask for beside the updates, checked before any rule runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quickthorn.strategies.errors import UpdateError
from quickthorn.strategies.kernels.device import on_device
from quickthorn.strategies.kernels.finite import rows_not_finite
from quickthorn.strategies.updates import is_float

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.device import DeviceTensor
    from quickthorn.strategies.updates import Array, ModelLayout


def check_weights(weights: Array | None, n: int, *, who: str) -> NDArray[np.float64]:
    """Return one sample count per client as float64, or raise an ``UpdateError``.

    >>> check_weights(None, 2, who="weighted_mean")
    Traceback (most recent call last):
    ...
    quickthorn.strategies.errors.UpdateError: weighted_mean needs one sample count per client, \
shape (2,); got none. Pass weights=.
    """
    if weights is None or np.shape(weights) != (n,):
        got = "none" if weights is None else f"shape {np.shape(weights)}"
        msg = f"{who} needs one sample count per client, shape ({n},); got {got}. Pass weights=."
        raise UpdateError(msg)
    return np.asarray(weights, np.float64)


def check_trusted(
    trusted: Array | DeviceTensor | None, values: Array | DeviceTensor, *, who: str
) -> Array | DeviceTensor:
    """Return the server's own update, or raise an ``UpdateError`` unless it is a finite (d,).

    It may be a tensor where the updates are one.

    >>> check_trusted(None, np.zeros((5, 3)), who="fltrust")
    Traceback (most recent call last):
    ...
    quickthorn.strategies.errors.UpdateError: fltrust needs the server's own update, float32 or \
float64 of shape (3,); got none. Pass trusted=, or give RobustStrategy a root=.
    """
    d, dtype = values.shape[1], getattr(trusted, "dtype", None)
    astray = on_device(trusted) and not on_device(values)
    if trusted is None or astray or tuple(np.shape(trusted)) != (d,) or not is_float(dtype):
        got = "none" if trusted is None else f"{dtype} of shape {tuple(np.shape(trusted))}"
        got = "a tensor, and the updates are an array" if astray else got
        msg = (
            f"{who} needs the server's own update, float32 or float64 of shape ({d},); got {got}. "
            "Pass trusted=, or give RobustStrategy a root=."
        )
        raise UpdateError(msg)
    if rows_not_finite(trusted[None, :]):
        msg = f"the server's own update, which {who} needs, holds NaN or infinity; train it anew."
        raise UpdateError(msg)
    return trusted


def check_layout(layout: ModelLayout | None, d: int, *, who: str) -> ModelLayout | None:
    """Return the layout, which may be missing, or raise an ``UpdateError`` if it is of another d.

    >>> check_layout(None, 3, who="lasa")
    """
    if layout is not None and layout.size != d:
        msg = (
            f"{who} got updates of {d} columns and a layout of {layout.size}; "
            "pass the layout of the model that the updates are of."
        )
        raise UpdateError(msg)
    return layout


def check_state(state: Mapping[str, object] | None, *names: str, who: str) -> None:
    """Raise an ``UpdateError`` where a state is there and lacks one of ``names``.

    >>> check_state({"middle": 1}, "center", who="centered_clipping")
    Traceback (most recent call last):
    ...
    quickthorn.strategies.errors.UpdateError: the state of centered_clipping lacks center; \
pass what it returned in the round before, or None to begin anew.
    """
    missing = [] if state is None else [name for name in names if name not in state]
    if missing:
        msg = (
            f"the state of {who} lacks {', '.join(missing)}; "
            "pass what it returned in the round before, or None to begin anew."
        )
        raise UpdateError(msg)


def trial_supply(n: int) -> dict[str, Any]:
    """Return what a rule needs to run on n updates of one column, for a trial."""
    return {
        "known": None,
        "weights": np.ones(n),
        "trusted": np.zeros(1),
        "layout": None,
        "clients": row_names(n),
        "rng": np.random.default_rng(0),
    }


def row_names(n: int) -> tuple[str, ...]:
    """Return the ids of clients that have none: the numbers of their rows.

    >>> row_names(3)
    ('0', '1', '2')
    """
    return tuple(map(str, range(n)))
