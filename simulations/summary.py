"""What a person reads at the end of a simulation."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table

from quickthorn.client.datasets import describe
from quickthorn.simulations.record import LEFT_OUT, STRIKING

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
        yield "quarantined", str(len(record.quarantined)), _quarantined(record)
    if record.unchanged_rounds:
        count = f"{len(record.unchanged_rounds)} of {record.scenario.rounds}"
        yield "unchanged rounds", count, _reasons(record.unchanged_rounds)
    if record.unforged_rounds:
        count = f"{len(record.unforged_rounds)} of {record.scenario.rounds}"
        yield "without the attack", count, _reasons(record.unforged_rounds)
    total = record.seconds.get("total", 0.0)
    each = f"{1000 * total / record.scenario.rounds:.0f} ms per round"
    known = "" if record.stages_known else "; not told apart by stage"
    yield "time", f"{total:.1f} s", each + known


def _quarantined(record: SimulationRecord) -> str:
    """Return how many were rightly left out at some time, and how many are no longer."""
    right = len(set(record.quarantined) & set(record.hostile))
    back = sum(record.trails[client].state not in LEFT_OUT for client in record.quarantined)
    words = f"{right} of {len(record.hostile)} hostile, {len(record.quarantined) - right} honest"
    return words + (f"; {back} let back" if back else "")


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
    table.add_column("state, since round")
    for title in ("accepted", "refused"):
        table.add_column(title, justify="right")
    last = record.scenario.rounds
    ranked = sorted(record.trails, key=lambda client: -record.trails[client].strength[last])
    struck = {change.client for change in record.changes if change.after in STRIKING}
    named = [c for rank, c in enumerate(ranked) if rank < _NAMED_CLIENTS or c in struck]
    for client in named:
        trail, codes = record.trails[client], record.verdicts.get(client, {})
        refused = ", ".join(f"{times} {code}" for code, times in codes.items() if code != "ok")
        table.add_row(
            client + (" *" if client in record.hostile else ""),
            f"{trail.evidence[last]:.3f}",
            _path(record, client),
            str(codes.get("ok", 0)),
            refused or "0",
            style="bold red" if trail.state in STRIKING else "",
        )
    others = [client for client in ranked if client not in named]
    if others:
        hidden = len(set(others) & set(record.hostile))
        words = f"… {len(others)} more" + (f", {hidden} hostile" if hidden else "")
        states = Counter(record.trails[client].state for client in others)
        told = ", ".join(f"{count} {state}" for state, count in states.most_common())
        table.add_row(words, "", told, "", "", style="dim")
    return table


def _path(record: SimulationRecord, client: str) -> str:
    """Return the states of a client with the round after which it came into each."""
    moves = [c for c in record.changes if c.client == client and c.after != c.before]
    state = record.trails[client].state
    return ", ".join(f"{move.after} {move.round}" for move in moves) or state


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
