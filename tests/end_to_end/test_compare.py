"""A comparison loses nothing and repeats nothing, whoever dies, and is the same for any crew."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from importlib.metadata import version
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from quickthorn.simulations import compare
from quickthorn.simulations.comparison.folder import Folder
from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from quickthorn.simulations import Comparison

# A model of the user's own that says when it is built: once or more in a run, the same in each.
_MODEL = """
import os, signal, time
from pathlib import Path
from torch import nn

HERE = Path(__file__).parent

def make(shape, classes):
    if (HERE / "die").exists():
        (HERE / "die").unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    with (HERE / "built").open("a") as file:
        file.write("x")
    time.sleep(0.05)
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0], classes))
"""
_COMMAND = """
import sys, typer
from quickthorn.simulations.compare_cli import compare
app = typer.Typer(pretty_exceptions_enable=False)
app.command()(compare)
app()
"""
_ON_RAY = """
import json, sys
from pathlib import Path
import ray
from quickthorn.simulations.comparison import compare as module
from tests.end_to_end.test_compare import digests, written

module.write_report = lambda _: None
good, bad = json.loads(sys.argv[1])
out = Path(sys.argv[2])
ray.init(num_cpus=2, include_dashboard=False)
found = module.compare(good, out / "good", ray="auto")
failed = module.compare(bad, out / "bad", ray="auto")
first = written(out / "bad")
module.compare(bad, out / "bad", ray="auto", retry_failed=True)
statuses = [item.status for item in failed.results]
ray.shutdown()
print(json.dumps([digests(found), statuses, first, written(out / "bad")]))
"""
SECONDS = 150.0  # a machine that does much else at the time


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder from which ``watched_model`` is imported."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "watched_model.py").write_text(_MODEL, encoding="utf-8")
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


def tables(*defense: str) -> dict[str, Any]:
    return {
        "scenario": {
            "dataset": "breast_cancer",
            "model": "watched_model:make",
            "clients": 5,
            "rounds": 2,
        },
        "grid": {
            "defense": list(defense or ("mean", "median")),
            "attack": ["sign_flip"],
            "attackers": [1],
            "seed": [0, 1],
        },
    }


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the report out, whose figures take longer than the runs."""
    monkeypatch.setattr("quickthorn.simulations.comparison.compare.write_report", lambda _: None)


def as_toml(folder: Path) -> Path:
    """Write the default tables as a file."""
    path = folder / "grid.toml"
    lines = []
    for name, table in tables().items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def command(grid: Path, out: Path) -> subprocess.Popen[str]:
    """Start the command in a process of its own, with one worker."""
    return subprocess.Popen(
        (sys.executable, "-c", _COMMAND, str(grid), "--out", str(out), "--workers", "1", "--json"),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def digests(found: Comparison) -> dict[str, str]:
    return {item.run.id: item.record.model_digest for item in found.results if item.record}


def written(out: Path) -> dict[str, int]:
    """Return when each result was written: a run that is done again is written again."""
    return {path.name: path.stat().st_mtime_ns for path in (out / "runs").glob("[!.]*.json")}


def wait_for(out: Path, count: int) -> dict[str, int]:
    """Wait until so many results are there."""
    end = time.monotonic() + SECONDS
    while len(written(out)) < count:
        assert time.monotonic() < end
        time.sleep(0.01)
    return written(out)


@pytest.fixture(scope="module")
def whole(place: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], int]:
    """Return the models of a call with two processes, and how often they were built."""
    found = compare(tables(), tmp_path_factory.mktemp("whole"), workers=2)
    assert found.count("done") == len(found.results) == 4
    assert len(set(digests(found).values())) == 4
    made_with = {"numpy": version("numpy"), "torch": version("torch")}
    assert [item.outcome and item.outcome.versions for item in found.results] == [made_with] * 4
    assert found.report.exists()
    return digests(found), (place / "built").stat().st_size


@pytest.mark.usefixtures("no_report")
def test_stopped_at_any_moment_it_goes_on_to_the_same_models(
    whole: tuple[dict[str, str], int], place: Path, tmp_path: Path
) -> None:
    grid, out = as_toml(tmp_path), tmp_path / "out"
    with command(grid, out) as first:
        wait_for(out, 1)
        first.send_signal(signal.SIGINT)
        _, words = first.communicate(timeout=SECONDS)
    assert first.returncode == 130
    assert "The same command goes on" in words
    kept = written(out)
    with command(grid, out) as second:
        kept |= wait_for(out, len(kept) + 1)
        second.kill()
        second.communicate(timeout=SECONDS)
    found = compare(grid, out, workers=1)
    assert digests(found) == whole[0]
    again = written(out)
    assert {name: again[name] for name in kept} == kept


@pytest.mark.usefixtures("no_report")
def test_two_calls_on_one_folder_share_the_runs(
    whole: tuple[dict[str, str], int], place: Path, tmp_path: Path
) -> None:
    grid, out = as_toml(tmp_path), tmp_path / "out"
    (place / "built").unlink()
    with command(grid, out) as first, command(grid, out) as second:
        answers = [json.loads(one.communicate(timeout=SECONDS)[0]) for one in (first, second)]
    assert [answer["done"] for answer in answers] == [4, 4]
    assert (place / "built").stat().st_size == whole[1]
    assert digests(compare(grid, out, run=False)) == whole[0]


@pytest.mark.usefixtures("no_report")
def test_a_run_that_fails_stays_so_and_one_whose_process_died_is_done_again(
    place: Path, tmp_path: Path
) -> None:
    (place / "die").touch()
    first = compare(tables("bulyan", "mean"), tmp_path, workers=1)
    assert [item.status for item in first.results] == ["failed", "interrupted", "failed", "done"]
    assert "bulyan needs n >= 7" in first.results[0].error
    assert "status -9" in first.results[1].error
    before = written(tmp_path)
    second = compare(tables("bulyan", "mean"), tmp_path, workers=1)
    assert [item.status for item in second.results] == ["failed", "done", "failed", "done"]
    after = written(tmp_path)
    assert {name for name in after if after[name] != before[name]} == {
        f"{first.results[1].run.id}.json"
    }


def test_a_ray_cluster_gives_the_same_models_and_failed_runs_can_be_tried_again(
    whole: tuple[dict[str, str], int], tmp_path: Path
) -> None:
    # In a process of its own: Ray drops its own children while they run, which Python reports.
    program = subprocess.run(
        (sys.executable, "-c", _ON_RAY, json.dumps([tables(), tables("bulyan")]), str(tmp_path)),
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "RAY_USAGE_STATS_ENABLED": "0",
        },
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert program.returncode == 0, program.stderr
    models, statuses, first, second = json.loads(program.stdout.splitlines()[-1])
    assert models == whole[0]
    assert statuses == ["failed", "failed"]
    assert all(second[name] > first[name] for name in first)


def test_without_ray_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    grid = {"scenario": {}, "grid": {"defense": ["mean"]}}
    with pytest.raises(ConfigurationError, match=r"pip install 'quickthorn\[ray\]'"):
        compare(grid, tmp_path, ray="auto")
    assert not Folder(tmp_path).runs()


def test_a_cluster_that_does_not_answer_is_said_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = SimpleNamespace(is_initialized=lambda: False)  # init would be an AttributeError
    monkeypatch.setitem(sys.modules, "ray", never)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        grid = {"scenario": {}, "grid": {"defense": ["mean"]}}
        with pytest.raises(ConfigurationError, match=f"no Ray cluster answers at '{address}'"):
            compare(grid, tmp_path, ray=address)
