"""Which rows hold NaN or infinity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels.device import with_tensor_form
from quickthorn.strategies.kernels.mapped import release
from quickthorn.strategies.kernels.threads import each

if TYPE_CHECKING:
    from quickthorn.strategies.updates import Array

# Elements of short rows that are checked in one call, which is done before a thread has started.
_CHECKED_TOGETHER = 1 << 18


@with_tensor_form
def rows_not_finite(values: Array) -> list[int]:
    """Return the places of the rows that hold NaN or infinity."""

    def work(some: slice) -> list[int]:
        rows = values[some]
        # NaN and infinity survive in a sum, which needs no memory; finite rows may overflow it.
        with np.errstate(over="ignore", invalid="ignore"):
            suspect = not np.isfinite(rows.sum())
        bad = [i for i, row in enumerate(rows) if suspect and not np.isfinite(row).all()]
        release(rows)
        return [some.start + row for row in bad]

    together = max(1, _CHECKED_TOGETHER // values.shape[1])
    starts = range(0, len(values), together)
    found = each(work, [slice(start, start + together) for start in starts])
    return [row for bad in found for row in bad]
