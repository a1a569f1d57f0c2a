"""The one TOML file of a federation: what the server does and how the organizations train."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from quickthorn.strategies import build
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.settings import read_settings
from quickthorn.strategies.wire import ClientSettings

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    rounds, round_timeout
        How many rounds, and the seconds that each phase of one may take.
    fraction_train, fraction_evaluate, quorum, min_available_clients, patience, seed, run_dir
        As for ``RobustStrategy``; 0 (or empty) stands for its default.

    """

    defense: str
    byzantine: int
    model: str
    evaluate: str = ""
    rounds: int = 3
    round_timeout: float = 600.0
    fraction_train: float = 1.0
    fraction_evaluate: float = 0.0
    quorum: int = 0
    min_available_clients: int = 0
    patience: float = 60.0
    seed: int = 0
    run_dir: str = ""

    def __post_init__(self) -> None:
        """Refuse what the strategy would refuse later, before anything is started."""
        build(self.defense, byzantine=self.byzantine)
        if self.rounds < 1:
            msg = f"rounds in [server] must be at least 1; got {self.rounds}."
            raise ConfigurationError(msg)
        for name in ("quorum", "min_available_clients", "seed"):
            if getattr(self, name) < 0:
                msg = f"{name} in [server] must be at least 0; got {getattr(self, name)}."
                raise ConfigurationError(msg)
        for name in ("fraction_train", "fraction_evaluate"):
            if not 0 <= getattr(self, name) <= 1:
                msg = f"{name} in [server] must be from 0 to 1; got {getattr(self, name)}."
                raise ConfigurationError(msg)
        for name in ("round_timeout", "patience"):
            if getattr(self, name) <= 0:
                msg = f"{name} in [server] must be above 0 seconds; got {getattr(self, name)}."
                raise ConfigurationError(msg)


@dataclass(frozen=True)
class FederationSettings:
    """A whole file: ``[server]``, ``[client]`` and, optionally, ``[organizations]``.

    Attributes
    ----------
    server, client
        The two sides.
    organizations
        Name of an organization to its client id, ``key:…`` or ``node:…``.

    """

    server: ServerSettings
    client: ClientSettings = field(default_factory=ClientSettings)
    organizations: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_toml(cls, path: str | Path) -> FederationSettings:
        """Read the file at ``path``.

        Raises
        ------
        ConfigurationError
            If it is missing, no TOML, or has an unknown key (the near miss is named) or a
            value that cannot be used.

        """
        try:
            table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            msg = f"cannot read {path}: {error.strerror}. Give the federation's TOML file."
            raise ConfigurationError(msg) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            msg = f"{path} is not valid TOML: {error}."
            raise ConfigurationError(msg) from error
        return cls.from_table(table)

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
