"""What was decided at one engine lately: kept as it is at hand, and put into words when somebody looks."""

import time
from collections import Counter, deque
from typing import Final

from msgspec import Struct

from gateway.gate.engine import Ask, Choice, EngineGate, Entry, Situation
from gateway.gates import GateDecision

_KEPT: Final = 64


class Decided(Struct, frozen=True):
    """What became of somebody, and how the engine was; `at` is the wall's clock, `entry` is what came of it since."""

    outcome: str
    at: float
    ask: Ask
    choice: Choice
    entry: Entry | None
    situation: Situation
    band: float
    strictness: float
    gap_strictness: float


class Book:
    """The last decisions, and how many there were of each outcome."""

    def __init__(self, gate: EngineGate) -> None:
        self.counts: Counter[str] = Counter()
        self._gate = gate
        self._kept: deque[Decided] = deque(maxlen=_KEPT)

    def note(self, outcome: str, ask: Ask, choice: Choice, entry: Entry | None) -> None:
        """Somebody went in, or went away, as was decided just now."""
        gate = self._gate
        self.counts[outcome] += 1
        self._kept.append(
            Decided(
                outcome,
                time.time(),
                ask,
                choice,
                entry,
                gate.situation,
                gate.rates.first.usual,
                gate.strictness.late,
                gate.strictness.slow,
            )
        )

    def decisions(self) -> tuple[GateDecision, ...]:
        """The last ones, oldest first."""
        return tuple(_told(each) for each in self._kept)


def _told(each: Decided) -> GateDecision:
    choice, ask, entry, situation = each.choice, each.ask, each.entry, each.situation
    seen = choice.forecast
    first_at = entry.first_at if entry is not None and entry.streamed else None
    return GateDecision(
        at=each.at,
        outcome=each.outcome,
        priority=ask.priority.name.lower(),
        waited_s=situation.at - ask.arrived_at,
        prompt=ask.prompt,
        work=seen.work,
        guess=seen.guess,
        first_s=seen.first_s,
        gap_s=seen.gap_s,
        slot_s=seen.slot_s,
        delay=seen.delay,
        band=each.band,
        late=seen.late,
        slow=seen.slow,
        strictness=each.strictness,
        gap_strictness=each.gap_strictness,
        free=choice.free,
        in_use=situation.in_use,
        slots=situation.slots,
        ceiling=situation.ceiling,
        harm_nano=seen.harm_nano,
        here_nano=choice.here_nano,
        elsewhere_nano=choice.elsewhere_nano,
        promised_first_s=ask.first_s,
        promised_gap_s=ask.gap_s,
        observed_first_s=None if first_at is None else first_at - ask.arrived_at,
        observed_gap_s=None if entry is None else entry.observed_gap_s or None,
    )
