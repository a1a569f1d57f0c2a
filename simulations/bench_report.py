"""The benchmark for people: one table, what was left out of it, and the figures aimed at."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels.threads import thread_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from quickthorn.simulations.bench import Line

_LEGEND = (
    "f: liars tolerated, a fifth of n or the most that the rule accepts. reads: our time in passes "
    "over the matrix. Flower, numpy: their time divided by ours (for rules on distances numpy is "
    "one float32 product X·Xᵀ). extra memory: by how much the resident memory grew at most in one "
    "more run, in matrices; whatever allocates is counted, and so is the result."
)


@dataclass(frozen=True)
class _Aim:
    """A figure aimed at: ``factor`` × something, at least or at most, for some n or for all."""

    rules: tuple[str, ...]
    what: str
    factor: float
    clients: int | None = None

    @property
    def at_least(self) -> bool:
        return self.what == "Flower's"

    def __str__(self) -> str:
        where = f" at n={self.clients}" if self.clients else ""
        bound = (
            f"at least {self.factor:g} × as fast as"
            if self.at_least
            else f"within {self.factor:g} ×"
        )
        return f"{', '.join(self.rules)}{where}: {bound} {self.what}"


_FASTER = "Flower's"
_READ = "one read"
_PRODUCT = "one float32 product"
_ALONE = "trimmed_mean alone"
_AIMS = (
    _Aim(("median", "trimmed_mean"), _FASTER, 20, 100),
    _Aim(("median", "trimmed_mean"), _READ, 3, 32),
    _Aim(("krum", "multi_krum"), _FASTER, 5),
    _Aim(("krum", "multi_krum"), _PRODUCT, 1.5),
    _Aim(("bulyan",), _FASTER, 20),
    _Aim(("geometric_median",), _READ, 8),
    _Aim(("nnm | trimmed_mean",), _ALONE, 3),
)


def machine() -> str:
    """Name the machine: processor, cores, threads that we use, Python and numpy."""
    return (
        f"{_processor()}, {os.cpu_count()} cores, {thread_count()} threads, "
        f"Python {platform.python_version()}, numpy {np.__version__}"
    )


def as_text(lines: Sequence[Line]) -> str:
    """Return the whole report as Markdown, which a terminal shows as well."""
    parts = [as_table(lines), f"Machine: {machine()}. {_LEGEND}"]
    left_out = [
        f"- {reason} (n={line.clients}, d={line.size:,})"
        for line in lines
        for reason in line.left_out
    ]
    if left_out:
        parts.append("Left out:\n\n" + "\n".join(left_out))
    reached = [f"- {sentence}" for sentence in aims(lines)]
    if reached:
        parts.append("Aimed at:\n\n" + "\n".join(reached))
    return "\n\n".join(parts)


def as_table(lines: Sequence[Line]) -> str:
    """Return one row per rule and cohort that was measured."""
    head = ("rule", "n", "d", "f", "seconds", "GB/s", "reads", "Flower", "numpy", "extra memory")
    rows = [_row(line) for line in lines if line.seconds is not None]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    table = [head, tuple("-" * width for width in widths), *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |"
        for row in table
    )


def aims(lines: Iterable[Line]) -> list[str]:
    """Return a sentence for each figure aimed at that these lines can judge."""
    measured = [line for line in lines if line.seconds is not None]
    sentences = []
    for aim in _AIMS:
        found = [
            (factor, line)
            for line in measured
            if line.rule in aim.rules and aim.clients in {None, line.clients}
            for factor in [_factor(aim, line, measured)]
            if factor is not None
        ]
        if not found:
            continue
        missed = [
            f"{line.rule} n={line.clients} d={line.size:,}: {factor:.1f}"
            for factor, line in found
            if (factor < aim.factor if aim.at_least else factor > aim.factor)
        ]
        factors = [factor for factor, _ in found]
        verdict = f"not reached by {'; '.join(missed)}" if missed else "reached"
        sentences.append(f"{aim}: {min(factors):.1f} to {max(factors):.1f}, {verdict}")
    return sentences


def _factor(aim: _Aim, line: Line, lines: Sequence[Line]) -> float | None:
    """Return what ``aim`` bounds on this line, None where it was not measured."""
    if line.seconds is None:
        return None
    if aim.what == _FASTER:
        return None if line.flower_seconds is None else line.flower_seconds / line.seconds
    if aim.what == _ALONE:
        others = [
            other.seconds
            for other in lines
            if (other.rule, other.clients, other.size) == ("trimmed_mean", line.clients, line.size)
        ]
        divisor = others[0] if others else None
    else:
        divisor = line.read_seconds if aim.what == _READ else line.numpy_seconds
    return None if divisor is None else line.seconds / divisor


def _row(line: Line) -> tuple[str, ...]:
    seconds, read, extra = line.seconds or 0.0, line.read_seconds or 0.0, line.extra_bytes or 0
    return (
        "`{}`".format(line.rule.replace("|", r"\|")),  # a bar would end the cell
        str(line.clients),
        f"{line.size:,}",
        str(line.byzantine),
        f"{seconds:.4f}",
        f"{line.payload / seconds / 1e9:.2f}",
        f"{seconds / read:.1f}",
        _times(line.flower_seconds, seconds),
        _times(line.numpy_seconds, seconds),
        f"{extra / line.payload:.2f}",
    )


def _times(theirs: float | None, ours: float) -> str:
    return "–" if theirs is None else f"{theirs / ours:.1f} ×"


def _processor() -> str:
    """Return the processor's model, as far as the system tells."""
    table = Path("/proc/cpuinfo")
    if table.exists():
        for line in table.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
