"""The command `forebay`: its subcommands, and what becomes of whatever they let through."""

import io
import sys
from collections.abc import Sequence
from importlib.metadata import version as installed_version
from typing import Annotated

import typer
from typer.main import get_command

from gateway.cli.calibrate import calibrate_backends
from gateway.cli.check import check
from gateway.cli.console import Terminal
from gateway.cli.doctor import doctor
from gateway.cli.explain import explain
from gateway.cli.logs import logs
from gateway.cli.models import models
from gateway.cli.schema import schema
from gateway.cli.serve import serve
from gateway.cli.usage import usage
from gateway.config.environment import process_environment
from gateway.config.errors import ConfigError
from gateway.errors import ForebayError


def main() -> None:
    """Run the command line of this process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a sign shall not keep the message from being shown.
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(application(), Terminal(process_environment()), sys.argv[1:]))


def run(app: typer.Typer, terminal: Terminal, arguments: Sequence[str]) -> int:
    """Run one command line to its end, and give its exit status: 0 done, 1 failed, 2 not understood."""
    try:
        get_command(app)(list(arguments), obj=terminal, prog_name="forebay")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except ConfigError as error:
        terminal.problems(error.problems, to=terminal.err)
    except ForebayError as error:
        terminal.error(str(error))
    except Exception as error:
        # The last one to see it: a person gets one line, or the traceback they asked for.
        if terminal.debug:
            raise
        terminal.error(f"{_named(error)} (unexpected; set FOREBAY_DEBUG=1 to see where it came from)")
    return 1


def application() -> typer.Typer:
    """The command with all its subcommands. Each finds its Terminal in the typer context."""
    app = typer.Typer(
        name="forebay",
        help="Answers language-model requests on this box first, and goes to the cloud when it has to.",
        epilog="Environment: FOREBAY_HOME (models, ledger, logs; ~/.forebay), FOREBAY_DEBUG=1 (tracebacks), NO_COLOR.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for command in (serve, check, doctor, explain, usage, logs, schema):
        app.command()(command)
    app.command("calibrate")(calibrate_backends)
    app.add_typer(models(), name="models")
    return app


def _named(error: Exception) -> str:
    first_line = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__


def _print_version(context: typer.Context, wanted: bool) -> None:
    if wanted:
        terminal = context.find_object(Terminal)
        assert terminal is not None
        terminal.plain(f"forebay {installed_version('forebay')}")
        raise typer.Exit


def _options(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """What holds for every subcommand."""


if __name__ == "__main__":
    main()
