"""Our gate as a policy of the simulation."""

from typing import Final

from gateway.gate.engine import Ask, Elsewhere, EngineGate, Learnt, Ruling
from gateway.prices import cost
from scripts.benchmarks.gate_world import GAP_S, PRICE, Gauges, Request, Verdict

PATIENCE: Final = 0.25
"""Part of the objective for the first token that may be spent waiting."""
_PATIENCE_S: Final = 10.0
"""The patience of those who have none."""


def patience_s(request: Request) -> float:
    """How long it may wait."""
    return _PATIENCE_S if request.objective_s is None else PATIENCE * request.objective_s


class Ours:
    """`gateway.gate` in front of the simulated engine."""

    def __init__(self, slots: int, learnt: Learnt) -> None:
        self.gate = EngineGate(slots, learnt, by_priority=True)
        self._foretold: dict[int, float] = {}

    def scraped(self, _gauges: Gauges, now: float) -> None:
        """Who watches the engine says that it is ready."""
        self.gate.health.heard(now, ready=True)

    def offer(self, request: Request, now: float) -> Verdict:
        """Ask the gate."""
        first_s = request.objective_s
        ask = Ask(
            prompt=request.prompt,
            arrived_at=request.at,
            first_s=first_s,
            gap_s=None if first_s is None else GAP_S,
            priority=request.priority,
        )
        elsewhere = Elsewhere(cost(PRICE, request.prompt, request.expected))
        choice = self.gate.decide(ask, elsewhere, request.at + patience_s(request) - now, now)
        if choice.outcome is Ruling.ADMIT:
            self.gate.send(request.number, ask, choice, now)
            self._foretold[request.number] = choice.forecast.first_s + now - request.at
            return Verdict.ADMIT
        return Verdict.WAIT if choice.outcome is Ruling.WAIT else Verdict.SPILL

    def token(self, number: int, now: float) -> None:
        """Tell the gate."""
        self.gate.token(number, now)

    def ended(self, number: int, now: float) -> None:
        """Tell the gate."""
        self.gate.end(number, now)

    def predicted(self, number: int) -> float | None:
        """What the gate foretold."""
        return self._foretold.get(number)
