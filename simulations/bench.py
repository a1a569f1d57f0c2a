"""What a rule costs, beside what a user would pick instead; measured in one run, interleaved.

For each cohort (n clients, d parameters) the same random float32 updates go to our rule, to
Flower's own strategy of the same name (as replies, the form that it takes) and to the numpy
expression that a user would write. The yardstick is one pass over the matrix (its sum).
"""

from __future__ import annotations

import logging
import platform
import statistics
import time
import tracemalloc
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from flwr.app import Array as FlowerArray
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg, FedMedian, FedTrimmedAvg, Krum, MultiKrum
from flwr.supercore.task_identity import TaskIdentity

from quickthorn.strategies import build
from quickthorn.strategies.kernels.threads import thread_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from quickthorn.strategies.updates import Array

# A contestant that takes longer than this is measured once and not again.
_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True)
class Line:
    """One measured rule on one cohort.

    Attributes
    ----------
    rule, clients, size
        What was measured: the defense, n and d.
    seconds, read_seconds
        Median time of our rule, and of one pass over the matrix.
    flower_seconds, numpy_seconds
        Of the alternatives; None where there is none.
    extra_bytes
        The most memory that our rule held beside the matrix, its result included.

    """

    rule: str
    clients: int
    size: int
    seconds: float
    read_seconds: float
    flower_seconds: float | None
    numpy_seconds: float | None
    extra_bytes: int

    @property
    def payload(self) -> int:
        """Return the bytes of the matrix."""
        return 4 * self.clients * self.size


def machine() -> str:
    """Name the machine, as far as Python knows it."""
    python = platform.python_version()
    return (
        f"{platform.machine()}, {thread_count()} threads, Python {python}, numpy {np.__version__}"
    )


def measure(clients: Sequence[int], sizes: Sequence[int], repetitions: int) -> Iterator[Line]:
    """Yield one line per rule and cohort, as they are measured.

    Parameters
    ----------
    clients, sizes
        The n and the d to combine.
    repetitions
        How often each contestant is timed; the median counts.

    """
    logging.getLogger("flwr").setLevel(logging.ERROR)
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 0
    for n in clients:
        for size in sizes:
            yield from _measure_cohort(n, size, repetitions)


def as_table(lines: Sequence[Line]) -> str:
    """Return the lines as a Markdown table, which a terminal shows as well."""
    head = ("rule", "n", "d", "seconds", "GB/s", "reads", "Flower", "numpy", "extra memory")
    rows = [
        (
            "`{}`".format(line.rule.replace("|", r"\|")),  # a bar would end the cell
            str(line.clients),
            f"{line.size:,}",
            f"{line.seconds:.4f}",
            f"{line.payload / line.seconds / 1e9:.2f}",
            f"{line.seconds / line.read_seconds:.1f}",
            _times(line.flower_seconds, line.seconds),
            _times(line.numpy_seconds, line.seconds),
            f"{line.extra_bytes / line.payload:.2f}",
        )
        for line in lines
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    table = [head, tuple("-" * width for width in widths), *rows]
    padded = (
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |"
        for row in table
    )
    legend = (
        f"Machine: {machine()}. f is a fifth of n. reads: our time in passes over the matrix. "
        "Flower, numpy: their time divided by ours (for Krum, numpy is one float32 product "
        "X·Xᵀ). extra memory: beside the matrix, in matrices."
    )
    return "\n".join([*padded, "", legend])


def _times(theirs: float | None, ours: float) -> str:
    return "–" if theirs is None else f"{theirs / ours:.1f} ×"


def _measure_cohort(n: int, size: int, repetitions: int) -> Iterator[Line]:
    values = np.random.default_rng(0).normal(size=(n, size)).astype(np.float32)
    replies = _as_replies(values)
    byzantine = max(1, n // 5)
    for rule, (flower, expression) in _alternatives(n, byzantine).items():
        defense = build(rule, byzantine=byzantine)
        contestants: dict[str, Callable[[], object]] = {
            "ours": partial(defense.aggregate, values),
            "read": values.sum,
        }
        if flower is not None:
            contestants["flower"] = partial(_run_flower, flower, replies)
        if expression is not None:
            contestants["numpy"] = partial(expression, values)
        times = _interleaved(contestants, repetitions)
        yield Line(
            rule,
            n,
            size,
            times["ours"],
            times["read"],
            times.get("flower"),
            times.get("numpy"),
            _extra_memory(contestants["ours"]),
        )


def _alternatives(
    n: int, byzantine: int
) -> dict[str, tuple[FedAvg | None, Callable[[Array], object] | None]]:
    """Return, per rule, Flower's strategy and the expression of numpy, where there is one."""
    keep = n - byzantine - 2
    return {
        "mean": (FedAvg(), lambda x: x.mean(axis=0)),
        "median": (FedMedian(), lambda x: np.median(x, axis=0)),
        "trimmed_mean": (
            FedTrimmedAvg(beta=byzantine / n),
            lambda x: np.sort(x, axis=0)[byzantine : n - byzantine].mean(axis=0),
        ),
        "krum": (Krum(num_malicious_nodes=byzantine), _gram),
        "multi_krum": (
            MultiKrum(num_malicious_nodes=byzantine, num_nodes_to_select=keep),
            _gram,
        ),
        "nnm | trimmed_mean": (None, None),
        "clip | median": (None, None),
    }


def _gram(values: Array) -> Array:
    """Return one BLAS product in float32: the least that a rule on distances has to compute."""
    product: Array = values @ values.T
    return product


def _interleaved(
    contestants: dict[str, Callable[[], object]], repetitions: int
) -> dict[str, float]:
    """Time the contestants in turn, so that a busy moment of the machine hits all of them."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    contestants["ours"]()  # compiles, or loads what was compiled
    for _ in range(repetitions):
        for name, run in contestants.items():
            if times[name] and times[name][0] > _PATIENCE_SECONDS:
                continue
            started = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(taken) for name, taken in times.items()}


def _extra_memory(run: Callable[[], object]) -> int:
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def _as_replies(values: Array) -> list[Message]:
    question = Message(RecordDict(), 2, "train")
    return [
        Message(
            RecordDict(
                {
                    "arrays": ArrayRecord({"w": FlowerArray(row)}),
                    "metrics": MetricRecord({"num-examples": 100}),
                }
            ),
            reply_to=question,
        )
        for row in values
    ]


def _run_flower(strategy: FedAvg, replies: list[Message]) -> object:
    """Aggregate copies of the replies: Flower's median and trimmed mean empty what they get."""
    copies = [
        Message(
            RecordDict(
                {
                    "arrays": ArrayRecord(dict(reply.content.array_records["arrays"])),
                    "metrics": MetricRecord({"num-examples": 100}),
                }
            ),
            reply_to=reply,
        )
        for reply in replies
    ]
    return strategy.aggregate_train(1, copies)
