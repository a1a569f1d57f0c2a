"""Compiled order statistics: columns sorted in registers and cache, spread over threads.

``order.middle_mean`` and ``nearest.nearest_mean`` choose between these and their twins in
numpy, which have the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels.columns import Columns
from quickthorn.strategies.kernels.kernel import text
from quickthorn.strategies.kernels.lanes import VECTOR
from quickthorn.strategies.kernels.native import load
from quickthorn.strategies.kernels.threads import each

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.rows import Rows
    from quickthorn.strategies.updates import Array

# Elements that a thread takes at a time: more threads than cores that are free do no harm.
_PART = 1 << 20
# The same where the columns are made, or copied, when they are asked for.
_BLOCK = 1 << 18


def network_mean(values: Rows, trim: int) -> Array:
    """Return per column the mean of all but ``trim`` values at each end.

    Parameters
    ----------
    values
        (n, d) float32 or float64, finite, in any memory layout, or anything that gives
        ``values[rows, columns]`` as such an array.
    trim
        How many to leave out at each end; 2 * trim < n.

    Returns
    -------
    Array
        (d,) of the dtype of ``values``, summed in float64 in ascending order (where that
        overflows, infinite); the same bits for any number of threads.

    """
    n = len(values)
    columns = Columns(n, trim, n - trim, values.dtype.itemsize)
    return _average(columns, values, None)


def network_nearest(values: Rows, rows: NDArray[np.intp], count: int) -> Array:
    """Return per column of the given rows the mean of the ``count`` values nearest to the median.

    Parameters
    ----------
    values
        As for ``network_mean``.
    rows
        Which rows take part.
    count
        How many values to average, from 1 to len(rows).

    Returns
    -------
    Array
        (d,) of the dtype of ``values``; NaN in a column with values so large that float64
        sums of them may overflow.

    """
    columns = Columns(len(rows), 0, len(rows), values.dtype.itemsize, count)
    return _average(columns, values, rows)


def count_votes(values: Rows, threshold: int) -> Array:
    """Return the mean of each column, negated where |Σ sign| is below ``threshold``.

    Parameters
    ----------
    values
        As for ``network_mean``.
    threshold
        How large the majority has to be.

    Returns
    -------
    Array
        (d,) of the dtype of ``values``, summed in float64 row by row (where that overflows,
        not finite).

    """
    n = len(values)
    return _average(Columns(n, 0, n, values.dtype.itemsize, votes=threshold), values, None)


@dataclass(frozen=True)
class _Kernel:
    """A compiled kernel with its table."""

    columns: Columns
    call: Callable[..., None]
    table: NDArray[np.int32]


@lru_cache(maxsize=256)
def _kernel(columns: Columns) -> _Kernel:
    return _Kernel(columns, load(text(columns)), columns.table)


def _average(columns: Columns, values: Rows, rows: NDArray[np.intp] | None) -> Array:
    """Run a kernel over all columns of all or some rows, part by part."""
    d = values.shape[1]
    kernel = _kernel(columns)
    means = np.empty(d, values.dtype)
    size = (_PART if _in_place(values) else _BLOCK) // columns.n
    width = max(1, size // columns.width) * columns.width
    parts = [slice(start, min(start + width, d)) for start in range(0, d, width)]
    each(partial(_run_part, kernel, values, rows, means), parts)
    return means


def _run_part(
    kernel: _Kernel, values: Rows, rows: NDArray[np.intp] | None, means: Array, part: slice
) -> None:
    """Average some columns: where they are if they can be read there, else in a copy."""
    if not _in_place(values):
        block = values[:, part] if rows is None else values[rows, part]
        part, means, rows = slice(0, block.shape[1]), means[part], None
        values = block if _in_place(block) else np.ascontiguousarray(block)
    _run_tiles(kernel, values, rows, means, part)  # type: ignore[arg-type]  # an array by now


def _in_place(values: Rows) -> bool:
    """Return whether machine code can read the rows where they are."""
    if not isinstance(values, np.ndarray):
        return False
    return bool(values.flags.aligned and values.strides[1] == values.itemsize)


def _run_tiles(
    kernel: _Kernel, values: Array, rows: NDArray[np.intp] | None, means: Array, part: slice
) -> None:
    """Run the kernel on the whole tiles of a part, and on a copy of the columns left over."""
    width = kernel.columns.width
    which = np.arange(len(values)) if rows is None else rows
    last = part.stop - (part.stop - part.start) % width
    if last > part.start:
        places = values.ctypes.data + which * values.strides[0]
        _call(kernel, places, (part.start, last), means)
    if last < part.stop:
        rest = np.zeros((len(which), width), values.dtype)
        rest[:, : part.stop - last] = values[which, last : part.stop]
        places = rest.ctypes.data + np.arange(len(which)) * rest.strides[0]
        result = np.empty(width, values.dtype)
        _call(kernel, places, (0, width), result)
        means[last : part.stop] = result[: part.stop - last]


def _call(kernel: _Kernel, places: NDArray[np.intp], tiles: tuple[int, int], means: Array) -> None:
    """Run the machine code; everything that it touches is held here until it is done."""
    columns = kernel.columns
    pointers = np.full(columns.padded, places[-1], np.int64)
    pointers[: len(places)] = places
    room = np.full(columns.padded * columns.width + VECTOR // means.itemsize, np.inf, means.dtype)
    aligned = room.ctypes.data + -room.ctypes.data % VECTOR
    kernel.call(pointers.ctypes.data, *tiles, means.ctypes.data, aligned, kernel.table.ctypes.data)
