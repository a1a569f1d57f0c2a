"""One pass over rows for what the signals need beside lengths and inner products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels.blocks import column_blocks
from quickthorn.strategies.kernels.rows import is_small, pieces, sum_rows
from quickthorn.strategies.kernels.threads import each

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.rows import Rows
    from quickthorn.strategies.updates import Array

# Numbers in a sketch; the columns of a chunk are taken in runs of as many.
WIDTH = 256
# Columns of a chunk: its sums are added up before they are added to those of the others. Not the
# block size of other kernels: no bit of a score may depend on that.
_COLUMNS = 1 << 14

# SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA
# 2014) makes of a counter 64 bits that look drawn.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)


@dataclass(frozen=True, eq=False)
class Survey:
    """What one pass over n rows x_i / 2^e_i finds about them, and about a center m / 2^e_i.

    Attributes
    ----------
    products
        (n,) ⟨x_i, m⟩ / 4^e_i.
    apart
        (n, k) ‖x_i − m‖² / 4^e_i within each of k tensors.
    signs
        (n, 2) how many elements are positive, and how many negative.
    sketches
        (n, 256) count sketches of x_i / 2^e_i: S_b = Σ_{j: b(j) = b} σ(j) x_j. A fixed hash of
        the column's number says to which of 256 sums it is added and with which sign, the same
        in every process and round. ⟨S_i, S_k⟩ is ⟨x_i, x_k⟩ up to about ‖x_i‖ ‖x_k‖ / 16, and
        S is linear: the difference of two sketches is the sketch of the difference. Whoever
        knows the hash can make updates whose sketch says nothing, so no rule may rest on one.

    References
    ----------
    Charikar, Chen and Farach-Colton, "Finding Frequent Items in Data Streams", ICALP 2002.

    """

    products: NDArray[np.float64]
    apart: NDArray[np.float64]
    signs: NDArray[np.int64]
    sketches: NDArray[np.float64]


def survey(
    values: Rows, center: Array, exponents: NDArray[np.int64], tensors: Sequence[slice]
) -> Survey:
    """Look once over the rows.

    Parameters
    ----------
    values
        (n, d) float32 or float64, finite.
    center
        m, (d,).
    exponents
        (n,) e_i, at least those of the lengths of x_i and m where squares could overflow.
    tensors
        k slices of columns, which cover all of them in order.

    Returns
    -------
    Survey
        Summed in float64; the same bits for any block size and number of threads, and in the
        numpy and the compiled form.

    """
    n = len(values)
    if is_small(values):
        look = _look
    else:
        from quickthorn.strategies.kernels.surveying import look  # noqa: PLC0415 - see SMALL
    scales = np.ldexp(1.0, -exponents)
    chunks = list(_chunks(tensors))

    def work(chunk: slice) -> NDArray[np.float64]:
        sums = np.zeros((n, 5, WIDTH))
        for rows, start, block in pieces(values, chunk):
            width = block.stop - block.start
            middle = np.zeros(-(-width // WIDTH) * WIDTH)
            middle[:width] = center[block]
            look(rows, start, start + width, middle, column_signs(block), scales, sums)
        sketches = np.roll(sums[:, 4], _turn(chunk), axis=1)
        return np.concatenate([np.add.reduce(sums[:, :4], axis=2), sketches], axis=1)

    # Threads cost more than they win where a chunk is done in microseconds.
    looked = [work(chunk) for chunk in chunks] if is_small(values) else each(work, chunks)
    parts = np.array(looked)
    apart = np.zeros((n, len(tensors)))
    starts = [tensor.start for tensor in tensors]
    for chunk, part in zip(chunks, parts, strict=True):
        apart[:, np.searchsorted(starts, chunk.start, "right") - 1] += part[:, 1]
    total = sum_rows(parts)
    return Survey(total[:, 0], apart, total[:, 2:4].astype(np.int64), total[:, 4:])


def sketch(vector: Array) -> NDArray[np.float64]:
    """Return the (256,) sketch of one (d,) vector, as ``survey`` finds it for a row.

    >>> float(abs(sketch(np.array([0.0, 3.0, -4.0]))).sum())
    7.0
    """
    parts = []
    for chunk in column_blocks(1, len(vector), _COLUMNS):
        signed = column_signs(chunk)
        signed[: chunk.stop - chunk.start] *= vector[chunk]
        signed[chunk.stop - chunk.start :] = 0.0
        parts.append(np.roll(sum_rows(signed.reshape(-1, WIDTH)), _turn(chunk)))
    return sum_rows(np.array(parts))


def _chunks(tensors: Sequence[slice]) -> Iterator[slice]:
    """Cut the tensors into chunks of columns; none belongs to two."""
    for tensor in tensors:
        for block in column_blocks(1, tensor.stop - tensor.start, _COLUMNS):
            yield slice(tensor.start + block.start, tensor.start + block.stop)


def column_signs(block: slice) -> NDArray[np.float64]:
    """Return ±1 for each column of a block, and on up to a multiple of 256."""
    count = -(-(block.stop - block.start) // WIDTH) * WIDTH
    first, last = block.start // 64, (block.start + count - 1) // 64
    words = _hash(np.arange(first, last + 1, dtype=np.uint64))
    bits = np.unpackbits(words.astype("<u8").view(np.uint8), bitorder="little")
    skip = block.start - 64 * first
    return bits[skip : skip + count].astype(np.float64) * 2.0 - 1.0


def _turn(chunk: slice) -> int:
    """Return to which sum of a sketch the first column of a chunk is added."""
    beyond = np.array([(1 << 63) + chunk.start], np.uint64)  # no counter of ``column_signs``
    return int(_hash(beyond)[0] % np.uint64(WIDTH))


def _hash(counters: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Turn counters into 64 bits each that look drawn."""
    bits = (counters + np.uint64(1)) * _GOLDEN
    bits = (bits ^ (bits >> _SHIFTS[0])) * _FACTORS[0]
    bits = (bits ^ (bits >> _SHIFTS[1])) * _FACTORS[1]
    return bits ^ (bits >> _SHIFTS[2])


def _look(  # noqa: PLR0913, PLR0917 - as the compiled form, which takes them by position
    rows: Array,
    start: int,
    stop: int,
    middle: NDArray[np.float64],
    signs: NDArray[np.float64],
    scales: NDArray[np.float64],
    sums: NDArray[np.float64],
) -> None:
    """Add what the columns from ``start`` to ``stop`` say, in runs of 256, to (n, 5, 256) sums.

    Those are, per row, of the product with the middle, the squared distance from it, the
    positive and the negative elements, and the sketch.
    """
    units, totals = scales[:, None], sums.swapaxes(0, 1)
    for first in range(0, len(middle), WIDTH):
        run = slice(first, first + WIDTH)
        found = rows[:, start + first : min(start + first + WIDTH, stop)]
        part = np.zeros((len(rows), WIDTH))
        np.multiply(found, units, out=part[:, : found.shape[1]])
        center = middle[run] * units
        said = part * center, (part - center) ** 2, part > 0.0, part < 0.0, part * signs[run]
        for total, values in zip(totals, said, strict=True):
            np.add(total, values, out=total)
