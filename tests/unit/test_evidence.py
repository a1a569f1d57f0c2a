"""Evidence over rounds: what emerges, what does not, what fades, and how it is put in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from quickthorn.strategies.calibration import chance, fused, least
from quickthorn.strategies.evidence import HOSTILE, Evidence, Finding, evidence_of, weigh
from quickthorn.strategies.techniques import TITLES, techniques_of
from quickthorn.strategies.updates import Score, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

MEMORY = 20


def names(n: int) -> list[str]:
    return [f"c{number:02}" for number in range(n)]


def play(
    z: NDArray[np.float64],
    signals: tuple[str, ...] = ("cosine",),
    absent: Callable[[int, int], bool] = lambda _round, _client: False,
) -> list[dict[str, Finding]]:
    """Play rounds with the (rounds, n) z of every signal; value is z, reason says where it is."""
    evidence: dict[str, Evidence] = {}
    found = []
    for number, row in enumerate(z):
        scores = [
            Score(client, signal, float(at), float(at), "update is far" if at > 3.5 else "")
            for signal in signals
            for place, (client, at) in enumerate(zip(names(len(row)), row, strict=True))
            if not absent(number, place)
        ]
        evidence, findings = weigh(evidence, scores, (), memory=MEMORY)
        found.append(findings)
    return found


def equal(rounds: int, n: int, seed: int = 0) -> NDArray[np.float64]:
    """Honest z with equal data: the clients differ by chance alone."""
    return np.random.default_rng(seed).normal(size=(rounds, n))


def unequal(rounds: int, n: int) -> NDArray[np.float64]:
    """Honest z with unequal data: each client has a place of its own."""
    return equal(rounds, n) + 1.5 * np.random.default_rng(9).normal(size=n)


def shifted(z: NDArray[np.float64], client: int, by: float) -> NDArray[np.float64]:
    moved = z.copy()
    moved[:, client] += by
    return moved


@pytest.mark.parametrize("by", [1.7, -1.7])
def test_a_steady_small_difference_emerges_with_equal_data_to_either_side(by: float) -> None:
    found = play(shifted(equal(30, 20), 3, by))

    scores = [findings["c03"].score or 0.0 for findings in found]
    assert np.mean(np.array(scores) > 0.9) <= 0.2  # unremarkable in nearly every round
    assert found[4]["c03"].evidence < 0.99 < found[-1]["c03"].evidence
    ranks = [max(findings, key=lambda c: findings[c].strength) for findings in found[20:]]
    assert set(ranks) == {"c03"}
    assert max(f.evidence for c, f in found[-1].items() if c != "c03") < 0.9


def test_the_same_difference_is_nothing_among_unequal_clients() -> None:
    found = play(shifted(unequal(30, 20), 3, 1.7))

    assert max(findings["c03"].evidence for findings in found) < 0.9


@pytest.mark.parametrize("odd", [0, 2, 15])
def test_one_odd_round_does_not_stay(odd: int) -> None:
    z = equal(40, 20)
    z[odd, 3] = 1e6
    found = play(z)

    assert (found[odd]["c03"].score or 0.0) > 0.99
    assert max(findings["c03"].evidence for findings in found[odd + 1 :]) < 0.98
    assert found[-1]["c03"].evidence < 0.5


def test_evidence_fades_when_a_liar_turns_honest() -> None:
    z = equal(80, 20)
    z[:20, 3] = 9.0
    evidence = [findings["c03"].evidence for findings in play(z)]

    assert evidence[19] > 0.99
    assert evidence[79] < 0.9


def test_who_is_drawn_seldom_is_judged_by_its_own_rounds() -> None:
    z = shifted(shifted(equal(30, 20), 3, 1.7), 4, 1.7)
    found = play(z, absent=lambda number, client: client == 4 and number % 5 > 0)

    assert "c04" not in found[-1]
    assert found[25]["c04"].strength < found[25]["c03"].strength
    often = play(shifted(equal(150, 20), 4, 1.7), absent=lambda t, c: c == 4 and t % 5 > 0)
    assert often[145]["c04"].evidence > 0.98  # thirty rounds of its own


def test_one_round_convicts_nobody_among_few_and_several_loud_ones_do() -> None:
    loud = shifted(equal(40, 5), 2, 1e9)
    found = play(loud, ("cosine", "norm", "krum_distance"))

    assert max(findings["c02"].score or 0.0 for findings in found) <= 1 - least(5)
    assert max(finding.evidence for finding in found[0].values()) <= 1 - least(5)
    assert 1 - least(7) < 0.99 < 1 - least(8)
    assert next(t for t, findings in enumerate(found, 1) if findings["c02"].evidence > 0.99) == 4
    assert all(f.evidence < 0.9 for findings in found for c, f in findings.items() if c != "c02")


def test_names_that_come_and_go_leave_no_crowd_behind() -> None:
    evidence: dict[str, Evidence] = {}
    findings: dict[str, Finding] = {}
    for number, row in enumerate(equal(40, 10), 1):
        scores = [Score(f"c{c:02}", "cosine", 0.0, value) for c, value in enumerate(row)]
        scores.append(Score(f"x{number:02}", "cosine", 0.0, 9.0))
        evidence, findings = weigh(evidence, scores, (), memory=MEMORY)

    assert max(f.evidence for c, f in findings.items() if c.startswith("c")) < 0.9


def test_the_oddest_of_many_signals_is_no_odder_for_their_number() -> None:
    z = equal(1, 20)
    z[0, 3] = 8.0
    one = play(z)[0]["c03"].score or 0.0
    quiet = np.array([chance("cosine", 8.0, 20)] + [1.0] * 9)

    assert 1 - fused(quiet.tolist()) < one
    assert fused(quiet.tolist()) == pytest.approx(10 * quiet[0], rel=0.02)


def test_a_signal_that_nobody_measured_counts_least() -> None:
    known = [chance(name, 6.0, 20) for name in ("cosine", "norm", "signs", "spectral")]

    assert chance("tomorrow", 6.0, 20) >= max(known)


@pytest.mark.parametrize("hostile", [1, 2, 5])
def test_refusals_count_unless_most_are_refused(hostile: int) -> None:
    verdicts = [
        Verdict(c, accepted=place >= hostile, code="not-finite" if place < hostile else "ok")
        for place, c in enumerate(names(8))
    ] + [Verdict("away", accepted=False, code="silent")]
    evidence, findings = weigh({}, (), verdicts, memory=MEMORY)

    counted = hostile if 2 * hostile <= 8 else 0
    assert len(findings) == counted
    assert sum(found.refusals for found in evidence.values()) == counted


@pytest.mark.parametrize(("refusals", "convicted"), [(1, False), (2, True)])
def test_one_refusal_convicts_nobody_who_is_a_little_odd(refusals: int, *, convicted: bool) -> None:
    z = shifted(equal(12, 20), 3, 1.2)
    before = play(z)[-1]["c03"].evidence
    evidence: dict[str, Evidence] = {}
    findings: dict[str, Finding] = {}
    for number, row in enumerate(z):
        scores, verdicts = [], []
        for client, at in zip(names(20), row, strict=True):
            bad = client == "c03" and number in range(11 - refusals, 11)
            verdicts.append(Verdict(client, accepted=not bad, code="not-finite" if bad else "ok"))
            if not bad:
                scores.append(Score(client, "cosine", float(at), float(at), ""))
        evidence, findings = weigh(evidence, scores, verdicts, memory=MEMORY)

    assert 0.7 < before < 0.97
    assert (findings["c03"].evidence >= 0.99) is convicted


def test_silence_and_faults_of_others_are_not_hostile() -> None:
    codes = {"silent", "unreachable", "error", "unreadable", "unsolicited", "duplicate", "no-room"}

    assert not codes & HOSTILE


def test_the_reason_says_in_how_many_rounds_and_since_when() -> None:
    z = equal(8, 20)
    z[[3, 5, 6, 7], 3] = 9.0
    found = play(z)[-1]["c03"]

    assert found.reason == "update is far in 4 of the last 5 rounds"
    assert found.techniques == ("ATLAS AML.T0020", "OWASP ML02:2023")


def test_what_no_single_round_shows_is_told_by_the_mean() -> None:
    found = play(shifted(equal(30, 20), 3, 1.9).clip(max=3.4))[-1]["c03"]

    assert found.reason.startswith("update has a cosine of ")
    assert "on average over 16 rounds (the others -" in found.reason


def test_a_refusal_is_told_first() -> None:
    verdict = Verdict("c03", accepted=False, code="not-finite", reason="sent NaN in 'w'")
    honest = [Verdict(c, accepted=True) for c in names(3)]
    _, findings = weigh({}, (), [verdict, *honest], memory=MEMORY)

    assert findings["c03"].reason == "sent NaN in 'w'"
    assert findings["c03"].techniques == ("ATLAS AML.T0031",)
    assert findings["c03"].score == pytest.approx(0.985)


def test_techniques_have_titles_and_each_is_named_once() -> None:
    assert set(techniques_of(["cosine", "spectral", "norm", "refusal"])) == set(TITLES)
    assert techniques_of([]) == ()


def test_evidence_survives_as_plain_values() -> None:
    evidence, _ = weigh(
        {}, [Score("a", "norm", 2.0, 4.0, "update is long", side=1)], (), memory=MEMORY
    )
    plain = {
        "traces": {s: vars(trace) for s, trace in evidence["a"].traces.items()},
        "refusals": evidence["a"].refusals,
    }

    assert evidence_of(plain) == evidence["a"]
