"""The evidence about one client that ``quickthorn explain`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from quickthorn.server import chart
from quickthorn.server.roster_report import describe
from quickthorn.server.terminal import figure, print_below

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from quickthorn.server.dossier import Dossier, Page
    from quickthorn.strategies.reputation import Change


def print_dossier(dossier: Dossier, console: Console, *, rounds: int, ended: bool) -> None:
    """Print how the client stands, its chart, what happened to it, and its last rounds.

    ``rounds`` is how many of them; 0 for all.
    """
    for line in _summary(dossier):
        console.print(escape(line))
    if not dossier.pages:
        return
    console.print("\n[bold]Score, round by round[/bold]")
    points = [chart.Point(p.number, p.score, p.standing.state) for p in dossier.pages if p.standing]
    if points:
        text = chart.draw(points, width=console.width, ascii_only=console.options.ascii_only)
        console.print(escape(text))
    console.print("\n[bold]What happened[/bold]")
    happened = list(_happened(dossier, ended=ended))
    for line in happened or ["nothing: no state changed and nobody decided anything"]:
        print_below(line, console)
    shown = dossier.pages[-rounds:]
    console.print(f"\n[bold]Evidence, round by round[/bold]{_which(dossier, shown)}")
    for page in shown:
        _print_page(page, console)


def _summary(dossier: Dossier) -> Iterator[str]:
    client, standing = dossier.client, dossier.standing
    who = client.name if client.name == client.id else f"{client.name} ({client.id})"
    if standing is None:
        yield f"{who}: no round is recorded that it took part in."
        return
    yield f"{who}: {standing.state} since round {standing.since}."
    yield (
        f"Evidence {figure(standing.evidence, 4)} (0 to 1) out of {standing.rounds} rounds, "
        f"strength {standing.strength:.1f}."
    )
    if standing.reason:
        yield f"{standing.reason[:1].upper()}{standing.reason[1:]}."
    if standing.techniques:
        yield f"It resembles {', '.join(standing.techniques)}."
    if standing.proposed:
        yield "A quarantine is proposed and waits for a person."


def _happened(dossier: Dossier, *, ended: bool) -> Iterator[str]:
    times = {page.number: page.at for page in dossier.pages}
    made = {
        (entry.round, entry.decision.who, entry.decision.why): entry for entry in dossier.decisions
    }
    shown = set()
    for change in dossier.changes:
        entry = made.get((change.round, change.who, change.why))
        if entry is not None:
            shown.add(entry.id)
        yield _changed(change, times[change.round] if entry is None else entry.decision.at)
    names = {dossier.client.id: dossier.client.name}
    for entry in dossier.decisions:
        if entry.id not in shown:
            yield describe(entry, names, ended=ended)


def _changed(change: Change, at: str) -> str:
    moved = change.after if change.before == change.after else f"{change.before} → {change.after}"
    return f"round {change.round}: {moved}, by {change.who} at {at}: {change.why}"


def _which(dossier: Dossier, shown: tuple[Page, ...]) -> str:
    if len(shown) == len(dossier.pages):
        return ""
    return f" (the last {len(shown)} of {len(dossier.pages)}; --rounds 0 shows all)"


def _print_page(page: Page, console: Console) -> None:
    facts = [f"round {page.number}"]
    if page.standing is not None:
        facts.append(page.standing.state)
        facts.append(f"score {figure(page.standing.score, 2)}")
        facts.append(f"evidence {figure(page.standing.evidence, 4)}")
    if page.influence is not None:
        facts.append(f"influence {100 * page.influence:.1f} %")
    console.print(escape(", ".join(facts)))
    for verdict in page.verdicts:
        if not verdict.accepted:
            print_below(f"refused ({verdict.code}): {verdict.reason}", console)
    if not page.verdicts:
        print_below("not asked", console)
    if page.scores:
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for score in page.scores:
            table.add_row(
                f"  {score.signal}", f"{score.value:.3g}", f"z {score.z:.1f}", escape(score.reason)
            )
        console.print(table)
