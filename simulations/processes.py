"""A real federation on this machine: Flower's SuperLink and SuperNodes as separate processes.

Everything listens on loopback alone and keeps its files below one folder. No process, nor one
that it started, outlives the ``with`` block; see ``children``. Flower is used as an operator
uses it, by its commands, so no part of it is imported here.
"""

from __future__ import annotations

import re
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from quickthorn.simulations.children import Child, Children
from quickthorn.simulations.flower_cli import FlowerCli, write_connection
from quickthorn.simulations.loopback import (
    Scalar,
    child_environment,
    free_ports,
    is_healthy,
    script,
    write_toml,
)
from quickthorn.simulations.warm import write_shims
from quickthorn.strategies.errors import ConfigurationError, RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

_POLL_SECONDS = 0.1
_STATUS_SECONDS = 20.0
_START_SECONDS = 90.0
_NODE_ID = re.compile(r"SuperNode ID: (\d+)")
_RUN_ENDED = "Finished task"
_QUIET_FLOWER = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    # Seconds between two looks for work; Flower's default is 1.
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.2",
    "PYTHONUNBUFFERED": "1",
}


@dataclass(frozen=True)
class NodeSpec:
    """One organization's SuperNode.

    Attributes
    ----------
    name
        What people call the organization.
    config
        The node's own settings, which its ClientApp finds in ``context.node_config``.
    env
        Additions to the environment of its processes.

    """

    name: str
    config: Mapping[str, Scalar] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FinishedRun:
    """How a run ended: Flower's status, for instance ``finished:completed``, and its words."""

    run_id: str
    status: str
    details: str
    seconds: float

    @property
    def completed(self) -> bool:
        """Whether the ServerApp returned normally."""
        return self.status == "finished:completed"


