"""Start Flower's commands as forks of one process that has loaded their code already.

Flower starts a fresh process for every message, and each spends seconds of processor time on
importing Flower, and again on torch. Six organizations on two cores would wait for little else.
Here one process, started as ``python -m quickthorn.simulations.warm``, imports once and forks
for each command. In front of ``PATH`` stand shims of the same names: a shim hands its arguments,
environment, folder and open files over a socket, lives as long as the fork and exits with its
code. A fork whose shim is killed dies with it, so the shim can be treated as the process.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shlex
import signal
import socket
import sys
import threading
import traceback
from importlib.metadata import entry_points
from pathlib import Path

COMMANDS = ("flower-supernode", "flower-superexec", "flwr-clientapp", "flwr-serverapp", "flwr")
_SOCKET = "warm.sock"
_STREAMS = 3
_LENGTH_BYTES = 8
_SHIM = """
import json, os, socket, sys, time
here, name, *words = sys.argv[1:]
request = json.dumps([name, words, os.getcwd(), dict(os.environ)]).encode()
os.chdir(here)  # a socket's path must be short, a folder's need not
for attempt in range(1200):  # a minute: the warm process may still be importing
    link = socket.socket(socket.AF_UNIX)
    try:
        link.connect("warm.sock")
        break
    except OSError:
        time.sleep(0.05)
socket.send_fds(link, [len(request).to_bytes(8, "big")], [0, 1, 2])
link.sendall(request)
code = link.recv(1)
while link.recv(1):
    pass
sys.exit(code[0] if code else 1)
"""


def write_shims(folder: Path) -> None:
    """Write a shim for each of ``COMMANDS`` into ``folder``, which the warm process shares."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "shim.py").write_text(_SHIM, encoding="utf-8")
    words = [sys.executable, "-I", "-S", str(folder / "shim.py"), str(folder)]
    for name in COMMANDS:
        shim = folder / name
        shim.write_text(f'#!/bin/sh\nexec {shlex.join([*words, name])} "$@"\n', encoding="utf-8")
        shim.chmod(0o700)


def main(folder: str, *modules: str) -> object:
    """Import Flower's commands and ``modules``, then fork at each request, forever."""
    commands = {
        entry.name: entry.load()
        for entry in entry_points(group="console_scripts")
        if entry.name in COMMANDS
    }
    for module in modules:
        importlib.import_module(module)
    os.chdir(folder)
    Path(folder).chmod(0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(_SOCKET)
        listener.listen(64)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
        while True:
            link, _ = listener.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                listener.close()
                return _become(link, commands)
            link.close()


def _become(link: socket.socket, commands: dict[str, object]) -> int:
    """Turn this fork into the command that the shim at ``link`` stands for."""
    name, words, folder, environment = _receive(link)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = [name, *words]
    if "numpy.random" in sys.modules:  # Python reseeds its own generator after a fork
        sys.modules["numpy.random"].seed()
    threading.Thread(target=_die_with, args=(link,), daemon=True).start()
    code = _run(commands[name])
    with contextlib.suppress(OSError):
        link.send(bytes([code & 0xFF]))
    return code


def _receive(link: socket.socket) -> tuple[str, list[str], str, dict[str, str]]:
    head, streams, _, _ = socket.recv_fds(link, _LENGTH_BYTES, _STREAMS)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    size = int.from_bytes(head, "big")
    text = b""
    while len(text) < size:
        text += link.recv(size - len(text))
    name, words, folder, environment = json.loads(text)
    return name, words, folder, environment


def _die_with(link: socket.socket) -> None:
    with contextlib.suppress(OSError):
        link.recv(1)  # a shim sends nothing more: this returns when it is gone
    os.kill(os.getpid(), signal.SIGKILL)


def _run(command: object) -> int:
    try:
        result = command() if callable(command) else 1
    except SystemExit as leaving:
        result = leaving.code
    except BaseException:  # noqa: BLE001 - what Python does with it at the top of a process
        traceback.print_exc()
        return 1
    if isinstance(result, str):
        print(result, file=sys.stderr)  # noqa: T201 - sys.exit("text") does so
    return result if isinstance(result, int) else int(result is not None)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))  # type: ignore[arg-type]  # a fork returns its exit code
