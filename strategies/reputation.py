"""Who is trusted: a state per client, moved by evidence, by people, and within limits."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from quickthorn.strategies.evidence import Evidence, Finding, evidence_of, finding_of, weigh
from quickthorn.strategies.standing import (
    AUTOMATIC,
    QUICKTHORN,
    STATES,
    Change,
    Decision,
    Limits,
    Policy,
    Standing,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from quickthorn.strategies.updates import Score, Verdict

__all__ = [
    "AUTOMATIC",
    "QUICKTHORN",
    "STATES",
    "Change",
    "Decision",
    "Limits",
    "Member",
    "Policy",
    "Reputation",
    "Review",
    "Standing",
    "decide",
    "review",
]


# After so many rounds without a word a client is forgotten, as its past is by the signals.
_FORGOTTEN = 100


@dataclass(frozen=True)
class Member:
    """What is kept of one client from round to round.

    Attributes
    ----------
    state, since, rounds, proposed
        As in ``Standing``.
    calm
        Calm rounds in a row.
    last
        The last round in which it was scored, or refused as hostile.
    by
        The person who quarantined or banned it; ``""`` where the evidence alone did, or nobody.
    evidence, finding
        What its rounds add up to, and what the last of them said.

    """

    state: str = "probation"
    since: int = 0
    rounds: int = 0
    calm: int = 0
    last: int = 0
    by: str = ""
    proposed: bool = False
    evidence: Evidence = field(default_factory=Evidence)
    finding: Finding = field(default_factory=Finding)


@dataclass(frozen=True, eq=False)
class Reputation:
    """What is known of all clients after a round; a value that survives as text.

    Attributes
    ----------
    members
        Client to what is kept of it.

    """

    members: Mapping[str, Member] = field(default_factory=dict)

    @property
    def excluded(self) -> frozenset[str]:
        """Return who is not aggregated: quarantined or banned."""
        return frozenset(c for c, m in self.members.items() if m.state in {"quarantined", "banned"})

    @property
    def banned(self) -> frozenset[str]:
        """Return who is not even asked."""
        return frozenset(c for c, member in self.members.items() if member.state == "banned")

    def to_json(self) -> str:
        """Return it as one JSON text."""
        return json.dumps({client: asdict(member) for client, member in self.members.items()})

    @classmethod
    def from_json(cls, text: str) -> Reputation:
        """Return the reputation that ``to_json`` wrote.

        >>> kept = Reputation({"a": Member("watch", 3, 3)})
        >>> Reputation.from_json(kept.to_json()).members == kept.members
        True
        """
        return cls({client: _member(kept) for client, kept in json.loads(text).items()})


@dataclass(frozen=True, eq=False)
class Review:
    """What a round led to.

    Attributes
    ----------
    reputation
        For the next round, in which it takes effect.
    standings
        One per client that was ever heard of, by client id.
    changes
        What happened, in the order of the clients, quarantines last.

    """

    reputation: Reputation
    standings: tuple[Standing, ...]
    changes: tuple[Change, ...]


def review(  # noqa: PLR0913 - a review depends on all of these, and on nothing else
    reputation: Reputation | None,
    number: int,
    scores: Iterable[Score],
    verdicts: Iterable[Verdict],
    *,
    policy: Policy,
    limits: Limits,
) -> Review:
    """Add one round to what is known of each client; a pure function.

    Parameters
    ----------
    reputation
        After the round before; None at the start.
    number
        Of the round.
    scores
        Of all clients, those in quarantine too.
    verdicts
        Of all replies; a hostile refusal is evidence.
    policy, limits
        When a state changes without a person, and what that may not break.

    Returns
    -------
    Review
        What it decides takes effect in the next round.

    Example
    -------
    >>> from quickthorn.strategies.updates import Verdict
    >>> found = review(None, 1, (), [Verdict("a", False, "not-finite", "sent NaN")],
    ...                policy=Policy(), limits=Limits(byzantine=1, min_clients=3))
    >>> [(s.client, s.state, s.score, s.reason) for s in found.standings]
    [('a', 'watch', 0.985, 'sent NaN')]

    """
    judged = tuple(verdicts)
    scored = tuple(scores)
    present = {score.client for score in scored}
    if _captured(present, limits):
        scored = ()
    before = {} if reputation is None else _remembered(reputation.members, number)
    for client in {v.client for v in judged if v.client} | {s.client for s in scored}:
        before.setdefault(client, Member(since=number))
    evidence, findings = weigh(
        {client: m.evidence for client, m in before.items() if m.state != "banned"},
        scored,
        judged,
        memory=policy.memory,
        organization=limits.organization,
    )
    members = {
        client: _heard(before[client], number, findings.get(client), evidence.get(client), policy)
        for client in sorted(before)
    }
    changes: list[Change] = []
    _move(members, number, policy, changes)
    _quarantine(members, number, policy, limits, present, changes)
    standings = tuple(
        Standing(
            client,
            member.state,
            member.since,
            member.rounds,
            member.finding.score if client in findings else None,
            member.finding.evidence,
            member.finding.strength,
            member.finding.reason,
            member.finding.techniques,
            member.proposed,
        )
        for client, member in members.items()
    )
    return Review(Reputation(members), standings, tuple(changes))


def decide(
    reputation: Reputation, number: int, decisions: Iterable[Decision]
) -> tuple[Reputation, tuple[Change, ...]]:
    """Carry out what people decided before round ``number`` begins, for that round.

    Returns
    -------
    tuple
        The reputation, and one change per decision, in their order; where one cannot be carried
        out, ``refused`` is set and ``why`` says why.

    Example
    -------
    >>> kept, changes = decide(Reputation({"a": Member("healthy")}), 7, [
    ...     Decision(client, "quarantine", "anna", "phoned them", "2027-01-01T09:00:00Z")
    ...     for client in "ab"])
    >>> sorted(kept.excluded), [(change.after, change.refused) for change in changes]
    (['a'], [('quarantined', False), ('', True)])

    """
    members = dict(reputation.members)
    changes = tuple(_decide(members, number, decision) for decision in decisions)
    return Reputation(members), changes


def _captured(present: set[str], limits: Limits) -> bool:
    """Say whether f organizations can be half of those who are scored: then z proves nothing."""
    sizes = Counter(limits.organization(client) for client in present)
    most = sum(size for _, size in sizes.most_common(limits.byzantine))
    return 2 * most >= len(present)


def _remembered(members: Mapping[str, Member], number: int) -> dict[str, Member]:
    """Return the members without those who are long gone and whom no person has judged."""
    return {c: m for c, m in members.items() if m.by or number - max(m.last, m.since) < _FORGOTTEN}


def _heard(
    member: Member,
    number: int,
    finding: Finding | None,
    evidence: Evidence | None,
    policy: Policy,
) -> Member:
    """Return the member after its own part of the round."""
    if finding is None or evidence is None:
        return member
    calm = member.calm + 1 if finding.evidence < policy.calm else 0
    rounds = member.rounds + 1
    return replace(
        member, rounds=rounds, calm=calm, last=number, evidence=evidence, finding=finding
    )


def _move(members: dict[str, Member], number: int, policy: Policy, changes: list[Change]) -> None:
    """Carry out what needs no limit: to watch, to healthy, and out of quarantine."""
    for client, member in members.items():
        state, why = _next(member, number, policy)
        if not why:
            continue
        by = member.by if state == member.state else ""
        kept = member.proposed and state == "watch"
        members[client] = replace(member, state=state, since=number, by=by, calm=0, proposed=kept)
        changes.append(Change(client, number, member.state, state, QUICKTHORN, why))


def _next(member: Member, number: int, policy: Policy) -> tuple[str, str]:
    """Return the state that follows and the reason, ``""`` where nothing happens."""
    found = member.finding.evidence
    if member.state == "quarantined":
        return _out_of_quarantine(member, number, policy)
    if member.state in {"probation", "healthy"} and found >= policy.watch:
        return "watch", f"evidence {found:.4f}: {member.finding.reason or 'over several rounds'}"
    needed = {"probation": policy.probation_rounds, "watch": policy.calm_rounds}
    if member.state in needed and member.calm >= needed[member.state]:
        return "healthy", f"calm for {member.calm} rounds"
    return member.state, ""


def _out_of_quarantine(member: Member, number: int, policy: Policy) -> tuple[str, str]:
    """Let go whom nobody but the evidence holds; a person's quarantine needs a person."""
    if member.by:
        return "quarantined", ""
    if member.calm >= policy.calm_rounds:
        return "watch", f"calm for {member.calm} rounds in quarantine"
    if number - member.since < policy.expiry:
        return "quarantined", ""
    if member.last <= member.since or member.finding.evidence < policy.quarantine:
        return "watch", f"the quarantine of {policy.expiry} rounds is over"
    held = f"the evidence still holds ({member.finding.evidence:.4f})"
    return "quarantined", f"renewed after {policy.expiry} rounds: {held}"


