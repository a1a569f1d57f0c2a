"""Read a TOML file that a person wrote, or say what is wrong with it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from quickthorn.strategies.errors import ConfigurationError


def read_toml(path: str | Path, what: str) -> dict[str, Any]:
    """Return the tables of the file at ``path``.

    Parameters
    ----------
    path
        The file, in UTF-8.
    what
        What to give instead where it cannot be read, for instance ``"a scenario's TOML file"``.

    Raises
    ------
    ConfigurationError
        If it cannot be read or is no TOML.

    Example
    -------
    >>> read_toml("missing.toml", "a scenario's TOML file")
    Traceback (most recent call last):
    ...
    quickthorn.strategies.errors.ConfigurationError: cannot read missing.toml: \
No such file or directory. Give a scenario's TOML file.

    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror}. Give {what}."
        raise ConfigurationError(msg) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{path} is not valid TOML: {error}."
        raise ConfigurationError(msg) from error
