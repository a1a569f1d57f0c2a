"""Child processes that never outlive their parent, nor do their own children.

Each child leads a session of its own and carries a mark in its environment, which its own
children inherit. At the end all marked processes are ended, whatever session they moved to.
On Linux the kernel also kills a child when the parent is killed hard; that is tied to the
thread that started it, so children belong to a thread that lives as long as they do. Without
``/proc`` (macOS) grandchildren that left their session are found by their own parent watch only.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from quickthorn.strategies.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import FrameType, TracebackType

MARK = "QUICKTHORN_CHILD_OF"
_TAIL_LINES = 15
_GRACE_SECONDS = 1.0  # a SuperNode takes 5 to say goodbye, and has nothing to save
_POLL_SECONDS = 0.05
# Runs in the child before the command: 1 is PR_SET_PDEATHSIG. The parent may be gone already.
_BOUND_TO_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True)
class Child:
    """A running command, its name for people, and where its output goes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def tail(self, lines: int = _TAIL_LINES) -> str:
        """Return the last lines of the output."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])


class Children:
    """A set of child processes, as a context manager: after the block none is left.

    Interrupts (SIGINT) and requests to end (SIGTERM, SIGHUP) leave the block like an exception;
    while the children are being ended, further ones wait.
    """

    def __init__(self) -> None:
        """Make a mark; nothing runs yet."""
        self.mark = secrets.token_hex(16)
        self._children: list[Child] = []
        self._handlers: dict[signal.Signals, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        """Turn requests to end this process into an exception."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup asks for
                    self._handlers[number] = signal.signal(number, _leave)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End every child and grandchild."""
        try:
            with _deaf():
                self.end()
        finally:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
            self._handlers.clear()

    def start(
        self, name: str, command: Sequence[str], *, log: Path, env: Mapping[str, str]
    ) -> Child:
        """Start ``command`` with exactly ``env``; its output goes to the end of ``log``.

        Raises
        ------
        RunError
            If the command does not exist.

        """
        words = list(command)
        if sys.platform == "linux":
            bound = [sys.executable, "-I", "-S", "-c", _BOUND_TO_PARENT, str(os.getpid())]
            words = [*bound, *words]
        try:
            with log.open("ab") as output:
                process = subprocess.Popen(  # noqa: S603 - our own command, no shell
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**env, MARK: self.mark},
                    start_new_session=True,
                )
        except OSError as error:
            raise RunError(f"{name} could not be started: {error}") from error
        child = Child(name, process, log)
        self._children.append(child)
        return child

    def check(self) -> None:
        """Make sure that all children run.

        Raises
        ------
        RunError
            If one has ended; the message shows the end of its output.

        """
        for child in self._children:
            code = child.process.poll()
            if code is not None:
                raise RunError(
                    f"{child.name} ended with exit code {code}; its last words "
                    f"(all of them are in {child.log}):\n{child.tail()}"
                )

    def kill(self, child: Child) -> None:
        """Kill one child and its session at once, as a power failure would; forget it."""
        _signal_group(child.process.pid, signal.SIGKILL)
        child.process.wait()
        self._children.remove(child)

    def end(self) -> None:
        """Ask all children to end, wait a little, then kill what is left of them."""
        for child in self._children:
            if child.process.poll() is None:
                child.process.terminate()
        deadline = time.monotonic() + _GRACE_SECONDS
        while time.monotonic() < deadline and self._any_left():
            time.sleep(_POLL_SECONDS)
        for child in self._children:
            _signal_group(child.process.pid, signal.SIGKILL)
            child.process.wait()
        while left := list(marked_processes(self.mark)):
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(_POLL_SECONDS)
        self._children.clear()

    def _any_left(self) -> bool:
        running = any(child.process.poll() is None for child in self._children)
        return running or any(True for _ in marked_processes(self.mark))


def marked_processes(mark: str) -> Iterator[int]:
    """Yield the ids of the live processes whose environment carries ``mark`` (Linux only)."""
    wanted = f"{MARK}={mark}".encode()
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            found = wanted in entry.read_bytes().split(b"\0")
        except OSError:
            continue  # it ended meanwhile, or belongs to someone else
        if found:
            yield int(entry.parent.name)


def _signal_group(leader: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Postpone what would interrupt the cleaning up.

    By handlers, since a mask is of one thread: the kernel gives a signal to any other that takes
    it, and Python then interrupts this one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals interrupt the main thread alone
        return
    heard: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {n: signal.signal(n, lambda number, _frame: heard.append(number)) for n in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for waiting in dict.fromkeys(heard):
            signal.raise_signal(waiting)
