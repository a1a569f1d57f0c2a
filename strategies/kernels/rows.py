"""Rows that are read by blocks of columns, and their linear algebra: mixtures, sums, norms."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from quickthorn.strategies.kernels.blocks import SMALL, column_blocks
from quickthorn.strategies.kernels.device import on_device, with_tensor_form
from quickthorn.strategies.kernels.threads import each

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.mixing import Plan
    from quickthorn.strategies.updates import Array

LARGEST = float(np.finfo(np.float64).max)

# Lengths and peaks whose squares, summed over any d in memory, neither overflow nor vanish.
MODERATE = (1e-140, 1e140)

# Columns, and elements, that are squared and summed at a time. Not the block size of the other
# kernels: the norms, and with them every bit of a result, must not depend on that setting.
_COLUMNS = 1 << 14
_ELEMENTS = 1 << 16
# Compiled kernels sum so many columns at a time, or a divisor of them: a cut there changes no bit.
_STEP = 512
# Blocks of more rows than these, and of fewer columns, are mixed by another loop: same bits.
_FEW, _WIDE = 32, 256


class Rows(Protocol):
    """What rules and kernels may ask of the n rows of d values that they are given.

    A numpy array, a memory-mapped file and a ``MixedRows`` all answer it. ``rows[:, columns]``
    and ``rows[some, columns]`` are blocks of columns as numpy arrays; nobody asks for more than
    a block at a time.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (n, d)."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return float32 or float64."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any, /) -> Any: ...  # noqa: ANN401 - numpy's indexing


@dataclass(frozen=True, eq=False)
class MixedRows:
    """The m rows ``weights @ base``, computed where somebody looks.

    Each value is summed in float64 over the rows of the base, in an order that the weights fix
    and without those of weight zero, and rounded once: the same bits in whatever block it is
    asked for, and within the last digits of float64 in numpy's form and in the compiled one.
    Where each row is a row of the base, blocks are copied, and zeros keep their sign.

    Attributes
    ----------
    base
        (n, d) float32 or float64, in memory or memory-mapped.
    weights
        (m, n), how much of each base row a row consists of.
    shared
        Whether large matrices may be summed as what most rows have in common and what each
        lacks. That leaves rounding of the size of what is lacking, so no row may lack one
        that is much longer than those it has.

    Example
    -------
    >>> rows = mix(np.array([[0.5, 0.5, 0.0]]), np.array([[1.0, 2.0], [3.0, 6.0], [1e308, 0.0]]))
    >>> rows.shape, rows[:, 1:]
    ((1, 2), array([[4.]]))

    """

    base: Rows
    weights: NDArray[np.float64]
    shared: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Return (m, d)."""
        return len(self.weights), self.base.shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the dtype of the base, which is that of every block."""
        return self.base.dtype

    def __len__(self) -> int:
        return len(self.weights)

    def __getitem__(self, key: tuple[Any, Any]) -> Array:
        """Return ``[rows, columns]``, a block in memory of its own."""
        rows, columns = key
        if self._places is not None:
            picked: Array = self.base[:, columns][self._places[rows]]
            return picked
        if is_small(self.base) or on_device(self.base):
            return mixed_block(self.weights[rows], self.base[:, columns], self.dtype)
        from quickthorn.strategies.kernels.mixing import mixed_columns  # noqa: PLC0415 - SMALL

        base, block = self.base, columns
        plain = isinstance(columns, slice) and columns.step in {None, 1}
        if not plain or not isinstance(base, np.ndarray):
            base, block = np.ascontiguousarray(base[:, columns]), slice(None)
        block = slice(*block.indices(base.shape[1])[:2])
        outputs = np.arange(len(self))[rows]
        return mixed_columns(self._plan, outputs, base, block, self.dtype)

    @cached_property
    def _places(self) -> NDArray[np.intp] | None:
        """Return the (m,) rows of the base that these are, or None where one is a mixture."""
        alone = (np.count_nonzero(self.weights, axis=1) == 1) & (self.weights.max(axis=1) == 1.0)
        return self.weights.argmax(axis=1) if alone.all() else None

    @cached_property
    def _plan(self) -> Plan:
        from quickthorn.strategies.kernels.mixing import Plan  # noqa: PLC0415 - SMALL

        return Plan.of(self.weights, shared=self.shared)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:  # noqa: ANN401, FBT001 - numpy's
        """Return all rows, for people and tests; rules take blocks."""
        if copy is False:
            msg = "mixed rows are computed, so an array of them is always new; leave out copy=False"
            raise ValueError(msg)
        return combine(self.weights, self.base, dtype)


