"""Judge one reply, alone, against the model that was sent: a row of the matrix, or a refusal.

Nothing here trusts a length, a dtype, an order or a number that a client wrote, and nothing
raises because of it. A fault in the update refuses the update; a fault in a mere claim (a
sample count, a metric, a surplus record) is set aside and noted, and the update counts.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from flwr.app import ArrayRecord, MetricRecord

from quickthorn.server.judgement import Admission, Refusal, judge_model
from quickthorn.server.npy import read_array
from quickthorn.server.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from flwr.app import RecordDict
    from numpy.typing import NDArray

    from quickthorn.server.judgement import Expectation
    from quickthorn.strategies.updates import Array, Tensor

# More samples than this in one organization is a claim and not a count.
MAX_SAMPLES = 10**9
# More metrics than this from one client, or a longer name, are not kept.
MAX_METRICS = 1000
MAX_NAME = 100
# This many claims that were set aside are named, the rest counted.
NAMED_CLAIMS = 20


def admit(content: RecordDict, expected: Expectation, row: Array) -> Admission:
    """Judge ``content`` and, if it is sound, write its update into ``row``.

    Parameters
    ----------
    content
        The reply of one client.
    expected
        The model that was sent and the limits.
    row
        (d,) of the layout's dtype; holds the delta afterwards, or rubbish if refused.

    Returns
    -------
    Admission
        Never an exception, whatever the client wrote.

    """
    notes = _Notes()
    try:
        record = _find_model(content, expected, notes)
        counters = _read_model(record, expected, row)
    except Refusal as refusal:
        return Admission(refusal.code, refusal.reason)
    except Exception as error:  # noqa: BLE001 - whatever a client's bytes provoke costs that client
        return Admission("malformed", f"the reply cannot be read: {printable(error)}")
    samples, metrics = _read_claims(content, expected, notes)
    return Admission(counters=counters, samples=samples, metrics=metrics, ignored=notes.listed())


def read_metrics(content: RecordDict, weight_key: str) -> Admission:
    """Read only the claims of a reply, for evaluation rounds; never raises."""
    notes = _Notes()
    try:
        samples, metrics = _claims(content, weight_key, notes)
    except Exception as error:  # noqa: BLE001 - whatever a client's bytes provoke costs that client
        return Admission("malformed", f"the metrics cannot be read: {printable(error)}")
    return Admission(samples=samples, metrics=metrics, ignored=notes.listed())


class _Notes:
    """What was set aside in one reply: the first few in words, the rest as a number."""

    def __init__(self) -> None:
        self._named: list[str] = []
        self._more = 0

    def add(self, key: str, value: object = None) -> None:
        """Note a claim, or with ``value`` None a record, by name."""
        if len(self._named) == NAMED_CLAIMS:
            self._more += 1
        elif value is None:
            self._named.append(key)
        else:
            shown = f"a list of {len(value)}" if isinstance(value, list) else printable(value, 40)
            self._named.append(f"{printable(key, 40)}={shown}")

    def listed(self) -> tuple[str, ...]:
        """Return them."""
        return (*self._named, f"and {self._more} more") if self._more else tuple(self._named)


def _find_model(content: RecordDict, expected: Expectation, notes: _Notes) -> ArrayRecord:
    # Not by Flower's `array_records`: its view refers to itself and to the reply, so that each
    # look would keep the whole reply in memory until the garbage collector comes by.
    records = {key: found for key, found in content.items() if isinstance(found, ArrayRecord)}
    if not records:
        what = "an empty reply" if not content else "a reply without arrays"
        raise Refusal("empty", f"sent {what}")
    if expected.arrays_key in records:
        name = expected.arrays_key
    elif len(records) == 1:
        name = next(iter(records))
    else:
        listed = ", ".join(printable(key, 40) for key in list(records)[:5])
        raise Refusal("ambiguous", f"sent {len(records)} array records ({listed})")
    for key in records:
        if key != name:
            notes.add(f"surplus array record {printable(key, 40)!r}")
    return records[name]


def _read_model(record: ArrayRecord, expected: Expectation, row: Array) -> NDArray[np.int64]:
    def read(tensor: Tensor) -> Array:
        try:
            return read_array(tensor, record[tensor.name])
        except Refusal as refusal:
            if refusal.code != "dtype" or tensor.name not in expected.drifted:
                raise
        return read_array(replace(tensor, dtype=expected.drifted[tensor.name]), record[tensor.name])

    return judge_model(record.keys(), read, expected, row)


def _read_claims(
    content: RecordDict, expected: Expectation, notes: _Notes
) -> tuple[float, dict[str, float]]:
    try:
        return _claims(content, expected.weight_key, notes)
    except Exception as error:  # noqa: BLE001 - a claim that cannot be read is no claim
        notes.add(f"unreadable metrics: {printable(error, 80)}")
        return math.nan, {}


def _claims(content: RecordDict, weight_key: str, notes: _Notes) -> tuple[float, dict[str, float]]:
    samples, metrics = math.nan, dict[str, float]()
    for record in content.values():
        if not isinstance(record, MetricRecord):
            continue
        for key, value in record.items():
            number = _number(value)
            if key == weight_key and 0 < number <= MAX_SAMPLES:
                samples = number
            elif key != weight_key and math.isfinite(number) and _is_name(key, metrics):
                metrics[key] = number
            else:
                notes.add(key, value)
    return samples, metrics


def _number(value: float | list[int] | list[float]) -> float:
    """Return a claimed scalar, NaN where it is none."""
    try:
        return math.nan if isinstance(value, list) else float(value)
    except OverflowError:  # an integer beyond float64
        return math.nan


def _is_name(key: str, metrics: Mapping[str, float]) -> bool:
    """Say whether a metric may be kept under ``key``: SQLite and a terminal have to take it."""
    return 0 < len(key) <= MAX_NAME and key.isprintable() and len(metrics) < MAX_METRICS
