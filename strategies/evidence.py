"""Evidence about each client over the rounds: what its scores and refusals add up to."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from quickthorn.strategies.updates import Score, Verdict

# Refusals that no honest client earns by a bad network, a full disk or a failed training.
HOSTILE = frozenset(
    {
        "ambiguous",
        "dtype",
        "empty",
        "extra-key",
        "forged",
        "header",
        "implausible",
        "malformed",
        "missing-key",
        "not-finite",
        "serialization",
        "shape",
        "truncated",
    }
)

# What one hostile refusal is worth: it happens to one honest client and round in a thousand.
_REFUSAL = 1e-3
_LARGEST_Z = 6.0
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class Trace:
    """One signal about one client: a mean over its rounds that forgets.

    Attributes
    ----------
    mean
        Of the signed z, capped.
    weight
        How many rounds it is worth.

    """

    mean: float = 0.0
    weight: float = 0.0

    def after(self, z: float, memory: float) -> Trace:
        """Return the trace after one more round.

        >>> Trace(1.0, 1.0).after(3.0, memory=20).weight
        1.95
        """
        kept = self.weight * (1 - 1 / memory)
        return Trace((kept * self.mean + z) / (kept + 1), kept + 1)


@dataclass(frozen=True)
class Evidence:
    """What is kept of one client from round to round.

    Attributes
    ----------
    traces
        Signal to its trace.
    refusals
        Hostile refusals, the old ones forgotten.

    """

    traces: Mapping[str, Trace] = field(default_factory=dict)
    refusals: float = 0.0


@dataclass(frozen=True)
class Finding:
    """What one round says about one client.

    Attributes
    ----------
    score
        Of this round alone, in [0, 1]; None where the update was not scored.
    evidence
        Of all rounds, in [0, 1].
    strength
        Of all rounds, without bound.
    reason
        In words, where something stands out.

    """

    score: float | None
    evidence: float
    strength: float
    reason: str


def weigh(
    before: Mapping[str, Evidence],
    scores: Iterable[Score],
    verdicts: Iterable[Verdict],
    memory: float,
) -> tuple[dict[str, Evidence], dict[str, Finding]]:
    """Add one round to the evidence.

    Parameters
    ----------
    before
        Client to its evidence so far; whoever is new may be missing.
    scores, verdicts
        Of the round.
    memory
        For how many rounds a client's past counts.

    Returns
    -------
    tuple
        The evidence of all clients, and a finding for each that was scored or refused as
        hostile in this round.

    """
    after = dict(before)
    by_client: dict[str, dict[str, Score]] = {}
    for score in scores:
        by_client.setdefault(score.client, {})[score.signal] = score
    faults = {v.client: v for v in verdicts if v.client and v.code in HOSTILE}
    for client in sorted(by_client.keys() | faults.keys()):
        past = before.get(client, Evidence())
        traces = dict(past.traces)
        for signal, score in by_client.get(client, {}).items():
            z = min(score.z, _LARGEST_Z) * (score.side or 1)
            traces[signal] = traces.get(signal, Trace()).after(max(z, -_LARGEST_Z), memory)
        refusals = past.refusals * (1 - 1 / memory) + (client in faults)
        after[client] = Evidence(traces, refusals)
    strengths = _strengths(after)
    findings = {}
    for client in sorted(by_client.keys() | faults.keys()):
        own = by_client.get(client, {})
        chance = _REFUSAL if client in faults else _chance([score.z for score in own.values()])
        total = _chance(strengths[client]) * _REFUSAL ** after[client].refusals
        reasons = [score.reason for score in own.values() if score.reason]
        findings[client] = Finding(
            1 - chance,
            1 - total,
            float(-np.log10(max(total, 1e-300))),
            faults[client].reason if client in faults else "; ".join(reasons),
        )
    return after, findings


def _strengths(evidence: Mapping[str, Evidence]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {client: [] for client in evidence}
    for signal in sorted({name for e in evidence.values() for name in e.traces}):
        own = {c: e.traces[signal] for c, e in evidence.items() if signal in e.traces}
        means = np.array([trace.mean for trace in own.values()])
        away = means - np.median(means)
        unit = _MAD_TO_SIGMA * float(np.median(np.abs(away)))
        for (client, trace), far in zip(own.items(), away, strict=True):
            found[client].append(float(far) / max(unit, 1 / sqrt(trace.weight)))
    return found


def _chance(z: Iterable[float]) -> float:
    """Return how rarely the largest of several z is so large by chance."""
    values = list(z)
    largest = max([*values, 0.0])
    return min(1.0, len(values) * (1 + largest**2 / 4) ** -2.5) if values else 1.0
