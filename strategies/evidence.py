"""Evidence about each client over the rounds: what its scores and refusals add up to."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log10
from typing import TYPE_CHECKING, Any

import numpy as np

from quickthorn.strategies.calibration import chance, floor_of, fused, least
from quickthorn.strategies.kernels.order import median
from quickthorn.strategies.scoring import STANDS_OUT, SUBJECT, spread
from quickthorn.strategies.techniques import techniques_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from quickthorn.strategies.updates import Score, Verdict

# Refusals that no honest client earns by a bad network or a full disk. One whose training
# diverges, and that does not look, sends NaN.
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
REFUSAL = "refusal"

# What one hostile refusal is worth: as rare in an honest client, we say, as 3 in 200. One leads
# to watch, whatever else is a little odd, two in few rounds to quarantine.
_REFUSED = 0.015
# One round counts no more than this many z, so that the worst day does not outweigh all others.
_LARGEST_Z = 12.0
# Before there are rounds to tell, a client's z varies by 1 from round to round; this belief
# weighs as much as so many rounds.
_BELIEF = 4.0
# In a few clients' rounds, how many make one more testimony: those of one client are alike.
_AGAIN = 4.0
# A signal is named in the reason where its chance is below this.
_MENTION = 0.02
_MENTIONED = 3
_RECENT = 5


@dataclass(frozen=True)
class Trace:
    """One signal about one client: means over its own rounds, which forget.

    Attributes
    ----------
    weight
        How many rounds it is worth.
    mean, square
        Of the signed z of each round, at most 12, and of its square.
    value
        The mean of the signal in its own unit, for people.
    recent
        The last five rounds, the newest last: ``!`` where it stood out, ``.`` where not.
    reason
        What was said when it last stood out.

    """

    weight: float = 0.0
    mean: float = 0.0
    square: float = 0.0
    value: float = 0.0
    recent: str = ""
    reason: str = ""

    def after(self, score: Score, memory: float) -> Trace:
        """Return the trace after one more round; a round counts 1 − 1/memory of the next.

        >>> from quickthorn.strategies.updates import Score
        >>> Trace().after(Score("a", "norm", 0.2, 4.0, "is short", side=-1), memory=20)
        Trace(weight=1.0, mean=-4.0, square=16.0, value=0.2, recent='!', reason='is short')
        """
        z = max(-_LARGEST_Z, min(score.z * (score.side or 1), _LARGEST_Z))
        kept = self.weight * (1.0 - 1.0 / memory)
        weight = kept + 1.0
        return Trace(
            weight,
            (kept * self.mean + z) / weight,
            (kept * self.square + z**2) / weight,
            (kept * self.value + score.value) / weight,
            (self.recent + ("!" if score.z > STANDS_OUT else "."))[-_RECENT:],
            score.reason or self.reason,
        )


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
        Of this round alone, in [0, 1]; None where there was nothing to judge.
    evidence
        Of all rounds, in [0, 1].
    strength
        Of all rounds, without bound.
    reason
        In words, where something stands out.
    techniques
        What that resembles.

    """

    score: float | None = None
    evidence: float = 0.0
    strength: float = 0.0
    reason: str = ""
    techniques: tuple[str, ...] = ()


def weigh(
    before: Mapping[str, Evidence],
    scores: Iterable[Score],
    verdicts: Iterable[Verdict],
    *,
    memory: float,
    organization: Callable[[str], str] = str,
) -> tuple[dict[str, Evidence], dict[str, Finding]]:
    """Add one round to the evidence.

    Parameters
    ----------
    before
        Client to its evidence so far; whoever is new may be missing.
    scores, verdicts
        Of the round. Where more than half of the organizations, and two at least, have an answer
        refused as hostile, the fault lies with what was asked, and these refusals say nothing.
    memory
        For how many of its own rounds a client's past counts.
    organization
        Client to its organization; each is its own by default.

    Returns
    -------
    tuple
        The evidence of all clients, and a finding for each that was scored or refused as
        hostile in this round.

    Notes
    -----
    One round: each signal's z has a chance (``calibration.chance``), and the signals are fused.
    All rounds: each signal's mean m_i over a client's rounds is compared as z is within one
    round, with those of whoever is here too (names that come and go leave no crowd behind), in a
    unit that is the larger of

        how honest clients differ and chance does,  √(b² + v_i / w_i),  and the signal's floor,

    with b² what the MAD of all means has beyond chance, v_i the variance of the client's z from
    round to round, or of all clients' where that is larger, and w_i its rounds. So with equal
    data the unit shrinks as rounds add up, and a small steady difference emerges; with unequal
    data it stays; and one odd round widens its own unit. Both sides count: steadily closer to
    the others than these are to each other is as unusual as steadily farther.

    """
    by_signal: dict[str, dict[str, Score]] = {}
    for score in scores:
        by_signal.setdefault(score.signal, {})[score.client] = score
    faults = _faults(verdicts, organization)
    heard = sorted(faults.keys() | {client for found in by_signal.values() for client in found})
    after = dict(before) | {
        client: _heard(before.get(client, Evidence()), client, by_signal, faults, memory)
        for client in heard
    }
    here = {client: after[client] for client in heard}
    apart = {signal: _apart(signal, here) for signal in _signals(here)}
    return after, {
        client: _find(client, here, by_signal, apart, faults.get(client, "")) for client in heard
    }


