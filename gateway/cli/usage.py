"""`forebay usage`: what was asked, what it took and what it cost, out of the ledger."""

import csv
import io
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer
from msgspec import Struct
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from gateway.cli.columns import columns
from gateway.cli.console import Terminal, terminal_of
from gateway.cli.moment import moment
from gateway.config.environment import home
from gateway.config.suggest import nearest
from gateway.ledger import LedgerReader
from gateway.ledger.reading import KEYS, Figures, Group, Wanted
from gateway.prices import NANO
from gateway.prices import dollars as exact_dollars

_HEADINGS = (">Requests", ">Not ok", ">Calls", ">Tokens in", ">cached", ">out", ">Cost $", ">Time")
_BAR = 12
_UNBOUNDED = 10_000
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_NOTHING = Figures(0, 0, 0, 0, 0, 0, 0, 0, 0.0)


class UsageLine(Struct, frozen=True, kw_only=True):
    """One group as `--json` prints it. `group` has the values of the keys, null where there is none; `cost_usd` is
    exact, and `cost_nano_usd` the same in integers.
    """

    group: dict[str, str | None]
    requests: int
    not_ok: int
    calls: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cost_usd: Decimal
    cost_nano_usd: int
    seconds: float


class Usage(Struct, frozen=True, kw_only=True):
    """What `--json` prints. A request that called several tiers or models counts in each of their groups, and once in
    `total`.
    """

    ledger: str
    since: float | None
    until: float | None
    by: tuple[str, ...]
    groups: tuple[UsageLine, ...]
    total: UsageLine


def usage(
    context: typer.Context,
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help=f"Group by {', '.join(KEYS)}; several with commas. tier without."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="7d, 24h, today, 2026-11-25 or a whole time; days are of UTC.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="WHEN", help="Not included.")] = None,
    *,
    tenant: Annotated[str | None, typer.Option(help="This tenant alone.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")] = False,
) -> None:
    """Say what was asked, how many tokens it took, what it cost and how long it took.

    Reads the ledger, also while a gateway writes it. Tokens, money and time are those of all calls of a request,
    failed ones included.
    """
    terminal = terminal_of(context)
    if as_json and as_csv:
        terminal.fail("--json and --csv exclude each other", code=2)
    keys = _keys(terminal, by)
    now = time.time()
    wanted = Wanted(
        since=None if since is None else moment(since, now, "--since"),
        until=None if until is None else moment(until, now, "--until"),
        tenant=tenant,
    )
    path = home(terminal.environ) / "ledger.sqlite"
    groups, total = _read(path, keys, wanted)
    if as_json:
        terminal.json(
            Usage(
                ledger=str(path),
                since=wanted.since,
                until=wanted.until,
                by=keys,
                groups=tuple(_line(keys, group) for group in groups),
                total=_line((), Group((), total)),
            )
        )
    elif as_csv:
        terminal.plain(_csv(keys, groups))
    elif not groups:
        terminal.plain(_nothing(path, wanted))
    else:
        _print(terminal.out, keys, groups, total)


def _keys(terminal: Terminal, by: list[str] | None) -> tuple[str, ...]:
    keys = tuple(dict.fromkeys(key.strip() for each in by or ["tier"] for key in each.split(",")))
    for key in keys:
        if key not in KEYS:
            near = nearest(key, list(KEYS))
            hint = f"; did you mean {near!r}?" if near else ""
            terminal.fail(f"--by {key!r}: expected {', '.join(KEYS)}{hint}", code=2)
    return keys


def _read(path: Path, keys: Sequence[str], wanted: Wanted) -> tuple[tuple[Group, ...], Figures]:
    with LedgerReader.reading(path) as ledger:
        if ledger is None:
            return (), _NOTHING
        with ledger.snapshot():
            groups = ledger.usage(keys, wanted)
            return groups, ledger.usage((), wanted)[0].figures


