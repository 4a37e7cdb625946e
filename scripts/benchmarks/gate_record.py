"""A recording of the CPU engine under the traffic of `gate`, which the simulated engine is fitted to and judged by.

The real engine's loop, scheduler and decoding, with one thread, in this process, on the clock of its own CPU time: what
else the machine does meanwhile does not count, and while the engine has nothing to do the clock jumps.
"""

import csv
import datetime as dt
import pathlib
import platform
import queue
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np

from local_models.llama.context import Context
from local_models.llama.jobs import Command, Delta, Job
from local_models.llama.log import LlamaLog
from local_models.llama.loop import Loop
from local_models.llama.model import Model
from local_models.llama.sampling import Sampling
from local_models.llama.scheduler import Scheduler
from local_models.llama.shares import Shares
from scripts.benchmarks import engine_prompts as prompts
from scripts.benchmarks.gate_traffic import Arrival

PARALLEL, CONTEXT = 8, 1024
RECORDING: Final = pathlib.Path(__file__).parent / "traffic" / "engine-recording.csv"


class Recorded(NamedTuple):
    """What came of a request to a real engine. Times are seconds since the first was sent."""

    sent: float
    prompt: int
    answer: int
    first: float
    last: float


class _Clock:
    """CPU time of this process, and the jumps."""

    def __init__(self) -> None:
        self._ahead = -time.process_time()

    def now(self) -> float:
        """Seconds since it was made."""
        return time.process_time() + self._ahead

    def zero(self) -> None:
        """From here on."""
        self._ahead -= self.now()

    def jump(self, to: float) -> None:
        """Nothing happens until then."""
        self._ahead += max(0.0, to - self.now())


def record(file: pathlib.Path, arrivals: Sequence[Arrival], told: Callable[[float], None]) -> list[Recorded]:
    """Ask an engine, each request when it is due; `told` is how far it is."""
    log = LlamaLog()
    model, shares = Model(file, log), Shares(crowd=0)
    batch = PARALLEL + max(shares.alone, shares.beside)
    context = Context(model, log, parallel=PARALLEL, context=CONTEXT, threads=1, batch=batch)
    commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
    clock = _Clock()
    loop = Loop(model.vocabulary, context, Scheduler(PARALLEL, shares), commands, clock.now)
    loop.warm_up()
    jobs = [_job(model, number, each) for number, each in enumerate(arrivals)]
    times: list[list[float]] = [[] for _ in jobs]
    asked, over = 0, 0
    clock.zero()
    while over < len(jobs):
        if asked == over:
            clock.jump(arrivals[asked].at)
        while asked < len(jobs) and arrivals[asked].at <= clock.now():
            commands.put(jobs[asked])
            asked += 1
        loop.obey()
        for event in loop.step():
            if isinstance(event, Delta):
                times[event.job].append(event.at)
                over += event.finish is not None
        told(over / len(jobs))
    context.close()
    model.close()
    return [
        Recorded(each.at, job.prompt.size, len(tokens), tokens[0], tokens[-1])
        for each, job, tokens in zip(arrivals, jobs, times, strict=True)
    ]


def _job(model: Model, number: int, arrival: Arrival) -> Job:
    text = f"{prompts.words(arrival.prompt, f'{number}')} Tell me a very long story."
    tokens = model.vocabulary.tokenize(text, add_special=True, parse_special=False)[: arrival.prompt]
    return Job(number, np.array(tokens, dtype=np.int32), 1, Sampling(temperature=0.0), arrival.answer)


def write(file: pathlib.Path, model: pathlib.Path, rows: Iterable[Recorded]) -> None:
    """Keep a recording, and say of what it is."""
    about = f"local_models/llama with {model.name}, 1 thread, CPU time, {PARALLEL} slots, {platform.machine()}"
    with file.open("w", encoding="utf-8", newline="") as out:
        out.write(f"# {about}; recorded {dt.datetime.now(tz=dt.UTC):%Y-%m-%d} by scripts/bench gate\n")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(Recorded._fields)
        writer.writerows(
            (f"{row.sent:.3f}", row.prompt, row.answer, f"{row.first:.3f}", f"{row.last:.3f}") for row in rows
        )


def read(file: pathlib.Path = RECORDING) -> list[Recorded]:
    """A recording that was kept."""
    with file.open(encoding="utf-8", newline="") as source:
        rows = csv.DictReader(line for line in source if not line.startswith("#"))
        return [
            Recorded(
                float(row["sent"]), int(row["prompt"]), int(row["answer"]), float(row["first"]), float(row["last"])
            )
            for row in rows
        ]


def parts(recording: Sequence[Recorded]) -> tuple[list[Recorded], list[Recorded]]:
    """What was recorded before and after the longest pause, each with times of its own."""
    cut = max(range(1, len(recording)), key=lambda place: recording[place].sent - recording[place - 1].sent)
    return _from_zero(recording[:cut]), _from_zero(recording[cut:])


def _from_zero(recording: Sequence[Recorded]) -> list[Recorded]:
    began = recording[0].sent
    return [
        each._replace(sent=each.sent - began, first=each.first - began, last=each.last - began) for each in recording
    ]
