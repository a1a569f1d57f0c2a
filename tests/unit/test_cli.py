"""The ``quickthorn`` command: help, version, and what its exit codes mean."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points, version
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, get_type_hints

import pytest
import typer

from quickthorn.server import cli
from quickthorn.strategies.errors import ConfigurationError, RunError, UnknownNameError
from tests.commands import runner

if TYPE_CHECKING:
    from tests.commands import Command


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function from arguments to exit code, stdout and stderr of ``quickthorn``."""

    def greet(name: Annotated[str, typer.Argument(help="Whom to greet.")]) -> None:
        """Greet somebody.

        It takes
        no time.

        Raises
        ------
        RunError
            If there is nobody.

        """
        unread = SystemExit(1)  # so rich and click leave the handling of a broken pipe
        unread.__context__ = BrokenPipeError()
        failures = {
            "config": ConfigurationError("rounds must be at least 1; got 0."),
            "name": UnknownNameError("rule", "medan", ["median"]),
            "run": RunError("the SuperLink did not start."),
            "ctrl-c": KeyboardInterrupt(),
            "pipe": unread,
        }
        if name in failures:
            raise failures[name]
        sys.stdout.write(f"hello {name}\n")

    def other() -> None:
        """Do something else."""

    entries = [
        SimpleNamespace(name=name, load=lambda function=function: function)
        for name, function in (("greet", greet), ("absent", other))
    ]
    monkeypatch.setattr(cli, "entry_points", lambda group: entries)

    return runner(monkeypatch, capsys)


def test_the_version_is_the_packages(command: Command) -> None:
    assert command("--version") == (0, f"quickthorn {version('quickthorn')}\n", "")


def test_help_lists_what_the_folders_contribute(
    command: Command,
) -> None:
    code, out, _ = command("--help")

    assert code == 0
    assert "Greet somebody." in out
    assert out.index("absent") < out.index("greet")


def test_help_is_for_users(command: Command) -> None:
    code, out, _ = command("greet", "--help")

    assert code == 0
    assert "It takes no time." in out
    assert "Whom to greet." in out
    assert "Raises" not in out
    assert "RunError" not in out


@pytest.mark.parametrize("name", sorted(entry_points(group=cli.GROUP).names))
def test_every_command_helps_users(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "300")  # nothing is wrapped
    monkeypatch.setattr(sys, "argv", ["quickthorn", name, "--help"])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    out = capsys.readouterr().out

    assert f"quickthorn {name} " in out
    assert not [word for word in ("Raises", "Parameters", "Returns", ">>>", "---") if word in out]
    function = entry_points(group=cli.GROUP)[name].load()
    for hint in get_type_hints(function, include_extras=True).values():
        for declared in getattr(hint, "__metadata__", ()):
            assert declared.help in out


def test_a_near_miss_is_named_once(command: Command) -> None:
    code, _, err = command("gret")

    assert code == cli.MISUSED
    assert err.count("Did you mean 'greet'?") == 1


def test_a_command_runs(command: Command) -> None:
    assert command("greet", "you") == (0, "hello you\n", "")


@pytest.mark.parametrize("arguments", [("gret",), ("greet",), ("greet", "--loud", "you"), ()])
def test_misuse_is_2(arguments: tuple[str, ...], command: Command) -> None:
    code, out, err = command(*arguments)

    assert code == cli.MISUSED
    assert "Usage" in out + err


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("config", cli.MISUSED, "quickthorn: rounds must be at least 1; got 0.\n"),
        (
            "name",
            cli.MISUSED,
            "quickthorn: unknown rule 'medan'; did you mean 'median'? Known: median.\n",
        ),
        ("run", cli.REFUSED, "quickthorn: the SuperLink did not start.\n"),
    ],
)
def test_an_error_is_one_line_on_stderr(name: str, code: int, words: str, command: Command) -> None:
    assert command("greet", name) == (code, "", words)


def test_an_interruption_is_130(command: Command) -> None:
    code, out, _ = command("greet", "ctrl-c")

    assert (code, out) == (130, "")


def test_an_interruption_before_the_command_has_begun_is_130_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(group: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "entry_points", interrupt)
    with pytest.raises(SystemExit, match="130"):
        cli.main()
    assert capsys.readouterr().err == "quickthorn: interrupted.\n"


def test_a_reader_that_has_enough_is_no_error(
    command: Command,
) -> None:
    assert command("greet", "pipe") == (141, "", "")
