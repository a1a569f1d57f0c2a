"""What a rule costs on a matrix that lies in a file: the time, and how much is in memory."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.simulations.memory import peak_resident
from quickthorn.simulations.subjects import client_names, most_liars, subject
from quickthorn.strategies.errors import RunError
from quickthorn.strategies.updates import MatrixBuilder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_FILL = "(filling)"


@dataclass(frozen=True)
class MappedLine:
    """One rule on one file, in a process of its own.

    Attributes
    ----------
    rule, clients, size, byzantine
        The defense or the scorer, or that the file was filled; n, d and f.
    seconds
        Of one run, which reads the file and compiles what is not on disk yet.
    peak_bytes
        The most that the process had resident, Python and pages of the file included.

    """

    rule: str
    clients: int
    size: int
    byzantine: int
    seconds: float
    peak_bytes: int


def measure_mapped(
    clients: Sequence[int], sizes: Sequence[int], rules: Sequence[str], folder: Path
) -> Iterator[MappedLine]:
    """Yield one line for filling each file, and one per rule on it, as they are measured.

    Parameters
    ----------
    clients, sizes
        The n and the d to combine; a file takes 4·n·d bytes while it is used.
    rules
        Defenses and scorers; one that does not take so many clients is left out.
    folder
        Where the files are made.

    Raises
    ------
    RunError
        If the disk has no room for the file, or a run fails.

    """
    for n in clients:
        for size in sizes:
            free = shutil.disk_usage(folder).free
            if free < 4 * n * size:
                msg = f"{folder} has {free} bytes free, the file needs {4 * n * size}."
                raise RunError(msg)
            with tempfile.TemporaryDirectory(dir=folder) as name:
                path = Path(name) / "updates"
                yield _measure(_FILL, n, size, 0, path)
                for rule in rules:
                    byzantine = most_liars(rule, n)
                    if byzantine is not None:
                        yield _measure(rule, n, size, byzantine, path)


def as_mapped_table(lines: Sequence[MappedLine]) -> str:
    """Return the lines as a Markdown table."""
    rows = [
        f"| `{line.rule.replace('|', chr(92) + '|')}` | {line.clients} | {line.size:,} | "
        f"{line.byzantine} | {4 * line.clients * line.size / 1e9:.2f} | {line.seconds:.1f} | "
        f"{line.peak_bytes / 1e6:.0f} |"
        for line in lines
    ]
    head = ["| rule | n | d | f | file, GB | seconds | peak, MB |", f"|{' --- |' * 7}"]
    return "\n".join([*head, *rows])


def _measure(rule: str, n: int, size: int, byzantine: int, path: Path) -> MappedLine:
    command = [sys.executable, "-m", __name__, rule, str(n), str(size), str(byzantine), str(path)]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own
    if done.returncode:
        msg = f"{rule} on {path} failed with exit code {done.returncode}; see above."
        raise RunError(msg)
    return MappedLine(rule, n, size, byzantine, **json.loads(done.stdout))


def _main(rule: str, n: str, size: str, byzantine: str, path: str) -> None:
    """Run one rule, or fill the file, and print what it cost."""
    shape = int(n), int(size)
    started = time.perf_counter()
    if rule == _FILL:
        _fill(np.memmap(path, np.float32, "w+", shape=shape))
    else:
        subject(rule, int(byzantine))(np.memmap(path, np.float32, "r", shape=shape))
    seconds = time.perf_counter() - started
    json.dump({"seconds": seconds, "peak_bytes": peak_resident()}, sys.stdout)


def _fill(values: np.memmap[tuple[int, int], np.dtype[np.float32]]) -> None:
    names = client_names(len(values))
    builder = MatrixBuilder(names, values.shape[1], values.dtype, values=values)
    rng = np.random.default_rng(0)
    for name in names:
        rng.standard_normal(dtype=np.float32, out=builder.row(name))
        builder.keep(name)
    builder.finish()


if __name__ == "__main__":
    _main(*sys.argv[1:])
