"""Read what a person wrote (TOML, keywords) into typed values, and refuse the rest by name.

One checker serves the configuration files and the parameters of the rules,
so that an unknown key is refused in the same words everywhere.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union

from quickthorn.strategies.errors import ConfigurationError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")


def read_settings(kind: type[T], table: Mapping[str, object], *, where: str) -> T:
    """Build the dataclass ``kind`` from ``table``.

    Parameters
    ----------
    kind
        A dataclass; its fields may be ``str``, ``int``, ``float``, ``bool``, ``Literal``,
        a union of those, ``tuple[X, ...]``, ``dict[str, X]`` or another dataclass.
    table
        The keys and values as written, for instance by ``tomllib``.
    where
        What to call the table in an error, for instance ``"[server]"``.

    Raises
    ------
    UnknownNameError
        For a key that ``kind`` does not have; the closest known one is named.
    ConfigurationError
        For a value of the wrong type and for a missing key.

    Example
    -------
    >>> @dataclasses.dataclass(frozen=True)
    ... class Radio:
    ...     volume: int = 3
    >>> read_settings(Radio, {"volum": 4}, where="[radio]")
    Traceback (most recent call last):
    ...
    quickthorn.strategies.errors.UnknownNameError: unknown key of [radio] 'volum'; \
did you mean 'volume'? Known: volume.

    """
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]  # T is a dataclass
    values: dict[str, object] = {}
    for key, value in table.items():
        if key not in fields:
            raise UnknownNameError(f"key of {where}", key, fields)
        inner = f"[{key}]" if dataclasses.is_dataclass(hints[key]) else f"{key} in {where}"
        values[key] = check_value(value, hints[key], where=inner)
    missing = [name for name, field in fields.items() if name not in values and _required(field)]
    if missing:
        msg = f"{where} lacks {', '.join(missing)}; add it."
        raise ConfigurationError(msg)
    return kind(**values)


def check_value(value: object, hint: Any, *, where: str) -> object:  # noqa: ANN401 - a type hint
    """Return ``value`` as the type ``hint`` asks for, or raise a ``ConfigurationError``."""
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, typing.Mapping):
            raise _wrong(value, "a table", where)
        return read_settings(typing.cast("type[object]", hint), value, where=where)
    origin = typing.get_origin(hint)
    if origin in {Union, types.UnionType}:
        return _check_union(value, typing.get_args(hint), where)
    if origin is Literal:
        choices = typing.get_args(hint)
        if value not in choices or isinstance(value, bool):
            raise _wrong(value, " or ".join(map(repr, choices)), where)
        return choices[choices.index(value)]  # 4 where 4.0 was written
    if origin is dict:
        if not isinstance(value, dict):
            raise _wrong(value, "a table", where)
        inner = typing.get_args(hint)[1]
        return {
            key: check_value(item, inner, where=f"{key} in {where}") for key, item in value.items()
        }
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise _wrong(value, "a list", where)
        inner = typing.get_args(hint)[0]
        return tuple(check_value(item, inner, where=where) for item in value)
    return _check_scalar(value, hint, where)


def describe_type(hint: Any) -> str:  # noqa: ANN401 - a type hint
    """Name a type hint in the words of an error or a help text.

    >>> describe_type(float | Literal["median"])
    "a number or 'median'"
    """
    origin = typing.get_origin(hint)
    if origin in {Union, types.UnionType}:
        return " or ".join(describe_type(choice) for choice in typing.get_args(hint))
    if origin is Literal:
        return " or ".join(map(repr, typing.get_args(hint)))
    if origin in {tuple, dict}:
        return "a list" if origin is tuple else "a table"
    names = {int: "an integer", float: "a number", str: "a text", bool: "true or false"}
    return names.get(hint, "nothing" if hint is type(None) else str(hint))


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _check_union(value: object, choices: tuple[Any, ...], where: str) -> object:
    for choice in choices:
        try:
            return check_value(value, choice, where=where)
        except ConfigurationError:
            continue
    raise _wrong(value, " or ".join(map(describe_type, choices)), where)


def _check_scalar(value: object, hint: Any, where: str) -> object:  # noqa: ANN401 - a type hint
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if math.isfinite(value):
            return float(value)
        raise _wrong(value, "a finite number", where)
    if hint is object:
        return value
    if isinstance(value, hint) and not (isinstance(value, bool) and hint is not bool):
        return value
    raise _wrong(value, describe_type(hint), where)


def _wrong(value: object, needed: str, where: str) -> ConfigurationError:
    return ConfigurationError(f"{where} must be {needed}; got {value!r}.")
