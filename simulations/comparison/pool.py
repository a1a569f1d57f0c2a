"""Work through runs: one loop, and the crew of processes on this machine that does the work.

The processes are started as commands of their own, not by ``multiprocessing``: a script that
calls ``compare`` needs no ``if __name__ == "__main__"``, and a process that dies takes nothing
with it but its run.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol, Self

from quickthorn.simulations.comparison.folder import Outcome
from quickthorn.simulations.comparison.work import is_open
from quickthorn.strategies.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from quickthorn.simulations.comparison.folder import Folder
    from quickthorn.simulations.comparison.plan import Run

LOG = "workers.log"
READY, DONE, ELSEWHERE = b"ready\n", b"done\n", b"elsewhere\n"  # what a worker says
_WORKER = "quickthorn.simulations.comparison.worker"
_POLL_SECONDS = 0.3
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
# glibc (2.36, say) keeps what a step has freed for the next one, up to 1 GiB: with a convolutional
# model a judgement of the test set takes half the time if its pages need not be mapped anew.
_KEEP_MEMORY = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
_KEPT_BYTES = str(1 << 30)


class Crew(Protocol):
    """Who does the runs."""

    size: int

    def start(self, run: Run) -> None:
        """Begin a run; there are never more than ``size`` under way."""

    def finished(self, seconds: float) -> list[tuple[Run, bool]]:
        """Wait that long for runs to end; False beside a run that another process has."""


def work_through(crew: Crew, folder: Folder, runs: Sequence[Run]) -> Iterator[Outcome]:
    """Do the runs, in their order, and give each outcome as it comes.

    A run that another process on the same folder has is looked at again until that process
    has finished it, or has ended without.
    """
    waiting, elsewhere = deque(runs), deque(runs[:0])
    active = 0
    while waiting or elsewhere or active:
        while waiting and active < crew.size:
            crew.start(waiting.popleft())
            active += 1
        for run, mine in crew.finished(_POLL_SECONDS):
            active -= 1
            outcome = folder.load(run.id) if mine else None
            if outcome is None:
                elsewhere.append(run)
            else:
                yield outcome
        if elsewhere and not waiting:
            time.sleep(_POLL_SECONDS)
            waiting, elsewhere = elsewhere, waiting


class LocalCrew:
    """Worker processes on this machine, as a context manager: after the block none is left."""

    def __init__(self, folder: Folder, size: int, *, retry: bool) -> None:
        """Plan ``size`` workers for the runs in ``folder``; ``retry`` does failed ones again."""
        self.size = size
        self._folder = folder
        self._retry = retry
        self._idle: list[_Worker] = []
        self._busy: dict[_Worker, Run] = {}
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Self:
        """Start nothing yet: a worker starts with its first run."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all workers; whoever is at a run leaves it as if it had not begun."""
        for worker in (*self._idle, *self._busy):
            worker.end()
        self._selector.close()

    def start(self, run: Run) -> None:
        """Hand the run to an idle worker, or to a new one."""
        if self._idle:
            worker = self._idle.pop()
        else:
            worker = _Worker(self._folder.path)
            self._selector.register(worker.answers, selectors.EVENT_READ, worker)
        self._busy[worker] = run
        worker.ask({"run": run.id, "scenario": run.scenario.to_table(), "retry": self._retry})

    def finished(self, seconds: float) -> list[tuple[Run, bool]]:
        """Return the runs that ended; one whose worker died is noted as interrupted."""
        found = []
        for key, _ in self._selector.select(seconds):
            worker: _Worker = key.data
            answer = worker.answers.readline()
            if answer == READY:
                worker.ready = True
            elif answer in {DONE, ELSEWHERE}:
                self._idle.append(worker)
                found.append((self._busy.pop(worker), answer == DONE))
            else:
                self._selector.unregister(worker.answers)
                found.extend(self._lost(worker))
        return found

    def _lost(self, worker: _Worker) -> list[tuple[Run, bool]]:
        """Forget a worker that died, and note the run that it leaves behind."""
        status = worker.end()
        run = self._busy.pop(worker, None)
        log = self._folder.path / LOG
        if not worker.ready:
            msg = f"a worker process could not start (status {status}); see {log}."
            raise RunError(msg)
        if run is None:
            self._idle.remove(worker)
            return []
        words = f"its process ended (status {status}; -9 is often a lack of memory); see {log}"
        return [(run, note_interruption(self._folder, run.id, words, retry=self._retry))]


def note_interruption(folder: Folder, run: str, words: str, *, retry: bool) -> bool:
    """Save that a run was interrupted; False if another process has it by now."""
    with folder.claim(run) as mine:
        if mine and is_open(folder.load(run), retry=retry):
            folder.save(Outcome(run, "interrupted", words))
        return mine


class _Worker:
    """One process; see ``worker`` for its side of the talk."""

    def __init__(self, folder: Path) -> None:
        # It finds the same modules, and the threads of one run do not take the cores of another.
        environment = {
            **dict.fromkeys(_KEEP_MEMORY, _KEPT_BYTES),
            **os.environ,
            **dict.fromkeys(_ONE_THREAD, "1"),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        with (folder / LOG).open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                (sys.executable, "-m", _WORKER, str(folder)),
                bufsize=0,  # an answer that lies in a buffer of ours would wake nobody
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,  # a Ctrl-C is ours to handle
            )
        if self._process.stdin is None or self._process.stdout is None:  # pragma: no cover
            raise AssertionError  # asked for above
        self._tasks, self.answers = self._process.stdin, self._process.stdout
        self.ready = False

    def ask(self, task: Mapping[str, object]) -> None:
        """Send a task; if the process has ended, ``answers`` says so."""
        with contextlib.suppress(BrokenPipeError):
            self._tasks.write(json.dumps(task).encode() + b"\n")

    def end(self) -> int:
        """End the process and what it started; return its status."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(BrokenPipeError):
            self._tasks.close()
        self.answers.close()
        return self._process.wait()
