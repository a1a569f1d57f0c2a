"""Compiled order statistics: a sorting network over blocks of columns that stay in the cache.

Every comparator is one minimum and one maximum over vectors of neighboring columns: no branch
depends on the data. Compiled by numba on first use and kept on disk, so that later processes
load it. ``order.middle_mean`` chooses between this and its twin in numpy, which has the same bits.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from quickthorn.strategies.kernels.network import comparators
from quickthorn.strategies.kernels.threads import thread_count

if TYPE_CHECKING:
    from quickthorn.strategies.updates import Array

# Columns in a block, and in one instruction of the intermediate language, which LLVM cuts to
# the machine's vectors: 100 rows of float32 take 25 KiB, the first-level cache of a core.
_LANES = 64
# A thread with fewer columns than this costs more than it brings.
_COLUMNS_PER_THREAD = 1 << 15


def network_mean(values: Array, trim: int) -> Array:
    """Return per column the mean of all but ``trim`` values at each end.

    Parameters
    ----------
    values
        (n, d) float32 or float64, finite, in any memory layout.
    trim
        How many to leave out at each end; 2 * trim < n.

    Returns
    -------
    Array
        (d,) of the dtype of ``values``, summed in float64 in ascending order (where that
        overflows, infinite); the same bits for any number of threads.

    """
    n, d = values.shape
    network = comparators(n, trim, n - trim)
    means = np.empty(d, values.dtype)
    threads = max(1, min(thread_count(), d // _COLUMNS_PER_THREAD))
    edges = [d * part // threads for part in range(threads + 1)]
    if threads == 1:
        _average_middle(values, network, trim, 0, d, means)
        return means
    with ThreadPoolExecutor(threads) as pool:
        jobs = [
            pool.submit(_average_middle, values, network, trim, start, stop, means)
            for start, stop in pairwise(edges)
        ]
        for job in jobs:
            job.result()
    return means


@intrinsic
def _exchange(_typing: Any, rows: Any, _low: Any, _high: Any) -> Any:  # noqa: ANN401 - numba's types
    """Leave the minima of two rows of _LANES elements in row ``_low``, the maxima in ``_high``.

    Written in LLVM's vector form, because its vectorizer cannot know that two rows of one
    array do not overlap, and falls back to one element at a time.
    """
    signature = types.void(rows, types.intp, types.intp)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - as above
        kind = signature.args[0]
        data = make_array(kind)(context, builder, value=arguments[0]).data  # type: ignore[no-untyped-call]  # numba's
        vector = ir.VectorType(context.get_data_type(kind.dtype), _LANES)
        bytes_each = kind.dtype.bitwidth // 8
        places = [
            builder.bitcast(
                builder.gep(data, [builder.mul(row, ir.Constant(row.type, _LANES))]),
                ir.PointerType(vector),
            )
            for row in arguments[1:]
        ]
        left, right = (builder.load(place, align=bytes_each) for place in places)
        ordered = builder.fcmp_ordered("<", left, right)
        builder.store(builder.select(ordered, left, right), places[0], align=bytes_each)
        builder.store(builder.select(ordered, right, left), places[1], align=bytes_each)
        return context.get_dummy_value()

    return signature, generate


@njit(nogil=True, cache=True, error_model="numpy")
def _average_middle(  # noqa: PLR0913, PLR0917 - a compiled loop takes its arguments by position
    values: Any,  # noqa: ANN401 - numba's types
    network: Any,  # noqa: ANN401 - as above
    trim: int,
    start: int,
    stop: int,
    means: Any,  # noqa: ANN401 - as above
) -> None:  # pragma: no cover - compiled
    n = len(values)
    block = np.zeros((n, _LANES), values.dtype)
    sums = np.zeros(_LANES)
    for first in range(start, stop, _LANES):
        here = min(_LANES, stop - first)
        for row in range(n):
            for column in range(here):
                block[row, column] = values[row, first + column]
        for pair in range(len(network)):
            _exchange(block, network[pair, 0], network[pair, 1])  # type: ignore[call-arg]  # numba adds the first
        sums[:] = 0.0
        for row in range(trim, n - trim):
            for column in range(_LANES):
                sums[column] += block[row, column]
        for column in range(here):
            means[first + column] = sums[column] / (n - 2 * trim)
