"""Small federations for tests: numpy-only members on the in-process grid, honest until told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MessageType, MetricRecord, RecordDict

from quickthorn.server.model import to_model, to_record
from quickthorn.server.store import RunStore
from quickthorn.server.strategy import RobustStrategy
from quickthorn.simulations.grid import InProcessClient, InProcessGrid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from flwr.app import Context
    from flwr.serverapp.strategy import Result

    Model = Mapping[str, np.ndarray[Any, np.dtype[Any]]]
    # What a member does with its honest answer before it sends it.
    Spoil = Callable[[Message, RecordDict], Message | RecordDict]

# The claims of seven members; leaving any 100 out, or calling it invalid, keeps the median.
CLAIMS = (50, 80, 100, 100, 100, 150, 300)


def initial_model() -> Model:
    """Return a model with weights, a vector and a counter."""
    rng = np.random.default_rng(5)
    return {
        "w": rng.normal(size=(2, 3)).astype(np.float32),
        "b": rng.normal(size=4).astype(np.float32),
        "steps": np.array(7, np.int64),
    }


def honest_content(message: Message, index: int, claim: float = 100) -> RecordDict:
    """Return what member ``index`` answers: near to the others, different from each."""
    if message.metadata.message_type == MessageType.EVALUATE:
        return RecordDict({"metrics": MetricRecord({"num-examples": claim, "loss": 0.5 + index})})
    received = model_of(message.content)
    number = message.content.config_records["config"]["server-round"]
    rng = np.random.default_rng([index, int(str(number))])
    model = {
        name: values + 10 if values.dtype.kind == "i" else _trained(values, rng)
        for name, values in received.items()
    }
    metrics = MetricRecord({"num-examples": claim, "loss": 0.1 * index})
    return RecordDict({"arrays": to_record(model), "metrics": metrics})


def _trained(values: np.ndarray[Any, Any], rng: np.random.Generator) -> np.ndarray[Any, Any]:
    trained: np.ndarray[Any, Any] = values + 0.5 + 0.1 * rng.normal(size=values.shape)
    return trained.astype(values.dtype)


@dataclass
class Member:
    """A client app: answers honestly, then lets ``spoil`` change the answer to training."""

    index: int
    claim: float = 100
    spoil: Spoil | None = None
    spoil_evaluation: Spoil | None = None
    calls: int = field(default=0, init=False)

    def __call__(self, message: Message, context: Context) -> Message:
        self.calls += 1
        content = honest_content(message, self.index, self.claim)
        training = message.metadata.message_type == MessageType.TRAIN
        spoil = self.spoil if training else self.spoil_evaluation
        answer = content if spoil is None else spoil(message, content)
        return Message(answer, reply_to=message) if isinstance(answer, RecordDict) else answer


def members(count: int = 7) -> list[Member]:
    return [Member(index, CLAIMS[index % len(CLAIMS)]) for index in range(count)]


def grid_of(apps: Sequence[Callable[[Message, Context], Message]]) -> InProcessGrid:
    return InProcessGrid([InProcessClient(app) for app in apps])


def client_of(position: int) -> str:
    """Return the id under which the record shows the app at ``position``."""
    return f"node:{position + 2}"


@dataclass(frozen=True)
class Run:
    """What a federation came to."""

    model: Model
    result: Result
    folder: Path

    @property
    def bits(self) -> dict[str, bytes]:
        return {name: values.tobytes() for name, values in self.model.items()}

    def record(self) -> RunStore:
        return RunStore.open(self.folder)


def run(
    folder: Path,
    grid: InProcessGrid,
    *,
    defense: str = "median",
    byzantine: int = 1,
    rounds: int = 2,
    model: Model | None = None,
    timeout: float = 60.0,
    evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None = None,
    **options: Any,  # noqa: ANN401 - whatever the strategy takes
) -> Run:
    """Start ``RobustStrategy`` on ``grid`` as a Flower app does."""
    settings = {"patience": 0.01, "fraction_evaluate": 0.0, "run_dir": folder, **options}
    strategy = RobustStrategy(defense, byzantine=byzantine, **settings)
    start = to_record(initial_model() if model is None else model)
    result = strategy.start(
        grid=grid,
        initial_arrays=start,
        num_rounds=rounds,
        timeout=timeout,
        evaluate_fn=evaluate_fn,
    )
    return Run(to_model(result.arrays), result, folder)


def arrays_of(content: RecordDict) -> ArrayRecord:
    return content.array_records["arrays"]


def metrics_of(content: RecordDict) -> MetricRecord:
    return content.metric_records["metrics"]


def model_of(content: RecordDict) -> Model:
    return to_model(arrays_of(content))


def with_array(content: RecordDict, name: str, array: Array | np.ndarray[Any, Any]) -> RecordDict:
    """Return ``content`` with one tensor replaced or added."""
    changed = array if isinstance(array, Array) else Array(array)
    return RecordDict({**content, "arrays": ArrayRecord({**arrays_of(content), name: changed})})


def with_metrics(
    content: RecordDict,
    **metrics: Any,  # noqa: ANN401 - a liar writes anything
) -> RecordDict:
    """Return ``content`` with metrics replaced or added; ``num_examples`` is the claim."""
    named = {name.replace("num_examples", "num-examples"): value for name, value in metrics.items()}
    return RecordDict({**content, "metrics": MetricRecord({**metrics_of(content), **named})})


def npy(header: str, payload: bytes = b"", *, version: int = 1) -> Array:
    """Return an array whose .npy bytes say what ``header`` says."""
    text = header.encode("latin-1")
    length = len(text).to_bytes(2 if version == 1 else 4, "little")
    return raw(b"\x93NUMPY" + bytes([version, 0]) + length + text + payload)


def raw(data: bytes, stype: str = "numpy.ndarray") -> Array:
    """Return an array of exactly these bytes, with an innocent label."""
    return Array("float32", (4,), stype, data)
