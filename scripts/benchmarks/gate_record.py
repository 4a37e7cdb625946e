"""A recording of the CPU engine under the traffic of `gate`, which the simulated engine is fitted to and judged by.

The real engine with all cores, over HTTP, with nothing before it: to be made while the machine does nothing else.
"""

import csv
import datetime as dt
import pathlib
import platform
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from local_models.hardware import cpu_count
from scripts.benchmarks.gate_baselines import NoGate
from scripts.benchmarks.gate_real import PARALLEL, play, real_engine
from scripts.benchmarks.gate_traffic import Arrival
from scripts.benchmarks.gate_world import Load

RECORDING: Final = pathlib.Path(__file__).parent / "traffic" / "engine-recording.csv"


class Recorded(NamedTuple):
    """What came of a request to a real engine. Times are seconds since the first was sent."""

    sent: float
    prompt: int
    answer: int
    first: float
    last: float


def record(file: pathlib.Path, arrivals: Sequence[Arrival], told: Callable[[float], None]) -> list[Recorded]:
    """Ask an engine, each request when it is due; `told` is how far it is."""
    with real_engine(file) as base:
        for_warmth = [arrivals[-1]._replace(at=0.0)] * 2
        play(base, Load(for_warmth), NoGate(), 0)
        served = play(base, Load(arrivals), NoGate(), 0, told)
    return [
        Recorded(each.sent or 0.0, each.arrival.prompt, each.arrival.answer, each.first, each.last or 0.0)
        for each in served
    ]


def write(file: pathlib.Path, model: pathlib.Path, rows: Iterable[Recorded]) -> None:
    """Keep a recording, and say of what it is."""
    about = (
        f"local_models/llama with {model.name}, {cpu_count()} cores, {PARALLEL} slots, {platform.machine()}, over HTTP"
    )
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
