"""Whatever a client app may return, the federation runs, and ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from flwr.app import Array, ArrayRecord, Error, Message, MetricRecord, RecordDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.federations import (
    grid_of,
    members,
    npy,
    raw,
    run,
)

if TYPE_CHECKING:
    import pytest
    from flwr.app import Context


# Anything that a client app may return; the federation must run, and end, whatever it is.
_TEXT = st.text(st.characters(), max_size=6) | st.sampled_from(["\ud800", "\0", "", "x" * 10_000])
_NUMBER = st.integers() | st.floats() | st.sampled_from([10**400, -(10**400), 2**64])
_METRICS = st.dictionaries(
    st.just("num-examples") | _TEXT, _NUMBER | st.lists(st.integers(), max_size=2), max_size=3
).map(lambda found: MetricRecord(dict(found)))
_BYTES = st.binary(max_size=60).map(raw) | st.builds(
    npy, st.text(st.characters(max_codepoint=255), max_size=40), st.binary(max_size=20)
)
_ARRAYS = st.dictionaries(
    st.sampled_from(["w", "b", "steps"]) | _TEXT,
    _BYTES | st.floats(width=32).map(lambda value: Array(np.full((2, 3), value, np.float32))),
    max_size=3,
).map(ArrayRecord)
_CONTENT = st.dictionaries(st.just("arrays") | _TEXT, _ARRAYS | _METRICS, max_size=3).map(
    lambda found: RecordDict(dict(found))
)
_ERROR = st.builds(Error, st.integers() | st.just(10**400), st.none() | _TEXT)
_FORGED = st.dictionaries(
    st.sampled_from(["src_node_id", "group_id", "message_type", "ttl", "run_id", "dst_node_id"]),
    st.none() | st.integers() | st.just(10**400) | _TEXT,
    max_size=2,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(train=_CONTENT | _ERROR, judge=_CONTENT | _ERROR, forged=_FORGED)
def test_no_client_can_make_the_strategy_raise(
    train: RecordDict | Error,
    judge: RecordDict | Error,
    forged: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    def hostile(message: Message, _: Context) -> Message:
        reply = Message(
            train if message.metadata.message_type == "train" else judge, reply_to=message
        )
        reply.metadata.__dict__.update({f"_{name}": value for name, value in forged.items()})
        return reply

    folder = tmp_path_factory.mktemp("fuzz") / "run"
    grid = grid_of([hostile, *members(3)])

    outcome = run(folder, grid, rounds=1, fraction_evaluate=1.0, timeout=5.0)

    with outcome.record() as record:
        assert record.rounds()[0]["status"] == "aggregated"
        assert len(record.verdicts()) == 8
