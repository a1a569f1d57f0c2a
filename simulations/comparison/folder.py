"""Results on disk: each run claimed by one process, written whole, and found again.

A claim is a lock of the operating system on ``claims/<run>``. The system takes it back when
its owner ends, however that ends, so no claim of a dead process can stand in the way and no
time limit has to guess who is dead. A result is written to a file beside its place, forced to
the disk and renamed: a reader sees all of it or none.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from quickthorn.strategies.errors import ConfigurationError, RunError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Status = Literal["done", "failed", "interrupted"]


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes
    ----------
    run
        Its id.
    status
        ``done``; ``failed``: it raised, and would again; ``interrupted``: its process ended.
    error
        Of a run that is not done.
    record
        ``SimulationRecord.to_json`` of one that is.
    versions
        Of the packages that decide the bits of the result, where they are known.

    """

    run: str
    status: Status
    error: str = ""
    record: dict[str, Any] | None = None
    versions: dict[str, str] = field(default_factory=dict)


class Folder:
    """The folder of a comparison.

    Example
    -------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = Folder(Path(tempfile.mkdtemp()))
    >>> with folder.claim("ab12") as mine, folder.claim("ab12") as twice:
    ...     mine, twice
    (True, False)
    >>> folder.save(Outcome("ab12", "failed", "ValueError: no"))
    >>> folder.load("ab12").error, folder.load("cd34")
    ('ValueError: no', None)

    """

    def __init__(self, path: Path) -> None:
        """Use ``path``, which is made if need be.

        Raises
        ------
        ConfigurationError
            If it cannot be made or written to.

        """
        self.path = path
        self._runs, self._claims = path / "runs", path / "claims"
        try:
            self._runs.mkdir(parents=True, exist_ok=True)
            self._claims.mkdir(exist_ok=True)
        except OSError as error:
            msg = f"cannot write to the folder {path}: {error.strerror}; choose another --out."
            raise ConfigurationError(msg) from error

    @contextlib.contextmanager
    def claim(self, run: str) -> Iterator[bool]:
        """Claim a run inside the block; gives False where another owner has it."""
        path = self._claims / run
        with contextlib.ExitStack() as stack:
            descriptor = _lock(path)
            if descriptor is not None:
                stack.callback(os.close, descriptor)
                # While it is locked: whoever opened the old file finds that it is gone.
                stack.callback(path.unlink, missing_ok=True)
            yield descriptor is not None

    def load(self, run: str) -> Outcome | None:
        """Return what became of a run, or None if nothing did yet.

        Raises
        ------
        RunError
            If the file of the result cannot be read.

        """
        path = self._runs / f"{run}.json"
        try:
            return Outcome(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            msg = f"cannot read the result {path}: {error}; delete it, and the run is done again."
            raise RunError(msg) from error

    def runs(self) -> list[str]:
        """Return the ids of the runs that have a result, in order."""
        return sorted(path.stem for path in self._runs.glob("[!.]*.json"))

    def save(self, outcome: Outcome) -> None:
        """Write what became of a run; only the owner of its claim may."""
        content = json.dumps(asdict(outcome), ensure_ascii=False).encode()
        write_whole(self._runs / f"{outcome.run}.json", content, writer="owner")


def write_whole(path: Path, content: bytes, *, writer: str | None = None) -> None:
    """Write a file so that it is never seen in part, not even after a loss of power.

    ``writer`` names who writes, where only one may: what it left behind when it was killed, the
    next of the same name takes over. Without, any number may write at once, on any machine.

    Raises
    ------
    RunError
        If it cannot be written.

    """
    beside = path.with_name(f".{path.name}.{writer or secrets.token_hex(8)}")
    try:
        _write(beside, path, content)
    except OSError as error:
        msg = f"cannot write {path}: {error.strerror}."
        raise RunError(msg) from error


def _write(beside: Path, path: Path, content: bytes) -> None:
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _lock(path: Path) -> int | None:
    """Return the descriptor of the locked file, or None if it is locked elsewhere."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except FileNotFoundError:
            pass
        # Its owner removed it between our two steps: what we hold is no longer the claim.
        os.close(descriptor)
