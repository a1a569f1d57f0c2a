"""What can never work is refused before the first round; what may be meant is only said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.simulations.attacks.attack import build_attack
from quickthorn.simulations.attacks.spec import UpdateView
from quickthorn.strategies import build
from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    from quickthorn.simulations.scenario import Scenario


def refuse_futile(scenario: Scenario) -> None:
    """Raise an error for a scenario in which the defense or the attack never has its turn.

    Raises
    ------
    TooFewClientsError
        If the defense refuses the cohort even when everybody answers.
    ConfigurationError
        If there is an attack and nobody, or no round, to make it, or if it cannot be forged
        with everybody there.

    Example
    -------
    >>> from quickthorn.simulations.scenario import Scenario
    >>> refuse_futile(Scenario(attack="sign_flip"))
    Traceback (most recent call last):
    ...
    quickthorn.strategies.errors.ConfigurationError: attack 'sign_flip' of a scenario has nobody \
to make it: attackers=0. Set attackers to how many are hostile, or attack to "none".

    """
    cohort = scenario.clients_per_round or scenario.clients
    build(scenario.defense, byzantine=scenario.byzantine).check_cohort(cohort)
    attack = build_attack(scenario.attack)
    if not attack.steps:
        return
    if not scenario.attackers:
        msg = (
            f"attack {scenario.attack!r} of a scenario has nobody to make it: attackers=0. "
            'Set attackers to how many are hostile, or attack to "none".'
        )
        raise ConfigurationError(msg)
    if scenario.attack_start > scenario.rounds:
        msg = (
            f"attack {scenario.attack!r} of a scenario never begins: attack_start is "
            f"{scenario.attack_start}, after the last of {scenario.rounds} rounds."
        )
        raise ConfigurationError(msg)
    if cohort == scenario.clients:
        # Whether an attack can be forged depends on how many there are, not on their values.
        rng = np.random.default_rng(0)
        rows = rng.standard_normal((scenario.clients, 2)).astype(np.float32)
        own, honest = rows[: scenario.attackers], rows[scenario.attackers :]
        view = UpdateView(own=own, honest=honest, defense=lambda values: values.mean(axis=0))
        attack.forge(view, rng=rng)


def doubt(scenario: Scenario) -> str:
    """Return in one line what whoever wrote the scenario may not mean, or nothing.

    >>> from quickthorn.simulations.scenario import Scenario
    >>> doubt(Scenario(attackers=2, byzantine=2, attack="sign_flip", defense="median"))
    ''
    """
    if not scenario.attackers:
        return ""
    if not build_attack(scenario.attack).steps:
        return (
            f'attackers={scenario.attackers} and attack="none": they are honest. '
            "Set attack, or attackers to 0, unless you mean it."
        )
    if scenario.attackers > scenario.byzantine:
        return (
            f"attackers={scenario.attackers}, but the defense, {scenario.defense}, assumes "
            f"byzantine={scenario.byzantine}. Raise byzantine unless you mean it."
        )
    return ""
