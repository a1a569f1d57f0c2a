"""What the server and a client agree on: record names and the settings of local training.

Pure data, no Flower: both sides, and the simulator, import it from here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from quickthorn.strategies.errors import ConfigurationError, UnknownNameError
from quickthorn.strategies.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

ARRAYS = "arrays"
CONFIG = "config"
METRICS = "metrics"
NUM_EXAMPLES = "num-examples"
SERVER_ROUND = "server-round"

# The names that the client side knows, so that a wrong one is refused before anything starts.
CHOICES = {
    "dataset": ("breast_cancer", "digits", "mnist"),
    "model": ("cnn", "cnn_large", "logistic", "mlp"),
    "partition": ("dirichlet", "gamma", "iid", "long_tail", "shards"),
    "optimizer": ("adam", "sgd"),
}


# Torch and Flower take integers of 64 bits with a sign.
_LARGEST_SEED = 2**63 - 1


def check_seed(seed: int, where: str) -> None:
    """Refuse a seed that numpy, torch or a message cannot take.

    >>> check_seed(-1, "of a scenario")
    Traceback (most recent call last):
    ...
    quickthorn.strategies.errors.ConfigurationError: seed of a scenario must be from 0 to \
9223372036854775807; got -1.
    """
    if not 0 <= seed <= _LARGEST_SEED:
        msg = f"seed {where} must be from 0 to {_LARGEST_SEED}; got {seed}."
        raise ConfigurationError(msg)


@dataclass(frozen=True)
class ClientSettings:
    """How each organization trains: the ``[client]`` table, sent with every instruction.

    Attributes
    ----------
    dataset
        ``breast_cancer``, ``digits`` or ``mnist``.
    model
        ``logistic``, ``mlp``, ``cnn`` or ``cnn_large`` (images only).
    partition
        ``iid``, ``dirichlet``, ``shards`` (sorted by label), ``gamma`` or ``long_tail``.
    alpha
        Concentration of the Dirichlet partition; small is unequal.
    gamma
        Share of the samples that the gamma partition deals as IID; the others are sorted.
    shards_per_client
        Label-sorted shards that each client holds, for ``shards``.
    tail_factor
        Class i keeps tail_factor^i of its samples, for ``long_tail``.
    local_epochs, local_steps
        Passes over the local data, or, where ``local_steps`` > 0, optimizer steps instead.
    batch_size
        Samples per step.
    learning_rate, momentum, weight_decay
        Of the local optimizer.
    optimizer
        ``sgd`` or ``adam``.
    seed
        Of the partition, the initial model and the order of the batches.

    """

    dataset: str = "breast_cancer"
    model: str = "mlp"
    partition: str = "iid"
    alpha: float = 0.5
    gamma: float = 0.5
    shards_per_client: int = 2
    tail_factor: float = 0.5
    local_epochs: int = 1
    local_steps: int = 0
    batch_size: int = 32
    learning_rate: float = 0.05
    momentum: float = 0.0
    weight_decay: float = 0.0
    optimizer: str = "sgd"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse unknown names and numbers outside their range."""
        check_seed(self.seed, "in [client]")
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                what = f"{name} in [client]"
                raise UnknownNameError(what, getattr(self, name), known)
        for name, low in (
            ("shards_per_client", 1),
            ("local_epochs", 1),
            ("local_steps", 0),
            ("batch_size", 1),
            ("momentum", 0.0),
            ("weight_decay", 0.0),
            ("gamma", 0.0),
        ):
            value = getattr(self, name)
            if value < low:
                msg = f"{name} in [client] must be at least {low}; got {value}."
                raise ConfigurationError(msg)
        for name in ("alpha", "learning_rate", "tail_factor"):
            value = getattr(self, name)
            if value <= 0:
                msg = f"{name} in [client] must be above 0; got {value}."
                raise ConfigurationError(msg)
        for name in ("gamma", "tail_factor"):
            value = getattr(self, name)
            if value > 1:
                msg = f"{name} in [client] must be at most 1; got {value}."
                raise ConfigurationError(msg)

    def to_wire(self) -> dict[str, str | int | float]:
        """Return the flat mapping that travels in a Flower ``ConfigRecord``."""
        return asdict(self)

    @classmethod
    def from_wire(cls, record: Mapping[str, object]) -> ClientSettings:
        """Read the settings out of a received record; other keys belong to others.

        Raises
        ------
        ConfigurationError
            If a value has the wrong type, is an unknown name or lies outside its range.

        Example
        -------
        >>> ClientSettings.from_wire({"dataset": "digits", "server-round": 3}).dataset
        'digits'

        """
        names = cls.__dataclass_fields__
        own = {key: value for key, value in record.items() if key in names}
        return read_settings(cls, own, where="[client]")
