"""`forebay check FILE`: what is wrong with a configuration, or what it means."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer
from msgspec import Struct
from rich.table import Table

from gateway.cli.columns import columns
from gateway.cli.console import Terminal, terminal_of
from gateway.cli.summary import BackendLine, EngineLine, Summary, TenantLine, dollars, summarised
from gateway.config.errors import ConfigError, Problem
from gateway.config.load import load


class Report(Struct, frozen=True, kw_only=True):
    """What `--json` prints. `summary` is None where there are problems."""

    ok: bool
    file: str
    problems: tuple[Problem, ...] = ()
    summary: Summary | None = None


def check(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The configuration file.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say what is wrong with a configuration file, line by line, or what it means.

    Exits with 0 where the file can be used, with 1 where it cannot.
    """
    terminal = terminal_of(context)
    try:
        report = Report(ok=True, file=str(file), summary=summarised(load(file, terminal.environ)))
    except ConfigError as error:
        report = Report(ok=False, file=str(file), problems=error.problems)
    if as_json:
        terminal.json(report)
    else:
        _print(terminal, report)
    raise typer.Exit(0 if report.ok else 1)


def _print(terminal: Terminal, report: Report) -> None:
    if report.summary is None:
        terminal.problems(report.problems, to=terminal.out)
        return
    summary = report.summary
    terminal.out.print(f"{report.file}: no problems", style="green", soft_wrap=True)
    for table in (_engines(summary.engines), _backends(summary.backends), _tenants(summary.tenants)):
        if table.row_count:
            terminal.out.print()
            terminal.out.print(table)
    terminal.out.print()
    for sentence in summary.policy:
        terminal.out.print(sentence, soft_wrap=True)


def _engines(lines: tuple[EngineLine, ...]) -> Table:
    table = columns("Engine", "Kind", "Model", "Where", ">Slots", ">Context")
    for line in lines:
        where = _where(line.region, on_box=line.on_box)
        table.add_row(line.name, line.kind, line.model or "as served", where, f"{line.slots}", f"{line.context}")
    return table


def _backends(lines: tuple[BackendLine, ...]) -> Table:
    table = columns("Tier", "Backend", "Model", "Via", "Where", ">$/M in", ">cached", ">out")
    ranked = sorted(lines, key=lambda line: 9 if line.tier is None else line.tier.rank)
    for line in ranked:
        prices = (_price(line.input), _price(line.cached), _price(line.output))
        where = _where(line.region, on_box=line.on_box)
        tier = line.tier or ("vectors" if line.vectors else "none")
        table.add_row(tier, line.name, line.model or "as served", line.via, where, *prices)
    return table


def _tenants(lines: tuple[TenantLine, ...]) -> Table:
    table = columns("Tenant", "Class", "Data may go to", ">Keys", "Backends")
    for line in lines:
        where = "anywhere" if line.regions is None else ", ".join(line.regions)
        allowed = "this box only" if line.local_only else where
        table.add_row(line.name, line.sla_class or "default", allowed, f"{line.keys}", ", ".join(line.backends))
    return table


def _where(region: str, *, on_box: bool) -> str:
    return f"this box, {region}" if on_box else region


def _price(amount: Decimal) -> str:
    return dollars(amount) if amount else "free"
