"""What a function lets its user choose: read from its signature, checked, and shown to people.

Rules and attacks are both a function with a description beside it. What a person may write in
``clip(radius=2.0)`` is what the signature says, and it is refused and listed in the same words
everywhere.
"""

from __future__ import annotations

import inspect
import sys
import typing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

from quickthorn.strategies.errors import ConfigurationError, UnknownNameError
from quickthorn.strategies.settings import check_value, describe_type

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Named(Protocol):
    """Something with a name and parameters: the ``Spec`` of a rule or of an attack."""

    @property
    def name(self) -> str:
        """Return how it is called in a text form."""

    @property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """Return the user's parameters."""


def own_parameters(
    function: Callable[..., Any], supplied: frozenset[str]
) -> dict[str, inspect.Parameter]:
    """Return the keyword-only parameters of ``function`` that are left to its user.

    Parameters
    ----------
    function
        A function, or a class that is made with keywords.
    supplied
        The keywords that the caller supplies itself.

    Returns
    -------
    dict
        Name to parameter in the order of the signature, annotations resolved.

    Example
    -------
    >>> def cut(values, *, byzantine: int, radius: float = 1.0): ...
    >>> list(own_parameters(cut, frozenset({"byzantine"})))
    ['radius']

    """
    own = {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name not in supplied
    }
    # Only these annotations: the others name types that exist for the type checker alone.
    holder = SimpleNamespace(__annotations__={name: own[name].annotation for name in own})
    space = vars(sys.modules[function.__module__])
    hints = typing.get_type_hints(holder, globalns=space)
    return {name: own[name].replace(annotation=hints[name]) for name in own}


def summary_of(function: Callable[..., Any]) -> str:
    """Return the first line of the docstring."""
    return (inspect.getdoc(function) or "").partition("\n")[0]


def check_parameters(spec: Named, values: Mapping[str, object]) -> dict[str, object]:
    """Return ``values`` as the types that the parameters of ``spec`` ask for.

    Raises
    ------
    UnknownNameError
        For a parameter that ``spec`` does not have.
    ConfigurationError
        For a value of the wrong type and for a missing parameter.

    """
    known = spec.parameters
    checked = {}
    for name, value in values.items():
        if name not in known:
            raise _unknown_parameter(spec.name, name, known)
        where = f"{name} of {spec.name}"
        checked[name] = check_value(value, known[name].annotation, where=where)
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in checked:
            msg = f"{spec.name} needs {name}; write {spec.name}({name}=…)."
            raise ConfigurationError(msg)
    return checked


def as_call(name: str, values: Mapping[str, object]) -> str:
    """Return the text form.

    >>> as_call("clip", {"radius": 2.0}), as_call("nnm", {})
    ('clip(radius=2.0)', 'nnm')
    """
    inner = ", ".join(f"{key}={value}" for key, value in values.items())
    return f"{name}({inner})" if values else name


def describe_parameters(spec: Named) -> list[dict[str, object]]:
    """Return the parameters as plain values, ready for JSON."""
    return [
        {
            "name": key,
            "type": describe_type(parameter.annotation),
            "required": parameter.default is parameter.empty,
            "default": None if parameter.default is parameter.empty else parameter.default,
        }
        for key, parameter in spec.parameters.items()
    ]


def parameters_text(spec: Named) -> str:
    """Return the parameters in one line for people, with their types and defaults."""
    parts = [
        f"{key}: {describe_type(parameter.annotation)}"
        + ("" if parameter.default is parameter.empty else f" = {_text(parameter.default)}")
        for key, parameter in spec.parameters.items()
    ]
    return ", ".join(parts) or "none"


def _text(default: object) -> str:
    return "unset" if default is None else str(default)


def _unknown_parameter(owner: str, name: str, known: Mapping[str, object]) -> Exception:
    if known:
        return UnknownNameError(f"parameter of {owner}", name, known)
    return ConfigurationError(f"{owner} has no parameter {name!r}; it takes none. Leave it out.")
