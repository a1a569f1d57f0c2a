"""What a simulation came to, as plain values: they survive JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from quickthorn.simulations.scenario import Scenario
from quickthorn.strategies.reputation import Change

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


# The rounds after which a record says what had accumulated by then; the last is one too.
LOOKS = (5, 20)

# The states of those who are not aggregated, and of those who need a look.
LEFT_OUT = ("quarantined", "banned")
STRIKING = ("watch", *LEFT_OUT)


@dataclass(frozen=True)
class Trail:
    """What the server came to think of one client.

    Attributes
    ----------
    state
        After the last round: ``probation``, ``healthy``, ``watch``, ``quarantined``, ``banned``.
    evidence, strength
        A round of ``LOOKS``, and the last one, to what had accumulated by then: in [0, 1], and
        without a bound, for ranking. See ``quickthorn.strategies.reputation``.
    reason
        What stood out in the last round, in words; often nothing.

    """

    state: str
    evidence: Mapping[int, float]
    strength: Mapping[int, float]
    reason: str = ""


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
    trails
        Client to what the server came to think of it.
    changes
        Every change of a client's state, in the order of the rounds.
    unforged_rounds
        Round to the reason for which the hostile could not forge their updates, and sent what
        they had: what they learned, honestly, by their attack on data or under their attack's
        loss.
    seconds
        Stage to seconds, summed over the rounds. With ``strategy = "flower"``, ``strategy`` is
        all of its rounds, the members' training included; of the server's stages nothing is
        known, and ``to_json`` says None.
    model_digest
        SHA-256 of the final model, as a deployment's record has it.

    Example
    -------
    >>> record = SimulationRecord(
    ...     Scenario(clients=3, attackers=1, rounds=2),
    ...     (Evaluation(1, 0.5, (0.4, 0.6)), Evaluation(2, 0.4, (0.3, None))),
    ...     trails={f"client-{n}": Trail("healthy", {2: 0.0}, {2: z})
    ...             for n, z in enumerate((0.1, 0.3, 0.2))}, hostile=("client-2",))
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
    trails: Mapping[str, Trail] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    unforged_rounds: Mapping[int, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    model_digest: str = ""

    @property
    def stages_known(self) -> bool:
        """Return whether ``seconds`` has the stages of the server."""
        return self.scenario.strategy == "engine"

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
    def quarantined(self) -> dict[str, int]:
        """Return the clients that were left out at some time, with the first round that said so.

        It takes effect in the next one.
        """
        first: dict[str, int] = {}
        for change in self.exclusions:
            first.setdefault(change.client, change.round)
        return first

    @property
    def exclusions(self) -> tuple[Change, ...]:
        """Return those of the changes from which on a client was left out."""
        return tuple(c for c in self.changes if c.after in LEFT_OUT and c.before not in LEFT_OUT)

    @property
    def detection_auc(self) -> float | None:
        """Return ``auc_after`` the last round."""
        return self.auc_after(self.scenario.rounds)

    def auc_after(self, number: int) -> float | None:
        """Return how well the strength of the evidence tells hostile clients from honest ones.

        The probability that a hostile client drawn at random ranks above an honest one by what
        had accumulated after round ``number``, ties counting half: 1 is perfect and 0.5 is
        chance. A client that had not taken part by then is left out. None without two sides to
        compare, and for a round that is neither in ``LOOKS`` nor the last.
        """
        ranks = {
            client: trail.strength[number]
            for client, trail in self.trails.items()
            if number in trail.strength
        }
        hostile = [rank for client, rank in ranks.items() if client in self.hostile]
        honest = [rank for client, rank in ranks.items() if client not in self.hostile]
        return _auc(hostile, honest) if hostile and honest else None

    def to_json(self) -> dict[str, Any]:
        """Return the record, with what is derived from it, as values that JSON has."""
        told = asdict(self)
        if not self.stages_known:
            told["seconds"] |= dict.fromkeys(_STAGES)
        for name in _DERIVED:
            told[name] = getattr(self, name)
        return {name: _plain(value) for name, value in told.items()}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> SimulationRecord:
        """Read back what ``to_json`` returned, also after a trip through JSON.

        What a record of an earlier version does not have is as if nobody had been watched.
        """
        own = {name: told[name] for name in cls.__dataclass_fields__ if name in told}
        own["scenario"] = Scenario.from_table(told["scenario"])
        own["evaluations"] = tuple(
            Evaluation(**{**item, "recall": tuple(item["recall"])}) for item in told["evaluations"]
        )
        own["hostile"] = tuple(told["hostile"])
        own["seconds"] = {k: v for k, v in told.get("seconds", {}).items() if v is not None}
        own["unchanged_rounds"] = _by_round(told["unchanged_rounds"])
        own["unforged_rounds"] = _by_round(told.get("unforged_rounds", {}))
        own["trails"] = {
            client: Trail(
                **{
                    **trail,
                    "evidence": _by_round(trail["evidence"]),
                    "strength": _by_round(trail["strength"]),
                }
            )
            for client, trail in told.get("trails", {}).items()
        }
        own["changes"] = tuple(Change(**change) for change in told.get("changes", ()))
        return cls(**own)


_STAGES = ("admit", "aggregate", "score", "review")  # of the server
_DERIVED = (
    "accuracy",
    "final",
    "peak",
    "worst_recall",
    "attack_success",
    "quarantined",
    "detection_auc",
)


def _by_round(told: Mapping[str, Any]) -> dict[int, Any]:
    """Return a table whose keys are rounds, which JSON has as text."""
    return {int(number): value for number, value in told.items()}


def _auc(above: Sequence[float], below: Sequence[float]) -> float:
    wins = sum((a > b) + 0.5 * (a == b) for a in above for b in below)
    return wins / (len(above) * len(below))


def _plain(value: Any) -> Any:  # noqa: ANN401 - any value of a record
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
