"""``quickthorn rules``: what there is, straight from the Specs, for people and for programs."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from quickthorn.strategies.errors import UnknownNameError
from quickthorn.strategies.parameters import describe_parameters, parameters_text
from quickthorn.strategies.registry import Spec, available, find

if TYPE_CHECKING:
    from collections.abc import Iterator

# Where a table needs figures: f = 1, 2, 5 and, for κ, the cohort of the demo's size.
_EXAMPLE_F = (1, 2, 5)
_EXAMPLE_N = (10, 2)


def rules(
    name: Annotated[str | None, typer.Argument(help="One rule, for all there is to know.")] = None,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """List the rules that a defense can be built from, or explain one.

    Raises
    ------
    UnknownNameError
        If there is no rule called ``name``; the near miss is named.

    """
    specs = list(_specs()) if name is None else _called(name)
    if json_output:
        typer.echo(json.dumps({"rules": [describe(spec) for spec in specs]}, ensure_ascii=False))
    elif name is None:
        _print_tables(specs)
    else:
        typer.echo("\n\n".join(_explain(spec) for spec in specs))


def describe(spec: Spec) -> dict[str, Any]:
    """Return what the ``Spec`` says as plain values, ready for JSON.

    >>> describe(find("aggregator", "krum"))["min_clients"]
    {'0': 3, '1': 5, '2': 7, '3': 9, '4': 11, '5': 13}
    """
    n, byzantine = _EXAMPLE_N
    return {
        "name": spec.name,
        "kind": spec.kind,
        "summary": spec.summary,
        "min_clients": {str(f): spec.min_clients(f) for f in range(6)},
        "parameters": describe_parameters(spec),
        "kappa": None
        if spec.kappa is None
        else {"n": n, "byzantine": byzantine, "value": spec.kappa(n, byzantine)},
        "traits": sorted(spec.traits),
        "complexity": spec.complexity,
        "reference": spec.reference,
        "documentation": inspect.getdoc(spec.apply),
    }


def reference_page() -> str:
    """Return ``docs/reference/rules.md``, which a test compares with the file.

    ``python -m quickthorn.strategies.cli > docs/reference/rules.md`` writes it anew.
    """
    parts = [_PREFACE]
    for kind, names in available().items():
        if not names:
            continue
        header = ("Name", "What it does", *(f"n ≥ (f={f})" for f in _EXAMPLE_F), "Cost")
        parts.append(f"## {_plural(kind)}\n")
        parts.append("| " + " | ".join(header) + " |\n|" + " --- |" * len(header))
        for spec in (find(kind, name) for name in names):
            least = [str(spec.min_clients(f)) for f in _EXAMPLE_F]
            link = f"[`{spec.name}`](#{spec.name})"
            parts.append("| " + " | ".join((link, spec.summary, *least, spec.complexity)) + " |")
        parts.extend(
            f"\n### {name}\n\n```text\n{_explain(find(kind, name))}\n```" for name in names
        )
        parts.append("")
    return "\n".join(parts)


_PREFACE = """# Rules

Generated from the rules themselves by `python -m quickthorn.strategies.cli`; do not edit.
`quickthorn rules NAME` prints the same. The laws that they keep, and the proofs of the
constants κ, are in [laws](../explanation/laws.md).
"""


def _specs() -> Iterator[Spec]:
    for kind, names in available().items():
        for name in names:
            yield find(kind, name)


def _called(name: str) -> list[Spec]:
    specs = [spec for spec in _specs() if spec.name == name]
    if not specs:
        raise UnknownNameError("rule", name, {spec.name for spec in _specs()})
    return specs


def _print_tables(specs: list[Spec]) -> None:
    console = Console()
    for kind in available():
        members = [spec for spec in specs if spec.kind == kind]
        if not members:
            continue
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column(_plural(kind), no_wrap=True)
        table.add_column("what it does")
        for f in _EXAMPLE_F:
            table.add_column(f"f={f}", justify="right")
        for spec in members:
            least = (str(spec.min_clients(f)) for f in _EXAMPLE_F)
            table.add_row(spec.name, spec.summary.replace("``", ""), *least)
        console.print(table)
    console.print("f=1 …: the fewest clients that the rule accepts if that many may lie.")
    console.print(
        "`quickthorn rules NAME` explains one. A defense is, for example, 'nnm | median'."
    )


def _explain(spec: Spec) -> str:
    facts = describe(spec)
    least = ", ".join(f"{n} (f={f})" for f, n in facts["min_clients"].items())
    lines = [f"{spec.name} ({spec.kind})", "", facts["documentation"], ""]
    lines.append(f"Parameters in a text form: {parameters_text(spec)}")
    lines.append(f"Clients needed:  {least}")
    if facts["kappa"]:
        kappa = facts["kappa"]
        what = "Factor of κ + 1" if spec.kind == "preaggregator" else "Resilience κ"
        lines.append(f"{what}: {kappa['value']:.3g} for n={kappa['n']}, f={kappa['byzantine']}")
    lines.append(f"Laws claimed:    {', '.join(facts['traits']) or 'none beyond the common ones'}")
    lines.append(f"Cost:            {spec.complexity}")
    lines.append(f"Reference:       {spec.reference}")
    return "\n".join(lines)


def _plural(kind: str) -> str:
    return {"preaggregator": "Pre-aggregators"}.get(kind, f"{kind.capitalize()}s")


if __name__ == "__main__":
    typer.echo(reference_page(), nl=False)
