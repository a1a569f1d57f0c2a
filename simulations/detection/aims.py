"""What is aimed at, and where it is reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quickthorn.simulations.comparison.plan import NO_ATTACK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from quickthorn.simulations.detection.evaluate import Line

LOUD = (
    "sign_flip",
    "gaussian",
    "ipm(epsilon=10.0)",
    "not_finite",
    "patch_backdoor(size=2) | model_replacement",
)
STEALTHY = ("alie", "ipm(epsilon=0.1)", "min_max")
HARDEST = "Dirichlet 0.1"

SOON, LATE = 5, 20  # rounds
LOUD_AUC, STEALTHY_AUC = 0.99, 0.95
ALARMS = 0.01  # per 100 client-rounds: one percent


@dataclass(frozen=True)
class Check:
    """An aim on one line of the table."""

    line: Line
    figure: float
    reached: bool


@dataclass(frozen=True)
class Aim:
    """An aim, and what there is to check it on; on nothing, it is not reached."""

    words: str
    checks: tuple[Check, ...]

    @property
    def reached(self) -> bool:
        """Return whether every check is passed."""
        return bool(self.checks) and not self.missed

    @property
    def missed(self) -> tuple[Check, ...]:
        """Return the checks that are not passed."""
        return tuple(check for check in self.checks if not check.reached)


def aims(lines: Iterable[Line]) -> tuple[Aim, ...]:
    """Check the aims on the lines of one rule, or of several; a lone liar is no part of them."""
    lines = [line for line in lines if line.attackers != 1]
    loud = [line for line in lines if line.attack in LOUD]
    stealthy = [line for line in lines if line.attack in STEALTHY and line.split == "IID"]
    nobody = [line for line in lines if line.attack == NO_ATTACK and line.split == HARDEST]
    longest = max((line.rounds for line in nobody), default=0)
    return (
        Aim(
            f"loud attacks, every division: AUC of at least {LOUD_AUC:g} after {SOON} rounds",
            _at_least(loud, SOON, LOUD_AUC),
        ),
        Aim(
            f"loud attacks, every division: all attackers quarantined within {SOON} rounds",
            tuple(Check(line, line.found_by(SOON), line.found_by(SOON) == 1.0) for line in loud),
        ),
        Aim(
            f"ALIE, IPM 0.1 and Min-Max, IID: AUC of at least {STEALTHY_AUC:g} after {LATE} rounds",
            _at_least(stealthy, LATE, STEALTHY_AUC),
        ),
        Aim(
            f"nobody attacks, {HARDEST}: at most {ALARMS:g} honest clients quarantined per 100 "
            "client-rounds",
            tuple(
                Check(line, line.alarms_per_100, line.alarms_per_100 <= ALARMS)
                for line in nobody
                if line.rounds == longest
            ),
        ),
    )


def _at_least(lines: Iterable[Line], number: int, bound: float) -> tuple[Check, ...]:
    return tuple(
        Check(line, line.auc[number], line.auc[number] >= bound)
        for line in lines
        if number in line.auc
    )
