"""What a simulation came to, as plain values: they survive JSON."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from quickthorn.simulations.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Evaluation:
    """The global model after one round, on the held-out samples.

    Attributes
    ----------
    round
        Its number, from 1.
    accuracy
        Share of the samples that are classified right, 0 to 1.
    recall
        The same within each class; None for a class without a sample.
    attack_success
        Of the samples whose true class is not the target of the backdoor, the share that is
        classified as the target once it carries the trigger; None without a backdoor.

    """

    round: int
    accuracy: float
    recall: tuple[float | None, ...]
    attack_success: float | None = None


@dataclass(frozen=True)
class SimulationRecord:
    """The result of one scenario.

    Attributes
    ----------
    scenario
        What was run.
    evaluations
        In the order of the rounds; the last is of the final model.
    attack_success_floor
        ``attack_success`` on the model of the same scenario without its attack: what the
        trigger does by itself. None without a backdoor.
    scores
        Client to the mean of its anomaly (``quickthorn.strategies.scoring.suspicion``) over the
        rounds in which it was scored; a client that never was is not here.
    hostile
        The ids of those who attack: the truth, which the defense does not know.
    verdicts
        Client to how many of its replies were accepted (``ok``) or refused, by code.
    unchanged_rounds
        Round to the reason for which the model stayed as it was.
    seconds
        Stage to seconds, summed over the rounds.
    model_digest
        SHA-256 of the final model, as a deployment's record has it.

    Example
    -------
    >>> record = SimulationRecord(
    ...     Scenario(clients=3, attackers=1),
    ...     (Evaluation(1, 0.5, (0.4, 0.6)), Evaluation(2, 0.4, (0.3, None))),
    ...     scores={"client-0": 0.1, "client-1": 0.3, "client-2": 0.2}, hostile=("client-2",))
    >>> record.final, record.peak, record.worst_recall, record.detection_auc
    (0.4, 0.5, 0.3, 0.5)
    >>> SimulationRecord.from_json(record.to_json()) == record
    True

    """

    scenario: Scenario
    evaluations: tuple[Evaluation, ...]
    attack_success_floor: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    hostile: tuple[str, ...] = ()
    verdicts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    unchanged_rounds: Mapping[int, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    model_digest: str = ""

    @property
    def accuracy(self) -> tuple[float, ...]:
        """Return the accuracy of each evaluation."""
        return tuple(evaluation.accuracy for evaluation in self.evaluations)

    @property
    def final(self) -> float:
        """Return the accuracy of the final model."""
        return self.accuracy[-1]

    @property
    def peak(self) -> float:
        """Return the highest accuracy of all evaluations."""
        return max(self.accuracy)

    @property
    def worst_recall(self) -> float:
        """Return the final model's recall of the class that it recognizes least."""
        return min(recall for recall in self.evaluations[-1].recall if recall is not None)

    @property
    def attack_success(self) -> float | None:
        """Return the backdoor's success on the final model; None without a backdoor."""
        return self.evaluations[-1].attack_success

    @property
    def detection_auc(self) -> float | None:
        """Return how well ``scores`` tell hostile clients from honest ones; 0.5 is chance.

        The probability that a hostile client drawn at random ranks above an honest one, ties
        counting half. A client whose every reply was refused ranks above all that were scored;
        one that never took part is left out. None without two sides to compare.
        """
        ranks = {client: math.inf for client, codes in self.verdicts.items() if codes}
        ranks.update(self.scores)
        hostile = [rank for client, rank in ranks.items() if client in self.hostile]
        honest = [rank for client, rank in ranks.items() if client not in self.hostile]
        return _auc(hostile, honest) if hostile and honest else None

    def to_json(self) -> dict[str, Any]:
        """Return the record, with what is derived from it, as values that JSON has."""
        told = asdict(self)
        told["unchanged_rounds"] = {str(n): why for n, why in self.unchanged_rounds.items()}
        for name in _DERIVED:
            told[name] = getattr(self, name)
        return {name: _plain(value) for name, value in told.items()}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> SimulationRecord:
        """Read back what ``to_json`` returned, also after a trip through JSON."""
        own = {name: told[name] for name in cls.__dataclass_fields__}
        own["scenario"] = Scenario.from_table(told["scenario"])
        own["evaluations"] = tuple(
            Evaluation(**{**item, "recall": tuple(item["recall"])}) for item in told["evaluations"]
        )
        own["hostile"] = tuple(told["hostile"])
        own["unchanged_rounds"] = {int(n): why for n, why in told["unchanged_rounds"].items()}
        return cls(**own)


_DERIVED = ("accuracy", "final", "peak", "worst_recall", "attack_success", "detection_auc")


def _auc(above: Sequence[float], below: Sequence[float]) -> float:
    wins = sum((a > b) + 0.5 * (a == b) for a in above for b in below)
    return wins / (len(above) * len(below))


def _plain(value: Any) -> Any:  # noqa: ANN401 - any value of a record
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
