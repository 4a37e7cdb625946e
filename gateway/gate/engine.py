"""The gate of one engine: what is under way, what was learnt, and what becomes of the next request. Pure.

    inflight ──┐                    what was sent, and what of it has begun
    rates ─────┼─► forecast ─► choice ─► admit, wait, spill, refuse
    health ────┤        ▲           ▲
    headroom ──┘        band        strictness: the error band of both forecasts, and what came of the promises

`scripts/bench gate` runs it in front of a simulated engine, beside other gates.
"""

import math
from typing import Final

from gateway.gate.choice import Choice, Elsewhere, Ruling, choose
from gateway.gate.forecast import Ask, forecast
from gateway.gate.headroom import Headroom
from gateway.gate.health import Health
from gateway.gate.inflight import Entry, InFlight
from gateway.gate.rates import Learnt, Rates
from gateway.types import Priority

MISSES: Final = 0.008
"""The share of broken promises that strictness steers to: below the one in a hundred that is allowed."""
_STRICTER: Final = 0.4
_LOOSEST, _STRICTEST = 0.2, 3.0
_HOLD_S: Final = 2.0
_SMOOTHING: Final = 0.1
_PROBE_S, _DOOMED_PROBE_S = 5.0, 30.0
"""When forecasts have kept everybody out for so long, one goes in to see whether they still hold: one that has a
chance, or after the longer time any.
"""


class EngineGate:
    """Decides for one engine. Times are of one monotonic clock."""

    def __init__(self, slots: int, learnt: Learnt) -> None:
        """`learnt` is from an earlier life, or a first guess."""
        self.flight = InFlight()
        self.rates = Rates(learnt)
        self.health = Health(slots)
        self.strictness = 1.0
        """What the chances of lateness are multiplied by, so that as many promises are broken as may be."""
        self._slots = slots
        self._headroom = Headroom()
        self._hold_s = _HOLD_S
        self._shut_at = math.inf
        """When the first was sent away since the last went in."""

    @property
    def learnt(self) -> Learnt:
        """What the next life of this gate should know."""
        return Learnt(
            rate=self.rates.prompt_rate,
            first=self.rates.first.ratios,
            gap=self.rates.gap.ratios,
        )

    def decide(
        self, ask: Ask, priority: Priority, elsewhere: Elsewhere | None, patience_s: float, now: float
    ) -> Choice:
        """What becomes of it now; `patience_s` is how long it may go on waiting."""
        flight = self.flight
        count = len(flight)
        self._headroom.arrived(priority, ask.first_s, now)
        work_s = flight.backlog / self.rates.prompt_rate
        ceiling = self.health.ceiling(count, work_s, now)
        slots, most_s = self._headroom.room(priority, self._slots, now)
        seen = forecast(ask, flight, self.rates, min(slots, max(1, ceiling)), self._hold_s, now)
        choice = choose(
            seen,
            elsewhere,
            strictness=self.strictness,
            free=count < min(slots, ceiling) and seen.first_s <= most_s,
            patience_s=patience_s,
            probe=now - self._shut_at >= (_PROBE_S if seen.late < 0.5 else _DOOMED_PROBE_S),
        )
        if choice.outcome is Ruling.SPILL:
            self._shut_at = min(self._shut_at, now)
        return choice

    def send(self, number: int, ask: Ask, choice: Choice, now: float) -> None:
        """It was admitted and is on its way."""
        seen = choice.forecast
        self.health.sent(now, len(self.flight))
        self._shut_at = math.inf
        entry = Entry(
            prompt=ask.prompt,
            arrived_at=ask.arrived_at,
            sent_at=now,
            foretold_s=seen.first_s,
            foretold_gap_s=seen.gap_s,
            first_s=ask.first_s,
            gap_s=ask.gap_s,
        )
        self.flight.send(number, entry)

    def token(self, number: int, now: float) -> None:
        """It has its next token."""
        fenced = self.health.fenced
        self.health.progressed(now)
        entry = self.flight.token(number, now)
        if fenced:
            self.flight.disturb()
        if entry.tokens == 1 and entry.telling:
            self.rates.began(entry)

    def end(self, number: int, now: float) -> None:
        """Its answer is over."""
        entry = self.flight.end(number, now)
        self._hold_s += _SMOOTHING * (now - entry.sent_at - self._hold_s)
        if not entry.telling:
            return
        self.rates.ended(entry, now)
        if entry.first_s is not None or entry.gap_s is not None:
            step = _STRICTER * (entry.missed(now) - MISSES)
            self.strictness = min(_STRICTEST, max(_LOOSEST, self.strictness * math.exp(step)))


__all__ = ["Ask", "Choice", "Elsewhere", "EngineGate", "Learnt", "Ruling"]
