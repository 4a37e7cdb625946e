"""Whether our engine is what it is meant to be: each promise with its figures, from the medians of the runs."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from scripts.benchmarks.engine_cells import LONG, SHARED, SHORT, STREAMS, Cell
from scripts.benchmarks.engine_figures import median
from scripts.benchmarks.engine_servers import ANEW, FOREBAY, LLAMA_SERVER, PACKAGED, PLAIN

ALONE, TIMES_PACKAGED, REUSED, DISTURBED, LONGER = 0.05, 8.0, 0.25, 2.5, 1.5
"""How much slower than llama-server one client may be; how many times as fast as `llama_cpp.server` eight are; to what
share reuse cuts the time to a first token; how much a long prompt may stretch others' p99 between tokens; and how much
longer than alone its own first token may take, beside the steps of the others."""


class Verdict(NamedTuple):
    """A promise; `met` is None when what it speaks of was not measured."""

    promise: str
    met: bool | None
    said: str


class Found:
    """The medians of a document's cells."""

    def __init__(self, cells: Sequence[dict[str, Any]]) -> None:
        self._servers = {Cell(each["kind"], each["clients"], each["logprobs"]): each["servers"] for each in cells}

    def of(self, cell: Cell, server: str, figure: str) -> float | None:
        """One of them, if it was measured."""
        return median(self._servers.get(cell, {}).get(server), figure)


def verdicts(cells: Sequence[dict[str, Any]]) -> list[Verdict]:
    """All of them."""
    found = Found(cells)
    return [
        *_beside_llama_server(found),
        _beside_packaged(found),
        _reuse(found),
        *_long_prompt(found, FOREBAY),
        *_long_prompt(found, PLAIN),
    ]


def _beside_llama_server(found: Found) -> list[Verdict]:
    """Ours with log-probabilities, llama-server without."""
    rows = []
    for clients, slack in ((8, 0.0), (1, ALONE)):
        ours, theirs = Cell(SHORT, clients, logprobs=True), Cell(SHORT, clients, logprobs=False)
        who = "8 clients" if clients == 8 else "1 client"
        within = f", within {slack:.0%}" if slack else ""
        rate = found.of(theirs, LLAMA_SERVER, "tokens_per_s")
        promise = f"{who} with logprobs: tokens/s of llama-server without{within}"
        rows.append(_at_least(promise, found.of(ours, FOREBAY, "tokens_per_s"), rate, 1 - slack))
        first = found.of(theirs, LLAMA_SERVER, "first_p50_ms")
        promise = f"{who} with logprobs: ms to first token of llama-server without{within}"
        rows.append(_at_most(promise, found.of(ours, FOREBAY, "first_p50_ms"), first, 1 + slack))
    return rows


def _beside_packaged(found: Found) -> Verdict:
    cell = Cell(SHORT, 8, logprobs=True)
    promise = f"8 clients with logprobs: {TIMES_PACKAGED:g} times the tokens/s of llama_cpp.server with them"
    theirs = found.of(cell, PACKAGED, "tokens_per_s")
    return _at_least(promise, found.of(cell, FOREBAY, "tokens_per_s"), theirs, TIMES_PACKAGED)


def _reuse(found: Found) -> Verdict:
    promise = f"8 clients, 1,000 tokens shared: {REUSED:g} of the ms to first token without reuse"
    cell = Cell(SHARED, 8, logprobs=False)
    anew, reused = (found.of(cell, name, "first_p50_ms") for name in (ANEW, FOREBAY))
    return _at_most(promise, reused, anew, REUSED)


def _long_prompt(found: Found, engine: str) -> list[Verdict]:
    cell = Cell(LONG, STREAMS + 1, logprobs=False)
    names = ("disturbed_p99_ms", "calm_p99_ms", "first_ms", "alone_ms", "yielded_ms")
    disturbed, calm, first, alone, yielded = (found.of(cell, engine, name) for name in names)
    allowed = None if alone is None or yielded is None else LONGER * alone + yielded
    who = f"{engine}, 4,000 tokens among {STREAMS} streams"
    return [
        _at_most(f"{who}: {DISTURBED:g} times their calm p99 ms between tokens", disturbed, calm, DISTURBED),
        _at_most(f"{who}: ms to first token, {LONGER:g} times alone + steps it yields to", first, allowed, 1.0),
    ]


def _at_least(promise: str, ours: float | None, theirs: float | None, times: float) -> Verdict:
    if ours is None or theirs is None:
        return Verdict(promise, None, "not measured")
    return Verdict(promise, ours >= times * theirs, f"{ours:,.1f}, at least {times * theirs:,.1f}")


def _at_most(promise: str, ours: float | None, theirs: float | None, times: float) -> Verdict:
    if ours is None or theirs is None:
        return Verdict(promise, None, "not measured")
    return Verdict(promise, ours <= times * theirs, f"{ours:,.1f}, at most {times * theirs:,.1f}")
