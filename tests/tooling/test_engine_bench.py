"""`scripts/bench engine`: the arithmetic, the promises it judges, the table, and the clients that measure."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from scripts.benchmarks.engine_cells import LONG, SHARED, SHORT, Amount, Cell, Rounds, judged, matrix
from scripts.benchmarks.engine_figures import intruder_figures, load_figures, longest, median, percentile, spread
from scripts.benchmarks.engine_load import INTRUDER, Answer
from scripts.benchmarks.engine_prompts import body, story, system
from scripts.benchmarks.engine_servers import (
    ANEW,
    FOREBAY,
    LLAMA_SERVER,
    PACKAGED,
    PLAIN,
    Ground,
    Server,
    Settings,
    find_llama_server,
    forebay_command,
    llama_server_command,
    packaged_command,
    start_all,
    version_in,
)
from scripts.benchmarks.engine_table import table
from scripts.benchmarks.engine_verdicts import verdicts
from scripts.tooling.console import Console
from scripts.tooling.places import find_places
from scripts.tooling.workbench import Workbench

SETTINGS = Settings(Path("/models/m.gguf"), threads=2, parallel=16, context=4608)


@pytest.mark.parametrize(
    ("values", "share", "found"),
    [([7.0], 0.99, 7.0), ([3.0, 1.0, 2.0], 0.5, 2.0), ([4.0, 1.0, 3.0, 2.0], 0.5, 2.0), ([*range(1, 101)], 0.99, 99)],
)
def test_a_percentile_is_one_of_the_values(values: list[float], share: float, found: float) -> None:
    """The smallest that the share of all values does not exceed, whatever their order."""
    assert percentile(values, share) == found


def test_there_is_no_percentile_of_nothing() -> None:
    """One token has nothing between it and the next: the figure is absent, the run is not."""
    assert math.isnan(percentile([], 0.5))
    figures = load_figures([Answer(0, 1.0, [1.5], 1)])
    assert median(spread([figures]), "between_p50_ms") is None
    assert median(spread([figures]), "tokens_per_s") == 2.0


def test_a_load_is_timed_from_its_first_request_to_its_last_token() -> None:
    """Tokens are those that the engine counted; gaps are within a stream, never from one stream to the next."""
    answers = [
        Answer(0, 10.0, [10.5, 10.6, 10.8], tokens=4, prompt_tokens=30),
        Answer(1, 10.0, [11.0, 12.0], tokens=2, prompt_tokens=31),
        Answer(0, 10.8, [11.0], tokens=2, prompt_tokens=32),
    ]
    figures = load_figures(answers)
    assert figures["tokens_per_s"] == pytest.approx(8 / 2.0)
    assert figures["prompt_tokens"] == 93
    assert figures["first_p50_ms"] == pytest.approx(500)
    assert figures["first_worst_ms"] == pytest.approx(1000)
    assert figures["between_p50_ms"] == pytest.approx(200)
    assert figures["between_p99_ms"] == pytest.approx(1000)
    with pytest.raises(ValueError, match="no token"):
        load_figures([Answer(0, 1.0)])


def test_what_a_long_prompt_does_to_streams_is_seen_beside_the_same_tokens_without_it() -> None:
    """Gaps up to its first token are the disturbed; the undisturbed are those of the same tokens, of no others."""
    stream = [0.1, 0.2, 0.3, 0.4, 0.7, 1.0, 9.0]
    disturbed = [Answer(0, 0.0, stream, 7), Answer(1, 0.0, [0.2], 1), Answer(INTRUDER, 0.45, [1.05], 1)]
    disturbed.append(Answer(1, 0.3, [0.4, 0.8], 2))
    calm = [Answer(0, 0.0, [0.1, 0.2, 0.3, 0.4, 0.55, 0.75, 5.0], 7), Answer(1, 0.0, [0.2], 1)]
    calm.append(Answer(1, 0.3, [0.4, 0.6], 2))
    found = intruder_figures(disturbed, calm, alone_ms=400)
    assert found["calm_p50_ms"] == found["calm_p99_ms"] == pytest.approx(200)
    assert found["disturbed_p50_ms"] == pytest.approx(300)
    assert found["disturbed_p99_ms"] == pytest.approx(400)
    assert found["first_ms"] == pytest.approx(600)
    assert found["yielded_ms"] == pytest.approx(400), "two steps of the stream that got furthest"
    assert longest(disturbed) == 7
    with pytest.raises(ValueError, match="no token"):
        intruder_figures([Answer(INTRUDER, 0.0)], calm, alone_ms=1)


def test_runs_are_told_by_median_lowest_and_highest() -> None:
    """One slow run changes the spread and not the figure."""
    found = spread([{"x": 3.0}, {"x": 90.0}, {"x": 1.0}])
    assert found == {"x": {"median": 3.0, "low": 1.0, "high": 90.0}}


def cell(load: Cell, **servers: dict[str, float]) -> dict[str, Any]:
    """A cell of a document; names of engines are given with `_`."""
    names = {"forebay": FOREBAY, "anew": ANEW, "plain": PLAIN, "llama_server": LLAMA_SERVER, "packaged": PACKAGED}
    usual = {"between_p50_ms": 5.0, "between_p99_ms": 9.0}
    spreads = {names[name]: spread([{**usual, **figures}]) for name, figures in servers.items()}
    return {**load._asdict(), "servers": spreads}


def rate(tokens_per_s: float, first_p50_ms: float) -> dict[str, float]:
    """Figures of a load."""
    return {"tokens_per_s": tokens_per_s, "first_p50_ms": first_p50_ms}


def measured(worse: float) -> list[dict[str, Any]]:
    """Figures of ours that keep every promise exactly when `worse` is 1, and break every one when it is greater."""
    long = {"calm_p50_ms": 30.0, "calm_p99_ms": 40.0, "disturbed_p50_ms": 70.0, "disturbed_p99_ms": 100.0 * worse}
    long |= {"alone_ms": 1000.0, "yielded_ms": 300.0}
    return [
        cell(Cell(SHORT, 1, logprobs=True), forebay=rate(95 / worse, 105 * worse)),
        cell(Cell(SHORT, 1, logprobs=False), llama_server=rate(100, 100), forebay=rate(1, 1)),
        cell(Cell(SHORT, 8, logprobs=True), forebay=rate(200 / worse, 80 * worse), packaged=rate(25, 1)),
        cell(Cell(SHORT, 8, logprobs=False), llama_server=rate(200, 80), forebay=rate(1, 1)),
        cell(Cell(SHARED, 8, logprobs=False), forebay=rate(1, 250 * worse), anew=rate(1, 1000)),
        cell(
            Cell(LONG, 8, logprobs=False),
            forebay={**long, "first_ms": 1800.0 * worse},
            plain={**long, "first_ms": 1800.0 * worse},
        ),
    ]


def test_every_promise_is_kept_at_its_limit_and_broken_beyond() -> None:
    """Ten of them; what was not measured is open and not met."""
    assert [each.met for each in verdicts(measured(1.0))] == [True] * 10
    assert [each.met for each in verdicts(measured(1.01))] == [False] * 10
    assert [each.met for each in verdicts([])] == [None] * 10


def test_a_quick_look_leaves_open_what_it_did_not_measure() -> None:
    """Without llama-server its promises are open; the others are judged."""
    without = [
        {**each, "servers": {name: of for name, of in each["servers"].items() if name != LLAMA_SERVER}}
        for each in measured(1.0)
    ]
    assert [each.met for each in verdicts(without)] == [None] * 4 + [True] * 6


def test_the_verdicts_have_the_cells_that_they_need() -> None:
    """`--judged` and the whole matrix measure everything that a verdict speaks of."""
    for work in (judged(), matrix((1, 4, 8, 16))):
        taken = [
            {**each, "servers": {name: figures for name, figures in each["servers"].items() if name in takers}}
            for each in measured(1.0)
            for takers in (work[Cell(each["kind"], each["clients"], each["logprobs"])],)
        ]
        assert [each.met for each in verdicts(taken)] == [True] * 10
    assert len(matrix((1, 4, 8, 16))) == 17


def test_the_table_has_a_line_per_engine_and_says_who_is_missing() -> None:
    """Figures with their spread, what could not be measured and why, and the verdicts."""
    cells = measured(1.01)
    cells[2]["servers"][FOREBAY]["tokens_per_s"] = {"median": 198.0, "low": 190.0, "high": 210.0}
    lines = table(
        {
            "model": "m.gguf",
            "threads": 2,
            "runs": 3,
            "versions": {FOREBAY: "", LLAMA_SERVER: "9.1", PACKAGED: "0.3"},
            "cells": cells,
            "missing": [{"name": LLAMA_SERVER, "version": "", "why": "not on the path"}],
            "failures": {"short 4 forebay": "status 500"},
            "verdicts": [each._asdict() for each in verdicts(cells)],
        }
    ).splitlines()
    assert "medians of 3 runs" in lines[0]
    assert sum("llama-server 9.1" in line for line in lines) == 2
    assert any(line.split() == ["8", "llama-server", "9.1", "200.0", "80", "5.0", "9.0"] for line in lines)
    assert any("198.0 (190.0–210.0)" in line for line in lines)
    assert "llama-server: not on the path" in lines
    assert "short 4 forebay: status 500" in lines
    assert sum(line.startswith("NOT MET") for line in lines) == 10


def test_all_engines_get_the_same_file_and_threads_on_loopback() -> None:
    """And room for as many clients as are measured, each with the context that the longest prompt needs."""
    ours = forebay_command(SETTINGS, 4001)
    theirs = llama_server_command(Path("/bin/x"), SETTINGS._replace(flags=("-fa", "off")), 4001)
    packaged = packaged_command(Path("/bin/y"), SETTINGS, 4001, scored=True)
    for words in (ours, theirs, packaged):
        assert "/models/m.gguf" in words
        assert words[words.index("--port") + 1] == "4001"
    assert ours[ours.index("--threads") + 1] == theirs[theirs.index("-t") + 1] == "2"
    assert packaged[packaged.index("--n_threads") + 1] == "2"
    assert (ours[ours.index("--parallel") + 1], ours[ours.index("--context") + 1]) == ("16", "4608")
    assert (theirs[theirs.index("-np") + 1], theirs[theirs.index("-c") + 1]) == ("16", f"{16 * 4608}")
    assert theirs[-2:] == ["-fa", "off"]
    assert packaged[packaged.index("--logits_all") + 1] == "true"
    assert theirs[theirs.index("--host") + 1] == packaged[packaged.index("--host") + 1] == "127.0.0.1"


def test_an_engine_that_is_not_here_gets_a_row_that_says_why(tmp_path: Path) -> None:
    """The others are measured all the same."""
    bench = Workbench(find_places(tmp_path, {}), Console(StringIO(), live=False, colour=False))
    settings = SETTINGS._replace(llama_server=str(tmp_path / "nowhere"))
    with ExitStack() as stack:
        servers, missing = start_all(Ground(bench, stack, settings, tmp_path), [LLAMA_SERVER])
    assert servers == []
    assert (missing[0].name, "nowhere" in missing[0].why) == (LLAMA_SERVER, True)
    assert version_in("x\nversion: 11434 (abc)\n") == "11434"
    (tmp_path / "nowhere").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "nowhere").chmod(0o700)
    assert find_llama_server(str(tmp_path / "nowhere")) == tmp_path / "nowhere"


def test_prompts_are_the_same_for_every_engine_and_new_in_every_run() -> None:
    """Same seed, same words; another run shares no system prompt with this one."""
    assert story("1 2") == story("1 2") != story("1 3")
    assert system("1") == system("1") != system("2")
    plain, scored = body("x", 5), body("x", 5, logprobs=True, system="s")
    assert "logprobs" not in plain
    assert scored["logprobs"] is True
    assert [each["role"] for each in scored["messages"]] == ["system", "user"]


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
TOKEN = b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'
SCORED = (
    b'data: {"choices": [{"delta": {"content": ""}, "logprobs": {"content": [{"token": "a"}, {"token": "b"}]}}]}\n\n'
)
ROLE = b'data: {"choices": [{"delta": {"role": "assistant", "content": null}}]}\n\n'
USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 7}}\n\n'
DONE = b"data: [DONE]\n\n"


@asynccontextmanager
async def answering(*pieces: bytes, endless: bytes = b"") -> AsyncIterator[int]:
    """A server of streams; a request that has `endless` in it gets tokens until it goes. Yields the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        length = int(asked.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        asked = await reader.readexactly(length)
        writer.write(HEAD)
        with suppress(ConnectionError):  # whoever asked may go
            while endless and endless in asked:
                writer.write(TOKEN)
                await writer.drain()
                await asyncio.sleep(0.001)
            writer.writelines(pieces)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def one_turn(port: int, cell: Cell) -> Rounds:
    """A load on an engine at `port`, as the benchmark makes it."""
    rounds = Rounds([Server(FOREBAY, "", port, port, ())], Amount(tokens=7, requests=2))
    rounds.turn(cell, [FOREBAY], 1, lambda: None)
    return rounds


async def test_clients_measure_what_the_engine_sent() -> None:
    """A stream's opening is no token; the engine's own count of tokens is taken; an event split in two is one."""
    async with answering(ROLE, TOKEN, SCORED[:30], SCORED[30:], USAGE, DONE) as port:
        rounds = await asyncio.to_thread(one_turn, port, Cell(SHORT, 3, logprobs=False))
    assert rounds.failures == {}
    (found,) = rounds.cells()
    figures = found["servers"][FOREBAY]
    assert figures["tokens"]["median"] == 3 * 2 * 7
    assert figures["prompt_tokens"]["median"] == 3 * 2 * 9
    assert figures["first_p50_ms"]["median"] > 0


async def test_without_usage_tokens_are_counted() -> None:
    """By log-probabilities where they come, else by event; the shared prompt is asked for once before."""
    async with answering(TOKEN, SCORED, DONE) as port:
        rounds = await asyncio.to_thread(one_turn, port, Cell(SHARED, 1, logprobs=True))
    (found,) = rounds.cells()
    assert found["servers"][FOREBAY]["tokens"]["median"] == 2 * 3


async def test_a_long_prompt_comes_when_all_streams_run() -> None:
    """And the streams, which would go on for ever, are cut off when it has its first token."""
    async with answering(TOKEN, DONE, endless=b"very long story") as port:
        rounds = await asyncio.to_thread(one_turn, port, Cell(LONG, 8, logprobs=False))
    assert rounds.failures == {}
    (found,) = rounds.cells()
    figures = found["servers"][FOREBAY]
    assert figures["calm_p99_ms"]["median"] > 0
    assert figures["first_ms"]["median"] > 0


@pytest.mark.parametrize(
    ("pieces", "told"),
    [
        ((TOKEN,), "without its end"),
        ((b'data: {"error": {"message": "no"}}\n\n', DONE), "an error"),
        ((DONE,), "no token"),
    ],
    ids=["cut", "error", "empty"],
)
async def test_only_whole_answers_make_figures(pieces: tuple[bytes, ...], told: str) -> None:
    """An engine that fails has no figure in that cell, and a line that says why."""
    async with answering(*pieces) as port:
        rounds = await asyncio.to_thread(one_turn, port, Cell(SHORT, 1, logprobs=False))
    assert rounds.cells() == []
    assert [told in why for why in rounds.failures.values()] == [True]
