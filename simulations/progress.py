"""How far a command is, on stderr: a bar in a terminal, elsewhere a plain line now and then."""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from quickthorn.simulations.comparison.folder import Outcome

_TENTHS = 10
_BETWEEN, _SILENCE = 10.0, 600.0  # seconds between two lines: a tenth on, and in any case
_WIDTH = 20  # of the bar; the words need the rest of a line
_LARGE = 100  # so many seconds or more are told in minutes, so many minutes in hours


class Shown:
    """Progress as a context manager.

    Parameters
    ----------
    clock
        Seconds that never go back.

    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Draw nothing yet."""
        console = Console(stderr=True)
        # A console also takes FORCE_COLOR, which many a CI sets, for a terminal.
        drawn = sys.stderr.isatty() and not console.is_dumb_terminal
        columns = (BarColumn(_WIDTH), TextColumn("{task.description}"), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console, transient=True) if drawn else None
        self._clock = clock
        self._began = self._said = clock()
        self._tenths = 0

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
        """Show that ``done`` of ``total`` is done, what that is in words, and the time left.

        In a log, work that begins is told at once, and the end not at all.
        """
        now = self._clock()
        if 0 < done < total:
            words += f", about {_in_words((now - self._began) * (total / done - 1))} left"
        if self._bar is not None:
            (task,) = self._bar.task_ids
            self._bar.update(task, completed=done, total=total, description=words)
            return
        if done >= total:
            return
        tenths = int(_TENTHS * done / total)
        wait = _BETWEEN if tenths > self._tenths else _SILENCE
        if done == 0 or now - self._said >= wait:
            self._tenths, self._said = tenths, now
            sys.stderr.write(f"{words}\n")
            sys.stderr.flush()


class Runs:
    """The runs of a grid as they end: how many are done, and how many are not.

    Attributes
    ----------
    words
        All of that in words.

    """

    def __init__(self, shown: Shown) -> None:
        """Begin with none."""
        self.words = "no run is done"
        self._shown = shown
        self._ended: Counter[str] = Counter()

    def update(self, outcome: Outcome | None, left: int) -> None:
        """Count the run that ended, if one did, and show how many are left."""
        if outcome is not None:
            self._ended[outcome.status] += 1
        ended = self._ended.total()
        told = [f"{self._ended['done']} of {ended + left} runs done"]
        told += [f"{n} {status}" for status, n in self._ended.items() if status != "done"]
        self.words = ", ".join(told)
        self._shown.update(ended, ended + left, self.words)


def _in_words(seconds: float) -> str:
    """Return a duration, rounded up.

    >>> _in_words(12.3), _in_words(130.0), _in_words(7000.0)
    ('13 s', '3 min', '2 h')
    """
    if seconds < _LARGE:
        return f"{math.ceil(seconds)} s"
    if seconds < _LARGE * 60:
        return f"{math.ceil(seconds / 60)} min"
    return f"{math.ceil(seconds / 3600)} h"
