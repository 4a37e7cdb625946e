"""The command: everything is looked at, in an order in which one thing explains the next."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import typer
from msgspec import Struct
from rich.text import Text

from gateway.cli.console import Terminal, terminal_of
from gateway.cli.doctor import clock, configuration, engines, gpu, machine, models, ports, providers, storage, vllm
from gateway.cli.doctor.finding import Finding, Level
from gateway.cli.modelfailure import told
from gateway.cli.progress import progress
from gateway.config.environment import home

_STYLES = MappingProxyType(
    {Level.OK: "green", Level.NOTE: "dim", Level.WARNING: "bold yellow", Level.BROKEN: "bold red"}
)


class Examination(Struct, frozen=True, kw_only=True):
    """What `--json` prints. `ok`: nothing is broken."""

    ok: bool
    configuration: str
    online: bool
    findings: tuple[Finding, ...]


class _Wishes(Struct, frozen=True, kw_only=True):
    """How thoroughly to look."""

    online: bool
    gpu: bool
    quick: bool


def doctor(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option(help="Configuration file; the built-in developer set-up without.")
    ] = None,
    online: Annotated[
        bool, typer.Option("--online", help="Ask the providers, which costs nothing: do they take the keys?")
    ] = False,
    gpu: Annotated[bool, typer.Option("--gpu", help="This box is to have a GPU: none is broken.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Do not read models and ledger from end to end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Look for what is wrong with this box and this set-up, and say what to do about it.

    Changes nothing. Exits with 0 where nothing is broken, with 1 where something is.
    """
    terminal = terminal_of(context)
    seen = configuration.gather(config, terminal.environ)
    with told():
        found = tuple(_examined(terminal, seen, _Wishes(online=online, gpu=gpu, quick=quick)))
    whole = not any(finding.level is Level.BROKEN for finding in found)
    if as_json:
        terminal.json(Examination(ok=whole, configuration=seen.name, online=online, findings=found))
    else:
        _print(terminal, found)
    raise typer.Exit(0 if whole else 1)


def _examined(terminal: Terminal, seen: configuration.Facts, wishes: _Wishes) -> Iterator[Finding]:
    folder, config = home(terminal.environ), seen.config
    yield from configuration.findings(seen)
    at_work = engines.gather(config, terminal.environ, online=wishes.online)
    with progress(terminal.err, "bytes") as report:
        there = () if config is None else models.gather(config, folder, None if wishes.quick else report)
    total = sum(each.bytes for each in there)
    yield from machine.findings(machine.gather(models=total))
    yield from gpu.findings(gpu.gather(config, wanted=_why_gpu(at_work, wishes)))
    yield from engines.findings(at_work)
    yield from models.findings(there)
    if config is not None:
        yield from vllm.findings(vllm.gather(config, folder, terminal.environ))
    replies: tuple[providers.Reply, ...] = ()
    if config is not None:
        yield from ports.findings(ports.gather(config))
        replies = providers.gather(config, seen.answering(), seen.variables) if wishes.online else ()
        yield from providers.findings(replies)
    kept = storage.gather(folder, thorough=not wishes.quick)
    yield from storage.findings(kept)
    yield from clock.findings(clock.Facts(now=time.time(), newest=kept.newest, ahead=providers.clocks(replies)))


def _why_gpu(at_work: engines.Facts, wishes: _Wishes) -> str:
    if wishes.gpu:
        return "this box is to have a GPU (--gpu)"
    if at_work.silent:
        return f"engine {at_work.silent[0].engine} on this box does not answer"
    return ""


def _print(terminal: Terminal, found: tuple[Finding, ...]) -> None:
    wide = max(len(finding.check) for finding in found)
    for finding in found:
        line = Text(f"{finding.level:<8} ", _STYLES[finding.level])
        line.append(f"{finding.check:<{wide}}  ", "bold").append(finding.what, "")
        terminal.out.print(line, soft_wrap=True)
        if finding.advice is not None:
            terminal.out.print(Text(f"{'':<9}{'':<{wide}}  do: {finding.advice}"), soft_wrap=True)
    count = Counter(finding.level for finding in found)
    broken, warnings = count[Level.BROKEN], count[Level.WARNING]
    summary = f"{broken} broken" if broken else "nothing is broken"
    terminal.out.print(f"{summary}, {warnings} to look after" if warnings else summary, style="bold", soft_wrap=True)