def _line(keys: Sequence[str], group: Group) -> UsageLine:
    figures = group.figures
    return UsageLine(
        group=dict(zip(keys, group.values, strict=True)),
        requests=figures.requests,
        not_ok=figures.not_ok,
        calls=figures.calls,
        prompt_tokens=figures.prompt_tokens,
        cached_tokens=figures.cached_tokens,
        completion_tokens=figures.completion_tokens,
        reasoning_tokens=figures.reasoning_tokens,
        cost_usd=Decimal(figures.cost_nano_usd) / NANO,
        cost_nano_usd=figures.cost_nano_usd,
        seconds=round(figures.seconds, 6),
    )


def _csv(keys: Sequence[str], groups: Sequence[Group]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [name for name in UsageLine.__struct_fields__ if name != "group"]
    writer.writerow((*keys, *names))
    for group in groups:
        line = _line(keys, group)
        figures = (exact_dollars(line.cost_nano_usd) if name == "cost_usd" else getattr(line, name) for name in names)
        writer.writerow((*("" if value is None else _harmless(value) for value in group.values), *figures))
    return text.getvalue()


def _harmless(value: str) -> str:
    """A name that a spreadsheet would take for a formula, as text."""
    return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _nothing(path: Path, wanted: Wanted) -> str:
    if not path.exists():
        return f"nothing yet: there is no ledger at {path}; `forebay serve` writes it"
    if (wanted.since, wanted.until, wanted.tenant) == (None, None, None):
        return f"nothing yet: the ledger {path} is empty"
    return f"nothing in {path} in that time or of that tenant"


def _print(out: Console, keys: Sequence[str], groups: Sequence[Group], total: Figures) -> None:
    """As wide as the terminal; the bars go first, and a number is never cut, whatever the terminal does with it."""
    table = _table(out, keys, groups, total, bars=True)
    if (needed := _least_width(out, table)) > out.width:
        table = _table(out, keys, groups, total, bars=False)
        needed = _least_width(out, table)
    table.width = needed if needed > out.width else None
    out.print(table, crop=False, soft_wrap=needed > out.width)


def _least_width(out: Console, table: Table) -> int:
    return Measurement.get(out, out.options.update(max_width=_UNBOUNDED), table).minimum


def _table(out: Console, keys: Sequence[str], groups: Sequence[Group], total: Figures, *, bars: bool) -> Table:
    by_cost = total.cost_nano_usd > 0
    share_of = "Share of cost" if by_cost else "Share of requests"
    table = columns(*(key.capitalize() for key in keys), *_HEADINGS)
    if bars:
        table.add_column(share_of, no_wrap=True)
    costs = _aligned([*(group.figures.cost_nano_usd for group in groups), total.cost_nano_usd])
    for group, cost in zip(groups, costs, strict=False):
        figures = group.figures
        share = figures.cost_nano_usd / total.cost_nano_usd if by_cost else figures.requests / total.requests
        bar = (_bar(share, out.encoding),) if bars else ()
        table.add_row(*(value or "none" for value in group.values), *_figures(figures, cost), *bar)
    table.add_row("total", *("" for _ in keys[1:]), *_figures(total, costs[-1]), style="bold")
    return table


def _figures(figures: Figures, cost: str) -> tuple[str, ...]:
    counts = (figures.requests, figures.not_ok, figures.calls, figures.prompt_tokens, figures.cached_tokens)
    return (*(f"{count:,}" for count in counts), f"{figures.completion_tokens:,}", cost, _duration(figures.seconds))


def _aligned(costs: Sequence[int]) -> list[str]:
    """Exact amounts with as many decimals as the one that has most, two at least."""
    texts = [exact_dollars(cost) for cost in costs]
    decimals = max(2, *(len(text.partition(".")[2]) for text in texts))
    whole = [text.partition(".") for text in texts]
    return [f"{int(dollars):,}.{cents:0<{decimals}}" for dollars, _, cents in whole]


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} m" if hours else f"{minutes} m {rest:02d} s"


def _bar(share: float, encoding: str) -> str:
    """A bar of up to 12 characters and the share in per cent."""
    percent = f"{share * 100:5.1f} %"
    if not encoding.lower().startswith("utf"):
        return f"{'#' * round(share * _BAR):<{_BAR}} {percent}"
    whole, eighths = divmod(round(share * _BAR * 8), 8)
    return f"{'█' * whole + _EIGHTHS[eighths].strip():<{_BAR}} {percent}"