class LocalFederation:
    """A SuperLink and one SuperNode per organization, while the ``with`` block runs.

    Attributes
    ----------
    node_ids
        The node id that the SuperLink gave to each organization, by name.
    log_dir
        The folder with one log per process.

    """

    def __init__(  # noqa: PLR0913 - keyword-only but for the first two, with defaults
        self,
        nodes: Sequence[NodeSpec],
        home: Path,
        *,
        logs: Path | None = None,
        env: Mapping[str, str] | None = None,
        preload: Sequence[str] | None = None,
        start_deadline: float = _START_SECONDS,
    ) -> None:
        """Describe the federation; ``__enter__`` starts it.

        Parameters
        ----------
        nodes
            One per organization; the names differ.
        home
            A folder for Flower's own files; it is made where it does not exist.
        logs
            The folder for the processes' logs; ``home/logs`` by default.
        env
            Additions to the environment of all processes, the ServerApp's included.
        preload
            Modules for one warm process from which Flower's short-lived processes are forked,
            which saves seconds per round; see ``warm``. None starts each anew, as Flower
            does, and so does a node with an ``env`` of its own.
        start_deadline
            Seconds until all nodes must be online.

        """
        names = [node.name for node in nodes]
        if len(set(names)) != len(names):
            raise ConfigurationError(f"the names of the nodes must differ; got {names}.")
        self.node_ids: dict[str, int] = {}
        self._nodes = tuple(nodes)
        self._home = home.resolve()
        self.log_dir = (logs or home / "logs").resolve()
        self._env = dict(env or {})
        self._preload = preload
        self._start_deadline = start_deadline
        self._children = Children()
        self._running: dict[str, Child] = {}
        self._superlink: Child | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start everything and wait until all nodes are online.

        Raises
        ------
        RunError
            If a process ends or the deadline passes; nothing is left running.

        """
        with ExitStack() as stack:
            stack.enter_context(self._children)
            self._start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End every process of the federation."""
        self._stack.close()

    def kill(self, name: str) -> None:
        """Kill an organization's SuperNode and its apps at once (SIGKILL)."""
        self._children.kill(self._running.pop(name))

    def run(
        self,
        app_dir: Path,
        *,
        overrides: Mapping[str, Scalar] | None = None,
        deadline: float,
        on_tick: Callable[[float], None] | None = None,
    ) -> FinishedRun:
        """Run a Flower app and wait until it has finished.

        Parameters
        ----------
        app_dir
            The folder with the app's ``pyproject.toml``.
        overrides
            Replacements for keys of its ``[tool.flwr.app.config]``.
        deadline
            Seconds after which the run is given up.
        on_tick
            Called about ten times a second with the seconds since the start.

        Raises
        ------
        RunError
            If the run cannot be started, a process ends, or the deadline passes.

        """
        started = time.monotonic()
        log = self._superlink_log()
        seen = log.stat().st_size
        cli = FlowerCli(self._children, self._environ("cli"), self.log_dir)
        run_id = cli.start_run(app_dir, overrides or {})
        next_status = time.monotonic() + _STATUS_SECONDS
        while True:
            elapsed = time.monotonic() - started
            if elapsed > deadline:
                raise RunError(
                    f"run {run_id} did not finish in {deadline:g} seconds; see {self.log_dir}."
                )
            self._children.check()
            if on_tick is not None:
                on_tick(elapsed)
            # The log tells for nothing that something ended; each status costs a process.
            ended = _RUN_ENDED in _read_from(log, seen)
            if ended or time.monotonic() > next_status:
                seen = log.stat().st_size
                status, details = cli.status(run_id)
                if status.startswith("finished"):
                    return FinishedRun(run_id, status, details, time.monotonic() - started)
                next_status = time.monotonic() + _STATUS_SECONDS
            time.sleep(_POLL_SECONDS)

    def _start(self) -> None:
        self.log_dir.mkdir(parents=True, exist_ok=True)
        port, *node_ports = free_ports(1 + len(self._nodes))
        address = f"127.0.0.1:{port}"
        write_connection(Path(self._environ("cli")["FLWR_HOME"]), address)
        if self._preload is not None:
            self._start_warm_process(self._preload)
        environ = self._environ("link")
        command = [script("flower-superlink", environ), "--insecure", "--isolation", "subprocess"]
        command += ["--host", "127.0.0.1", "--port", str(port)]
        command += ["--disable-runtime-dependency-installation"]
        self._superlink = self._children.start(
            "the SuperLink", command, log=self.log_dir / "superlink.log", env=environ
        )
        for number, (node, node_port) in enumerate(zip(self._nodes, node_ports, strict=True)):
            self._running[node.name] = self._start_node(number, node, node_port, address)
        # The nodes load their code while the SuperLink does; whoever is early tries again.
        deadline = time.monotonic() + self._start_deadline
        while not is_healthy(address):
            self._wait(deadline, "the SuperLink does not answer")
        while len(self.node_ids) < len(self._nodes):
            self._wait(deadline, "not all SuperNodes are online")
            self._read_node_ids()

    def _start_node(self, number: int, node: NodeSpec, port: int, address: str) -> Child:
        environ = self._environ(f"node-{number}", node.env)
        command = [script("flower-supernode", environ), "--insecure", "--superlink", address]
        command += ["--host", "127.0.0.1", "--port", str(port), "--isolation", "subprocess"]
        if node.config:
            settings = self._home / f"node-{number}" / "node.toml"
            command += ["--node-config", write_toml(settings, node.config)]
        return self._children.start(
            f"the SuperNode of {node.name}",
            command,
            log=self.log_dir / f"node-{number}.log",
            env=environ,
        )

    def _read_node_ids(self) -> None:
        """Take each id from the first log line that names it, before any app has run there."""
        for name, child in self._running.items():
            if name not in self.node_ids:
                found = _NODE_ID.search(_read_from(child.log, 0))
                if found:
                    self.node_ids[name] = int(found[1])

    def _wait(self, deadline: float, what: str) -> None:
        self._children.check()
        if time.monotonic() > deadline:
            raise RunError(
                f"{what} after {self._start_deadline:g} seconds; see the logs in {self.log_dir}."
            )
        time.sleep(_POLL_SECONDS)

    def _superlink_log(self) -> Path:
        if self._superlink is None:
            raise RunError("the federation is not running; use it in a `with` block.")
        return self._superlink.log

    def _start_warm_process(self, modules: Sequence[str]) -> None:
        folder = self._home / "warm"
        environ = self._environ("cli")
        write_shims(folder)
        command = [sys.executable, "-m", "quickthorn.simulations.warm", str(folder), *modules]
        self._children.start(
            "the warm process", command, log=self.log_dir / "warm.log", env=environ
        )

    def _environ(self, folder: str, own: Mapping[str, str] | None = None) -> dict[str, str]:
        additions = {**_QUIET_FLOWER, **self._env, **(own or {})}
        warm = self._preload is not None and not own
        return child_environment(
            self._home / folder, additions, commands=self._home / "warm" if warm else None
        )


def _read_from(log: Path, start: int) -> str:
    with log.open("rb") as file:
        file.seek(start)
        return file.read().decode("utf-8", errors="replace")
