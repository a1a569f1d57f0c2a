"""The explicit tables of attacks; being listed here is what makes one usable by name."""

from __future__ import annotations

import importlib
from functools import cache
from typing import TYPE_CHECKING

from quickthorn.strategies.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quickthorn.simulations.attacks.spec import AttackSpec, Kind

DATA_ATTACKS: tuple[str, ...] = (
    "blended_backdoor",
    "clean_label_backdoor",
    "distributed_backdoor",
    "gradient_matching",
    "label_flip",
    "patch_backdoor",
    "tabular_backdoor",
    "tail_backdoor",
)
UPDATE_ATTACKS: tuple[str, ...] = (
    "alie",
    "constrain_and_scale",
    "fang_krum",
    "fang_trimmed_mean",
    "free_rider",
    "gaussian",
    "ipm",
    "mimic",
    "min_max",
    "min_sum",
    "model_replacement",
    "norm_projected_backdoor",
    "not_finite",
    "optimal_alie",
    "optimal_ipm",
    "scaling",
    "sign_flip",
    "sybil",
    "zero",
)

_TABLES: Mapping[Kind, tuple[str, ...]] = {"data": DATA_ATTACKS, "update": UPDATE_ATTACKS}


@cache
def find_attack(name: str) -> AttackSpec:
    """Return the ``AttackSpec`` called ``name``.

    Raises
    ------
    UnknownNameError
        If there is none; the closest name is given.

    Example
    -------
    >>> find_attack("sign_flip").knows
    'own data'

    """
    known = [name for names in _TABLES.values() for name in names]
    if name not in known:
        raise UnknownNameError("attack", name, known)
    spec: AttackSpec = importlib.import_module(f"quickthorn.simulations.attacks.{name}").SPEC
    return spec


def available_attacks() -> dict[Kind, tuple[str, ...]]:
    """Return every name, by kind.

    >>> "sign_flip" in available_attacks()["update"]
    True
    """
    return dict(_TABLES)
