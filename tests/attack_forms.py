"""Every attack on updates with every choice that it gives, for what has to hold for all."""

from __future__ import annotations

import typing
from typing import Literal

from quickthorn.simulations.attacks.attack import build_attack
from quickthorn.simulations.attacks.registry import UPDATE_ATTACKS, find_attack


def _choices(hint: object) -> list[object]:
    """Return what may stand for a parameter: its words and, beside them, a number."""
    parts = typing.get_args(hint) if typing.get_origin(hint) is not Literal else (hint,)
    words = [
        w for part in parts if typing.get_origin(part) is Literal for w in typing.get_args(part)
    ]
    return [*words, 2.0] if words and float in parts else words


FORMS = sorted(
    {
        str(build_attack(text))
        for name in UPDATE_ATTACKS
        for text in (
            name,
            *(
                f"{name}({key}={choice})"
                for key, parameter in find_attack(name).parameters.items()
                for choice in _choices(parameter.annotation)
            ),
        )
    }
)