def mix(weights: NDArray[np.float64], values: Rows, *, shared: bool = False) -> MixedRows:
    """Return the rows ``weights @ values``, of which nothing is computed yet.

    Parameters
    ----------
    weights
        (m, n).
    values
        (n, d); where these are mixed rows themselves, the two mixtures become one.
    shared
        As in ``MixedRows``.

    """
    if isinstance(values, MixedRows):
        # Of a mean, the rows that it is made of may be far longer than the mean.
        single = np.count_nonzero(values.weights, axis=1).max() <= 1
        return MixedRows(values.base, combine(weights, values.weights), shared and bool(single))
    return MixedRows(values, weights, shared)


@with_tensor_form
def combine(weights: NDArray[np.float64], values: Rows, dtype: Any = None) -> Array:  # noqa: ANN401 - numpy's
    """Return ``weights @ values``: (m, n) times (n, d), in ``dtype`` or that of ``values``.

    Accumulated in float64, row by row in the order of the rows; those of weight zero are not
    read.
    """
    rows = mix(weights, values)
    result = np.empty(rows.shape, dtype or rows.dtype)
    blocks = list(column_blocks(len(rows.base) + len(rows), rows.shape[1]))
    if is_small(rows.base):
        for block in blocks:
            result[:, block] = mixed_block(rows.weights, rows.base[:, block], result.dtype)
        return result
    from quickthorn.strategies.kernels.mixing import Plan, mixed_columns  # noqa: PLC0415 - SMALL

    plan, outputs = Plan.of(rows.weights, shared=False), np.arange(len(rows))

    def work(block: slice) -> None:
        for base, start, part in pieces(rows.base, block):
            own = slice(start, start + part.stop - part.start)
            result[:, part] = mixed_columns(plan, outputs, base, own, result.dtype)

    each(work, blocks)
    return result


@with_tensor_form
def mixed_block(weights: NDArray[np.float64], block: Array, dtype: np.dtype[Any]) -> Array:
    """Return ``weights @ block`` in ``dtype``, for (n, b) values that fit the cache.

    Each sum is in the order of the rows. Of a wide block, or of a few rows, a product is made
    once for all mixtures that take a row by the same share; of a narrow one a step would cost
    more than the product that it spares.
    """
    sums = np.zeros((len(weights), block.shape[1]))
    if len(block) > _FEW and block.shape[1] < _WIDE:
        for taken, row in zip(weights.T, block, strict=True):
            takers = np.flatnonzero(taken)
            sums[takers] += taken[takers, None] * row
        return sums.astype(dtype)
    totals = list(sums)
    for shares, row in zip(weights.T.tolist(), block, strict=True):
        share, product = 0.0, row
        for total, asked in zip(totals, shares, strict=True):
            if asked and asked != share:  # most mixtures take a row by the same share
                share, product = asked, np.multiply(row, asked, dtype=np.float64)
            if asked:
                np.add(total, product, out=total)
    return sums.astype(dtype)


def sum_rows(rows: Array) -> NDArray[np.float64]:
    """Return the sum of the rows in float64, one row after the other.

    ``np.sum`` chooses its order by the shape and the memory layout; this order is fixed, so
    that a coordinate has the same bits in any block. A sum that overflows is infinite.
    """
    total: NDArray[np.float64] = np.zeros(rows.shape[1:])
    with np.errstate(over="ignore", invalid="ignore"):
        for row in rows:
            total += row
    return total


@with_tensor_form
def own_vector(values: Rows, content: Array | None) -> Array:
    """Return ``content``, or zeros, as a float64 vector of its own that lies where the rows do."""
    return np.zeros(values.shape[1]) if content is None else np.array(content, np.float64)


