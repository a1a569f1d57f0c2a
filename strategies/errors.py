"""Every error that Quickthorn raises on purpose.

    QuickthornError
    ├── ConfigurationError   what a person wrote cannot be used: a name, a key, a value
    │   └── UnknownNameError     a name that does not exist; the near miss is named
    ├── TooFewClientsError   fewer clients than the defense needs for its ``byzantine``
    ├── UpdateError          an array that is no matrix of updates: shape, dtype, finiteness
    └── RunError             a federation that could not be carried out: a process, a file

A message says what is wrong, what came, what is needed and what to do next.
What a remote client sends never raises one of these: it becomes a ``Verdict``.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class QuickthornError(Exception):
    """The root: ``except QuickthornError`` catches whatever this package raises."""


class ConfigurationError(QuickthornError, ValueError):
    """A person's configuration cannot be used as it is written."""


class UnknownNameError(ConfigurationError):
    """A name is not among the known ones.

    Example
    -------
    >>> raise UnknownNameError("rule", "trimed_mean", ["median", "trimmed_mean"])
    Traceback (most recent call last):
    ...
    quickthorn.strategies.errors.UnknownNameError: unknown rule 'trimed_mean'; \
did you mean 'trimmed_mean'? Known: median, trimmed_mean.

    """

    def __init__(self, what: str, got: str, known: Iterable[str]) -> None:
        """Name the unknown thing, the closest known one and all known ones."""
        names = sorted(known)
        near = difflib.get_close_matches(got, names, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        super().__init__(f"unknown {what} {got!r}{hint} Known: {', '.join(names)}.")


class TooFewClientsError(QuickthornError, ValueError):
    """A cohort is smaller than the defense needs."""


class UpdateError(QuickthornError, ValueError):
    """An array that should hold one update per row does not."""


class RunError(QuickthornError, RuntimeError):
    """A federation could not be started, carried out or read back."""
