"""Names of functions in configuration files, as ``module:function``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable


def resolve(reference: str) -> Callable[..., Any]:
    """Import what ``module:function`` names.

    Raises
    ------
    ConfigurationError
        If it cannot be imported or called.

    Example
    -------
    >>> resolve("math:sqrt")(4.0)
    2.0

    """
    module, _, name = reference.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        said = " ".join(str(error).split()).rstrip(".")
        msg = f"cannot import {reference!r}: {said}. Write it as module:function."
        raise ConfigurationError(msg) from error
    except (Exception, SystemExit) as error:  # also of a script that reads its arguments
        said = " ".join(str(error).split()).rstrip(".")
        msg = f"cannot import {reference!r}: {type(error).__name__}: {said}. Mend {module}."
        raise ConfigurationError(msg) from error
    if not callable(found):
        msg = f"{reference!r} is not a function; write module:function."
        raise ConfigurationError(msg)
    function: Callable[..., Any] = found
    return function
