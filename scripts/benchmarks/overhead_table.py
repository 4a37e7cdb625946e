"""The figures of `overhead` for people, and for programs."""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

from scripts.benchmarks.overhead_measure import CONNECTIONS, KINDS, Rounds
from scripts.benchmarks.overhead_peers import Missing

Document = dict[str, Any]
_NAME = 22
_TITLES = MappingProxyType({"unary": "chat request", "stream": "stream of 100 tokens"})
_COLUMNS = (
    ("CPU µs", "cpu_us", 9, ">9.0f"),
    ("per s", "per_second", 7, ">7.0f"),
    ("p50", "added_p50_ms", 8, ">+8.2f"),
    ("p99", "added_p99_ms", 8, ">+8.2f"),
)


def document(rounds: Rounds, missing: Sequence[Missing]) -> Document:
    """What `--json` prints: a gateway each, with its figures by kind of request; and whoever is missing."""
    return {
        "connections": CONNECTIONS,
        "gateways": [
            {
                "name": gateway.name,
                "version": gateway.version,
                **{kind: rounds.medians(gateway, kind) for kind in KINDS},
                "memory_mb": rounds.memory(gateway),
            }
            for gateway in rounds.gateways
        ],
        "missing": [each._asdict() for each in missing],
    }


def table(found: Document) -> str:
    """One line per gateway, and one per row of what is not measured under load."""
    group = sum(width for _, _, width, _ in _COLUMNS)
    lines = [
        " " * _NAME + "".join(f"{_TITLES[kind]:^{group}}" for kind in KINDS) + f"{'memory, MiB':^16}",
        " " * _NAME + "".join(f"{title:>{width}}" for title, _, width, _ in _COLUMNS) * len(KINDS) + "    rest   after",
    ]
    for gateway in found["gateways"]:
        figures = "".join(format(gateway[kind][key], form) for kind in KINDS for _, key, _, form in _COLUMNS)
        memory = gateway["memory_mb"]
        lines.append(f"{_named(gateway):{_NAME}}{figures}{memory['at_rest']:>8.1f}{memory['after_load']:>8.1f}")
    lines += [f"{_named(each):{_NAME}}  {each['why']}" for each in found["missing"]]
    lines.append("")
    lines.append(f"CPU and per s at {found['connections']} connections; p50, p99: added milliseconds of one caller.")
    if found["elsewhere"]:
        lines.append(f"Not answered by Forebay's light tier, and so no measure of it: {found['elsewhere']} requests.")
    lines += [
        f"CPU of the decision for {tokens:>4} tokens: {median} µs, p99 {worst} µs."
        for tokens, (median, worst) in found["decision"].items()
    ]
    lines += [
        f"CPU of the gate's {what:8} beside {others:>2} others: {median} µs, p99 {worst} µs."
        for what in ("decision", "entry")
        for others, (median, worst) in ((others, each[what]) for others, each in found["gate"].items())
    ]
    return "\n".join(lines)


def _named(gateway: dict[str, Any]) -> str:
    own = gateway["name"].startswith("forebay")
    return gateway["name"] if own else f"{gateway['name']} {gateway['version']}"