@with_tensor_form
def rounded(vector: Array, dtype: Any) -> Array:  # noqa: ANN401 - numpy's or torch's
    """Return ``vector`` in ``dtype``, in memory of its own."""
    return vector.astype(dtype)


@with_tensor_form
def row_norms(values: Rows, center: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Return ‖x_i − v‖, the n Euclidean norms of the rows about ``center``, or about zero.

    Accumulated in float64, and once more in units of the largest element where a square left
    its range, so that a row of 1e300 has a norm and not an infinity. A norm beyond the largest
    float64 is that number, ``LARGEST``.

    Parameters
    ----------
    values
        (n, d) float32 or float64, finite.
    center
        v, (d,).

    """
    if is_small(values):
        norms = np.sqrt(_squares(values, center, np.ones(len(values))))
    else:
        norms = np.sqrt(_compiled_squares(values, center))
    extreme = ~((MODERATE[0] < norms) & (norms < MODERATE[1]))
    if extreme.any():
        peaks = np.minimum(row_peaks(values, center), LARGEST)
        scales = np.where(extreme & (peaks > 0.0), peaks, 1.0)
        with np.errstate(over="ignore"):
            scaled = np.sqrt(_squares(values, center, scales)) * scales
        norms[extreme] = np.minimum(scaled[extreme], LARGEST)
    return norms


@with_tensor_form
def row_peaks(values: Rows, center: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Return the largest |x_ij − v_j| of each row, (n,)."""

    def work(block: slice) -> NDArray[np.float64]:
        part = _centered(values, center, block)
        peaks: NDArray[np.float64] = np.abs(part, out=part).max(axis=1)
        return peaks

    blocks = list(column_blocks(len(values), values.shape[1], _ELEMENTS))
    highest: NDArray[np.float64] = np.max(each(work, blocks), axis=0)
    return highest


def _squares(
    values: Rows, center: NDArray[np.float64] | None, scales: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return Σ_j ((x_ij − v_j) / scale_i)² of each row."""
    n, d = values.shape
    total = np.zeros(n)
    with np.errstate(over="ignore", under="ignore"):
        for block in column_blocks(n, d, _ELEMENTS):
            part = _centered(values, center, block)
            part /= scales[:, None]
            total += np.add.reduce(part * part, axis=1)
    return total


def _compiled_squares(values: Rows, center: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Return Σ_j (x_ij − v_j)² of each row, by chunks of columns that are added in their order."""
    from quickthorn.strategies.kernels.mixing import add_squares  # noqa: PLC0415 - SMALL

    n, d = values.shape
    middle = np.empty(0) if center is None else center

    def work(chunk: slice) -> NDArray[np.float64]:
        totals = np.zeros(n)
        for rows, start, block in pieces(values, chunk):
            stop = start + block.stop - block.start
            add_squares(rows, start, stop, middle[block], totals)
        return totals

    return sum_rows(np.array(each(work, list(column_blocks(1, d, _COLUMNS)))))


def is_small(values: Rows) -> bool:
    """Return whether numpy is fast enough for these rows."""
    return values.shape[0] * values.shape[1] < SMALL


def pieces(values: Rows, chunk: slice) -> Iterator[tuple[Array, int, slice]]:
    """Yield arrays that hold ``chunk``, each with the column where a block of it begins there.

    An array is yielded as it is, once; of other rows one block after the other is computed.
    """
    if isinstance(values, np.ndarray):
        yield values, chunk.start, chunk
        return
    width = max(_ELEMENTS // len(values) // _STEP, 1) * _STEP
    for start in range(chunk.start, chunk.stop, width):
        block = slice(start, min(start + width, chunk.stop))
        yield np.ascontiguousarray(values[:, block]), 0, block


def _centered(values: Rows, center: NDArray[np.float64] | None, block: slice) -> Array:
    """Return x − v over ``block`` in float64, in memory of its own."""
    part: Array = values[:, block].astype(np.float64, order="C")
    if center is not None:
        with np.errstate(over="ignore"):
            part -= center[block]
    return part
