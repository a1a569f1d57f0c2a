"""The ``ClientApp`` of an organization that may be hostile.

The same app for all members of a simulated federation: honest unless the organization's own
``--node-config`` says otherwise.

    attack="label_flip"   train on flipped labels
    boost=6.0             multiply the resulting update; 1 without it
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quickthorn.client.app import make_app
from quickthorn.simulations.attacks.label_flip import label_flip
from quickthorn.simulations.attacks.scaling import scale_state
from quickthorn.strategies.errors import ConfigurationError, UnknownNameError
from quickthorn.strategies.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flwr.app import Context

    from quickthorn.client.datasets import Dataset
    from quickthorn.client.models import State

ATTACKS = ("label_flip",)


@dataclass(frozen=True)
class Hostility:
    """What a hostile member does; an honest one has no ``attack``."""

    attack: str = ""
    boost: float = 1.0

    def __post_init__(self) -> None:
        """Refuse an attack that does not exist and a boost without one."""
        if self.attack and self.attack not in ATTACKS:
            raise UnknownNameError("attack", self.attack, ATTACKS)
        if not self.attack and self.boost != 1.0:
            msg = f"boost={self.boost} in node-config needs attack; add attack or remove boost."
            raise ConfigurationError(msg)

    @classmethod
    def from_node_config(cls, config: Mapping[str, object]) -> Hostility:
        """Read a SuperNode's configuration; other keys belong to others.

        Example
        -------
        >>> Hostility.from_node_config({"partition-id": 0}).attack
        ''

        """
        own = {key: value for key, value in config.items() if key in cls.__dataclass_fields__}
        return read_settings(cls, own, where="node-config")


def poison_data(dataset: Dataset, context: Context) -> Dataset:
    """Flip the labels where the organization's configuration says so."""
    if not Hostility.from_node_config(context.node_config).attack:
        return dataset
    labels = label_flip(dataset.labels, len(dataset.classes))
    return dataclasses.replace(dataset, labels=labels)


def poison_update(sent: State, trained: State, context: Context) -> State:
    """Boost the update where the organization's configuration says so."""
    hostility = Hostility.from_node_config(context.node_config)
    return scale_state(sent, trained, hostility.boost) if hostility.attack else trained


app = make_app(poison_data=poison_data, poison_update=poison_update)
