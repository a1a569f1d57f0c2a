"""The ServerApp, configured by one file, with the organizations' real ClientApp in process."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from quickthorn.client.app import app as organization
from quickthorn.server.app import run_federation
from quickthorn.server.config import FederationSettings
from quickthorn.server.references import resolve
from quickthorn.server.store import RunStore
from quickthorn.simulations.grid import InProcessClient, InProcessGrid
from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def settings(folder: Path, client: Mapping[str, object], **server: object) -> FederationSettings:
    common: dict[str, object] = {
        "defense": "median",
        "byzantine": 1,
        "model": "quickthorn.client.models:initial_state",
        "evaluate": "quickthorn.client.evaluation:held_out",
        "rounds": 1,
        "run_dir": str(folder / "run"),
    }
    return FederationSettings.from_table({"server": common | server, "client": client})


def grid(count: int, **config: str | int) -> InProcessGrid:
    return InProcessGrid(
        [
            InProcessClient(
                organization, {"partition-id": index, "num-partitions": count, **config}
            )
            for index in range(count)
        ]
    )


def write_mnist(folder: Path, samples: int) -> None:
    """Write a small data set in the form of the real one: IDX files of digits."""
    rng = np.random.default_rng(0)
    for name in ("train", "t10k"):
        labels = np.arange(samples, dtype=np.uint8) % 10
        images = (rng.random((samples, 28, 28)) * 80 + 17 * labels[:, None, None]).astype(np.uint8)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = bytes([0, 0, 8, array.ndim]) + b"".join(
                size.to_bytes(4, "big") for size in array.shape
            )
            with gzip.open(folder / f"{name}-{kind}-ubyte.gz", "wb") as file:
                file.write(header + array.tobytes())


def test_a_file_is_all_that_a_federation_needs(tmp_path: Path) -> None:
    client = {"local_epochs": 3, "learning_rate": 0.1}

    run_federation(grid(3), settings(tmp_path, client, automatic="observe"))

    with RunStore.open(tmp_path / "run") as record:
        assert json.loads(record.meta()["policy"])["automatic"] == "observe"
        assert [row["status"] for row in record.rounds()] == ["aggregated"]
        found = record.metrics("server")
        assert found[1]["accuracy"] > found[0]["accuracy"] + 0.2
        assert {"recall-malignant", "recall-benign"} <= found[1].keys()


def test_a_data_set_in_a_folder_is_found_on_both_sides(tmp_path: Path) -> None:
    write_mnist(tmp_path, samples=60)
    client = {"dataset": "mnist", "model": "logistic", "partition": "dirichlet"}

    run_federation(
        grid(3, **{"data-dir": str(tmp_path)}),
        settings(tmp_path, client, data_dir=str(tmp_path)),
    )

    with RunStore.open(tmp_path / "run") as record:
        assert record.rounds()[0]["accepted"] == 3
        assert len(record.metrics("server")[1]) == 1 + 10


def test_the_server_can_train_on_samples_of_its_own(tmp_path: Path) -> None:
    root = "quickthorn.client.root:train_on_root"
    client = {"local_epochs": 3, "learning_rate": 0.1}

    run_federation(grid(3), settings(tmp_path, client, defense="fltrust", root=root))

    with RunStore.open(tmp_path / "run") as record:
        assert [row["status"] for row in record.rounds()] == ["aggregated"]
        found = record.metrics("server")
        assert found[1]["accuracy"] > found[0]["accuracy"] + 0.2


def test_the_server_can_judge_updates_on_samples_of_its_own(tmp_path: Path) -> None:
    held = "quickthorn.client.held:judge_on_held"

    run_federation(grid(4), settings(tmp_path, {}, held=held))

    with RunStore.open(tmp_path / "run") as record:
        signals = [score.signal for _, score in record.scores(1)]
    assert signals.count("held_loss") == signals.count("held_recall") == 4


def test_what_a_reference_names_must_be_there(tmp_path: Path) -> None:
    for reference in ("no.such.module:x", "math:no_such_function", "math", "math:pi"):
        with pytest.raises(ConfigurationError, match="module:function"):
            resolve(reference)
