"""The named data sets: shapes, the fixed split, and MNIST files of every kind of wrong."""

from __future__ import annotations

import gzip
import importlib.util
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from quickthorn.client import datasets
from quickthorn.client.datasets import DATASETS, Dataset, describe, load_dataset, load_split
from quickthorn.client.idx import MAX_SAMPLES, read_idx
from quickthorn.strategies.errors import ConfigurationError, UnknownNameError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]


def idx_bytes(values: NDArray[np.uint8]) -> bytes:
    """Return ``values`` in the form of an IDX file."""
    header = bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.tobytes()


def write_mnist(folder: Path, samples: int = 12) -> None:
    """Write a small data set in MNIST's form, half of the files gzipped."""
    rng = np.random.default_rng(0)
    for prefix in ("train", "t10k"):
        images = rng.integers(0, 256, (samples, 28, 28), dtype=np.uint8)
        labels = (np.arange(samples) % 10).astype(np.uint8)
        path = folder / f"{prefix}-images-idx3-ubyte.gz"
        path.write_bytes(gzip.compress(idx_bytes(images)))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))


@pytest.mark.parametrize("name", ["breast_cancer", "digits"])
def test_a_bundled_set_is_what_its_description_says(name: str) -> None:
    train, test = load_dataset(name)
    for part in (train, test):
        assert part.features.shape[1:] == describe(name).sample_shape
        assert part.classes == describe(name).classes
        assert part.features.dtype == np.float32
        assert part.labels.dtype == np.int64
        assert part.features.flags.c_contiguous
    counts = np.bincount(train.labels), np.bincount(test.labels)
    assert np.all(np.abs(counts[0] - 4 * counts[1]) <= 4), "each class is split 4 to 1"


@pytest.mark.parametrize("name", ["breast_cancer", "digits"])
def test_the_bundled_files_hold_what_scikit_learn_loads(name: str) -> None:
    # The two ways into the same data: the file alone, and the slow import.
    for fast, slow in zip(datasets._bundled(name), datasets._bundled_by_import(name), strict=True):
        np.testing.assert_array_equal(fast, slow)


def test_scikit_learn_itself_is_asked_where_the_files_are_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = load_split("breast_cancer", "test").features
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    np.testing.assert_array_equal(load_split("breast_cancer", "test").features, expected)


def test_no_sample_is_in_both_parts() -> None:
    train, test = load_dataset("digits")
    assert len(train) == 1433
    assert len(test) == 364
    # The file holds no two equal images, so shared rows would be shared samples.
    rows = {part.tobytes() for part in train.features}
    assert len(rows) == len(train)
    assert not rows & {part.tobytes() for part in test.features}


def test_breast_cancer_is_standardized_by_its_training_part() -> None:
    train, test = load_dataset("breast_cancer")
    assert (len(train), len(test)) == (454, 115)
    np.testing.assert_allclose(train.features.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(train.features.std(axis=0), 1, atol=1e-5)
    assert np.abs(test.features.mean(axis=0)).max() > 1e-3
    assert train.classes[0] == "malignant"
    assert np.bincount(test.labels).tolist() == [43, 72]


def test_digits_lie_between_0_and_1() -> None:
    train, _ = load_dataset("digits")
    assert train.features.min() == 0
    assert train.features.max() == 1


def test_an_unknown_name_names_the_near_miss() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'breast_cancer'"):
        load_dataset("brest_cancer")


@pytest.mark.parametrize(
    ("features", "labels", "match"),
    [
        (np.zeros((2, 3)), np.zeros(2, np.int64), "float32"),
        (np.zeros((2, 3), np.float32), np.zeros(2, np.int32), "int64"),
        (np.zeros((2, 3), np.float32), np.zeros(3, np.int64), "one label per sample"),
        (np.zeros((0, 3), np.float32), np.zeros(0, np.int64), "at least one sample"),
        (np.zeros((2, 3), np.float32), np.array([0, 2]), "0 to 1"),
        (np.zeros((2, 3), np.float32), np.array([-1, 0]), "0 to 1"),
    ],
)
def test_arrays_that_are_no_data_set_are_refused(
    features: NDArray[np.float32], labels: NDArray[np.int64], match: str
) -> None:
    with pytest.raises(ConfigurationError, match=match):
        Dataset(features, labels, ("a", "b"))


def test_mnist_from_a_folder_plain_or_gzipped(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    train, test = load_dataset("mnist", str(tmp_path))
    assert train.features.shape == test.features.shape == (12, 1, 28, 28)
    assert train.labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    path = tmp_path / "train-images-idx3-ubyte.gz"
    pixels = read_idx(path, (28, 28)).astype(np.float64)
    np.testing.assert_allclose(
        train.features[:, 0], (pixels / 255 - 0.1307) / 0.3081, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("data_dir", [None, ""])
def test_mnist_without_a_folder_says_what_to_set(data_dir: str | None) -> None:
    with pytest.raises(ConfigurationError, match="mnist needs data-dir"):
        load_dataset("mnist", data_dir)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte.gz").unlink()
    load_split("mnist", "train", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"lacks the file t10k-images-idx3-ubyte \(or"):
        load_split("mnist", "test", str(tmp_path))
    with pytest.raises(ConfigurationError, match="is no folder"):
        load_split("mnist", "test", str(tmp_path / "nowhere"))


def test_labels_and_images_must_be_as_many(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(5, np.uint8)))
    with pytest.raises(ConfigurationError, match=r"12 images but .* 5 labels"):
        load_split("mnist", "train", str(tmp_path))


def test_a_label_beyond_9_is_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.full(12, 10, np.uint8)))
    with pytest.raises(ConfigurationError, match="labels 0 to 9; got 10"):
        load_split("mnist", "train", str(tmp_path))