def _quarantine(  # noqa: PLR0913, PLR0917 - what a quarantine depends on
    members: dict[str, Member],
    number: int,
    policy: Policy,
    limits: Limits,
    present: set[str],
    changes: list[Change],
) -> None:
    """Quarantine, or propose to, those with enough evidence; the strongest first."""
    suspects = [
        client
        for client, member in members.items()
        if member.state == "watch"
        and member.last == number > member.since  # nobody is removed by one round, or unheard
        and member.finding.evidence >= policy.quarantine
    ]
    if policy.automatic == "observe":
        return
    for client in sorted(suspects, key=lambda name: (-members[name].finding.strength, name)):
        member = members[client]
        why = f"evidence {member.finding.evidence:.4f}: {member.finding.reason}"
        bound = _bound(members, client, limits, present)
        if policy.automatic == "quarantine" and not bound:
            members[client] = replace(
                member, state="quarantined", since=number, calm=0, proposed=False
            )
            changes.append(Change(client, number, "watch", "quarantined", QUICKTHORN, why))
        elif not member.proposed:
            members[client] = replace(member, proposed=True)
            waits = f"a quarantine waits for a person{f', since {bound}' if bound else ''}; {why}"
            changes.append(Change(client, number, "watch", "watch", QUICKTHORN, waits))


