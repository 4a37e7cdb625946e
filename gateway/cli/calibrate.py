"""`forebay calibrate`: measure how sure a model is of good answers, so that the gateway knows a doubtful one."""

import asyncio
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from msgspec import Struct
from rich.table import Table

from gateway.app.calibration import Calibrated, calibrate, easy_prompts, prompts_in
from gateway.app.calibration import refuse_unmeasurable as refuse
from gateway.app.calibration_run import CannotCalibrate
from gateway.app.calibrations import CalibrationUnreadable, Measured, calibrations, keep
from gateway.cli.columns import columns
from gateway.cli.console import Terminal, terminal_of
from gateway.cli.progress import progress
from gateway.cli.source import configuration
from gateway.confidence import Floors
from gateway.confidence.calibrate import ONE_IN
from gateway.confidence.evidence import Band
from gateway.config.environment import home
from gateway.config.schema import Config
from gateway.config.suggest import nearest

_DEFAULT_SAMPLES = 200
_LARGEST_FILE = 1024 * 1024
# What a shell gives a process that a signal ended.
_SIGNALLED = 128


class BandLine(Struct, frozen=True, kw_only=True):
    """One band: what was measured, of whole answers and as far as a stream is held, and what is in force today."""

    band: Band
    temperature: float
    answers: int
    floors: Floors
    streamed: Floors | None
    today: Floors | None


class BackendReport(Struct, frozen=True, kw_only=True):
    """One backend. `file` is what was written, None with --dry-run."""

    backend: str
    model: str
    answers: int
    window_tokens: int
    file: str | None
    bands: tuple[BandLine, ...]


class Report(Struct, frozen=True, kw_only=True):
    """What `--json` prints."""

    backends: tuple[BackendReport, ...]


