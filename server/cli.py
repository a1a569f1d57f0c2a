"""The ``quickthorn`` command: gathers the sub-commands that the folders contribute.

A folder declares its commands in ``pyproject.toml`` under ``quickthorn.commands``, so that
this file imports none of them by name and no folder imports one above it.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points, version

import typer

from quickthorn.strategies.errors import QuickthornError, RunError

GROUP = "quickthorn.commands"
REFUSED, MISUSED = 1, 2
_INTERRUPTED, _UNREAD = 130, 141  # as a shell reports SIGINT and SIGPIPE


def build_command() -> typer.Typer:
    """Return the command with every sub-command that is installed."""
    command = typer.Typer(
        name="quickthorn",
        help="Federated learning on Flower that stays right when members lie.",
        no_args_is_help=True,
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
        command.command(entry.name)(entry.load())
    return command


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
