"""A real vLLM on the CPU that dies or hangs under fifty streams, many times in each way: what its callers see.

usage: scripts/bench deaths [--times N] [--ways WORDS …] [--json]

Ends with 1 unless each time nobody waited longer than five seconds: who had been answered in part was sent an error
event, who had not was answered elsewhere, or told to come back if nobody else might answer. And unless vLLM was back
without help, and no process of the old one was left to hold memory. The parts are those of the suite `tests/vllm`,
which does most of it once.
"""

import argparse
import asyncio
import json
import pathlib
import random
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from scripts.tooling.console import terminal_console
from tests.e2e.deaths import Death, death
from tests.faults.behaviours import Says
from tests.faults.handle import fault_server
from tests.vllm.box import START_S, Box, box, engine_of_environment
from tests.vllm.processes import WAYS, left_of, members_of, memory_mb

WITHIN_S = 5.0


class Round(NamedTuple):
    """One death. `problem` is why it did not go as it should; then nothing else is known of it."""

    way: str
    died: Death | None = None
    left: tuple[int, ...] = ()
    memory_mb: float = 0.0
    problem: str = ""

    @property
    def problems(self) -> list[str]:
        """What is not as it should be."""
        left = [f"processes {', '.join(map(str, self.left))} are left"] if self.left else []
        return [f"{self.way}: {each}" for each in (*filter(None, [self.problem]), *left)]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench deaths", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=10, help="of each way (default 10, an hour or two)")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS), metavar="WORDS", help="some alone")
    parser.add_argument("--seed", type=int, default=4, help="of when it is struck (default 4)")
    parser.add_argument("--json", action="store_true", help="print a JSON document instead of a table")
    arguments = parser.parse_args()
    console = terminal_console(sys.stderr)
    wanted = [way for _ in range(arguments.times) for way in arguments.ways]
    rounds: list[Round] = []
    with tempfile.TemporaryDirectory(prefix="fb") as folder, fault_server(pathlib.Path(folder)) as faults:
        faults.always("mid", Says())
        # What has been seen when somebody has waited long enough is worth as much as it is.
        with suppress(KeyboardInterrupt), box(engine_of_environment(), faults) as it:
            chance = random.Random(arguments.seed)
            for number, way in enumerate(wanted):
                with console.step(f"{number + 1} of {len(wanted)}: {way}") as step:
                    rounds.append(one(it, way, f"{number}-{way.replace(' ', '-')}", chance))
                    if rounds[-1].problems:
                        step.fail()
    found = [problem for each in rounds for problem in each.problems]
    print(json.dumps(document(rounds), indent=2) if arguments.json else table(rounds))
    missing = len(wanted) - len(rounds)
    found += [f"{missing} were left out"] if missing else []
    print("\n".join(found) if found else "Every time as it should be.", file=sys.stderr)
    sys.exit(1 if found else 0)


def one(it: Box, way: str, name: str, chance: random.Random) -> Round:
    """One death, and all that is to be said of it."""
    try:
        gateway, members = it.up(), members_of(it.home)
        died = asyncio.run(death(gateway, name, chance, lambda: WAYS[way](it.home), within_s=WITHIN_S, back_s=START_S))
        return Round(way, died, tuple(left_of(members)), memory_mb(it.home))
    except AssertionError as error:
        return Round(way, problem=str(error).partition("\n")[0])


def document(rounds: Sequence[Round]) -> list[dict[str, Any]]:
    """A row for each way."""
    return [_row(way, [each for each in rounds if each.way == way]) for way in WAYS if way in {e.way for e in rounds}]


def _row(way: str, rounds: Sequence[Round]) -> dict[str, Any]:
    deaths = [each.died for each in rounds if each.died is not None]
    ended = sum((each.ended for each in deaths), Counter[str]())
    return {
        "way": way,
        "times": len(rounds),
        "as_it_should": sum(not each.problems for each in rounds),
        "ended": dict(ended),
        "last_s": max((each.last_s for each in deaths), default=None),
        "back_s": statistics.median(each.back_s for each in deaths) if deaths else None,
        "back_latest_s": max((each.back_s for each in deaths), default=None),
        "left": sum(len(each.left) for each in rounds),
        "memory_mb": max((each.memory_mb for each in rounds), default=0.0),
    }


def table(rounds: Sequence[Round]) -> str:
    """The same, for people."""
    heads = ("way", "times", "as it should be", "error event", "elsewhere", "told to come back", "done before")
    more = ("last, s", "back, s: median, latest", "left", "MiB of the next")
    lines = [f"| {' | '.join((*heads, *more))} |", f"|---|{'--:|' * 10}"]
    for row in document(rounds):
        ended = (str(row["ended"].get(kind, 0)) for kind in ("interrupted", "elsewhere", "refused", "before"))
        seconds = ["-" if row[key] is None else f"{row[key]:.1f}" for key in ("last_s", "back_s", "back_latest_s")]
        words = (row["way"], row["times"], row["as_it_should"], *ended, seconds[0], ", ".join(seconds[1:]))
        lines.append(f"| {' | '.join(map(str, (*words, row['left'], round(row['memory_mb']))))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
