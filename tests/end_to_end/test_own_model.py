"""A model in the current folder is found by the commands, also in their worker processes."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
from pathlib import Path

import pytest

QUICKTHORN = str(Path(sysconfig.get_path("scripts")) / "quickthorn")
SCENARIO = '[scenario]\ndataset = "breast_cancer"\nmodel = "mine:small"\nclients = 5\nrounds = 1\n'
MODEL = """
from torch import nn

def small(shape, classes):
    print("made")
    return nn.Linear(shape[0], classes)
"""


@pytest.mark.parametrize("command", ["simulate", "compare"])
def test_a_model_in_the_current_folder_is_found(tmp_path: Path, command: str) -> None:
    (tmp_path / "mine.py").write_text(MODEL, encoding="utf-8")
    grid = '[grid]\ndefense = ["mean"]\n' if command == "compare" else ""
    (tmp_path / "file.toml").write_text(SCENARIO + grid, encoding="utf-8")
    options = ["--out", "results", "--workers", "1"] if command == "compare" else []

    done = subprocess.run(
        [QUICKTHORN, command, "file.toml", *options, "--json"],
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.get("done") == 1 or found["final"] > 0.5
