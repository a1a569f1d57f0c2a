"""How far a command is, on stderr: a bar in a terminal, elsewhere a plain line now and then."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_LINES, _SECONDS = 10, 10.0  # so many lines at most, and so many seconds between two
_MINUTES_FROM = 100  # seconds


class Shown:
    """Progress as a context manager.

    Parameters
    ----------
    column
        What the bar says of time.
    clock
        Seconds that never go back.

    """

    def __init__(self, column: ProgressColumn, clock: Callable[[], float] = time.monotonic) -> None:
        """Draw nothing yet."""
        console = Console(stderr=True)
        # A console also takes FORCE_COLOR, which many a CI sets, for a terminal.
        drawn = sys.stderr.isatty() and not console.is_dumb_terminal
        columns = (BarColumn(), TextColumn("{task.description}"), column)
        self._bar = Progress(*columns, console=console, transient=True) if drawn else None
        self._clock = clock
        self._began = self._said = clock()
        self._lines = 0

    def __enter__(self) -> Self:
        """Draw the bar, where there is one."""
        if self._bar is not None:
            self._bar.add_task("starting", total=None)
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: float, total: float, words: str) -> None:
        """Show that ``done`` of ``total`` is done, and what that is in words."""
        if self._bar is not None:
            (task,) = self._bar.task_ids
            self._bar.update(task, completed=done, total=total, description=words)
            return
        lines, now = int(_LINES * done / total), self._clock()
        if lines == self._lines or now - self._said < _SECONDS or done >= total:
            return
        self._lines, self._said = lines, now
        left = _in_words((now - self._began) * (total / done - 1))
        sys.stderr.write(f"{words} ({done / total:.0%} done, about {left} left)\n")
        sys.stderr.flush()


def _in_words(seconds: float) -> str:
    """Return a duration, rounded up.

    >>> _in_words(12.3), _in_words(130.0)
    ('13 s', '3 min')
    """
    if seconds < _MINUTES_FROM:
        return f"{math.ceil(seconds)} s"
    return f"{math.ceil(seconds / 60)} min"
