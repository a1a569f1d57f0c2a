"""What a rule is timed against: Flower's strategy of the same name, and the user's own numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from flwr.app import Array as FlowerArray
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import Bulyan, FedAvg, FedMedian, FedTrimmedAvg, Krum, MultiKrum
from flwr.supercore.task_identity import TaskIdentity
from scipy import stats

from quickthorn.simulations.quiet import quiet_flower

if TYPE_CHECKING:
    from collections.abc import Callable

    from quickthorn.strategies.updates import Array

    Replies = list[Message]
    Expression = Callable[[Array, int], Any]


def flowers(rule: str, n: int, byzantine: int) -> FedAvg | None:
    """Return Flower's own strategy for ``rule``, None where it has none."""
    strategies: dict[str, Callable[[], FedAvg]] = {
        "mean": FedAvg,
        "weighted_mean": FedAvg,
        "median": FedMedian,
        "trimmed_mean": lambda: FedTrimmedAvg(beta=byzantine / n),
        "krum": lambda: Krum(num_malicious_nodes=byzantine),
        "multi_krum": lambda: MultiKrum(
            num_malicious_nodes=byzantine, num_nodes_to_select=n - byzantine - 2
        ),
        "bulyan": lambda: Bulyan(num_malicious_nodes=byzantine),
    }
    return strategies[rule]() if rule in strategies else None


def as_replies(values: Array) -> Replies:
    """Return the rows as the replies that a Flower strategy gets, one tensor each."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 0
    question = Message(RecordDict(), 2, "train")
    return [_reply(ArrayRecord({"w": FlowerArray(row)}), question) for row in values]


def run_flower(strategy: FedAvg, replies: Replies) -> ArrayRecord | None:
    """Aggregate copies of the replies: Flower's median and trimmed mean empty what they get."""
    copies = [
        _reply(ArrayRecord(dict(reply.content.array_records["arrays"])), reply) for reply in replies
    ]
    with quiet_flower():
        return strategy.aggregate_train(1, copies)[0]


def _reply(arrays: ArrayRecord, question: Message) -> Message:
    metrics = MetricRecord({"num-examples": 100})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=question)


def _average(x: Array, _f: int) -> Any:  # noqa: ANN401 - numpy's
    return np.average(x, axis=0, weights=np.ones_like(x[:, 0]))


def _sorted_middle(x: Array, f: int) -> Any:  # noqa: ANN401 - numpy's
    return np.sort(x, axis=0)[f : len(x) - f].mean(axis=0)


def _trim_mean(x: Array, f: int) -> Any:  # noqa: ANN401 - numpy's
    return stats.trim_mean(x, f / len(x), axis=0)


def _around_median(x: Array, keep: int) -> Any:  # noqa: ANN401 - numpy's
    nearest = np.argsort(np.abs(x - np.median(x, axis=0)), axis=0)[:keep]
    return np.take_along_axis(x, nearest, axis=0).mean(axis=0)


def _bulyan(x: Array, f: int) -> Any:  # noqa: ANN401 - numpy's
    products = x @ x.T
    squares = np.diag(products)
    distances = squares[:, None] + squares - 2 * products
    np.fill_diagonal(distances, np.inf)
    left = list(range(len(x)))
    picks: list[int] = []
    while len(picks) < len(x) - 2 * f:
        nearest = np.sort(distances[np.ix_(left, left)], axis=1)
        scores = nearest[:, : max(len(left) - f - 2, 1)].sum(axis=1)
        picks.append(left.pop(int(np.argmin(scores))))
    return _around_median(x[picks], len(x) - 4 * f)


def _clip_to_median(x: Array, _f: int) -> Any:  # noqa: ANN401 - numpy's
    lengths = np.linalg.norm(x, axis=1)
    return np.minimum(1, np.median(lengths) / lengths) @ x / len(x)


def _cosine(x: Array, _f: int) -> Any:  # noqa: ANN401 - numpy's
    center = np.median(x, axis=0)
    return x @ center / np.linalg.norm(x, axis=1) / np.linalg.norm(center)


# For these, one float32 product: the least that they have to compute.
_ON_DISTANCES = ("krum", "multi_krum", "geometric_median", "caf", "mda", "smea", "krum_distance")

# Where there are two, the faster one counts.
EXPRESSIONS: dict[str, dict[str, Expression]] = {
    "mean": {"numpy's": lambda x, _f: x.mean(axis=0)},
    "weighted_mean": {"numpy's": _average},
    "median": {"numpy's": lambda x, _f: np.median(x, axis=0)},
    "trimmed_mean": {"numpy's": _sorted_middle, "scipy's": _trim_mean},
    "mean_around_median": {"numpy's": lambda x, f: _around_median(x, len(x) - f)},
    "bulyan": {"numpy's": _bulyan},
    "centered_clipping": {"numpy's": _clip_to_median},
    "norm": {"numpy's": lambda x, _f: np.linalg.norm(x, axis=1)},
    "cosine": {"numpy's": _cosine},
    **{rule: {"numpy's": lambda x, _f: x @ x.T} for rule in _ON_DISTANCES},
}
