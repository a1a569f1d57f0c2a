"""The harness: a real SuperLink and SuperNodes, and nothing left of them afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from quickthorn.simulations.children import Children, marked_processes
from quickthorn.simulations.processes import LocalFederation, NodeSpec
from quickthorn.strategies.errors import ConfigurationError, RunError

if TYPE_CHECKING:
    from collections.abc import Iterator

APP = Path(__file__).parent / "tiny_app"
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# Two children: one that ignores a polite request, one that starts its own child and leaves it.
_FAMILY = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print("ready", flush=True)
time.sleep(600)
"""
_PARENT = """
import os, sys, threading, time
from pathlib import Path
from quickthorn.simulations.children import Children
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()  # numpy and torch have some
with Children() as children:
    log = Path(sys.argv[1])
    child = children.start("x", [sys.executable, "-c", sys.argv[2]], log=log, env=os.environ)
    while "ready" not in child.tail():
        time.sleep(0.05)
    print(children.mark, flush=True)
    time.sleep(600)
"""


def processes_naming(text: str) -> Iterator[int]:
    """Yield every live process, not this one, with ``text`` in its environment or words."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if text.encode() in found and int(folder.name) != os.getpid():
            yield int(folder.name)


def wait_until_none(mark: str, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while list(marked_processes(mark)):
        assert time.monotonic() < deadline, "something was left behind"
        time.sleep(0.05)


def start_family(children: Children, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _FAMILY]
    child = children.start("family", command, log=tmp_path / "log", env=os.environ)
    while "ready" not in child.tail():
        time.sleep(0.05)


@on_linux
def test_a_stubborn_child_and_its_grandchild_are_ended(tmp_path: Path) -> None:
    with Children() as children:
        start_family(children, tmp_path)
        assert len(list(marked_processes(children.mark))) == 2
    assert list(marked_processes(children.mark)) == []


@on_linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_the_parent_ends_all(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", _PARENT, str(tmp_path / "log"), _FAMILY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout is not None
        mark = parent.stdout.readline().decode().strip()
        assert len(list(marked_processes(mark))) == 2
        parent.send_signal(number)
        assert parent.wait(10) != 0
    wait_until_none(mark)


@on_linux
def test_a_second_request_waits_until_all_are_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _PARENT, str(tmp_path / "log"), _FAMILY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout is not None
        mark = parent.stdout.readline().decode().strip()
        for _ in range(3):  # the family takes a second to be ended
            parent.send_signal(signal.SIGINT)
            time.sleep(0.2)
        assert parent.wait(10) != 0
    assert list(marked_processes(mark)) == []


@on_linux
def test_a_parent_that_does_not_hear_the_terminal_hang_up_goes_on(tmp_path: Path) -> None:
    command = ["nohup", sys.executable, "-c", _PARENT, str(tmp_path / "log"), _FAMILY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout is not None
        mark = parent.stdout.readline().decode().strip()
        parent.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            parent.wait(0.5)
        parent.terminate()
        assert parent.wait(10) != 0
    wait_until_none(mark)


@on_linux
def test_a_parent_that_is_killed_hard_takes_its_children_along(tmp_path: Path) -> None:
    lonely = _FAMILY.replace("subprocess.Popen", "# ")
    command = [sys.executable, "-c", _PARENT, str(tmp_path / "log"), lonely]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        mark = parent.stdout.readline().decode().strip()
        parent.kill()
        parent.wait(10)
    wait_until_none(mark)


def test_a_child_that_ends_is_named_with_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('out of cheese'); raise SystemExit(3)"]
    with Children() as children:
        child = children.start("the mill", command, log=tmp_path / "log", env=os.environ)
        child.process.wait(10)
        with pytest.raises(RunError, match=r"the mill ended with exit code 3(.|\n)*out of cheese"):
            children.check()


def test_nodes_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="differ"):
        LocalFederation([NodeSpec("a"), NodeSpec("a")], tmp_path)


@pytest.mark.parametrize("preload", [None, ()], ids=["cold", "warm"])
def test_a_federation_runs_an_app_and_leaves_nothing(
    tmp_path: Path, preload: tuple[str, ...] | None
) -> None:
    specs = [
        NodeSpec("north hospital", {"partition-id": 0, "num-partitions": 2, "city": 'a "b" c'}),
        NodeSpec("south hospital", {"partition-id": 1, "num-partitions": 2}),
    ]
    ticks: list[float] = []
    out = tmp_path / "out.json"
    with LocalFederation(specs, tmp_path / "home", preload=preload) as federation:
        assert set(federation.node_ids) == {"north hospital", "south hospital"}
        run = federation.run(
            APP, overrides={"out": str(out), "nodes": 2}, deadline=120, on_tick=ticks.append
        )
        assert run.completed, run
        ids = {str(node) for node in federation.node_ids.values()}
    found = json.loads(out.read_text())
    assert found["model"] == [1.5] * 4
    assert set(found["senders"]) == ids
    assert ticks == sorted(ticks)
    if sys.platform == "linux":
        assert list(processes_naming(str(tmp_path / "home"))) == []


def test_an_app_that_does_not_exist_is_an_error_with_flowers_words(tmp_path: Path) -> None:
    with (
        LocalFederation([], tmp_path / "home") as federation,
        pytest.raises(RunError, match="flwr run"),
    ):
        federation.run(tmp_path / "nowhere", deadline=60)
    if sys.platform == "linux":
        assert list(processes_naming(str(tmp_path / "home"))) == []


def test_a_node_that_cannot_start_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    broken = NodeSpec("broken", env={"FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "1", "PYTHONHOME": "/"})
    with pytest.raises(RunError, match="the SuperNode of broken ended"):
        LocalFederation([broken], tmp_path / "home").__enter__()
    if sys.platform == "linux":
        assert list(processes_naming(str(tmp_path / "home"))) == []
