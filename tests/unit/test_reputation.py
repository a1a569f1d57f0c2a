"""States over rounds: who rises and falls, what limits and people may do, and what is kept."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.reputation import (
    Change,
    Decision,
    Limits,
    Policy,
    Reputation,
    Review,
    Standing,
    decide,
    review,
)
from quickthorn.strategies.updates import Score, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection

CLIENTS = [f"c{number:02}" for number in range(10)]
AUTOMATIC = Policy(automatic="quarantine")
LIMITS = Limits(byzantine=2, min_clients=5)


def play(
    reputation: Reputation | None,
    numbers: range,
    liars: Collection[str] = (),
    *,
    policy: Policy = AUTOMATIC,
    limits: Limits = LIMITS,
    decisions: dict[int, Decision] | None = None,
    clients: Collection[str] = CLIENTS,
) -> list[Review]:
    """Play rounds in which the liars send what admission refuses and the others are calm."""
    found: list[Review] = []
    for number in numbers:
        verdicts = [
            Verdict(c, accepted=False, code="not-finite", reason="sent NaN")
            if c in liars
            else Verdict(c, accepted=True)
            for c in clients
        ]
        scores = [Score(c, "cosine", 0.5, 0.0) for c in clients if c not in liars]
        found.append(
            review(
                reputation,
                number,
                scores,
                verdicts,
                policy=policy,
                limits=limits,
            )
        )
        if decision := (decisions or {}).get(number):
            kept, changes = decide(found[-1].reputation, number, [decision])
            found[-1] = Review(kept, found[-1].standings, found[-1].changes + changes)
        reputation = found[-1].reputation
    return found


def standing(found: Review, client: str) -> Standing:
    return {standing.client: standing for standing in found.standings}[client]


def wish(action: str, client: str = "c00") -> Decision:
    return Decision(client, action, "Ada", "the log says so", "2026-11-24T12:00:00Z")


def moves(found: list[Review], client: str) -> list[tuple[int, str, str]]:
    return [(c.round, c.before, c.after) for r in found for c in r.changes if c.client == client]


def test_the_calm_become_healthy_after_probation_and_stay_so() -> None:
    found = play(None, range(1, 10))

    assert [standing(r, "c00").state for r in found[:3]] == ["probation", "probation", "healthy"]
    assert standing(found[-1], "c00").since == 3
    assert standing(found[-1], "c00").rounds == 9
    assert [len(r.changes) for r in found] == [0, 0, 10, 0, 0, 0, 0, 0, 0]


def test_a_liar_is_watched_then_quarantined_with_the_reason() -> None:
    found = play(None, range(1, 4), ["c00"])

    assert moves(found, "c00") == [(1, "probation", "watch"), (2, "watch", "quarantined")]
    last = found[1].changes[-1]
    assert (last.who, last.refused) == ("quickthorn", False)
    assert "sent NaN" in last.why
    assert found[-1].reputation.excluded == {"c00"}
    assert found[-1].reputation.banned == frozenset()


@pytest.mark.parametrize(
    ("automatic", "state", "proposed"),
    [("observe", "watch", False), ("propose", "watch", True), ("quarantine", "quarantined", False)],
)
def test_the_policy_says_who_acts(automatic: str, state: str, proposed: bool) -> None:  # noqa: FBT001 - a table
    found = play(None, range(1, 7), ["c00"], policy=Policy(automatic=automatic))

    assert standing(found[-1], "c00").state == state
    assert standing(found[-1], "c00").proposed is proposed
    assert len([c for r in found for c in r.changes if "waits for a person" in c.why]) == proposed


def test_the_quarantined_come_back_to_watch_on_calm_rounds_in_shadow() -> None:
    liar = play(None, range(1, 4), ["c00"])
    after = play(liar[-1].reputation, range(4, 300), policy=Policy("quarantine", expiry=1000))

    path = moves(after, "c00")
    assert [(before, after) for _, before, after in path] == [
        ("quarantined", "watch"),
        ("watch", "healthy"),
    ]
    assert path[1][0] - path[0][0] == AUTOMATIC.calm_rounds


def test_a_quarantine_expires_unless_the_evidence_still_holds() -> None:
    liar = play(None, range(1, 40), ["c00"])
    renewed = [c for r in liar for c in r.changes if c.before == c.after == "quarantined"]
    assert [c.round for c in renewed] == [22]
    assert "renewed" in renewed[0].why

    # Silent from then on: nobody who is gone holds one of the f places for ever.
    quiet = play(liar[-1].reputation, range(40, 90), clients=CLIENTS[1:])
    assert moves(quiet, "c00")[-1] == (62, "quarantined", "watch")

    # Too little evidence to hold it, too much to be calm.
    patient = Policy("quarantine", calm=0.001)
    gone = play(liar[1].reputation, range(3, 40), policy=patient)
    assert moves(gone, "c00") == [(22, "quarantined", "watch")]
    assert "20 rounds is over" in next(c.why for r in gone for c in r.changes if c.client == "c00")


def test_no_more_than_f_organizations_are_removed_and_the_others_wait() -> None:
    found = play(None, range(1, 6), ["c00", "c01", "c02", "c03"])

    assert found[-1].reputation.excluded == {"c00", "c01"}
    assert standing(found[-1], "c02").proposed
    waits = [c for r in found for c in r.changes if c.client == "c02" and "waits" in c.why]
    assert len(waits) == 1
    assert "no more than f=2 organizations" in waits[0].why


def test_several_clients_of_one_organization_count_once() -> None:
    nodes = {"c00": "hospital", "c01": "hospital", "c02": "hospital"}
    limits = Limits(byzantine=1, min_clients=5, organizations=nodes)
    found = play(None, range(1, 6), nodes, limits=limits)

    assert found[-1].reputation.excluded == set(nodes)


def suspects(limits: Limits, strong: str) -> Review:
    """Play one round in which c00 and c01 stand out, ``strong`` more, all of them present."""
    reputation: Reputation | None = None
    found: Review | None = None
    for number in range(1, 30):
        scores = [
            Score(c, "cosine", 0.0, {strong: 60.0, "c00": 30.0, "c01": 30.0}.get(c, 0.1 * i))
            for i, c in enumerate(CLIENTS)
        ]
        found = review(reputation, number, scores, [], policy=AUTOMATIC, limits=limits)
        reputation = found.reputation
    assert found is not None
    return found


def test_the_votes_that_the_defense_needs_are_left() -> None:
    assert suspects(Limits(2, 8), "c01").reputation.excluded == {"c00", "c01"}
    held = suspects(Limits(2, 9), "c01")
    assert len(held.reputation.excluded) == 1
    assert suspects(Limits(2, 10), "c01").reputation.excluded == frozenset()


def test_a_person_has_the_last_word_and_readmits_with_a_clean_slate() -> None:
    found = play(
        None,
        range(1, 12),
        decisions={2: wish("quarantine"), 5: wish("readmit"), 6: wish("ban")},
    )

    assert moves(found, "c00") == [
        (2, "probation", "quarantined"),
        (5, "quarantined", "watch"),
        (6, "watch", "banned"),
    ]
    assert [c.who for r in found for c in r.changes if c.client == "c00"] == ["Ada"] * 3
    assert found[-1].reputation.banned == {"c00"}

    liar = play(None, range(1, 6), ["c00"], decisions={4: wish("readmit")})
    assert moves(liar, "c00")[2:] == [(4, "quarantined", "watch")]  # one NaN since


def test_a_persons_quarantine_neither_expires_nor_ends_by_calm() -> None:
    found = play(None, range(1, 60), decisions={1: wish("quarantine")})

    assert moves(found, "c00") == [(1, "probation", "quarantined")]


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ("ban", "readmit", "it is banned, which is final"),
        ("ban", "quarantine", "it is banned, which is final"),
        ("quarantine", "", ""),
        ("", "readmit", "it is not in quarantine"),
    ],
)
def test_a_refused_decision_is_a_change_that_says_so(first: str, second: str, words: str) -> None:
    decisions = {n: wish(a) for n, a in enumerate([first, second], 1) if a}
    found = play(None, range(1, 3), decisions=decisions)

    refused = [c for r in found for c in r.changes if c.refused]
    assert [c.before == c.after and words in c.why for c in refused] == [True] * bool(words)


def test_a_decision_about_somebody_unknown_is_refused_in_words() -> None:
    found = play(None, range(1, 2), decisions={1: wish("ban", "nobody")})

    assert found[0].changes == (
        Change(
            "nobody",
            1,
            "",
            "",
            "Ada",
            "refused to ban (the log says so): no client 'nobody' has been heard of",
            refused=True,
        ),
    )


def test_silence_and_faults_of_training_are_no_evidence() -> None:
    verdicts = [
        Verdict("a", accepted=False, code="silent", reason="sent no reply"),
        Verdict("b", accepted=False, code="error", reason="out of memory"),
        Verdict("", accepted=False, code="unsolicited", reason="answers nothing"),
    ]
    found = review(None, 1, (), verdicts, policy=AUTOMATIC, limits=LIMITS)

    assert [(s.client, s.state, s.rounds, s.score, s.evidence) for s in found.standings] == [
        ("a", "probation", 0, None, 0.0),
        ("b", "probation", 0, None, 0.0),
    ]


def test_the_same_after_a_stop_in_between() -> None:
    through = play(None, range(1, 30), ["c00", "c03"])[-1]
    half = play(None, range(1, 9), ["c00", "c03"])[-1].reputation
    resumed = play(Reputation.from_json(half.to_json()), range(9, 30), ["c00", "c03"])[-1]

    assert resumed.reputation.members == through.reputation.members
    assert resumed.standings == through.standings


def test_the_order_in_which_replies_came_changes_nothing() -> None:
    scores = [Score(c, "cosine", 0.0, 3.0 * i) for i, c in enumerate(CLIENTS)]
    one, other = (
        review(None, 1, given, [], policy=AUTOMATIC, limits=LIMITS)
        for given in (scores, scores[::-1])
    )

    assert one.standings == other.standings
    assert one.changes == other.changes


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        ({"automatic": "always"}, "automatic must be one of observe, propose, quarantine"),
        ({"watch": 0.99999}, "0 < calm <= watch <= quarantine < 1"),
        ({"calm_rounds": 0}, "calm_rounds must be 1 or more rounds; got 0"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(mistake: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        dataclasses.replace(Policy(), **mistake)


def test_an_unknown_action_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="got 'forgive'"):
        wish("forgive")


def test_who_is_readmitted_is_not_judged_by_what_was_said_before() -> None:
    found = play(None, range(1, 4), ["c00"])
    kept, _ = decide(found[-1].reputation, 4, [wish("readmit")])
    silent = play(kept, range(4, 8), clients=CLIENTS[1:])

    assert not any(moves(silent, "c00"))
    assert {standing(one, "c00").evidence for one in silent} == {0.0}


def test_nobody_is_quarantined_in_a_round_in_which_nothing_came_from_it() -> None:
    newcomer = play(None, range(1, 2), ["c00"])
    silent = play(newcomer[-1].reputation, range(2, 6), clients=CLIENTS[1:])

    assert moves([*newcomer, *silent], "c00") == [(1, "probation", "watch")]


def test_who_sends_nothing_sound_is_a_vote_that_the_defense_may_need_again() -> None:
    found = play(None, range(1, 5), ["c00"], limits=Limits(2, len(CLIENTS)))

    assert not found[-1].reputation.excluded
    assert "votes would be left" in next(
        c.why for one in found for c in one.changes if "waits" in c.why
    )


def test_who_is_long_gone_is_forgotten_unless_a_person_judged() -> None:
    found = play(None, range(1, 3), decisions={1: wish("ban", "c01")})
    later = play(found[-1].reputation, range(3, 110), clients=CLIENTS[2:])

    assert {"c00", "c01"} - later[-1].reputation.members.keys() == {"c00"}


def test_where_f_organizations_are_half_of_all_nodes_their_crowd_judges_nobody() -> None:
    honest = [f"h{number}" for number in range(10)]
    crowd = [f"n{number:02}" for number in range(11)]
    names = dict.fromkeys(crowd, "crowd")
    scores = [
        Score(client, signal, 0.0, 9.0 if client in honest else 0.0, "update is odd")
        for client in [*honest, *crowd]
        for signal in ("cosine", "norm", "krum_distance")
    ]
    verdicts = [Verdict(client, accepted=True) for client in [*honest, *crowd]]

    def strongest(organizations: dict[str, str]) -> float:
        limits = Limits(1, 3, organizations)
        found = review(None, 1, scores, verdicts, policy=AUTOMATIC, limits=limits)
        return max(one.evidence for one in found.standings)

    assert strongest({}) > 0.5
    assert strongest(names) == 0.0


def test_the_nodes_of_one_organization_do_not_excuse_each_other() -> None:
    nodes = [f"n{number:02}" for number in range(12)]
    limits = Limits(1, 3, dict.fromkeys(nodes, "crowd"))
    verdicts = [Verdict(c, accepted=True) for c in CLIENTS]
    verdicts += [Verdict(c, accepted=False, code="not-finite", reason="sent NaN") for c in nodes]
    found = review(None, 1, (), verdicts, policy=AUTOMATIC, limits=limits)

    assert standing(found, "n00").evidence > 0.9