GOOD = idx_bytes(np.zeros((2, 28, 28), np.uint8))


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "magic number 00000803; got nothing"),
        (b"\x00\x00\x0d\x03" + GOOD[4:], "magic number 00000803; got 00000d03"),
        (b"\x00\x00\x08\x01" + GOOD[4:], "magic number 00000803; got 00000801"),
        (GOOD[:10], "truncated header"),
        (GOOD[:8] + struct.pack(">2I", 32, 32) + GOOD[16:], r"shape \(28, 28\); got \(32, 32\)"),
        (GOOD[:4] + struct.pack(">I", 0) + GOOD[8:], f"1 to {MAX_SAMPLES} samples; got 0"),
        (GOOD[:4] + struct.pack(">I", 2**32 - 1) + GOOD[8:], "samples; got 4294967295"),
        (GOOD[:-1], "got 1567; the file is truncated"),
        (GOOD + b"\x00", "header does not fit"),
    ],
)
@pytest.mark.parametrize("gzipped", [False, True])
def test_a_broken_file_is_named_with_what_is_wrong(
    tmp_path: Path, content: bytes, match: str, *, gzipped: bool
) -> None:
    path = tmp_path / ("images.gz" if gzipped else "images")
    path.write_bytes(gzip.compress(content) if gzipped else content)
    with pytest.raises(ConfigurationError, match=match) as caught:
        read_idx(path, (28, 28))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("damage", ["cut", "garbage", "flipped"])
def test_a_damaged_gzip_file_is_refused(tmp_path: Path, damage: str) -> None:
    rng = np.random.default_rng(0)
    whole = gzip.compress(idx_bytes(rng.integers(0, 256, (2, 28, 28), dtype=np.uint8)))
    content = {"cut": whole[:-30], "garbage": b"no gzip", "flipped": whole[:-8] + b"\x00" * 8}
    path = tmp_path / "images.gz"
    path.write_bytes(content[damage])
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_idx(path, (28, 28))


def test_the_real_mnist() -> None:
    folder = Path(os.environ.get("QUICKTHORN_MNIST", ROOT.parent / "shared" / "data" / "mnist"))
    if not folder.is_dir():
        pytest.skip(f"no MNIST files in {folder}; set QUICKTHORN_MNIST to their folder")
    train, test = load_dataset("mnist", str(folder))
    assert train.features.shape == (60_000, *DATASETS["mnist"].sample_shape)
    assert test.features.shape == (10_000, *DATASETS["mnist"].sample_shape)
    assert train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert abs(float(train.features.mean(dtype=np.float64))) < 1e-3
    assert abs(float(train.features.std(dtype=np.float64)) - 1) < 1e-3
