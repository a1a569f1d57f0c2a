"""What a process on this machine needs to be started and found: ports, paths, settings."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import sys
import sysconfig
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from quickthorn.strategies.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Mapping

Scalar = str | int | float | bool

_LOOPBACK = "127.0.0.1"
_PORTS = range(20_000, 32_000)  # below the range from which systems take outgoing ports


def free_ports(count: int) -> list[int]:
    """Return ``count`` different ports of the loopback interface on which nobody listens.

    Raises
    ------
    RunError
        If there are not that many.

    """
    ports: list[int] = []
    candidates = list(_PORTS)
    # Two federations that start at once should not draw the same ports in the same order.
    random.SystemRandom().shuffle(candidates)
    with ExitStack() as held:
        for port in candidates:
            if len(ports) == count:
                break
            probe = held.enter_context(socket.socket())
            try:
                probe.bind((_LOOPBACK, port))
            except OSError:
                continue
            ports.append(port)
    if len(ports) < count:
        raise RunError(f"{count} free ports are needed on {_LOOPBACK}; got {len(ports)}.")
    return ports


def is_healthy(address: str) -> bool:
    """Whether the SuperLink at ``address`` answers."""
    try:
        with urllib.request.urlopen(f"http://{address}/health", timeout=1) as answer:
            return bool(answer.status < 400)  # noqa: PLR2004 - the first error status
    except (OSError, urllib.error.URLError):
        return False


def script(name: str, environment: Mapping[str, str]) -> str:
    """Return the path of a command, as a child with ``environment`` would find it.

    Raises
    ------
    RunError
        If it is not there.

    """
    path = shutil.which(name, path=environment["PATH"])
    if path is None:
        raise RunError(f"{name} is not installed beside {sys.executable}; try: pip install flwr")
    return path


def write_toml(path: Path, values: Mapping[str, Scalar]) -> str:
    """Write a flat TOML file, which Flower reads wherever it takes settings; return its path."""
    # A JSON scalar is a TOML scalar; keys such as partition-id need no quotes.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return str(path)


def child_environment(
    flower_home: Path, additions: Mapping[str, str], *, commands: Path | None = None
) -> dict[str, str]:
    """Return an environment in which a child finds the same commands and modules as we do.

    Parameters
    ----------
    flower_home
        The folder for Flower's own files; it is made where it does not exist.
    additions
        Variables that replace inherited ones.
    commands
        A folder whose commands come before the installed ones.

    """
    flower_home.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **additions, "FLWR_HOME": str(flower_home)}
    folders = [*([str(commands)] if commands else []), sysconfig.get_path("scripts")]
    environment["PATH"] = os.pathsep.join([*folders, environment.get("PATH", os.defpath)])
    inherited = [path for path in sys.path if path and not _comes_with_python(path)]
    paths = [*inherited, *filter(None, [environment.get("PYTHONPATH")])]
    if paths:
        environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    return environment


def _comes_with_python(path: str) -> bool:
    return any(Path(path).is_relative_to(prefix) for prefix in (sys.prefix, sys.base_prefix))
