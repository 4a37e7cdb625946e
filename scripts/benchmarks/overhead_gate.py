"""The gate's decision about one request beside others, half of them streams that have begun; and its whole way in, with
that decision, the ledger of what is under way and the permit.

Prints JSON: microseconds of CPU at the median and at the 99th percentile, by how many others are under way at an engine
of ours that serves by priority, with rates that were learnt before.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Final

from gateway.app.serving import spare_the_collector
from gateway.gate import Applicant, Ask, Elsewhere, Gate, GateSettings, Learnt
from gateway.gate.engine import EngineGate
from gateway.types import EngineView, Priority

ROUNDS: Final = 400
OTHERS: Final = (0, 15, 63)
_SLOTS: Final = 128
_ENGINE: Final = "engine"
_LEARNT: Final = Learnt(rate=20_000.0, reach=8_000.0)
_CLOUD: Final = Elsewhere(100_000)
_TIGHT_S, _AMPLE_S = 0.5, 3_600.0
"""Promises of first tokens: such that it has to be weighed who would be late by whom, and such that nobody can be late
while this is measured.
"""
_APART_S: Final = 1e-3


def main() -> None:
    """Measure and print, with a garbage collector that is set as the gateway sets its own."""
    spare_the_collector()
    print(json.dumps({f"{others}": asyncio.run(_measured(others)) for others in OTHERS}))


async def _measured(others: int) -> dict[str, list[float]]:
    """Both in turns: neither is measured in a loop of nothing else, which runs faster than any gateway."""
    decider, (gate, applicants) = _Decider(others), await _entered(others)
    decisions, entries = [], []
    for _ in range(ROUNDS):
        decisions.append(decider.cpu_us())
        entries.append(await _cpu_us(gate, next(applicants)))
    return {"decision": _quantiles(decisions), "entry": _quantiles(entries)}


def _quantiles(times: list[float]) -> list[float]:
    ordered = sorted(times)
    return [round(ordered[len(ordered) // 2], 1), round(ordered[int(0.99 * len(ordered))], 1)]


class _Decider:
    """Decides by a clock of its own, a moment after so many others were sent."""

    def __init__(self, others: int) -> None:
        self._gate = EngineGate(_SLOTS, _LEARNT, by_priority=True)
        self._asks = _asks(lambda: self._now, _TIGHT_S)
        self._now = 0.0
        self._gate.health.heard(self._now, ready=True)
        for number in range(others):
            self._now += _APART_S
            ask = next(self._asks)
            self._gate.send(number, ask, self._gate.decide(ask, _CLOUD, 1.0, self._now), self._now)
            if number % 2:
                self._gate.token(number, self._now)

    def cpu_us(self) -> float:
        """Of one decision, whatever it is."""
        self._now += _APART_S / ROUNDS
        ask = next(self._asks)
        began = time.thread_time()
        self._gate.decide(ask, _CLOUD, 1.0, self._now)
        return (time.thread_time() - began) * 1e6


async def _entered(others: int) -> tuple[Gate, Iterator[Applicant]]:
    gate, applicants = _gate(), _applicants()
    for number in range(others):
        permit = await gate.enter(_ENGINE, next(applicants))
        if number % 2:
            permit.token(1)
    return gate, applicants


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
    for ask in _asks(asyncio.get_running_loop().time, _AMPLE_S):
        yield Applicant(ask=ask, elsewhere=_CLOUD, deadline=ask.arrived_at + 600.0, leaves=lambda: True)


def _asks(clock: Callable[[], float], promised_s: float) -> Iterator[Ask]:
    """Prompts of 50 to 500 tokens, of all classes in turn."""
    for prompt, priority in zip(cycle(range(50, 501, 50)), cycle(Priority)):
        yield Ask(prompt=prompt, arrived_at=clock(), first_s=promised_s, gap_s=promised_s, priority=priority)


if __name__ == "__main__":
    main()
