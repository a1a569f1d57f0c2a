"""Cut a wide matrix into blocks of columns that stay in the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Elements in one block: 2 MiB in float64, about the second-level cache of a server core.
BLOCK_ELEMENTS = 1 << 18

# Below this many elements loading a compiled kernel, half a second, costs more than it saves.
SMALL = 1 << 18


def column_blocks(rows: int, columns: int, elements: int | None = None) -> Iterator[slice]:
    """Yield slices that cover ``columns``, in order; one block holds about ``elements``.

    Those are BLOCK_ELEMENTS where nothing else is said.

    >>> list(column_blocks(rows=1 << 17, columns=5))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    width = max(1, (elements or BLOCK_ELEMENTS) // rows)
    for start in range(0, columns, width):
        yield slice(start, min(start + width, columns))
