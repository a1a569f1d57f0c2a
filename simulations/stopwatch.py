"""Seconds by stage."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stopwatch:
    """Adds up, by name, the seconds spent inside ``with watch("train"): …``.

    Example
    -------
    >>> watch = Stopwatch()
    >>> with watch("nap"): pass
    >>> list(watch.seconds), watch.seconds["nap"] >= 0
    (['nap'], True)

    """

    def __init__(self) -> None:
        """Start at nothing."""
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Add the time of this block to ``stage``, also if it raises."""
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - started
            self.seconds[stage] = self.seconds.get(stage, 0.0) + spent
