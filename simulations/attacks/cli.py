"""``quickthorn attacks``: what there is, straight from the specs, for people and for programs."""

from __future__ import annotations

import inspect
import json
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from quickthorn.simulations.attacks.registry import available_attacks, find_attack
from quickthorn.simulations.attacks.spec import AttackSpec, Kind
from quickthorn.strategies.parameters import describe_parameters, parameters_text

_TITLES: dict[Kind, str] = {"data": "Attacks on data", "update": "Attacks on updates"}


def attacks(
    name: Annotated[
        str | None, typer.Argument(help="One attack, for all there is to know.")
    ] = None,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """List the attacks that a simulation can run, or explain one.

    Raises
    ------
    UnknownNameError
        If there is no attack called ``name``; the near miss is named.

    """
    tables = available_attacks().values()
    names = [entry for table in tables for entry in table] if name is None else [name]
    specs = [find_attack(entry) for entry in names]
    if json_output:
        typer.echo(json.dumps({"attacks": [describe(spec) for spec in specs]}, ensure_ascii=False))
    elif name is None:
        _print_tables()
    else:
        typer.echo(_explain(specs[0]))


def describe(spec: AttackSpec) -> dict[str, Any]:
    """Return what the spec says as plain values, ready for JSON.

    >>> describe(find_attack("ipm"))["knows"]
    'all honest updates'
    """
    return {
        "name": spec.name,
        "kind": spec.kind,
        "summary": spec.summary,
        "knows": spec.knows,
        "knows_by": spec.knows_by,
        "slow": spec.slow,
        "parameters": describe_parameters(spec),
        "reference": spec.reference,
        "documentation": inspect.getdoc(spec.apply),
    }


def reference_page() -> str:
    """Return ``docs/reference/attacks.md``, which a test compares with the file.

    ``python -m quickthorn.simulations.attacks.cli > docs/reference/attacks.md`` writes it anew.
    """
    parts = [_PREFACE]
    for kind, names in available_attacks().items():
        if not names:
            continue
        parts.append(f"## {_TITLES[kind]}\n")
        parts.append("| Name | What it does | Knows |\n| --- | --- | --- |")
        specs = [find_attack(name) for name in names]
        parts.extend(
            f"| [`{spec.name}`](#{spec.name}) | {spec.summary}{_slow(spec)} | {spec.knows} |"
            for spec in specs
        )
        parts.extend(f"\n### {spec.name}\n\n```text\n{_explain(spec)}\n```" for spec in specs)
        parts.append("")
    return "\n".join(parts)


_PREFACE = """# Attacks

Generated from the attacks themselves by `python -m quickthorn.simulations.attacks.cli`; do not
edit. `quickthorn attacks NAME` prints the same.

The key `attack` of a scenario takes one attack, as in `alie` or `alie(z=1.5)`, or one on data
and then one on the update, as in `label_flip | scaling(factor=6)`; `none` is no attack.
An attack is shown what it knows, and nothing else: its own data, also all honest updates of
the round, or also the answers of the defense: what it would make of any updates in this round,
with all that the server remembers and has learned itself, but without its luck, so that a rule
that draws answers by another draw than the server's. All know how many they are, how many
clients send, the models that were sent and how long an update the server admits. How many the
defense assumes, `byzantine`, is no number of theirs: only `fang_krum` uses it, to foresee whom
Krum would choose. All updates are deltas from the model that was
sent. In the formulas n clients send, of whom k are hostile and h honest; m_H and σ_H are the
mean and the standard deviation of the honest updates.
"""


def _print_tables() -> None:
    console = Console()
    for kind, names in available_attacks().items():
        if not names:
            continue
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for title in (_TITLES[kind], "what it does", "knows"):
            table.add_column(title, no_wrap=title != "what it does")
        for spec in map(find_attack, names):
            table.add_row(spec.name, spec.summary.replace("``", "") + _slow(spec), spec.knows)
        console.print(table)
    console.print(
        "`quickthorn attacks NAME` explains one. In a scenario: attack = 'alie(z=1.5)', or one "
        "on data and one on the update, joined by '|'."
    )


def _explain(spec: AttackSpec) -> str:
    lines = [
        f"{spec.name} (attack on {'data' if spec.kind == 'data' else 'updates'})",
        "",
        inspect.getdoc(spec.apply) or "",
        "",
        f"Parameters in a text form: {parameters_text(spec)}",
        f"Knows:           {_knows(spec)}{_slow(spec)}",
        f"Reference:       {spec.reference}",
    ]
    return "\n".join(lines)


def _knows(spec: AttackSpec) -> str:
    if spec.knows_by is None:
        return spec.knows
    usual = spec.parameters[spec.knows_by].default
    return f"{spec.knows} with {spec.knows_by}={usual}, else own data alone"


def _slow(spec: AttackSpec) -> str:
    return " (slow)" if spec.slow else ""


if __name__ == "__main__":
    typer.echo(reference_page(), nl=False)
