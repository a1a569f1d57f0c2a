"""The ranges of a server's settings: one check for the TOML file and for ``RobustStrategy``."""

from __future__ import annotations

from numbers import Integral

from quickthorn.strategies.errors import ConfigurationError


def check_limits(  # noqa: PLR0913 - one keyword per setting
    *,
    fraction_train: float,
    fraction_evaluate: float,
    quorum: int,
    min_available_clients: int,
    patience: float,
    seed: int,
    spill_bytes: int,
    where: str = "",
) -> None:
    """Refuse settings outside their ranges.

    Parameters
    ----------
    fraction_train, fraction_evaluate, quorum, min_available_clients, patience, seed, spill_bytes
        As for ``RobustStrategy``.
    where
        Put behind the name in an error, for instance ``" in [server]"``.

    Raises
    ------
    ConfigurationError
        With the name, what it must be and what it is.

    Example
    -------
    >>> check_limits(fraction_train=1.5, fraction_evaluate=0, quorum=0,
    ...              min_available_clients=0, patience=1.0, seed=0, spill_bytes=0)
    Traceback (most recent call last):
    ...
    quickthorn.strategies.errors.ConfigurationError: fraction_train must be from 0 to 1; got 1.5.

    """
    for name, share in (
        ("fraction_train", fraction_train),
        ("fraction_evaluate", fraction_evaluate),
    ):
        if not 0 <= share <= 1:
            msg = f"{name}{where} must be from 0 to 1; got {share}."
            raise ConfigurationError(msg)
    for name, count in (
        ("quorum", quorum),
        ("min_available_clients", min_available_clients),
        ("seed", seed),
        ("spill_bytes", spill_bytes),
    ):
        if not isinstance(count, Integral) or count < 0:
            msg = f"{name}{where} must be an integer, 0 or more; got {count!r}."
            raise ConfigurationError(msg)
    if not patience >= 0:
        msg = f"patience{where} must be 0 seconds or more; got {patience}."
        raise ConfigurationError(msg)
