"""The figures of `engine` for people."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from scripts.benchmarks.engine_cells import LONG, SHARED, SHORT

Document = dict[str, Any]

_TITLES = MappingProxyType(
    {
        SHORT: "short prompts",
        SHARED: "a system prompt of 1,000 tokens that the engine has seen",
        LONG: "a prompt of 4,000 tokens among 7 streams",
    }
)
_COLUMNS = (
    ("tokens/s", "tokens_per_s", 1),
    ("first token ms", "first_p50_ms", 0),
    ("between p50", "between_p50_ms", 1),
    ("between p99", "between_p99_ms", 1),
)
_LONG_COLUMNS = (
    ("between p50", "disturbed_p50_ms", 1),
    ("between p99", "disturbed_p99_ms", 1),
    ("calm p50", "calm_p50_ms", 1),
    ("calm p99", "calm_p99_ms", 1),
    ("first token ms", "first_ms", 0),
    ("alone ms", "alone_ms", 0),
    ("yielded ms", "yielded_ms", 0),
)
_NAME, _WIDTH = 26, 22
_MARKS = MappingProxyType({True: "met", False: "NOT MET", None: "open"})


def table(found: Document) -> str:
    """A block per kind of load, a line per number of clients and engine; who is missing; and the verdicts."""
    lines = [f"{found['model']}, {found['threads']} threads, medians of {found['runs']} runs (lowest–highest)"]
    title = ""
    for cell in found["cells"]:
        if _title(cell) != title:
            title = _title(cell)
            columns = _columns(cell["kind"])
            lines += ["", f"{title}", _row("clients", "", (name for name, _, _ in columns))]
        lines += _cell(cell, found["versions"])
    lines += ["", *(f"{each['name']}: {each['why']}" for each in found["missing"])]
    lines += [f"{where}: {why}" for where, why in found["failures"].items()]
    lines += [f"{_MARKS[each['met']]:8}{each['promise']}: {each['said']}" for each in found["verdicts"]]
    return "\n".join(lines)


def _title(cell: Mapping[str, Any]) -> str:
    scored = ", with logprobs" if cell["logprobs"] else ""
    return f"{_TITLES[cell['kind']]}{scored}"


def _columns(kind: str) -> tuple[tuple[str, str, int], ...]:
    return _LONG_COLUMNS if kind == LONG else _COLUMNS


def _cell(cell: Mapping[str, Any], versions: Mapping[str, str]) -> Iterator[str]:
    for number, (name, figures) in enumerate(cell["servers"].items()):
        values = (_value(figures[key], digits) for _, key, digits in _columns(cell["kind"]))
        yield _row("" if number else str(cell["clients"]), f"{name} {versions.get(name, '')}".rstrip(), values)


def _row(first: str, name: str, values: Iterator[str]) -> str:
    return f"{first:<8}{name:<{_NAME}}" + "".join(f"{value:>{_WIDTH}}" for value in values)


def _value(spread: Mapping[str, float | None], digits: int) -> str:
    if spread["median"] is None:
        return "–"
    digits = digits if spread["median"] < 1000 else 0
    median, low, high = (f"{spread[name]:,.{digits}f}" for name in ("median", "low", "high"))
    return median if low == high else f"{median} ({low}–{high})"
