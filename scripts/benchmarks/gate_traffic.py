"""Arrivals and lengths of `gate`: stretches of a published trace, scaled to what is measured.

The trace was made by machines some eight times as fast as two cores with a small model. Prompts are divided by
`PROMPT_SCALE` and answers by `ANSWER_SCALE`, which leaves both a part of the work as they are there (a prompt's token
costs a CPU as much as an answer's, a GPU far less), and times are stretched until the load is the wanted multiple of
what the engine can do. Of the first ten, even stretches are for tuning and odd ones for reporting. The odd ones have
been looked at after every change to the gate, and it has come to suit them; so have eighteen more, from between them.
The last nine were first looked at when all was set, and are not to be tuned on.
"""

import csv
import math
import pathlib
from collections.abc import Sequence
from typing import Final, NamedTuple

PROMPT_SCALE: Final = 16
ANSWER_SCALE: Final = 4
TUNING: Final = (0, 2, 4, 6, 8)
HELD_OUT: Final = (1, 3, 5, 7, 9)
SEEN: Final = tuple(range(10, 28))
FRESH: Final = tuple(range(28, 37))
TRACE: Final = pathlib.Path(__file__).parent / "traffic" / "azure-2023.csv"


class Arrival(NamedTuple):
    """A request: when it comes, what kind of work it is, and how many tokens its prompt and its answer have."""

    at: float
    kind: str
    prompt: int
    answer: int


def stretch(number: int) -> list[Arrival]:
    """One stretch of the trace, with lengths of this bench and times of the trace."""
    with TRACE.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return [
            Arrival(
                float(row["seconds"]),
                row["kind"],
                math.ceil(int(row["prompt_tokens"]) / PROMPT_SCALE),
                math.ceil(int(row["generated_tokens"]) / ANSWER_SCALE),
            )
            for row in rows
            if int(row["stretch"]) == number
        ]


def paced(arrivals: Sequence[Arrival], rate: float) -> list[Arrival]:
    """The same requests at so many per second on average."""
    factor = len(arrivals) / rate / (arrivals[-1].at - arrivals[0].at)
    return [each._replace(at=(each.at - arrivals[0].at) * factor) for each in arrivals]
