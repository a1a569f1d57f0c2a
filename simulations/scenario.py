"""A scenario: one simulated federation, told completely by one small table."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from quickthorn.client.datasets import load_dataset
from quickthorn.server.toml_file import read_toml
from quickthorn.simulations.attacks.attack import build_attack
from quickthorn.simulations.checks import check
from quickthorn.simulations.schedule import parse_schedule
from quickthorn.strategies import build
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.optimizer import build_optimizer
from quickthorn.strategies.reputation import Policy
from quickthorn.strategies.settings import describe_type, read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Part of every digest; to be raised when the same scenario no longer gives the same model.
_MEANING = 3


@dataclass(frozen=True)
class Scenario:
    """One federation: its data, its members, its attack and its defense.

    Texts of a defense, an optimizer or an attack are brought to one form when it is made, so
    that what means the same is the same scenario.

    Attributes
    ----------
    dataset, data_dir
        ``breast_cancer``, ``digits`` or ``mnist``, and the folder of MNIST's files.
    model
        ``logistic``, ``mlp``, ``cnn``, ``cnn_large``, or ``module:factory``: a function of
        (sample shape, number of classes) that returns a ``torch.nn.Module``.
    clients, clients_per_round
        How many members there are, and how many are drawn in a round; 0 draws all.
    partition, alpha, gamma, tail_factor
        Who holds which samples: ``iid``; ``dirichlet`` with concentration ``alpha``;
        ``shards``, sorted by label and cut into one piece per honest client; ``gamma``, a share
        ``gamma`` of the samples IID and the rest as ``shards``; ``long_tail``, IID, but of
        class i only the share ``tail_factor`` ^ i, of the test samples as well. With ``shards``
        and ``gamma`` the hostile hold IID parts of the same samples.
    rounds
        Rounds of training.
    local_epochs, local_steps
        Passes over a client's data per round, or, where ``local_steps`` > 0, steps instead.
    batch_size, lr, lr_schedule, weight_decay
        Of the clients' SGD. The schedule is ``constant``, ``step(every=50, factor=0.5)`` or
        ``inverse(every=50)``, by rounds.
    client_momentum, client_damping
        β of a momentum that each client keeps over the rounds: m ← β m + g, or damped,
        m ← β m + (1 − β) g.
    attackers, byzantine
        How many clients are hostile (those with the highest ids), and how many the defense
        assumes. They differ where one studies a wrong assumption.
    attack, attack_start, attack_every
        What the hostile do, as text (``none``: they are honest): from round ``attack_start``
        on, in every ``attack_every``-th round.
    defense, optimizer
        As text; see ``quickthorn rules``.
    quarantine
        Whether the server leaves out whom it takes for hostile, by itself and within the limits
        of the defense, from the next round on. Else it only observes.
    seed
        Of the partition, the initial model, the batches, the draw of clients and the attack.
    eval_every
        Judge the model in every so many rounds, and always after the last.
    strategy
        ``engine``: in this process. ``flower``: the same clients under ``RobustStrategy``, over
        Flower's messages; slower, and the same model to the bit.

    Raises
    ------
    UnknownNameError
        For a data set, a model, a rule or a parameter that does not exist.
    ConfigurationError
        For a value outside its range.

    Example
    -------
    >>> scenario = Scenario(defense="nnm|median", byzantine=2)
    >>> scenario.defense, scenario.client_ids[:2], len(scenario.digest)
    ('nnm | median', ('client-00', 'client-01'), 64)

    """

    dataset: str = "digits"
    data_dir: str = ""
    model: str = "mlp"
    clients: int = 20
    clients_per_round: int = 0
    partition: str = "iid"
    alpha: float = 0.5
    gamma: float = 0.5
    tail_factor: float = 0.5
    rounds: int = 20
    local_epochs: int = 1
    local_steps: int = 0
    batch_size: int = 32
    lr: float = 0.1
    lr_schedule: str = "constant"
    client_momentum: float = 0.0
    client_damping: bool = False
    weight_decay: float = 0.0
    attackers: int = 0
    byzantine: int = 0
    attack: str = "none"
    attack_start: int = 1
    attack_every: int = 1
    defense: str = "mean"
    optimizer: str = "sgd"
    quarantine: bool = False
    seed: int = 0
    eval_every: int = 1
    strategy: Literal["engine", "flower"] = "engine"

    def __post_init__(self) -> None:
        """Refuse what could fail later, and bring texts to one form."""
        check(self)
        canonical = {
            "defense": str(build(self.defense, byzantine=self.byzantine)),
            "optimizer": str(build_optimizer(self.optimizer)),
            "attack": str(build_attack(self.attack)),
        }
        parse_schedule(self.lr_schedule)
        for name, text in canonical.items():
            object.__setattr__(self, name, text)

    @classmethod
    def from_toml(cls, path: str | Path, settings: Mapping[str, object] | None = None) -> Scenario:
        """Read the file at ``path``: keys named as the attributes, flat or under ``[scenario]``.

        Parameters
        ----------
        path
            The file.
        settings
            Other values of some keys, as in ``with_settings``; the file need not be a scenario
            without them.

        Raises
        ------
        ConfigurationError
            If it is missing, no TOML, has an unknown key (the near miss is named) or a value
            that cannot be used.

        """
        table = read_toml(path, "a scenario's TOML file")
        if "grid" in table:
            msg = f"{path} is a grid of scenarios; run it by quickthorn compare {path} --out DIR."
            raise ConfigurationError(msg)
        return cls.from_table(_without_heading(table, path), settings)

    @classmethod
    def from_table(
        cls, table: Mapping[str, object], settings: Mapping[str, object] | None = None
    ) -> Scenario:
        """Read an already parsed table; see ``from_toml``.

        Example
        -------
        >>> Scenario.from_table({"atackers": 4})
        Traceback (most recent call last):
        ...
        quickthorn.strategies.errors.UnknownNameError: unknown key of the scenario 'atackers'; \
