"""What a person reads at the end of a simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table

from quickthorn.client.datasets import describe
from quickthorn.simulations.record import STRIKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import Console

    from quickthorn.simulations.record import SimulationRecord

_NAMED_CLIENTS = 8
_NAMED_REASONS = 3


def print_summary(record: SimulationRecord, console: Console) -> None:
    """Print what was run, what it came to, and who was conspicuous."""
    scenario = record.scenario
    attack = f", {scenario.attackers} hostile ({scenario.attack})" if scenario.attackers else ""
    console.print(
        f"\n{scenario.dataset}, {scenario.model}, {scenario.clients} clients"
        f" ({scenario.partition}){attack}; {scenario.defense} with byzantine={scenario.byzantine}",
        markup=False,
    )
    console.print(_figures(record))
    console.print(_clients(record))
    console.print(
        f"evidence: over all rounds; from {scenario.policy.watch:g} on a client is watched"
    )
    if record.hostile:
        console.print("* hostile", markup=False)


def _figures(record: SimulationRecord) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 3, 0, 0))
    for _ in range(3):
        table.add_column()
    table.columns[1].justify = "right"
    for words in _lines(record):
        table.add_row(*map(escape, words))
    return table


def _lines(record: SimulationRecord) -> Iterator[tuple[str, str, str]]:
    """Yield what is measured, the figure, and what there is to know about it."""
    last = record.evaluations[-1]
    best = max(record.evaluations, key=lambda evaluation: evaluation.accuracy)
    classes = describe(record.scenario.dataset).classes
    worst = classes[last.recall.index(record.worst_recall)]
    yield "accuracy, final", _percent(record.final), f"after round {last.round}"
    yield "accuracy, peak", _percent(record.peak), f"after round {best.round}"
    yield "worst recall", _percent(record.worst_recall), f"of class {worst}"
    if record.attack_success is not None and record.attack_success_floor is not None:
        floor = _percent(record.attack_success_floor)
        yield (
            "attack success",
            _percent(record.attack_success),
            f"floor {floor}, without the attack",
        )
    if record.detection_auc is not None:
        yield "detection", f"{record.detection_auc:.2f}", "AUC of the evidence; 0.5 is chance"
    if record.quarantined:
        yield "quarantined", str(len(record.quarantined)), _quarantines(record)
    if record.unchanged_rounds:
        count = f"{len(record.unchanged_rounds)} of {record.scenario.rounds}"
        yield "unchanged rounds", count, _reasons(record.unchanged_rounds)
    if record.unforged_rounds:
        count = f"{len(record.unforged_rounds)} of {record.scenario.rounds}"
        yield "without the attack", count, _reasons(record.unforged_rounds)
    total = record.seconds.get("total", 0.0)
    yield "time", f"{total:.1f} s", f"{1000 * total / record.scenario.rounds:.0f} ms per round"


def _quarantines(record: SimulationRecord) -> str:
    """Return who was quarantined, and after which round first; those of one round together."""
    by_round: dict[int, list[str]] = {}
    for client, number in record.quarantined.items():
        by_round.setdefault(number, []).append(client)
    return "\n".join(f"after round {n}: {', '.join(who)}" for n, who in sorted(by_round.items()))


def _reasons(rounds: Mapping[int, str]) -> str:
    """Return the first round of each reason, with the reason."""
    first: dict[str, int] = {}
    for number, reason in rounds.items():
        first.setdefault(reason, number)
    shown = [f"round {number}: {reason}" for reason, number in first.items()]
    return "\n".join([*shown[:_NAMED_REASONS], *(["…"] if len(shown) > _NAMED_REASONS else [])])


def _clients(record: SimulationRecord) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("client")
    table.add_column("evidence", justify="right")
    table.add_column("state")
    for title in ("accepted", "refused"):
        table.add_column(title, justify="right")
    last = record.scenario.rounds
    ranked = sorted(record.trails, key=lambda client: -record.trails[client].strength[last])
    for client in ranked[:_NAMED_CLIENTS]:
        trail, codes = record.trails[client], record.verdicts.get(client, {})
        refused = ", ".join(f"{times} {code}" for code, times in codes.items() if code != "ok")
        table.add_row(
            client + (" *" if client in record.hostile else ""),
            f"{trail.evidence[last]:.3f}",
            trail.state,
            str(codes.get("ok", 0)),
            refused or "0",
            style="bold red" if trail.state in STRIKING else "",
        )
    if len(ranked) > _NAMED_CLIENTS:
        others = ranked[_NAMED_CLIENTS:]
        hidden = len(set(others) & set(record.hostile))
        words = f"… {len(others)} more" + (f", {hidden} hostile" if hidden else "")
        table.add_row(words, "", "", "", "", style="dim")
    return table


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
