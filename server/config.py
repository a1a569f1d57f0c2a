"""The one TOML file of a federation: what the server does and how the organizations train."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from quickthorn.server.limits import check_limits
from quickthorn.server.root import check_root
from quickthorn.server.storage import SPILL_BYTES
from quickthorn.server.toml_file import read_toml
from quickthorn.strategies import build
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.optimizer import build_optimizer
from quickthorn.strategies.reputation import Policy
from quickthorn.strategies.settings import read_settings
from quickthorn.strategies.wire import ClientSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_CLIENT_ID = re.compile(r"key:[0-9a-f]{16}|node:[0-9]+")


@dataclass(frozen=True)
class ServerSettings:
    """The ``[server]`` table.

    Attributes
    ----------
    defense, byzantine
        As for ``RobustStrategy``.
    model
        ``module:function`` that is called with the ``ClientSettings`` and returns the initial
        model, name to array.
    evaluate
        ``module:function`` that is called with the ``ClientSettings`` and returns a function
        (round, model) to metrics; empty for no evaluation at the server.
    root
        ``module:function`` that is called with the ``ClientSettings`` and returns a function
        (round, model) to the model that the server trained on data of its own; empty for none.
    held
        ``module:function`` that is called with the ``ClientSettings`` and returns a function
        (round, model) to loss and recall of each class; empty for none.
    data_dir
        Folder of a data set that is not bundled, handed to ``evaluate``, ``root`` and ``held`` as
        a second argument.
    rounds, round_timeout
        How many rounds, and the seconds that each phase of one may take.
    optimizer
        As for ``RobustStrategy``, as text.
    automatic
        As for ``RobustStrategy``: ``"observe"``, ``"propose"`` or ``"quarantine"``.
    fraction_train, fraction_evaluate, quorum, min_available_clients, patience, seed,
    spill_bytes, run_dir
        As for ``RobustStrategy``; a quorum or ``min_available_clients`` of 0 and an empty
        ``run_dir`` stand for its default. Evaluation at the clients is off unless asked for.

    """

    defense: str | tuple[dict[str, object], ...]
    byzantine: int
    model: str
    evaluate: str = ""
    root: str = ""
    held: str = ""
    data_dir: str = ""
    optimizer: str = "sgd"
    automatic: str = "propose"
    rounds: int = 3
    round_timeout: float = 600.0
    fraction_train: float = 1.0
    fraction_evaluate: float = 0.0
    quorum: int = 0
    min_available_clients: int = 0
    patience: float = 60.0
    seed: int = 0
    spill_bytes: int = SPILL_BYTES
    run_dir: str = ""

    def __post_init__(self) -> None:
        """Refuse what the strategy would refuse later, before anything is started."""
        check_root(build(self.defense, byzantine=self.byzantine), self.root)
        build_optimizer(self.optimizer)
        Policy(self.automatic)
        if self.rounds < 1:
            msg = f"rounds in [server] must be at least 1; got {self.rounds}."
            raise ConfigurationError(msg)
        if self.round_timeout <= 0:
            msg = f"round_timeout in [server] must be above 0 seconds; got {self.round_timeout}."
            raise ConfigurationError(msg)
        check_limits(
            fraction_train=self.fraction_train,
            fraction_evaluate=self.fraction_evaluate,
            quorum=self.quorum,
            min_available_clients=self.min_available_clients,
            patience=self.patience,
            seed=self.seed,
            spill_bytes=self.spill_bytes,
            where=" in [server]",
        )


@dataclass(frozen=True)
class FederationSettings:
    """A whole file: ``[server]``, ``[client]`` and, optionally, ``[organizations]``.

    Attributes
    ----------
    server, client
        The two sides.
    organizations
        Name of an organization to its client id, ``key:…`` or ``node:…``, or to those of its
        nodes.

    """

    server: ServerSettings
    client: ClientSettings = field(default_factory=ClientSettings)
    organizations: dict[str, str | tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse ids that no client can have, and one id that stands there twice."""
        named = self._named
        for name, client in named:
            if not _CLIENT_ID.fullmatch(client):
                msg = (
                    f"{name} in [organizations] must be 'key:' and 16 hexadecimal digits, or "
                    f"'node:' and a number, as the record shows it, or a list of these; "
                    f"got {client!r}."
                )
                raise ConfigurationError(msg)
        if len(self.names) < len(named):
            clients = [client for _, client in named]
            client = next(client for client in clients if clients.count(client) > 1)
            holders = " and ".join(name for name, known in named if known == client)
            msg = f"client id {client!r} stands twice in [organizations], under {holders}; "
            raise ConfigurationError(f"{msg}keep one of them.")

    @property
    def names(self) -> dict[str, str]:
        """Return client id to the name of its organization, as ``RobustStrategy`` takes it.

        >>> table = {"server": {"defense": "median", "byzantine": 1, "model": "a:b"}}
        >>> nodes = {"organizations": {"North": ["node:1", "node:2"], "South": "node:3"}}
        >>> FederationSettings.from_table(table | nodes).names
        {'node:1': 'North', 'node:2': 'North', 'node:3': 'South'}
        """
        return {client: name for name, client in self._named}

    @property
    def _named(self) -> list[tuple[str, str]]:
        """Return all pairs of a name and a client id."""
        return [
            (name, client)
            for name, clients in self.organizations.items()
            for client in ([clients] if isinstance(clients, str) else clients or [""])
        ]

    @classmethod
    def from_toml(cls, path: str | Path) -> FederationSettings:
        """Read the file at ``path``.

        Raises
        ------
        ConfigurationError
            If it is missing, no TOML, or has an unknown key (the near miss is named) or a
            value that cannot be used.

        """
        return cls.from_table(read_toml(path, "the federation's TOML file"))

    @classmethod
    def from_table(cls, table: Mapping[str, object]) -> FederationSettings:
        """Read an already parsed file.

        Example
        -------
        >>> FederationSettings.from_table({"server": {"defence": "median"}})
        Traceback (most recent call last):
        ...
        quickthorn.strategies.errors.UnknownNameError: unknown key of [server] 'defence'; \
did you mean 'defense'? Known: ...

        """
        return read_settings(cls, table, where="the federation")
