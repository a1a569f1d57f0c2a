"""One reply, judged alone: what becomes of its bytes, and how little memory that takes."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from quickthorn.server.admission import (
    MAX_METRICS,
    MAX_SAMPLES,
    NAMED_CLAIMS,
    admit,
    read_metrics,
)
from quickthorn.server.judgement import Admission, Expectation, admit_arrays
from quickthorn.server.model import to_record
from quickthorn.strategies.updates import ModelLayout
from tests.federations import npy, raw

MODEL: dict[str, np.ndarray[Any, Any]] = {
    "half": np.array([[0.5, -1.0]], np.float16),
    "w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "wide": np.array(2.0),
    "none": np.empty((0, 4), np.float32),
    "steps": np.array([3, 2**40], np.int64),
    "big": np.array(2**64 - 1, np.uint64),
    "flag": np.array([True, False]),
}


def expect(model: dict[str, Any]) -> Expectation:
    layout = ModelLayout.of(model)
    weights, _ = layout.flatten(model)
    return Expectation.of(layout, weights, arrays_key="arrays", weight_key="num-examples")


def judge(
    content: RecordDict, model: dict[str, Any] | None = None
) -> tuple[Admission, np.ndarray[Any, Any]]:
    expected = expect(model or MODEL)
    row = np.full(expected.layout.size, np.nan, expected.layout.dtype)
    return admit(content, expected, row), row


def test_a_sound_reply_becomes_its_delta_and_its_counters() -> None:
    moved = {name: values + np.ones((), values.dtype) for name, values in MODEL.items()}
    moved["flag"] = np.array([False, True])

    found, row = judge(RecordDict({"arrays": to_record(moved)}))

    assert (found.code, found.reason, found.ignored) == ("ok", "", ())
    assert row.tolist() == [1.0] * 9
    # An unsigned 2**64 - 1 does not fit: it wraps, and wraps back when the model is written.
    assert found.counters.tolist() == [4, 2**40 + 1, 0, 0, 1]
    assert math.isnan(found.samples)


def test_integers_come_back_with_the_same_bits() -> None:
    found, row = judge(RecordDict({"arrays": to_record(MODEL)}))

    again = expect(MODEL).layout.unflatten(row + expect(MODEL).weights, found.counters)

    assert {n: v.tobytes() for n, v in again.items()} == {n: v.tobytes() for n, v in MODEL.items()}


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 5000 + ",), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (0x" + "f" * 5000 + ",), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "-" * 8000 + "4,), }",
        "{'descr': [('a\\ud800', '<f4')], 'fortran_order': False, 'shape': (4,), }",
        "{'descr': '\\d', 'fortran_order': False, 'shape': (4,), }",
        "{'descr': '|V2147483647x', 'fortran_order': False, 'shape': (4,), }",
        "{'shape': (4,), 'fortran_order': 1, 'descr': '<f4'}",
        "(" * 9000,
        "[]" + "[0]" * 3000,
        "1if 1else " * 900,
        "lambda: 0",
        "x\n  y\n z",
        "'" * 3,
        "\0",
        "",
        " " * 60_000,
    ],
    ids=lambda header: header[:60],
)
def test_a_header_is_matched_and_never_evaluated(header: str) -> None:
    # numpy's reader raises six kinds of exceptions here, or floods stderr with SyntaxWarnings.
    content = RecordDict({"arrays": ArrayRecord({"w": npy(header, b"\0" * 16)})})

    found, _ = judge(content, {"w": np.zeros(4, np.float32)})

    assert found.code == "header"
    assert found.reason.startswith("sent 'w' with a header that numpy does not write: ")
    assert found.reason.isprintable()
    assert len(found.reason) < 500


@pytest.mark.parametrize("length", [2**32 - 1, 10_001])
def test_a_header_that_claims_gigabytes_is_refused(length: int) -> None:
    data = b"\x93NUMPY\x02\x00" + length.to_bytes(4, "little") + b" " * 99

    found, _ = judge(
        RecordDict({"arrays": ArrayRecord({"w": raw(data)})}), {"w": np.zeros(4, np.float32)}
    )

    assert found.code == "header"


def test_nothing_is_allocated_before_the_header_fits() -> None:
    model = {"w": np.zeros(4, np.float32)}
    expected, row = expect(model), np.empty(4, np.float32)
    megabytes = b"\0" * (64 << 20)
    shapes = ["(16777216,)", "(250000000000,)", "(4096, 4096)"]
    contents = [
        RecordDict({"arrays": ArrayRecord({"w": npy(_header(shape), megabytes)})})
        for shape in shapes
    ]

    tracemalloc.start()
    codes = [admit(content, expected, row).code for content in contents]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert codes == ["shape"] * 3
    assert peak < 200_000


def _header(shape: str) -> str:
    return "{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + ", }"


def test_a_sound_reply_takes_no_more_than_one_more_of_its_size() -> None:
    model = {"w": np.zeros(4_000_000, np.float32)}
    expected, row = expect(model), np.empty(4_000_000, np.float32)
    content = RecordDict({"arrays": to_record(model)})

    tracemalloc.start()
    found = admit(content, expected, row)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert found.code == "ok"
    assert peak < 1.3 * row.nbytes


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_difference_that_overflows_is_refused(dtype: type) -> None:
    most = np.finfo(dtype).max
    model: dict[str, np.ndarray[Any, Any]] = {"w": np.array([most, -most], dtype)}

    found, _ = judge(RecordDict({"arrays": to_record({"w": -model["w"]})}), model)

    assert found.code == "implausible"


def test_a_long_update_is_refused_just_above_the_limit() -> None:
    model = {"w": np.array([3.0, 4.0])}  # norm 5, so the limit is 1e4 * 6
    far = [{"w": np.array([3.0, 4.0 + step])} for step in (59_999.0, 60_001.0)]

    codes = [judge(RecordDict({"arrays": to_record(reply)}), model)[0].code for reply in far]

    assert codes == ["ok", "implausible"]


@pytest.mark.parametrize(
    ("claim", "samples"),
    [(1, 1.0), (0.5, 0.5), (MAX_SAMPLES, 1e9), (MAX_SAMPLES + 1, math.nan), (0, math.nan)],
)
def test_a_sample_count_is_taken_within_its_range(claim: float, samples: float) -> None:
    found = read_metrics(RecordDict({"m": MetricRecord({"num-examples": claim})}), "num-examples")

    assert found.samples == pytest.approx(samples, nan_ok=True)
    assert bool(found.ignored) == math.isnan(samples)


def test_one_unreadable_metric_does_not_cost_the_others() -> None:
    record = MetricRecord({"a": 1.0, "bad": 10**400, "num-examples": 30, "list": [1.0], "b": 2})

    found = read_metrics(RecordDict({"m": record}), "num-examples")

    assert (found.metrics, found.samples) == ({"a": 1.0, "b": 2.0}, 30.0)
    assert len(found.ignored) == 2


def test_what_is_set_aside_is_named_up_to_a_number_and_then_counted() -> None:
    many = MetricRecord({f"m{number:05}": 1.0 for number in range(MAX_METRICS + 500)})

    found = read_metrics(RecordDict({"m": many}), "num-examples")

    assert len(found.metrics) == MAX_METRICS
    assert found.ignored[0] == "m01000=1.0"
    assert found.ignored[NAMED_CLAIMS:] == (f"and {500 - NAMED_CLAIMS} more",)


# What a client may write, beyond what Flower's own encoder would: any text, any bytes.
_TEXT = st.text(st.characters(), max_size=8) | st.sampled_from(
    ["arrays", "w", "b", "num-examples", "", "\0", "\ud800", "x" * 10_000, "\x1b[2J", "\u202e"]
)
_NUMBER = st.integers() | st.floats() | st.sampled_from([10**400, -(10**400), 2**64])
_METRICS = st.dictionaries(_TEXT, _NUMBER | st.lists(st.floats(), max_size=3), max_size=4)
_DTYPE = st.sampled_from(["<f4", "<f8", "<f2", ">f4", "<i8", "|O", "|b1", "|S3", "<M8[s]", "|V9"])
_SHAPE = st.lists(st.integers(-1, 5) | st.just(10**12), max_size=3).map(tuple)
_ARRAY = st.one_of(
    st.binary(max_size=200).map(raw),
    st.builds(
        lambda dtype, fortran, shape, payload, version: npy(
            f"{{'descr': '{dtype}', 'fortran_order': {fortran}, 'shape': {shape}, }}",
            payload,
            version=version,
        ),
        _DTYPE,
        st.booleans(),
        _SHAPE,
        st.binary(max_size=64),
        st.sampled_from([1, 2, 3]),
    ),
    st.lists(st.floats(width=32), min_size=4, max_size=4).map(
        lambda values: Array(np.array(values, np.float32))
    ),
)
_ARRAYS = st.dictionaries(st.just("w") | _TEXT, _ARRAY, max_size=3).map(ArrayRecord)
REPLIES = st.dictionaries(
    st.just("arrays") | _TEXT,
    _ARRAYS | _METRICS.map(lambda found: MetricRecord(dict(found))),
    max_size=4,
).map(lambda found: RecordDict(dict(found)))


@given(REPLIES)
def test_no_reply_raises_and_every_word_can_be_stored(content: RecordDict) -> None:
    found, row = judge(content, {"w": np.zeros(4, np.float32)})

    assert found.reason.isprintable()
    assert all(note.isprintable() for note in found.ignored)
    assert all(math.isfinite(v) and name.isprintable() for name, v in found.metrics.items())
    assert math.isnan(found.samples) or 0 < found.samples <= MAX_SAMPLES
    assert (found.code == "ok") == (found.reason == "")
    assert found.code != "malformed"
    assert found.code != "ok" or np.isfinite(row).all()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "ok"),
        ({"w": np.full((2, 3), np.nan, np.float32)}, "not-finite"),
        ({"half": np.array([[np.inf, 0]], np.float16)}, "not-finite"),
        ({"w": np.zeros((2, 3))}, "dtype"),
        ({"w": np.zeros((2, 3), ">f4")}, "dtype"),
        ({"w": np.zeros((3, 2), np.float32)}, "shape"),
        ({"w": np.full((2, 3), 1e30, np.float32)}, "implausible"),
        ({"w": None}, "missing-key"),
        ({"more": np.zeros(1)}, "extra-key"),
    ],
)
def test_arrays_get_the_verdict_and_the_row_that_a_reply_gets(
    changes: dict[str, Any], code: str
) -> None:
    moved = {name: values + np.ones((), values.dtype) for name, values in MODEL.items()}
    sent = {name: values for name, values in (moved | changes).items() if values is not None}
    expected = expect(MODEL)
    row = np.empty(expected.layout.size, expected.layout.dtype)

    bare = admit_arrays(sent, 50.0, expected, row)

    wired, other = judge(RecordDict({"arrays": to_record(sent)}))
    assert (bare.code, bare.reason) == (wired.code, wired.reason)
    assert bare.code == code
    if code == "ok":
        assert bare.samples == 50
        assert row.tobytes() == other.tobytes()
        assert bare.counters.tobytes() == wired.counters.tobytes()
