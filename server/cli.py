"""The ``quickthorn`` command: gathers the sub-commands that the folders contribute.

A folder declares its commands in ``pyproject.toml`` under ``quickthorn.commands``, so that
this file imports none of them by name and no folder imports one above it.
"""

from __future__ import annotations

import inspect
import re
import sys
from importlib.metadata import entry_points, version
from typing import TYPE_CHECKING, Any, get_type_hints

import typer
from typer.core import TyperArgument, TyperCommand

from quickthorn.strategies.errors import QuickthornError, RunError

if TYPE_CHECKING:
    from collections.abc import Callable

GROUP = "quickthorn.commands"
REFUSED, MISUSED = 1, 2
_INTERRUPTED, _UNREAD = 130, 141  # as a shell reports SIGINT and SIGPIPE
_FOR_DEVELOPERS = re.compile(r"^(?:[A-Z][\w ]*\n-{3,}$|>>> )", re.MULTILINE)


class _Command(TyperCommand):
    """A sub-command whose ``--help`` says what its arguments are.

    click 8.5 forgets the help that typer 0.20 gives to an argument.
    """

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - click's, not ours
        """Print the help, with that of the arguments taken from where they are declared."""
        declared = get_type_hints(self.callback, include_extras=True)
        for param in self.params:
            if isinstance(param, TyperArgument) and param.name:
                param.help = declared[param.name].__metadata__[0].help
        super().format_help(ctx, formatter)


def build_command() -> typer.Typer:
    """Return the command with every sub-command that is installed."""
    command = typer.Typer(
        name="quickthorn",
        help="Federated learning on Flower that stays right when members lie.",
        no_args_is_help=True,
        suggest_commands=False,  # click does since 8.4, and twice is too often
        add_completion=False,
        pretty_exceptions_enable=False,
    )

    @command.callback()
    def root(
        show_version: bool = typer.Option(
            False,  # noqa: FBT003 - its default
            "--version",
            help="Print the version and exit.",
            is_eager=True,
            callback=_print_version,
        ),
    ) -> None:
        del show_version  # its callback has exited

    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        function = entry.load()
        command.command(entry.name, cls=_Command, help=help_text(function))(function)
    return command


def help_text(function: Callable[..., object]) -> str:
    """Return what the docstring tells users: all before its first section or example.

    A paragraph becomes one line, which the terminal wraps.

    >>> def greet():
    ...     '''Greet
    ...     somebody.
    ...
    ...     Raises
    ...     ------
    ...     ValueError
    ...
    ...     '''
    >>> help_text(greet)
    'Greet somebody.'
    """
    told = _FOR_DEVELOPERS.split(inspect.getdoc(function) or "", maxsplit=1)[0]
    return "\n\n".join(" ".join(part.split()) for part in told.strip().split("\n\n"))


def _print_version(asked: bool) -> None:
    # In the option's own callback: the group's runs only once a sub-command is given.
    if asked:
        typer.echo(f"quickthorn {version('quickthorn')}")
        raise typer.Exit


def main() -> None:
    """Run the command; errors go to stderr with exit code 1 (a failed run) or 2 (misuse)."""
    try:
        build_command()()
    except KeyboardInterrupt:  # while the commands were loaded: typer catches a later one
        typer.echo("quickthorn: interrupted.", err=True)
        sys.exit(_INTERRUPTED)
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # the reader has enough: head, say
            sys.exit(_UNREAD)
        raise
    except RunError as error:
        typer.echo(f"quickthorn: {error}", err=True)
        sys.exit(REFUSED)
    except QuickthornError as error:
        typer.echo(f"quickthorn: {error}", err=True)
        sys.exit(MISUSED)
