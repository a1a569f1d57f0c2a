"""The chart of ``quickthorn explain``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from quickthorn.server import chart

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("full", ["█", "#"])
@pytest.mark.parametrize("rounds", [1, 4, 74, 75, 1000])
def test_a_chart_fits_and_shows_the_worst(rounds: int, full: str) -> None:
    worst = rounds // 2 + 1
    points = [
        chart.Point(number, 1.0 if number == worst else 0.0, "healthy")
        for number in range(1, rounds + 1)
    ]

    lines = chart.draw(points, width=80, ascii_only=full.isascii()).splitlines()

    assert max(map(len, lines)) <= 80
    assert lines[0].count(full) == 1
    assert lines[7].strip().startswith("1")
    assert ("highest of" in lines[-1]) == (rounds > 74)
    assert all(map(str.isascii, lines)) == full.isascii()
