"""The one chart of the page that is there without a click: worst case against attackers."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from quickthorn.simulations.comparison.breakdown import worst_by_attackers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quickthorn.simulations.comparison.summary import Condition, Estimate, Summary

_WIDTH, _HEIGHT = 460, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 12, 12, 44
_COLORS = 7  # as in page.css
_DASHES = ("", "7 4", "2 3", "9 3 2 3")


def breakdown_chart(summary: Summary, name: str, family: Sequence[Condition]) -> str:
    """Return the worst accuracy of each defense over the number of attackers, as SVG.

    Empty as long as no worst case is known.
    """
    last = max(condition.attackers for condition in family)
    lines, legend = [], []
    for number, defense in enumerate(summary.defenses):
        points = worst_by_attackers(summary, family, defense)
        if points:
            lines.append(_line(number, points, last))
            legend.append(f"<li>{_key(number)}{escape(defense)}</li>")
    if not lines:
        return ""
    label = f"worst accuracy over attacks and splits against the number of attackers; {name}"
    return (
        f'<figure class="chart"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
        f' aria-label="{escape(label)}">{_axes(family, last)}{"".join(lines)}</svg>'
        f'<ul class="legend">{"".join(legend)}</ul>'
        f"<figcaption>{escape(name)}</figcaption></figure>"
    )


def _line(number: int, points: Sequence[tuple[int, Estimate]], last: int) -> str:
    style = _style(number)
    path = "L".join(f"{_x(k, last):.1f} {_y(value.mean):.1f}" for k, value in points)
    marks = "".join(
        f'<line x1="{_x(k, last):.1f}" x2="{_x(k, last):.1f}" y1="{_y(value.low):.1f}"'
        f' y2="{_y(value.high):.1f}" stroke="var(--c{number % _COLORS})" stroke-width="1.5"/>'
        f'<circle cx="{_x(k, last):.1f}" cy="{_y(value.mean):.1f}" r="3.5"'
        f' fill="var(--c{number % _COLORS})"/>'
        for k, value in points
    )
    return f'<path d="M{path}" fill="none" {style}/>{marks}'


def _axes(family: Sequence[Condition], last: int) -> str:
    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = f"{_y(share):.1f}"
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(
            f'<text class="axis" x="{_LEFT - 6}" y="{_y(share) + 4:.1f}" text-anchor="end">'
            f"{100 * share:.0f}</text>"
        )
    parts += [
        f'<text class="axis" x="{_x(condition.attackers, last):.1f}" y="{_HEIGHT - _BOTTOM + 18}"'
        f' text-anchor="middle">{condition.attackers}</text>'
        for condition in family
    ]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(
        f'<text class="axis" x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">'
        "attackers; worst accuracy in %</text>"
    )
    return "".join(parts)


def _key(number: int) -> str:
    return f'<svg viewBox="0 0 30 10" aria-hidden="true"><path d="M0 5H30" {_style(number)}/></svg>'


def _style(number: int) -> str:
    dash = _DASHES[number % len(_DASHES)]
    return f'stroke="var(--c{number % _COLORS})" stroke-width="2.5" stroke-dasharray="{dash}"'


def _x(attackers: int, last: int) -> float:
    return _LEFT + 12 + (_WIDTH - _LEFT - _RIGHT - 24) * attackers / last


def _y(share: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * share
