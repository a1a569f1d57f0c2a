"""What the torch forms of the kernels share: chunks of columns, vectors where the rows lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

# A chunk is this share of the columns, so that a sort's copies and places stay under a tenth
# of the matrix, but at least so many that a device has work to do.
_CHUNKS = 64
_LEAST_COLUMNS = 1 << 15

Rows = Any
"""A (n, d) tensor, or ``MixedRows`` of one; its blocks are tensors."""


def column_chunks(columns: int) -> Iterator[slice]:
    """Yield slices that cover ``columns``, in order."""
    width = max(_LEAST_COLUMNS, -(-columns // _CHUNKS))
    for start in range(0, columns, width):
        yield slice(start, min(start + width, columns))


def device_of(values: Rows) -> torch.device:
    """Return where the rows lie."""
    tensor = values if isinstance(values, torch.Tensor) else values.base
    device: torch.device = tensor.device
    return device


def zeros(values: Rows, *shape: int) -> torch.Tensor:
    """Return float64 zeros where the rows lie."""
    return torch.zeros(shape, dtype=torch.float64, device=device_of(values))


def empty(values: Rows, *shape: int, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Return memory where the rows lie, in ``dtype`` or theirs."""
    return torch.empty(shape, dtype=dtype or values.dtype, device=device_of(values))


def to_host(result: torch.Tensor) -> NDArray[Any]:
    """Return a small result, n or n × n numbers, as numpy has it."""
    array: NDArray[Any] = result.cpu().numpy()
    return array


def sum_rows(rows: torch.Tensor) -> torch.Tensor:
    """Return the sum of the rows in float64, one row after the other, as in numpy's form."""
    total = torch.zeros(rows.shape[1], dtype=torch.float64, device=rows.device)
    for row in rows:
        total += row
    return total
