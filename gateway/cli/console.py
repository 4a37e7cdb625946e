"""What commands write to: text for people, JSON for programs, one line for errors."""

import sys
from collections.abc import Sequence
from typing import NoReturn, TextIO

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from gateway.config.environment import Environ, debug, no_color
from gateway.config.errors import Problem

# A table in a file or a pipe has no window to fit into.
_PIPE_WIDTH = 160


class Terminal:
    """Standard output and error, with colour only where somebody is looking and NO_COLOR is not set.

    Commands get it as the object of their typer context, and the environment with it.
    """

    def __init__(self, environ: Environ, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self.environ = environ
        self.out = _console(out or sys.stdout, environ)
        self.err = _console(err or sys.stderr, environ)

    @property
    def debug(self) -> bool:
        """Whether tracebacks are wanted."""
        return debug(self.environ)

    def json(self, document: object) -> None:
        """Write a document of plain values or structs as JSON; nothing else goes to standard output beside it."""
        encoded = msgspec.json.Encoder(decimal_format="number").encode(document)
        self.plain(msgspec.json.format(encoded, indent=2).decode())

    def plain(self, text: str) -> None:
        """Write a text as it is, neither wrapped nor coloured."""
        self.out.file.write(text if text.endswith("\n") else text + "\n")
        self.out.file.flush()

    def error(self, message: str) -> None:
        """Write one line on what went wrong."""
        line = Text.assemble(("forebay:", "bold red"), " ", message)
        self.err.print(line, soft_wrap=True)

    def warn(self, message: str) -> None:
        """Write one line on what will go wrong, or could."""
        line = Text.assemble(("forebay: warning:", "bold yellow"), " ", message)
        self.err.print(line, soft_wrap=True)

    def fail(self, message: str, code: int = 1) -> NoReturn:
        """Write one line on what went wrong, and end the command."""
        self.error(message)
        raise typer.Exit(code)

    def problems(self, problems: Sequence[Problem], *, to: Console) -> None:
        """Write the problems of a configuration, one line each and in columns."""
        place_width = max(len(problem.place) for problem in problems)
        key_width = max(len(problem.key) for problem in problems)
        for problem in problems:
            line = Text()
            line.append(f"{problem.place + ':':<{place_width + 1}} ", "bold")
            if key_width:
                line.append(f" {problem.key:<{key_width}}  ", "cyan")
            line.append(problem.sentence)
            to.print(line, soft_wrap=True)


def terminal_of(context: typer.Context) -> Terminal:
    """The terminal `main` gave the command."""
    terminal = context.find_object(Terminal)
    assert terminal is not None
    return terminal


def _console(stream: TextIO, environ: Environ) -> Console:
    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(
        file=stream,
        width=width,
        no_color=no_color(environ),
        highlight=False,
        markup=False,
        emoji=False,
        _environ=environ,
    )