def calibrate_backends(
    context: typer.Context,
    *,
    config: Annotated[
        Path | None, typer.Option(help="Configuration file; the built-in developer set-up without.")
    ] = None,
    backend: Annotated[
        str | None, typer.Option(metavar="NAME", help="The backend to measure; every one with an engine without.")
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Easy prompts of your own, one a line; the built-in ones without."),
    ] = None,
    samples: Annotated[
        int, typer.Option(min=1, max=100_000, metavar="N", help="Answers to ask for at each of three temperatures.")
    ] = _DEFAULT_SAMPLES,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure and show, but write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure the confidence floors of a local model: how sure it is, at the least, of answers to easy prompts.

    Uses the engines of a gateway that is at work, or runs them meanwhile. The floors are kept under FOREBAY_HOME, and
    count from the next start of the gateway. Interrupted, it changes nothing.
    """
    terminal = terminal_of(context)
    loaded = configuration(config, terminal.environ)
    names = _names(terminal, loaded, backend)
    questions = _questions(terminal, prompts)
    if samples < ONE_IN:
        terminal.error(f"one in {ONE_IN} cannot be seen in {samples} answers: the low floor will be the lowest of them")
    try:
        measured = asyncio.run(_measured(terminal, loaded, names, questions, samples))
    except KeyboardInterrupt:
        terminal.fail("interrupted: the floors are what they were", code=_SIGNALLED + signal.SIGINT)
    except asyncio.CancelledError as error:
        terminal.error("interrupted: the floors are what they were")
        raise typer.Exit(_SIGNALLED + signal.SIGTERM) from error
    report = _kept(terminal, loaded, measured, dry_run=dry_run)
    if as_json:
        terminal.json(report)
    else:
        _print(terminal, report)


def _names(terminal: Terminal, config: Config, asked: str | None) -> tuple[str, ...]:
    """The backends to measure: the one asked for, or all that an engine serves, as far as they can be measured."""
    if asked is not None:
        if asked not in config.backends:
            near = nearest(asked, config.backends)
            hint = f"did you mean {near!r}? " if near else ""
            terminal.fail(f"no backend is called {asked!r}: {hint}There are: {', '.join(config.backends)}", code=2)
        refuse(config, asked)
        return (asked,)
    names = []
    for name, section in config.backends.items():
        if section.engine is None:
            continue
        try:
            refuse(config, name)
        except CannotCalibrate as error:
            terminal.error(f"left out: {error}")
        else:
            names.append(name)
    if not names:
        terminal.fail(
            "no backend of this configuration can be measured: it needs an engine that gives log-probabilities"
        )
    return tuple(names)


def _questions(terminal: Terminal, file: Path | None) -> tuple[str, ...]:
    if file is None:
        return easy_prompts()
    try:
        with file.open("rb") as content:
            raw = content.read(_LARGEST_FILE + 1)
        found = prompts_in(raw.decode("utf-8-sig"))
    except OSError as error:
        terminal.fail(f"{file}: {error.strerror}")
    except UnicodeDecodeError:
        terminal.fail(f"{file}: no UTF-8 text")
    if not found or len(raw) > _LARGEST_FILE:
        terminal.fail(f"{file}: expected one prompt a line, in at most 1 MiB")
    return found


async def _measured(
    terminal: Terminal, config: Config, names: tuple[str, ...], questions: tuple[str, ...], samples: int
) -> tuple[Calibrated, ...]:
    task = asyncio.current_task()
    assert task is not None
    # So that the engines are let go of, like after Ctrl-C.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with progress(terminal.err, "items") as report:
        return await calibrate(config, home(terminal.environ), names, questions, samples, report)


def _kept(terminal: Terminal, config: Config, measured: tuple[Calibrated, ...], *, dry_run: bool) -> Report:
    folder = home(terminal.environ)
    today = _today(terminal, config, folder)
    reports = []
    for each in measured:
        kept = Measured(each.model, time.time(), each.answers, each.floors)
        reports.append(
            BackendReport(
                backend=each.backend,
                model=each.model,
                answers=each.answers,
                window_tokens=config.confidence.probation.tokens,
                file=None if dry_run else str(keep(folder, each.backend, kept)),
                bands=_lines(each, today.get(each.backend, {})),
            )
        )
    return Report(backends=tuple(reports))


def _today(terminal: Terminal, config: Config, folder: Path) -> dict[str, Mapping[Band, Floors]]:
    """The floors in force; none where they cannot be read, which is what this command mends."""
    try:
        found = calibrations(config, folder)
        return {name: each.floors for (name, by), each in found.items() if by == config.backends[name].engine}
    except CalibrationUnreadable as error:
        terminal.error(str(error))
        return {}


def _lines(measured: Calibrated, today: Mapping[Band, Floors]) -> tuple[BandLine, ...]:
    return tuple(
        BandLine(
            band=each.band,
            temperature=each.temperature,
            answers=each.answers,
            floors=each.floors,
            streamed=each.streamed,
            today=today.get(each.band),
        )
        for each in measured.bands
    )


def _print(terminal: Terminal, report: Report) -> None:
    for each in report.backends:
        terminal.out.print(f"{each.backend}: {each.model}, {each.answers} answers", style="bold", soft_wrap=True)
        terminal.out.print(_table(each))
        if each.file is None:
            said = "Nothing was written."
        else:
            said = f"Written to {each.file}; a gateway takes them up when it starts."
        terminal.out.print(said, soft_wrap=True)


def _table(report: BackendReport) -> Table:
    held = f"first {report.window_tokens}"
    headings = ("Band", ">at", ">Answers", ">Low", ">Usual", f">Low, {held}", ">Usual", ">Low today", ">Usual")
    table = columns(*headings)
    for line in report.bands:
        figures = [*_pair(line.floors), *_pair(line.streamed), *_pair(line.today)]
        table.add_row(line.band.value, f"{line.temperature:g}", f"{line.answers}", *figures)
    return table


def _pair(floors: Floors | None) -> tuple[str, str]:
    return ("-", "-") if floors is None else (f"{floors.low:.2f}", f"{floors.usual:.2f}")
