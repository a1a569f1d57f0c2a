"""Top-k sparsification of rows without a copy: where each row's cut lies, and what is above it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quickthorn.strategies.kernels.angles import scaled
from quickthorn.strategies.kernels.blocks import column_blocks
from quickthorn.strategies.kernels.device import with_tensor_form
from quickthorn.strategies.kernels.rows import mixed_block

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.rows import Rows
    from quickthorn.strategies.updates import Array

# Bits that one pass over the data settles.
_DIGIT = 11

# Elements that are squared and summed at a time; not the block size of the other kernels, on
# which no bit may depend.
_CHUNK = 1 << 18


@with_tensor_form
def kept_from(values: Rows, keep: int) -> Array:
    """Return the ``keep``-th largest |x| of each row, exactly.

    A number that is not negative is ordered as its bits are, so the cut is found digit by
    digit, from counts of digits: three passes for float32, six for float64, and no copy.

    Parameters
    ----------
    values
        (n, d) float32 or float64, finite.
    keep
        From 1 to d.

    Returns
    -------
    Array
        (n,) in the dtype of ``values``.

    """
    n, d = values.shape
    bits = 8 * values.dtype.itemsize
    word: Any = np.dtype(f"u{values.dtype.itemsize}").type
    cut, missing = np.zeros(n, word), np.full(n, keep)
    for shift in range(bits - bits % _DIGIT, -1, -_DIGIT):
        counts = np.zeros((n, 1 << _DIGIT), np.int64)
        for block in column_blocks(n, d):
            words = np.abs(values[:, block]).view(word)
            # All bits above the digit; there are none above the first, which is partly empty.
            above = words >> word(shift + _DIGIT) if shift + _DIGIT < bits else 0 * words
            digits = (words >> word(shift)) & word((1 << _DIGIT) - 1)
            for row in range(n):
                alike = digits[row][above[row] == cut[row]].astype(np.int64)
                counts[row] += np.bincount(alike, minlength=1 << _DIGIT)
        larger = np.cumsum(counts[:, ::-1], axis=1)
        place = (larger < missing[:, None]).sum(axis=1)
        missing -= np.where(place > 0, larger[np.arange(n), place - 1], 0)
        cut = (cut << word(_DIGIT)) | ((1 << _DIGIT) - 1 - place).astype(word)
    return cut.view(values.dtype)


@dataclass(frozen=True, eq=False)
class Sparse:
    """What is left of each row in each layer.

    Attributes
    ----------
    lengths
        (n, k) Euclidean norms, in units of 2^exponent of the row.
    positive, negative
        (n, k) how many numbers of either sign.

    """

    lengths: NDArray[np.float64]
    positive: NDArray[np.int64]
    negative: NDArray[np.int64]


@with_tensor_form
def measure(
    values: Rows, cuts: Array, exponents: NDArray[np.int64], layers: Sequence[slice]
) -> Sparse:
    """Measure the rows without their numbers below the cut, layer by layer.

    Parameters
    ----------
    values
        (n, d) float32 or float64, finite.
    cuts
        (n,) of ``kept_from``; a number of just that size is left.
    exponents
        (n,) of ``angles.exponents_of``, so that no square overflows or vanishes.
    layers
        k consecutive runs of columns.

    """
    shape = len(values), len(layers)
    squares = np.zeros(shape)
    positive, negative = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for place, layer in enumerate(layers):
        for block in column_blocks(len(values), layer.stop - layer.start, _CHUNK):
            part = values[:, layer.start + block.start : layer.start + block.stop]
            left = np.where(np.abs(part) >= cuts[:, None], part, 0)
            positive[:, place] += np.count_nonzero(left > 0, axis=1)
            negative[:, place] += np.count_nonzero(left < 0, axis=1)
            numbers = scaled(left, exponents)
            squares[:, place] += np.add.reduce(numbers * numbers, axis=1)
    return Sparse(np.sqrt(squares), positive, negative)


@with_tensor_form
def mix_layers(weights: NDArray[np.float64], values: Rows, layers: Sequence[slice]) -> Array:
    """Return Σ_i w_ik x_i in each layer k, (d,) in the dtype of ``values``.

    Parameters
    ----------
    weights
        (n, k).
    values
        (n, d) float32 or float64, finite.
    layers
        k consecutive runs of columns, which cover them all.

    """
    vector = np.empty(values.shape[1], values.dtype)
    for shares, layer in zip(weights.T, layers, strict=True):
        for block in column_blocks(len(values), layer.stop - layer.start):
            part = slice(layer.start + block.start, layer.start + block.stop)
            vector[part] = mixed_block(shares[None, :], values[:, part], values.dtype)[0]
    return vector
