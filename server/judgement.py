"""Judge one model that a client sent, as arrays by name, against the model that it was sent.

What a reply over Flower and one inside a simulation have in common: names, shapes, dtypes,
finiteness and size are judged here, for both. No Flower; ``admission`` unpacks its records.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from quickthorn.server.text import printable
from quickthorn.strategies.kernels.rows import LARGEST, row_norms
from quickthorn.strategies.wire import ARRAYS, NUM_EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet

    from numpy.typing import NDArray

    from quickthorn.strategies.updates import Array, ModelLayout, Tensor

# An update this many times longer than 1 + the model's own norm comes from no training.
IMPLAUSIBLE_GROWTH = 1e4


class Refusal(Exception):  # noqa: N818 - a result that travels up, never out of the admission
    """Carries the code and the sentence of a refusal up to the admission."""

    def __init__(self, code: str, reason: str) -> None:
        """Keep both apart."""
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, eq=False)
class Expectation:
    """What every reply of a round is measured against.

    Attributes
    ----------
    layout, weights
        Of the model that was sent; ``weights`` is its flat form (d,).
    arrays_key, weight_key
        Names of the array record and of the sample count.
    max_update_norm
        The longest update, in Euclidean norm, that is taken for the work of training.
    drifted
        Tensors that were sent in another dtype than the layout's, by name: each is taken in
        either. For models of other strategies, which average integers into floats.

    """

    layout: ModelLayout
    weights: Array
    arrays_key: str
    weight_key: str
    max_update_norm: float
    drifted: Mapping[str, np.dtype[Any]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        layout: ModelLayout,
        weights: Array,
        *,
        arrays_key: str = ARRAYS,
        weight_key: str = NUM_EXAMPLES,
    ) -> Expectation:
        """Derive the longest plausible update from the model itself."""
        norm = float(row_norms(weights[None, :])[0])
        return cls(layout, weights, arrays_key, weight_key, IMPLAUSIBLE_GROWTH * (1 + norm))


@dataclass(frozen=True, eq=False)
class Admission:
    """What was found in one reply.

    Attributes
    ----------
    code, reason
        ``ok`` and empty, or the fault that refused it.
    counters
        (c,) integer tensors of the reply.
    samples
        The claimed sample count; NaN where the claim is unusable.
    metrics
        Finite scalars that the client claims, by name.
    ignored
        Claims that were set aside, in words.

    """

    code: str = "ok"
    reason: str = ""
    counters: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    samples: float = math.nan
    metrics: Mapping[str, float] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()


def admit_arrays(
    arrays: Mapping[str, Array], samples: float, expected: Expectation, row: Array
) -> Admission:
    """Judge a trained model and, if it is sound, write its update into ``row``.

    Parameters
    ----------
    arrays
        Name to array, as a client of a simulation hands them over.
    samples
        Its sample count.
    expected
        The model that was sent and the limits.
    row
        (d,) of the layout's dtype; holds the delta afterwards, or rubbish if refused.

    Returns
    -------
    Admission
        With the verdict that a deployment gives for the same arrays.

    Example
    -------
    >>> from quickthorn.strategies.updates import ModelLayout
    >>> model = {"w": np.ones(2, np.float32)}
    >>> layout = ModelLayout.of(model)
    >>> sent = Expectation.of(layout, model["w"])
    >>> row = np.empty(2, np.float32)
    >>> admit_arrays({"w": np.array([1, 3], np.float32)}, 10, sent, row).code, row.tolist()
    ('ok', [0.0, 2.0])
    >>> admit_arrays({"w": np.array([1, np.nan], np.float32)}, 10, sent, row).code
    'not-finite'

    """
    try:
        counters = judge_model(
            arrays.keys(), lambda tensor: _flat(tensor, arrays[tensor.name]), expected, row
        )
    except Refusal as refusal:
        return Admission(refusal.code, refusal.reason)
    return Admission(counters=counters, samples=samples)


def judge_model(
    names: AbstractSet[str], read: Callable[[Tensor], Array], expected: Expectation, row: Array
) -> NDArray[np.int64]:
    """Write the update into ``row`` and return the (c,) integer tensors.

    Parameters
    ----------
    names
        The tensors that the client sent.
    read
        Returns the flat values of a tensor of the layout, or raises a ``Refusal``.
    expected, row
        As for ``admit_arrays``.

    Raises
    ------
    Refusal
        If names, values or the length of the update are not what they may be.

    """
    layout = expected.layout
    own = {tensor.name for tensor in layout.tensors}
    missing, surplus = own - names, names - own
    if missing:
        raise Refusal("missing-key", f"lacks {_listed(missing)} of the model")
    if surplus:
        raise Refusal("extra-key", f"sent {_listed(surplus)}, which the model does not have")
    counters = np.empty(layout.counter_size, np.int64)
    for tensor in layout.tensors:
        values = read(tensor)
        part = slice(tensor.offset, tensor.offset + tensor.size)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            kinds = "NaN" if np.isnan(values).any() else "infinity"
            raise Refusal("not-finite", f"sent {kinds} in {printable(tensor.name, 60)!r}")
        with np.errstate(over="ignore", invalid="ignore"):
            if tensor.dtype.kind == "f":
                np.subtract(values, expected.weights[part], out=row[part])
            else:
                counters[part] = values
    _check_size(row, expected)
    return counters


def check_form(tensor: Tensor, shape: tuple[int, ...], descr: str, spoken: str) -> None:
    """Refuse a dtype (by numpy's code ``descr``) or a shape that is not that of ``tensor``."""
    name = printable(tensor.name, 60)
    if descr != tensor.dtype.str:
        raise Refusal("dtype", f"sent {name!r} as {spoken}, the model has {tensor.dtype}")
    if shape != tensor.shape:
        sent = printable(shape, 60)
        raise Refusal("shape", f"sent {name!r} with shape {sent}, the model has {tensor.shape}")


def _flat(tensor: Tensor, array: Array) -> Array:
    if (array.dtype, array.shape) != (tensor.dtype, tensor.shape):
        check_form(tensor, array.shape, array.dtype.str, str(array.dtype))
    return array.reshape(-1)


def _check_size(row: Array, expected: Expectation) -> None:
    # Min and max first: they need no memory and find what overflowed in the subtraction.
    finite = bool(np.isfinite(row.min()) and np.isfinite(row.max()))
    norm = float(row_norms(row[None, :])[0]) if finite else math.inf
    if not norm <= expected.max_update_norm or norm >= LARGEST:
        reason = (
            f"sent an update of norm {norm:.3g}; no training moves this model "
            f"farther than {expected.max_update_norm:.3g}"
        )
        raise Refusal("implausible", reason)


def _listed(names: AbstractSet[str]) -> str:
    shown = ", ".join(repr(printable(name, 60)) for name in sorted(names)[:3])
    return shown + (f" and {len(names) - 3} more" if len(names) > 3 else "")  # noqa: PLR2004 - as many as shown