def _bound(members: Mapping[str, Member], client: str, limits: Limits, present: set[str]) -> str:
    """Return which limit forbids to quarantine the client automatically, ``""`` if none does."""
    own = limits.organization(client)
    removed = {
        limits.organization(c) for c, m in members.items() if m.state == "quarantined" and not m.by
    }
    if len(removed | {own}) > limits.byzantine:
        return f"no more than f={limits.byzantine} organizations are removed automatically"
    voting = {c for c in present if members[c].state not in {"quarantined", "banned"}}
    left = {limits.organization(c) for c in voting - {client}}
    if own not in left and len(left) < limits.min_clients:
        return f"{len(left)} votes would be left and the defense needs {limits.min_clients}"
    return ""


def _decide(members: dict[str, Member], number: int, decision: Decision) -> Change:
    """Carry out what a person decided, or say why not."""
    client, member = decision.client, members.get(decision.client)
    before = member.state if member else ""
    refusal = _refusal(member, decision)
    if refusal or member is None:
        return Change(client, number, before, before, decision.who, refusal, refused=True)
    after = {"quarantine": "quarantined", "readmit": "watch", "ban": "banned"}[decision.action]
    by = "" if decision.action == "readmit" else decision.who or "somebody"
    kept = replace(member, state=after, since=number, by=by, calm=0, proposed=False)
    if decision.action == "readmit":
        kept = replace(kept, evidence=Evidence(), finding=Finding())
    members[client] = kept
    return Change(client, number, before, after, decision.who, decision.why)


def _refusal(member: Member | None, decision: Decision) -> str:
    asked = f"refused to {decision.action} ({decision.why})"
    if member is None:
        return f"{asked}: no client {decision.client!r} has been heard of"
    if member.state == "banned":
        return f"{asked}: it is banned, which is final"
    if decision.action == "readmit" and member.state != "quarantined" and not member.proposed:
        return f"{asked}: it is not in quarantine"
    return ""


def _member(kept: dict[str, Any]) -> Member:
    held = {"evidence": evidence_of(kept["evidence"]), "finding": finding_of(kept["finding"])}
    return Member(**kept | held)
