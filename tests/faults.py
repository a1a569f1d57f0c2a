"""What one hostile member can reply, and what the record has to say about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, RecordDict

from tests.federations import (
    arrays_of,
    client_of,
    members,
    model_of,
    npy,
    raw,
    with_array,
    with_metrics,
)

if TYPE_CHECKING:
    from tests.federations import Member, Spoil

HOSTILE = 3
CULPRIT = client_of(HOSTILE)


@dataclass(frozen=True)
class Fault:
    """One way to misbehave, and what the record must say about it.

    ``code`` is the verdict's; ``says`` is part of the reason, or, where the update counts, of a
    claim that was set aside (empty: nothing to say). ``fedavg`` is what the same reply does to
    Flower's own averaging: ``raises``, ``moves`` the model (either, by the random order of
    its clients), or nothing.
    """

    name: str
    spoil: Spoil
    code: str = "ok"
    says: str = ""
    fedavg: str = ""


def fill(value: float) -> Spoil:
    """Put ``value`` in the last element of the matrix."""

    def spoil(_: Message, content: RecordDict) -> RecordDict:
        values = model_of(content)["w"].copy()
        values[-1, -1] = value
        return with_array(content, "w", values)

    return spoil


def claim(value: Any) -> Spoil:  # noqa: ANN401 - a liar writes anything
    return lambda _, content: with_metrics(content, num_examples=value)


def send(name: str, array: Array | np.ndarray[Any, Any]) -> Spoil:
    return lambda _, content: with_array(content, name, array)


def retype(dtype: str) -> Spoil:
    def spoil(_: Message, content: RecordDict) -> RecordDict:
        return with_array(content, "w", model_of(content)["w"].astype(dtype))

    return spoil


def drop_key(_: Message, content: RecordDict) -> RecordDict:
    kept = {name: array for name, array in arrays_of(content).items() if name != "b"}
    return RecordDict({**content, "arrays": ArrayRecord(kept)})


def reverse_keys(_: Message, content: RecordDict) -> RecordDict:
    arrays = dict(reversed(list(arrays_of(content).items())))
    return RecordDict({"metrics": content["metrics"], "arrays": ArrayRecord(arrays)})


def fortran_order(_: Message, content: RecordDict) -> RecordDict:
    return with_array(content, "w", np.asfortranarray(model_of(content)["w"]))


def cut(_: Message, content: RecordDict) -> RecordDict:
    return with_array(content, "w", raw(arrays_of(content)["w"].data[:-3]))


def lengthen(_: Message, content: RecordDict) -> RecordDict:
    return with_array(content, "w", raw(arrays_of(content)["w"].data + b"\0" * 4))


def add_record(_: Message, content: RecordDict) -> RecordDict:
    return RecordDict({"more\x1b[2J": ArrayRecord([np.ones(3)]), **content})


def two_strangers(_: Message, content: RecordDict) -> RecordDict:
    return RecordDict({"one": content["arrays"], "two": content["arrays"]})


def without_metrics(_: Message, content: RecordDict) -> RecordDict:
    return RecordDict({"arrays": content["arrays"]})


def fail(text: str) -> Spoil:
    return lambda message, _: Message(Error(9, text), reply_to=message)


def raise_late(_: Message, content: RecordDict) -> RecordDict:
    raise RuntimeError(f"after {len(content)} records \ud800 \x1b[2J")


def exit_late(_: Message, content: RecordDict) -> RecordDict:
    raise SystemExit(len(content))


def forge(name: str, value: Any) -> Spoil:  # noqa: ANN401 - a liar writes anything
    """Write another value into the metadata of the reply."""

    def spoil(message: Message, content: RecordDict) -> Message:
        reply = Message(content, reply_to=message)
        reply.metadata.__dict__[f"_{name}"] = value
        return reply

    return spoil


TERABYTE = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (250000000000,), }", b"1234")
OBJECTS = npy(
    "{'descr': '|O', 'fortran_order': False, 'shape': (4,), }", b"cos\nsystem\n(S'id'\ntR."
)

FAULTS = (
    # The update cannot be used.
    Fault("NaN", fill(np.nan), "not-finite", "sent NaN in 'w'", "moves"),
    Fault("infinity", fill(np.inf), "not-finite", "sent infinity in 'w'", "moves"),
    Fault("minus infinity", fill(-np.inf), "not-finite", "sent infinity in 'w'", "moves"),
    Fault("1e30", fill(1e30), "implausible", "update of norm 1e+30", "moves"),
    Fault("-1e30", fill(-1e30), "implausible", "update of norm 1e+30", "moves"),
    Fault("wrong shape", send("w", np.ones((3, 2), "f4")), "shape", "shape (3, 2)", "raises"),
    Fault("broadcasts", send("b", np.full(1, 9, "f4")), "shape", "shape (1,)", "raises|moves"),
    Fault("scalar", send("b", np.array(9, "f4")), "shape", "shape ()", "raises|moves"),
    Fault("missing key", drop_key, "missing-key", "lacks 'b' of the model", "raises"),
    Fault("extra key", send("z\x1b[2J", np.ones(2)), "extra-key", r"sent 'z\\x1b[2J'", "raises"),
    Fault("float16", retype("f2"), "dtype", "sent 'w' as float16, the model has float32"),
    Fault("float64", retype("f8"), "dtype", "sent 'w' as float64, the model has float32"),
    Fault("big-endian", retype(">f4"), "dtype", "sent 'w' as >f4"),
    # Plain averaging: numpy warns once, and it depends on the filters whether that raises.
    Fault("complex", retype("c8"), "dtype", "sent 'w' as complex64", "|raises"),
    Fault("float counter", send("steps", np.array(17.0)), "dtype", "'steps' as float64"),
    Fault("object dtype", send("b", OBJECTS), "dtype", "sent 'b' as object", "raises"),
    Fault("terabyte", send("b", TERABYTE), "shape", "shape (250000000000,)", "raises"),
    Fault("truncated", cut, "truncated", "sent 21 bytes for 'w', its shape needs 24", "raises"),
    Fault("surplus bytes", lengthen, "truncated", "sent 28 bytes for 'w'"),
    Fault("garbage", send("b", raw(b"\xff" * 99)), "header", "not numpy's .npy", "raises"),
    Fault("no bytes", send("b", raw(b"")), "header", "not numpy's .npy", "raises"),
    Fault(
        "foreign form", send("b", raw(b"PK", "torch\x07")), "serialization", r"torch\\x07", "raises"
    ),
    Fault("empty reply", lambda _, __: RecordDict(), "empty", "sent an empty reply", "raises"),
    Fault(
        "only metrics",
        lambda _, c: RecordDict({"metrics": c["metrics"]}),
        "empty",
        "without arrays",
        "raises",
    ),
    Fault(
        "no tensors",
        lambda _, c: RecordDict({**c, "arrays": ArrayRecord()}),
        "missing-key",
        "lacks 'b', 'steps', 'w'",
        "raises",
    ),
    Fault("two models", two_strangers, "ambiguous", "2 array records (one, two)", "raises"),
    Fault("markup", fail("<script>alert(1)</script>"), "error", "<script>alert(1)</script>"),
    Fault(
        "escapes", fail("\x1b[2J\x1b]0;x\x07\r\n\u202e"), "error", r"\x1b[2J\x1b]0;x\x07\r\n\u202e"
    ),
    Fault("long error", fail("x" * 10**6), "error", "(1000000 characters)"),
    Fault("exception", raise_late, "error", r"after 2 records \ud800 \x1b[2J"),
    Fault("exit", exit_late, "error", "2"),
    Fault("no reply object", lambda _, __: None, "error", "NoneType"),  # type: ignore[arg-type,return-value]  # that is the fault
    Fault(
        "forged sender",
        forge("src_node_id", 2),
        "forged",
        "signed as node 2; the question went to node 5",
    ),
    Fault("forged group", forge("group_id", "g"), "forged", "does not carry the question's own"),
    # The update is as good as any; something beside it is not.
    Fault("claims 1e12", claim(10**12), says="num-examples=1000000000000", fedavg="moves"),
    Fault("claims -60", claim(-60), says="num-examples=-60", fedavg="moves"),
    Fault("claims NaN", claim(np.nan), says="num-examples=nan", fedavg="moves"),
    Fault("claims infinity", claim(np.inf), says="num-examples=inf", fedavg="moves"),
    Fault("claims 0", claim(0), says="num-examples=0", fedavg="moves"),
    Fault("claims a list", claim([1, 2]), says="num-examples=a list of 2", fedavg="raises"),
    Fault("claims 400 digits", claim(10**400), says="num-examples=1000000", fedavg="moves"),
    Fault(
        "extra metric",
        lambda _, c: with_metrics(c, mine=1.0),
        says="surplus metric mine",
        fedavg="raises",
    ),
    Fault("NaN metric", lambda _, c: with_metrics(c, loss=np.nan), says="loss=nan"),
    Fault(
        "400 digits",
        lambda _, c: with_metrics(c, loss=10**400),
        says="loss=1000000",
        fedavg="raises",
    ),
    Fault(
        "5000 digits",
        lambda _, c: with_metrics(c, loss=10**5000),
        says="loss=an unprintable int",
        fedavg="raises",
    ),
    Fault(
        "metric list",
        lambda _, c: with_metrics(c, loss=[0.1] * 9),
        says="loss=a list of 9",
        fedavg="raises",
    ),
    Fault(
        "metric name",
        lambda _, c: with_metrics(c, **{"\ud800\x1b": 1.0}),
        says=r"\ud800\x1b=1.0",
        fedavg="raises",
    ),
    Fault("no metrics", without_metrics, fedavg="raises"),
    Fault(
        "surplus record", add_record, says=r"surplus array record 'more\\x1b[2J'", fedavg="raises"
    ),
    Fault("surplus config", lambda _, c: RecordDict({**c, "x": ConfigRecord({"a": b"\xff"})})),
    # No fault at all.
    Fault("other order", reverse_keys),
    Fault("Fortran order", fortran_order),
    Fault("version 2 header", lambda _, c: with_array(c, "b", _second_version(arrays_of(c)["b"]))),
    Fault(
        "other record name",
        lambda _, c: RecordDict({"weights": c["arrays"], "metrics": c["metrics"]}),
        fedavg="raises",
    ),
    Fault("counter of 2^62", send("steps", np.array(2**62)), fedavg="moves"),
)


def _second_version(array: Array) -> Array:
    length = int.from_bytes(array.data[8:10], "little")
    return npy(array.data[10 : 10 + length].decode(), array.data[10 + length :], version=2)


def cohort(spoil: Spoil | None = None) -> list[Member]:
    found = members()
    found[HOSTILE].spoil = spoil
    return found
