"""The command line as a whole: what it knows, what it does not, and what it lets nobody see."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
import typer

from gateway.cli.console import Terminal, terminal_of
from gateway.cli.main import application, run
from gateway.config.errors import ConfigError, Problem
from gateway.errors import ForebayError
from tests.config.files import CONFIGS

PROBLEM = Problem(file="f.yaml", line=3, column=1, key="tiers", message="every tier is empty")


class Screen(io.StringIO):
    """A stream that somebody looks at."""

    def isatty(self) -> bool:
        """It is a terminal."""
        return True


def failing(error: BaseException) -> typer.Typer:
    """A command line whose one command fails."""
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def fail() -> NoReturn:
        raise error

    return app


def ended(app: typer.Typer, *arguments: str, **environ: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of one run."""
    out, err = io.StringIO(), io.StringIO()
    status = run(app, Terminal(environ, out, err), arguments)
    return status, out.getvalue(), err.getvalue()


def test_version() -> None:
    """The installed command tells its version."""
    command = Path(sys.executable).parent / "forebay"
    done = subprocess.run([str(command), "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("forebay 0.")


def test_schema_prints_the_committed_file() -> None:
    """What the test of the schema tells people to run writes exactly that file."""
    status, out, err = ended(application(), "schema")
    assert (status, err) == (0, "")
    assert out == (CONFIGS / "forebay.schema.json").read_text("utf-8")
    assert json.loads(out)["title"] == "Forebay configuration"


@pytest.mark.parametrize("arguments", [["chek"], ["check"], ["check", "a", "b"], ["check", "--jsn", "f"], ["--nope"]])
def test_what_is_not_understood_exits_with_2(arguments: list[str]) -> None:
    """Unlike a file with problems, which exits with 1."""
    assert ended(application(), *arguments)[0] == 2


def test_an_unexpected_error_is_one_line() -> None:
    """No traceback, but how to get one."""
    status, out, err = ended(failing(KeyError("lost")))
    assert (status, out) == (1, "")
    assert err == "forebay: KeyError: 'lost' (unexpected; set FOREBAY_DEBUG=1 to see where it came from)\n"


def test_of_a_long_error_the_first_line_is_shown() -> None:
    """And of one without a text, its name."""
    assert ended(failing(ValueError("one\ntwo")))[2].startswith("forebay: ValueError: one (unexpected")
    assert ended(failing(ValueError()))[2].startswith("forebay: ValueError (unexpected")


def test_with_debugging_an_unexpected_error_is_raised() -> None:
    """FOREBAY_DEBUG=1 lets the traceback through."""
    with pytest.raises(KeyError, match="lost"):
        ended(failing(KeyError("lost")), FOREBAY_DEBUG="1")


def test_an_error_of_our_own_is_its_message() -> None:
    """What Forebay raises on purpose is written for the reader, and is never called unexpected."""
    assert ended(failing(ForebayError("the port 8080 is taken; choose another"))) == (
        1,
        "",
        "forebay: the port 8080 is taken; choose another\n",
    )


def test_problems_of_a_configuration_come_from_every_command() -> None:
    """A command that loads a file need not know how problems are shown."""
    assert ended(failing(ConfigError([PROBLEM]))) == (1, "", "f.yaml:3:  tiers  every tier is empty\n")


@pytest.mark.parametrize(("error", "status"), [(typer.Exit(3), 3), (typer.Exit(0), 0), (typer.Abort(), 1)])
def test_a_command_chooses_its_exit_status(error: BaseException, status: int) -> None:
    """typer's own ways to end a command pass through."""
    assert ended(failing(error))[0] == status


def test_fail_says_one_line_and_ends_the_command() -> None:
    """Commands fail with a sentence and a status."""
    app = typer.Typer()

    @app.command()
    def stop(context: typer.Context) -> None:
        terminal_of(context).fail("no [model] here", code=4)

    assert ended(app) == (4, "", "forebay: no [model] here\n")


def test_colours_are_for_terminals_and_not_for_those_who_refuse_them() -> None:
    """On a terminal only, and NO_COLOR is honoured (https://no-color.org)."""
    seen = {}
    for name, stream, environ in (
        ("terminal", Screen(), {"TERM": "xterm"}),
        ("refused", Screen(), {"TERM": "xterm", "NO_COLOR": "1"}),
        ("pipe", io.StringIO(), {"TERM": "xterm"}),
    ):
        terminal = Terminal(environ, err=stream)
        terminal.problems([PROBLEM], to=terminal.err)
        seen[name] = stream.getvalue()
    assert "\x1b[36m" in seen["terminal"]
    assert "\x1b[36m" not in seen["refused"]
    assert seen["pipe"] == "f.yaml:3:  tiers  every tier is empty\n"


def test_long_lines_are_not_broken() -> None:
    """A problem stays one line however narrow the window, or it could not be clicked or searched."""
    stream = Screen()
    terminal = Terminal({"TERM": "dumb", "COLUMNS": "40"}, err=stream)
    terminal.problems([Problem(file="f", line=1, column=1, key="k", message="word " * 40)], to=terminal.err)
    terminal.error("word " * 40)
    assert stream.getvalue().count("\n") == 2


def test_json_is_one_document() -> None:
    """Whatever the terminal, JSON is neither wrapped nor coloured."""
    stream = Screen()
    Terminal({"TERM": "xterm"}, out=stream).json({"problem": PROBLEM, "long": "x" * 500})
    assert json.loads(stream.getvalue())["problem"]["line"] == 3
