"""What the commands print to people, on whatever terminal they have."""

from __future__ import annotations

import io
import math
import shutil
import sys
import textwrap

from rich.console import Console
from rich.markup import escape

_WIDEST = 100  # lines of a sentence that are longer are hard to read


def open_console() -> Console:
    """Return a console on stdout that no text can stop, in whatever encoding the terminal is.

    What the encoding lacks is printed as an escape.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    return Console(width=width, highlight=False, emoji=False)


def print_below(text: str, console: Console) -> None:
    """Print plain text under a heading: wrapped and indented."""
    lines = textwrap.wrap(
        text, console.width, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
    )
    console.print(escape("\n".join(lines)))


def figure(value: float | None, digits: int) -> str:
    """Return ``value`` with ``digits`` decimals, or a dash for None.

    Nothing is rounded up: what looks like a threshold has reached it.

    >>> figure(0.99996, 4), figure(1.0, 4), figure(0.29, 2), figure(None, 2)
    ('0.9999', '1.0000', '0.29', '-')
    """
    if value is None:
        return "-"
    unit = 10**digits
    return f"{math.floor(round(value * unit, 6)) / unit:.{digits}f}"
