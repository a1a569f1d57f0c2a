"""What the values of a scenario may be: names that exist, and numbers within their range."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from quickthorn.strategies.errors import ConfigurationError, UnknownNameError
from quickthorn.strategies.wire import CHOICES, check_seed

if TYPE_CHECKING:
    from quickthorn.simulations.scenario import Scenario

_RANGES: tuple[tuple[str, float], ...] = (
    ("clients", 1),
    ("clients_per_round", 0),
    ("rounds", 1),
    ("local_epochs", 1),
    ("local_steps", 0),
    ("batch_size", 1),
    ("weight_decay", 0),
    ("attackers", 0),
    ("attack_start", 1),
    ("attack_every", 1),
    ("eval_every", 1),
)


def check(scenario: Scenario) -> None:
    """Refuse a name that does not exist and a number outside its range.

    Raises
    ------
    UnknownNameError, ConfigurationError
        As ``Scenario`` does.

    """
    for name in ("dataset", "partition"):
        if getattr(scenario, name) not in CHOICES[name]:
            raise UnknownNameError(f"{name} of a scenario", getattr(scenario, name), CHOICES[name])
    if ":" not in scenario.model and scenario.model not in CHOICES["model"]:
        raise UnknownNameError("model of a scenario", scenario.model, CHOICES["model"])
    if scenario.dataset == "mnist" and not scenario.data_dir:
        msg = "dataset mnist of a scenario needs data_dir: the folder with its IDX files."
        raise ConfigurationError(msg)
    _check_finite(scenario)
    _check_counts(scenario)
    _check_shares(scenario)


def _check_finite(scenario: Scenario) -> None:
    for field in dataclasses.fields(scenario):
        value = getattr(scenario, field.name)
        if isinstance(value, float) and not math.isfinite(value):
            msg = f"{field.name} of a scenario must be a finite number; got {value}."
            raise ConfigurationError(msg)


def _check_counts(scenario: Scenario) -> None:
    check_seed(scenario.seed, "of a scenario")
    for name, low in _RANGES:
        if getattr(scenario, name) < low:
            msg = f"{name} of a scenario must be at least {low}; got {getattr(scenario, name)}."
            raise ConfigurationError(msg)
    most = {"clients_per_round": scenario.clients, "attackers": scenario.clients - 1}
    for name, bound in most.items():
        if getattr(scenario, name) > bound:
            msg = (
                f"{name} of a scenario must be at most {bound}, with clients={scenario.clients}; "
                f"got {getattr(scenario, name)}. Lower it or raise clients."
            )
            raise ConfigurationError(msg)


def _check_shares(scenario: Scenario) -> None:
    for name in ("alpha", "lr", "tail_factor"):
        if getattr(scenario, name) <= 0:
            msg = f"{name} of a scenario must be above 0; got {getattr(scenario, name)}."
            raise ConfigurationError(msg)
    for name, closed in (("gamma", True), ("tail_factor", True), ("client_momentum", False)):
        value = getattr(scenario, name)
        if not 0 <= value <= 1 or (value == 1 and not closed):
            msg = f"{name} of a scenario must be from 0 to 1{'' if closed else ', below 1'}; "
            raise ConfigurationError(f"{msg}got {value}.")
