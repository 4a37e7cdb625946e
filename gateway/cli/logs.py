"""`forebay logs`: one readable line per request, out of the ledger or out of a request log."""

import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from gateway.cli.console import Terminal, terminal_of
from gateway.cli.ledgertail import followed, newest
from gateway.cli.logtail import lines_of, lines_of_stream
from gateway.cli.moment import moment
from gateway.cli.requestline import RequestLine, as_json, harmless, of_ledger, of_log, rendered
from gateway.config.environment import home
from gateway.ledger.reading import Wanted

_LAST = 20


def logs(
    context: typer.Context,
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="A request log, or - for standard input; the ledger of this box without."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    last: Annotated[int, typer.Option("--last", "-n", min=0, metavar="N", help="How many to begin with.")] = _LAST,
    *,
    tenant: Annotated[str | None, typer.Option(help="This tenant alone.")] = None,
    tier: Annotated[str | None, typer.Option(help="What this tier answered alone.")] = None,
    errors: Annotated[bool, typer.Option("--errors", help="What did not end well alone.")] = False,
    since: Annotated[str | None, typer.Option(metavar="WHEN", help="10m, 24h, today, 2026-11-25 or a time.")] = None,
    as_json_lines: Annotated[bool, typer.Option("--json", help="Print one JSON document per line.")] = False,
) -> None:
    """Show what became of the last requests, a line each, and with --follow of those that come.

    Without a file it reads the ledger, which is there whether or not anybody kept the output of `forebay serve`; a
    gateway may stop and start meanwhile. A log file may be rotated. Ctrl-C ends it.
    """
    terminal = terminal_of(context)
    begin = None if since is None else moment(since, time.time(), "--since")
    wanted = Wanted(since=begin, tenant=tenant, tier=tier, errors=errors)
    try:
        for line in _lines(terminal, file, wanted, last, follow=follow):
            _show(terminal, line, as_json_lines=as_json_lines)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
    except BrokenPipeError:
        # Whoever read has seen enough. What is flushed when Python ends goes nowhere instead of failing again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None


def _lines(
    terminal: Terminal, file: str | None, wanted: Wanted, last: int, *, follow: bool
) -> Iterator[RequestLine | str]:
    if file is None:
        path = home(terminal.environ) / "ledger.sqlite"
        if not path.exists():
            terminal.err.print(f"there is no ledger at {path} yet; `forebay serve` writes it", soft_wrap=True)
        rows = followed(path, wanted, last) if follow else newest(path, wanted, last)
        yield from (of_ledger(row) for row in rows)
        return
    if file == "-":
        raw: Iterator[str] = lines_of_stream(sys.stdin)
        yield from _wanted(raw, wanted)
        return
    try:
        with lines_of(Path(file), follow=follow) as (whole, coming):
            yield from deque(_wanted(whole, wanted), maxlen=last)
            yield from _wanted(coming, wanted)
    except OSError as error:
        terminal.fail(f"cannot read {file}: {error.strerror}")


def _wanted(lines: Iterator[str], wanted: Wanted) -> Iterator[RequestLine | str]:
    """Requests that are wanted; a line that is no request is kept where nothing in particular is looked for."""
    particular = wanted != Wanted(since=wanted.since)
    for text in lines:
        line = of_log(text)
        if line is None:
            if not particular and wanted.since is None and text.strip():
                yield text
        elif _fits(line, wanted):
            yield line


def _fits(line: RequestLine, wanted: Wanted) -> bool:
    return (
        (wanted.tenant is None or line.tenant == wanted.tenant)
        and (wanted.tier is None or line.tier == wanted.tier)
        and not (wanted.errors and line.ok)
        and (wanted.since is None or line.at >= wanted.since)
    )


def _show(terminal: Terminal, line: RequestLine | str, *, as_json_lines: bool) -> None:
    if isinstance(line, str):
        if not as_json_lines:
            terminal.out.print(Text(harmless(line), "dim"), soft_wrap=True)
    elif as_json_lines:
        terminal.plain(as_json(line))
    else:
        terminal.out.print(rendered(line), soft_wrap=True)