did you mean 'attackers'? Known: ...

        """
        return read_settings(cls, {**table, **_typed(settings or {})}, where="the scenario")

    def with_settings(self, settings: Mapping[str, object]) -> Scenario:
        """Return the scenario with other values of some keys, given as text or as values.

        Raises
        ------
        UnknownNameError, ConfigurationError
            As ``from_table`` does.

        Example
        -------
        >>> Scenario().with_settings({"clients": "50", "defense": "median"}).clients
        50

        """
        return self.from_table(self.to_table(), settings)

    def to_table(self) -> dict[str, object]:
        """Return every key with its value; ``from_table`` reads it back."""
        return dataclasses.asdict(self)

    @property
    def digest(self) -> str:
        """Return the SHA-256, in hexadecimal, of all that determines the result.

        Where a data set's files lie does not count; what they hold does.

        Raises
        ------
        ConfigurationError
            If the files are missing.

        """
        told = {**self.to_table(), "data_dir": "", "meaning": _MEANING}
        # A later key: where it does nothing, a scenario keeps the digest that it had.
        if self.partition != "long_tail":
            del told["tail_factor"]
        if self.data_dir and self.dataset == "mnist":
            told["data"] = _fingerprint(self.data_dir)
        text = json.dumps(told, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def client_ids(self) -> tuple[str, ...]:
        """Return the ids of all clients; the order of text is the order of numbers."""
        width = len(str(self.clients - 1))
        return tuple(f"client-{number:0{width}}" for number in range(self.clients))

    @property
    def hostile(self) -> tuple[str, ...]:
        """Return the ids of the hostile clients: the last ones."""
        return self.client_ids[self.clients - self.attackers :]

    @property
    def policy(self) -> Policy:
        """Return what the server does by itself to whom it takes for hostile."""
        return Policy(automatic="quarantine" if self.quarantine else "observe")

    def attacks_in(self, number: int) -> bool:
        """Say whether the hostile clients attack in round ``number``."""
        since = number - self.attack_start
        return self.attackers > 0 and since >= 0 and since % self.attack_every == 0


def _without_heading(table: Mapping[str, object], path: str | Path) -> Mapping[str, object]:
    """Return the keys of a file that has them under ``[scenario]``, as a grid's file does."""
    inner = table.get("scenario")
    if not isinstance(inner, dict):
        return table
    beside = [key for key in table if key != "scenario"]
    if beside:
        msg = (
            f"{path} has {beside[0]} beside the table [scenario]. Write all keys in that table, "
            "or all without one."
        )
        raise ConfigurationError(msg)
    return inner


def _typed(settings: Mapping[str, object]) -> dict[str, object]:
    """Turn the texts of ``--set`` into the types of their keys; other values stay."""
    hints = typing.get_type_hints(Scenario)
    texts = {key for key, value in settings.items() if isinstance(value, str) and key in hints}
    return {
        key: _from_text(key, str(value), hints[key]) if key in texts else value
        for key, value in settings.items()
    }


def _from_text(key: str, text: str, hint: object) -> object:
    if hint is bool and text in {"true", "false"}:
        return text == "true"
    if hint is int or hint is float:
        try:
            return int(text) if hint is int else float(text)
        except ValueError as error:
            msg = f"{key} in the scenario must be {describe_type(hint)}; got {text!r}."
            raise ConfigurationError(msg) from error
    return text


@cache
def _fingerprint(folder: str) -> str:
    """Return the SHA-256 of a folder's MNIST files, whatever they are compressed with."""
    sha = hashlib.sha256()
    for split in load_dataset("mnist", folder):
        sha.update(split.features.tobytes())
        sha.update(split.labels.tobytes())
    return sha.hexdigest()
