"""The simulated engine while its speed changes, a call after the other. Whoever copies it can look ahead."""

import math
from collections.abc import Sequence

from scripts.benchmarks.gate_engine import SimulatedEngine, Token
from scripts.benchmarks.gate_traffic import Arrival
from scripts.benchmarks.gate_world import Machine, Request, Speed


class Course:
    """The engine, and the call that is under way. Times are seconds since the load began."""

    def __init__(self, machine: Machine, speeds: Sequence[Speed]) -> None:
        self.engine = SimulatedEngine(machine.slots, machine.slots * machine.context, machine.law)
        self.ends = math.inf
        """When the call that is under way ends; infinite where none is."""
        self._began = 0.0
        self._speeds = speeds

    def ask(self, request: Request, arrival: Arrival) -> None:
        """A request was sent to it."""
        self.engine.ask(request.number, arrival.prompt, arrival.answer, request.priority.in_engines)

    def begin(self, now: float) -> None:
        """Start the next call, if none is under way and anything is to do."""
        if self.ends == math.inf and (seconds := self.engine.begin()) is not None:
            self._began = now
            self.ends = _lasting(self._speeds, now, seconds)

    def end(self) -> list[Token]:
        """The call ends now; returns the tokens that it made."""
        took, self.ends = self.ends - self._began, math.inf
        return self.engine.end(took)


def _lasting(speeds: Sequence[Speed], began: float, seconds: float) -> float:
    """When a call ends that takes so many seconds at full speed."""
    now, left = began, seconds
    for place, speed in enumerate(speeds):
        until = speeds[place + 1].at if place + 1 < len(speeds) else math.inf
        if until <= now:
            continue
        if speed.share * (until - now) >= left:
            return now + left / speed.share
        left -= speed.share * (until - now)
        now = until
    raise ValueError("the engine stands still for good")
