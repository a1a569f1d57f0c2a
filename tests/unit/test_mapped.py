"""Rules on a memory-mapped file: the same bits, and hardly any of it in memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quickthorn.strategies import UpdateMatrix, available, build
from quickthorn.strategies.kernels import mapped
from quickthorn.strategies.kernels.mapped import MappedRows, by_blocks
from quickthorn.strategies.scoring import score_updates

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
N, D = 16, 12_000
DEFENSES = [
    *available()["aggregator"],
    *(f"{name} | trimmed_mean" for name in available()["preaggregator"]),
    "bucketing | krum",
]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return updates in memory, and the same in a file of which little may be resident."""
    monkeypatch.setattr(mapped, "RESIDENT_BYTES", 1 << 16)
    values = np.random.default_rng(4).normal(size=(N, D)).astype(np.float32)
    file = np.memmap(tmp_path / "updates", np.float32, "w+", shape=(N, D))
    file[:] = values
    return values, file


@pytest.mark.parametrize("rule", DEFENSES)
def test_every_rule_gives_the_same_bits(
    rule: str, files: tuple[NDArray[Any], NDArray[Any]]
) -> None:
    defense = build(rule, byzantine=2)
    supply = {"weights": np.arange(1.0, N + 1), "trusted": files[0].mean(axis=0)}

    memory, file = (defense.aggregate(values, **supply) for values in files)

    assert file.vector.tobytes() == memory.vector.tobytes()
    assert type(file.vector) is np.ndarray
    np.testing.assert_array_equal(file.influence, memory.influence)


def test_every_scorer_gives_the_same_scores(files: tuple[NDArray[Any], NDArray[Any]]) -> None:
    names = tuple(f"{row:02}" for row in range(N))
    (memory, kept), (file, stored) = (
        score_updates(UpdateMatrix(v, names), byzantine=2) for v in files
    )
    assert memory == file
    assert kept is not None
    assert stored is not None
    for name, value in kept.items():
        np.testing.assert_array_equal(stored[name], value)


def test_blocks_are_those_of_the_array(files: tuple[NDArray[Any], NDArray[Any]]) -> None:
    values, file = files
    rows = by_blocks(file)

    assert isinstance(rows, MappedRows)
    assert (rows.shape, rows.dtype, len(rows)) == ((N, D), np.dtype(np.float32), N)
    for key in (
        (slice(None), slice(3, 9)),
        (np.array([5, 1]), slice(None, None, 2)),
        (slice(None), np.array([4, 0, 4])),
        (slice(2, 5), np.arange(D) % 7 == 0),
    ):
        assert rows[key].tolist() == values[key].tolist()


def test_only_what_a_file_holds_is_let_go_of(tmp_path: Path) -> None:
    values = np.ones((2, 3))
    assert by_blocks(values) is values
    values.tofile(tmp_path / "updates")
    private = np.memmap(tmp_path / "updates", np.float64, "c", shape=(2, 3))
    assert by_blocks(private) is private
    assert isinstance(
        by_blocks(np.memmap(tmp_path / "updates", np.float64, "r").reshape(2, 3)), MappedRows
    )


# In processes of their own: what other tests left in memory is nobody's measure.
RESIDENT = 4 << 20

RULES = """
import json, sys
from pathlib import Path
import numpy as np
from quickthorn.simulations.memory import growth
from quickthorn.strategies import UpdateMatrix, build
from quickthorn.strategies.kernels import mapped
from quickthorn.strategies.scoring import score_updates
from quickthorn.strategies.updates import MatrixBuilder

folder, resident, *rules = Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]
n, d = 16, 800_000
names = tuple(f"{row:02}" for row in range(n))

def fill():
    values = np.memmap(folder / "filled", np.float32, "w+", shape=(n, d))
    builder = MatrixBuilder(names, d, values.dtype, values=values)
    for row, name in enumerate(names):
        builder.row(name)[:] = row
        if row != 3:
            builder.keep(name)
    assert builder.finish().values[-1, -1] == n - 1

def score(values):
    score_updates(UpdateMatrix(values, names), byzantine=2)

# In small pieces: the system caches what is written at once in pages of up to 2 MiB, and a
# fault brings such a page as a whole.
with (folder / "read").open("wb", buffering=0) as target:
    for piece in np.random.default_rng(0).standard_normal((n * d // 4000, 4000), np.float32):
        target.write(piece)
file = np.memmap(folder / "read", np.float32, "r", shape=(n, d))
work = {rule: build(rule, byzantine=2).aggregate for rule in rules} | {"scores": score}
for run in work.values():
    run(np.array(file[:, :50_000]))  # compiles, and loads what is loaded on use

def once(run):
    mapped.release(file)
    return growth(lambda: run(file))

# The smaller of two: how large the pages are that a fault brings depends on what else the
# system does; what a rule holds does not.
def measure(resident):
    mapped.RESIDENT_BYTES = resident
    return {name: min(once(run), once(run)) for name, run in work.items()}

print(json.dumps([growth(fill), measure(resident), measure(1 << 40), file.nbytes]))
"""

SERVER = """
import json, sys
from pathlib import Path
import numpy as np
from quickthorn.simulations.memory import growth
from quickthorn.strategies.kernels import mapped
from tests.federations import Member, grid_of, run

folder, mapped.RESIDENT_BYTES = Path(sys.argv[1]), int(sys.argv[2])
n, d = 40, 320_000
model = {"w": np.zeros(d, np.float32)}

def federate(name, spill_bytes):
    grid = grid_of([Member(index) for index in range(n)])
    options = {"rounds": 1, "model": model, "spill_bytes": spill_bytes, "scorers": ["norm"]}
    assert run(folder / name, grid, **options).result.train_metrics_clientapp

federate("first", 1)
found = [growth(lambda: federate(str(spill), spill)) for spill in (1, 0)]
print(json.dumps([*found, n * d * 4]))
"""


def measured(script: str, *arguments: object) -> Any:  # noqa: ANN401 - what it prints
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return json.loads(done.stdout)


def test_little_of_a_file_is_ever_resident(tmp_path: Path) -> None:
    rules = ["median", "trimmed_mean", "krum", "geometric_median", "mean", "nnm | trimmed_mean"]

    filled, bounded, unbounded, whole = measured(RULES, tmp_path, RESIDENT, *rules)

    assert filled < whole / 2
    assert bounded.keys() == {*rules, "scores"}
    assert max(bounded.values()) < whole / 2
    assert min(unbounded.values()) > whole


def test_a_round_in_a_file_takes_less_memory(tmp_path: Path) -> None:
    spilled, held, whole = measured(SERVER, tmp_path, RESIDENT)

    assert held - spilled > whole / 3
