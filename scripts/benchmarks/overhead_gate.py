"""The gate's decision: what it takes to let one request in beside others, half of them streams that have begun.

Prints JSON: microseconds of CPU at the median and at the 99th percentile, by how many others are under way at an
engine of ours that serves by priority, with rates that were learnt before.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from itertools import cycle

from gateway.app.serving import spare_the_collector
from gateway.gate import Applicant, Ask, Elsewhere, Gate, GateSettings, Learnt
from gateway.types import EngineView, Priority

ROUNDS = 400
OTHERS = (0, 15, 63)
_SLOTS = 128
_PROMISED_S = 3_600.0
_ENGINE = "engine"
_LEARNT = Learnt(rate=20_000.0, reach=8_000.0)


def main() -> None:
    """Measure and print, with a garbage collector that is set as the gateway sets its own."""
    spare_the_collector()
    print(json.dumps({f"{others}": asyncio.run(_quantiles(others)) for others in OTHERS}))


async def _quantiles(others: int) -> list[float]:
    gate, applicants = _gate(), _applicants()
    for number in range(others):
        permit = await gate.enter(_ENGINE, next(applicants))
        if number % 2:
            permit.token(1)
    times = sorted([await _cpu_us(gate, next(applicants)) for _ in range(ROUNDS)])
    return [round(times[len(times) // 2], 1), round(times[int(0.99 * len(times))], 1)]


async def _cpu_us(gate: Gate, applicant: Applicant) -> float:
    """Nobody waits: there are slots for all, and time."""
    began = time.thread_time()
    permit = await gate.enter(_ENGINE, applicant)
    took = time.thread_time() - began
    permit.release()
    return took * 1e6


def _gate() -> Gate:
    settings = GateSettings(max_wait_s=1.0, max_wait_alone_s=1.0, max_waiting=1, by_priority=frozenset({_ENGINE}))
    gate = Gate({_ENGINE: _SLOTS}, settings)
    gate.recall(_ENGINE, _LEARNT)
    gate.update(EngineView(name=_ENGINE, ready=True, given_up=False, url="http://engine", detail=""))
    return gate


def _applicants() -> Iterator[Applicant]:
    """Prompts of 50 to 500 tokens, of all classes in turn, which nobody can be late for while this is measured."""
    clock = asyncio.get_running_loop().time
    for prompt, priority in zip(cycle(range(50, 501, 50)), cycle(Priority)):
        now = clock()
        ask = Ask(prompt=prompt, arrived_at=now, first_s=_PROMISED_S, gap_s=_PROMISED_S, priority=priority)
        yield Applicant(ask=ask, elsewhere=Elsewhere(100_000), deadline=now + 600.0, leaves=lambda: True)


if __name__ == "__main__":
    main()
