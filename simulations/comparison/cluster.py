"""The crew on a Ray cluster: the same runs, claimed and written by this process."""

from __future__ import annotations

import contextlib
import socket
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Self

from quickthorn.simulations.comparison.pool import note_interruption
from quickthorn.simulations.comparison.work import execute, is_open
from quickthorn.strategies.errors import ConfigurationError, RunError

if TYPE_CHECKING:
    from types import TracebackType

    from quickthorn.simulations.comparison.folder import Folder, Outcome
    from quickthorn.simulations.comparison.plan import Run


_ANSWER = 20.0  # seconds within which a cluster's port is open, if it is


class RayCrew:
    """The processors of a Ray cluster, one run on each, as a context manager.

    The nodes need this package in the same version, and MNIST at the same path; they need no
    shared disk, since the results come back to this process. A process that is connected to
    a cluster already stays connected.
    """

    def __init__(self, folder: Folder, address: str, *, retry: bool) -> None:
        """Connect to the cluster at ``address``, as ``ray.init`` reads it.

        Raises
        ------
        ConfigurationError
            If Ray is not installed or there is no such cluster.

        """
        self._ray = ray = _import_ray()
        self._folder = folder
        self._retry = retry
        self._leave = not ray.is_initialized()
        if self._leave:
            try:
                _knock(address)
                ray.init(address=address, log_to_driver=False, configure_logging=False)
            except (OSError, ValueError, RuntimeError) as error:
                msg = f"no Ray cluster answers at {address!r}: {error}. Start one: ray start --head"
                raise ConfigurationError(msg) from error
        self.size = max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._task = ray.remote(num_cpus=1, max_retries=0)(_execute)
        self._busy: dict[Any, tuple[Run, contextlib.ExitStack]] = {}
        self._ended: list[tuple[Run, bool]] = []

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Cancel what is under way, give up its claims, and leave the cluster."""
        for reference, (_, claim) in self._busy.items():
            self._ray.cancel(reference, force=True)
            claim.close()
        if self._leave:
            self._ray.shutdown()

    def start(self, run: Run) -> None:
        """Claim the run and send it to the cluster."""
        claim = contextlib.ExitStack()
        mine = claim.enter_context(self._folder.claim(run.id))
        if mine and is_open(self._folder.load(run.id), retry=self._retry):
            reference = self._task.remote(run.id, run.scenario.to_table(), version("quickthorn"))
            self._busy[reference] = run, claim
        else:
            claim.close()
            self._ended.append((run, mine))

    def finished(self, seconds: float) -> list[tuple[Run, bool]]:
        """Write down and return the runs that ended."""
        ended, self._ended = self._ended, []
        if not self._busy:
            return ended
        done, _ = self._ray.wait(list(self._busy), timeout=0 if ended else seconds)
        for reference in done:
            run, claim = self._busy.pop(reference)
            try:
                outcome: Outcome = self._ray.get(reference)
            except self._ray.exceptions.RayTaskError as error:
                claim.close()
                msg = f"a node of the Ray cluster cannot do a run: {error.cause}"
                raise RunError(msg) from error
            except self._ray.exceptions.RayError:  # the worker, its node, or the way to it
                claim.close()
                words = "its process on the Ray cluster ended, often for a lack of memory"
                ended.append(
                    (run, note_interruption(self._folder, run.id, words, retry=self._retry))
                )
            else:
                with claim:
                    self._folder.save(outcome)
                ended.append((run, True))
        return ended


def _execute(run: str, scenario: dict[str, Any], wanted: str) -> Outcome:
    """Do a run on a node of the cluster."""
    found = version("quickthorn")
    if found != wanted:
        msg = f"it has quickthorn {found}; install {wanted} there, as here."
        raise RunError(msg)
    return execute(run, scenario)


def _knock(address: str) -> None:
    """Raise an ``OSError`` if nothing listens at ``HOST:PORT``; Ray would try for many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_ANSWER).close()


def _import_ray() -> Any:  # noqa: ANN401 - a module that need not be there has no type
    try:
        import ray  # noqa: PLC0415 - an extra that most do without
    except ImportError as error:
        msg = "--ray needs Ray, which is not installed; pip install 'quickthorn[ray]'."
        raise ConfigurationError(msg) from error
    return ray
