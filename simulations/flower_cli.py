"""Flower's ``flwr`` command, as an operator types it, with its answers as values."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

from quickthorn.simulations.loopback import Scalar, script, write_toml
from quickthorn.strategies.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from quickthorn.simulations.children import Children

_CONNECTION = "local"
_COMMAND_SECONDS = 60.0
# With one of these in the environment the answer, JSON, is colored wherever it goes.
_COLORING = ("FORCE_COLOR", "TTY_COMPATIBLE")


def write_connection(flower_home: Path, address: str) -> None:
    """Tell the commands that use ``flower_home`` where the SuperLink listens."""
    text = f'[superlink]\ndefault = "{_CONNECTION}"\n\n[superlink.{_CONNECTION}]\n'
    text += f'address = "{address}"\ninsecure = true\n'
    (flower_home / "config.toml").write_text(text, encoding="utf-8")


class FlowerCli:
    """Commands to one SuperLink."""

    def __init__(
        self,
        children: Children,
        environment: Mapping[str, str],
        folder: Path,
        *,
        seconds: float = _COMMAND_SECONDS,
    ) -> None:
        """Run commands among ``children`` in ``environment``; keep their output in ``folder``.

        A command that does not end within ``seconds`` is killed; what it answered in full counts.
        """
        self._seconds = seconds
        self._children = children
        self._environment = {key: environment[key] for key in environment if key not in _COLORING}
        self._folder = folder

    def start_run(self, app_dir: Path, overrides: Mapping[str, Scalar]) -> str:
        """Submit the app in ``app_dir`` and return the id of its run.

        Raises
        ------
        RunError
            If the SuperLink does not take it.

        """
        words = ["run", str(app_dir), _CONNECTION, "--format", "json"]
        if overrides:
            words += ["--run-config", write_toml(self._folder / "run-config.toml", overrides)]
        return str(self._answer(words)["run-id"])

    def status(self, run_id: str) -> tuple[str, str]:
        """Return the status of a run, ``finished:completed`` for instance, and its details.

        Raises
        ------
        RunError
            If the SuperLink does not answer or does not know the run.

        """
        answer = self._answer(["ls", _CONNECTION, "--run-id", run_id, "--format", "json"])
        for run in answer["runs"]:
            if str(run["run-id"]) == run_id:
                return str(run["status"]), str(run.get("status-details") or "")
        raise RunError(f"the SuperLink does not know run {run_id} any more.")

    def _answer(self, words: Sequence[str]) -> dict[str, Any]:
        """Run one command and return the JSON object that it prints."""
        output = self._folder / f"flwr-{words[0]}.log"
        output.unlink(missing_ok=True)
        command = [script("flwr", self._environment), *words]
        child = self._children.start(f"flwr {words[0]}", command, log=output, env=self._environment)
        try:
            code = child.process.wait(self._seconds)
        except subprocess.TimeoutExpired:  # it may hang after its answer
            code = None
        self._children.kill(child)
        text = output.read_text(encoding="utf-8", errors="replace")
        try:
            answer = json.loads(text[text.index("{") : text.rindex("}") + 1])
        except ValueError:
            answer = {}
        if code or not answer.get("success", False):
            end = f"did not end within {self._seconds:g} s" if code is None else f"failed ({code})"
            raise RunError(
                f"`{' '.join(['flwr', *words])}` {end}; its last words "
                f"(the logs are in {self._folder}):\n{child.tail()}"
            )
        return dict(answer)
