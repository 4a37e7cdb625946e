"""What is measured: cells, each one kind of load, put to every engine in turn."""

import json
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from scripts.benchmarks import engine_prompts as prompts
from scripts.benchmarks.engine_figures import Figures, first_ms, intruder_figures, load_figures, longest, spread
from scripts.benchmarks.engine_load import Answer
from scripts.benchmarks.engine_servers import ANEW, FOREBAY, LLAMA_SERVER, PACKAGED, PLAIN, Server
from scripts.benchmarks.run_gateway import HERE, cpu_seconds

KINDS = SHORT, SHARED, LONG = "short", "shared", "long"
"""Kinds of load: short prompts; with one system prompt of 1,000 tokens, which the engine has seen before; and a prompt
of 4,000 tokens that comes among 7 streams."""

STREAMS, BEFORE_LONG, STREAM_TOKENS = 7, 60, 1000
_QUIET_S, _QUIET_CPU, _QUIET_TRIES = 0.2, 0.05, 150


class Cell(NamedTuple):
    """One kind of load."""

    kind: str
    clients: int
    logprobs: bool


_REUSE, _LONG = Cell(SHARED, 8, logprobs=False), Cell(LONG, STREAMS + 1, logprobs=False)


class Amount(NamedTuple):
    """How much is asked: `tokens` per answer, and answers per client from an engine that answers many at once."""

    tokens: int
    requests: int


Work = dict[Cell, tuple[str, ...]]
"""Cells, each with the engines that it is put to."""


def matrix(clients: Sequence[int]) -> Work:
    """Everything. Cells of the shared prompt are neighbours, so that an engine finds in its cache what it keeps."""
    pairs = [(count, scored) for scored in (False, True) for count in clients]
    everyday = {
        Cell(kind, count, scored): (FOREBAY, LLAMA_SERVER, PACKAGED)
        for kind in (SHORT, SHARED)
        for count, scored in pairs
    }
    return everyday | {_REUSE: (FOREBAY, ANEW, LLAMA_SERVER, PACKAGED), _LONG: (FOREBAY, PLAIN, LLAMA_SERVER)}


def judged() -> Work:
    """What the verdicts need, and no more."""
    return {
        Cell(SHORT, 1, logprobs=False): (LLAMA_SERVER,),
        Cell(SHORT, 1, logprobs=True): (FOREBAY,),
        Cell(SHORT, 8, logprobs=False): (LLAMA_SERVER,),
        Cell(SHORT, 8, logprobs=True): (FOREBAY, PACKAGED),
        _REUSE: (FOREBAY, ANEW),
        _LONG: (FOREBAY, PLAIN),
    }


class Rounds:
    """The figures of all engines, cell by cell and run by run."""

    def __init__(self, servers: Sequence[Server], amount: Amount) -> None:
        self.servers = tuple(servers)
        self.failures: dict[str, str] = {}
        """Why an engine has no figure, by cell and name."""
        self._amount = amount
        self._found: dict[tuple[Cell, str], list[Figures]] = defaultdict(list)
        self._primed: set[tuple[int, str]] = set()

    def turn(self, cell: Cell, names: Sequence[str], run: int, told: Callable[[], None]) -> None:
        """Put one load to the engines of these names, one after the other; `told` is called after each."""
        for server in self.servers:
            if server.name in names:
                self._settle()
                try:
                    figures = self._measure(server, cell, run)
                    self._found[cell, server.name].append(figures)
                except ValueError as error:
                    self.failures[f"{cell.kind} {cell.clients} {server.name}"] = str(error)
                told()

    def cells(self) -> list[dict[str, Any]]:
        """The spread of every figure over the runs, by cell and engine."""
        asked = dict.fromkeys(cell for cell, _ in self._found)
        return [
            {
                **cell._asdict(),
                "servers": {name: spread(runs) for (of, name), runs in self._found.items() if of == cell},
            }
            for cell in asked
        ]

    def _measure(self, server: Server, cell: Cell, run: int) -> Figures:
        port = server.port_scored if cell.logprobs else server.port
        if cell.kind == LONG:
            return _long(port, run)
        if cell.kind == SHARED and (port, f"{run}") not in self._primed:
            self._primed.add((port, f"{run}"))
            _load(port, [[prompts.body("Hello", 1, system=prompts.system(f"{run}"))]])
        requests = 1 if server.serial or cell == _REUSE else self._amount.requests
        asked = [
            [_body(cell, f"{run} {client} {number}", f"{run}", self._amount.tokens) for number in range(requests)]
            for client in range(cell.clients)
        ]
        return load_figures(_load(port, asked))

    def _settle(self) -> None:
        """Wait until all engines are at rest: the one before may still be clearing up."""
        pids = [pid for server in self.servers for pid in server.pids]
        pause = threading.Event()
        for _ in range(_QUIET_TRIES):
            before = cpu_seconds(pids)
            pause.wait(_QUIET_S)
            if cpu_seconds(pids) - before < _QUIET_CPU:
                return


class WrongLoadError(ValueError):
    """A load that did not go as it should."""


def _body(cell: Cell, seed: str, run: str, tokens: int) -> dict[str, Any]:
    """Other users ask other things in every cell, for an engine may remember what it was asked."""
    seed = f"{cell.kind} {cell.clients} {cell.logprobs} {seed}"
    system = prompts.system(run) if cell.kind == SHARED else None
    return prompts.body(prompts.story(seed), tokens, logprobs=cell.logprobs, system=system)


def _long(port: int, run: int) -> Figures:
    alone = _load(port, [[prompts.body(prompts.long_question(f"alone {run}"), 4)]])
    streams = [
        [prompts.body(prompts.story(f"long {run} {client} {number}"), STREAM_TOKENS) for number in range(3)]
        for client in range(STREAMS)
    ]
    intruder = prompts.body(prompts.long_question(f"among {run}"), 4)
    disturbed = _load(port, streams, intruder=intruder, before=BEFORE_LONG)
    # The same streams with nobody among them: a token takes longer the more there are before it.
    calm = _load(port, streams, before=longest(disturbed))
    return intruder_figures(disturbed, calm, first_ms(alone[0]))


def _load(port: int, clients: list[list[dict[str, Any]]], **more: Any) -> list[Answer]:
    """Ask, from a process of its own. Raises WrongLoadError."""
    command = [sys.executable, str(HERE / "engine_load.py"), str(port)]
    plan = json.dumps({"clients": clients, **more}).encode()
    done = subprocess.run(command, input=plan, check=False, capture_output=True)
    if done.returncode != 0:
        raise WrongLoadError(done.stderr.decode(errors="replace")[-1000:])
    return msgspec.json.decode(done.stdout, type=list[Answer])