def _faults(verdicts: Iterable[Verdict], organization: Callable[[str], str]) -> dict[str, str]:
    """Return client to reason for each hostile refusal, none where most were refused so."""
    judged = [v for v in verdicts if v.client and (v.accepted or v.code in HOSTILE)]
    faults = {v.client: v.reason for v in sorted(judged, key=lambda v: v.reason) if not v.accepted}
    refused = {organization(client) for client in faults}
    return (
        faults if 2 * len(refused) <= max(2, len({organization(v.client) for v in judged})) else {}
    )


def _heard(
    past: Evidence,
    client: str,
    by_signal: Mapping[str, Mapping[str, Score]],
    faults: Mapping[str, str],
    memory: float,
) -> Evidence:
    traces = dict(past.traces)
    for signal, found in by_signal.items():
        if client in found:
            traces[signal] = traces.get(signal, Trace()).after(found[client], memory)
    return Evidence(traces, past.refusals * (1.0 - 1.0 / memory) + (client in faults))


def _apart(signal: str, evidence: Mapping[str, Evidence]) -> dict[str, float]:
    """Return client to the z of its mean over the rounds; either sign is suspicious."""
    traces = {c: found.traces[signal] for c, found in evidence.items() if signal in found.traces}
    weights = np.array([trace.weight for trace in traces.values()])
    means = np.array([trace.mean for trace in traces.values()])
    squares = np.array([trace.square for trace in traces.values()])
    away = means - median(means)
    varied = (weights * (squares - means**2) + _BELIEF) / (weights - 1.0 + _BELIEF)
    usual = float(median(varied))
    beyond = max(0.0, spread(away) ** 2 - usual * float(median(1.0 / weights)))
    unit = np.sqrt(beyond + np.maximum(usual, varied) / weights)
    z = away / np.maximum(unit, floor_of(signal))
    return dict(zip(traces, z.tolist(), strict=True))


def _signals(evidence: Mapping[str, Evidence]) -> list[str]:
    return sorted({signal for found in evidence.values() for signal in found.traces})


def _find(
    client: str,
    evidence: Mapping[str, Evidence],
    by_signal: Mapping[str, Mapping[str, Score]],
    apart: Mapping[str, Mapping[str, float]],
    fault: str,
) -> Finding:
    """Fuse what the signals say about one client."""
    own = evidence[client]
    now = {
        signal: chance(signal, found[client].z, len(found))
        for signal, found in by_signal.items()
        if client in found
    }
    steady = {s: _lasting(s, apart[s][client], len(apart[s])) for s in sorted(own.traces)}
    fewest = least(max((len(apart[s]) for s in steady), default=1))
    lasting = fused(list(steady.values()))
    rarest = {s: min(now.get(s, 1.0), steady[s]) for s in steady}
    named = sorted((s for s in rarest if rarest[s] < _MENTION), key=lambda s: (rarest[s], s))
    words = [_sentence(s, client, evidence, apart[s]) for s in named[:_MENTIONED]]
    said = SUBJECT + "; ".join(words) if words else ""
    return Finding(
        1.0 - (_REFUSED if fault else max(fused([now[s] for s in sorted(now)]), fewest)),
        1.0 - _with_refusals(max(lasting, fewest ** _witnesses(own)), own.refusals),
        -log10(max(_with_refusals(lasting, own.refusals), 1e-300)),
        "; ".join(part for part in (fault, said) if part),
        techniques_of([REFUSAL] * bool(fault) + named[:_MENTIONED]),
    )


def _with_refusals(lasting: float, refusals: float) -> float:
    """Return the chance of the scores and the refusals of all rounds.

    The rarer of the scores and one refusal, which happens to the honest, too; each refusal more
    is evidence beside what there is.
    """
    first: float = _REFUSED ** min(refusals, 1.0)
    more: float = _REFUSED ** max(refusals - 1.0, 0.0)
    return min(lasting, first) * more


def _witnesses(evidence: Evidence) -> float:
    """Return how many times the others have testified: once, and again with every fourth round."""
    weight = max((trace.weight for trace in evidence.traces.values()), default=1.0)
    return 1.0 + (weight - 1.0) / _AGAIN


def _lasting(signal: str, z: float, clients: int) -> float:
    """Return the chance of a mean that lies so far to either side."""
    return chance(signal, abs(z), clients, steady=True)


def _sentence(
    signal: str, client: str, evidence: Mapping[str, Evidence], apart: Mapping[str, float]
) -> str:
    """Say what stands out, by the rounds in which it did or else by its mean over the rounds."""
    trace = evidence[client].traces[signal]
    loud = trace.recent.count("!")
    if loud:
        rounds = f" in {loud} of the last {len(trace.recent)} rounds" * (len(trace.recent) > 1)
        return trace.reason.removeprefix(SUBJECT) + rounds
    usual = [
        evidence[other].traces[signal].value
        for other, z in apart.items()
        if other != client and _lasting(signal, z, len(apart)) >= _MENTION
    ]
    others = f" (the others {min(usual):.3g} to {max(usual):.3g})" if usual else ""
    name = signal.replace("_", " ")
    return f"has a {name} of {trace.value:.3g} on average over {trace.weight:.0f} rounds{others}"


def evidence_of(kept: Mapping[str, Any]) -> Evidence:
    """Return the evidence whose fields, as plain values, are ``kept``."""
    return Evidence({s: Trace(**trace) for s, trace in kept["traces"].items()}, kept["refusals"])


def finding_of(kept: Mapping[str, Any]) -> Finding:
    """Return the finding whose fields, as plain values, are ``kept``."""
    return Finding(**{**kept, "techniques": tuple(kept["techniques"])})
