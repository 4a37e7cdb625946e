"""The gate of one engine: what is under way, what was learnt, and what becomes of the next request. Pure.

    inflight ──┐                    what was sent, and what of it has begun
    rates ─────┼─► forecast ─► choice ─► admit, wait, spill, refuse
    health ────┤        ▲           ▲
    headroom ──┘     band, others   strictness: the error band of both forecasts, what it would do to those under way,
                                    and what came of the promises

`scripts/bench gate` runs it in front of a simulated engine, beside other gates.
"""

import math
from typing import Final

from msgspec import Struct, structs

from gateway.gate.choice import Choice, Elsewhere, Ruling, choose
from gateway.gate.entries import Entry
from gateway.gate.forecast import Ask, forecast, wait_for_slot
from gateway.gate.headroom import Headroom
from gateway.gate.health import STALL_FACTOR, Health
from gateway.gate.inflight import InFlight
from gateway.gate.others import gives_way
from gateway.gate.rates import NOTHING, Learnt, Rates
from gateway.gate.strictness import Strictness

_HOLD_S: Final = 2.0
_SMOOTHING: Final = 0.1
_GUESSED_S: Final = 10.0
"""What prompts of a size that was never seen may take: an engine that reads its first long one does not stand still."""
_LAST_LOOK_S: Final = 0.1
"""Nobody gives way to others for so long that his patience ends before he is asked again."""
_PROBE_S, _DOOMED_PROBE_S = 5.0, 30.0
"""When forecasts have kept everybody out for so long, one goes in to see whether they still hold: one that has a
chance, or after the longer time any.
"""


class Situation(Struct, frozen=True):
    """How the engine was at a decision: requests under way, slots for the class that asked, and what health allowed."""

    at: float
    in_use: int
    slots: int
    ceiling: int


class EngineGate:
    """Decides for one engine. Times are of one monotonic clock."""

    def __init__(self, slots: int, learnt: Learnt, *, by_priority: bool = False) -> None:
        """`learnt` is from an earlier life, or a first guess. `by_priority`: the engine serves first who is urgent."""
        self.flight = InFlight(by_priority=by_priority)
        self.rates = Rates(learnt)
        self.health = Health(slots)
        self.strictness = Strictness()
        self.situation = Situation(0.0, 0, slots, slots)
        """That of the last decision."""
        self.speed = 1.0
        """Of the GPUs that it runs on, as a share of their highest."""
        self._slots = slots
        self._headroom = Headroom()
        self._hold_s = _HOLD_S
        self._held = 0
        self._shut_at = math.inf
        """When the first was sent away since the last went in."""

    @property
    def learnt(self) -> Learnt:
        """What the next life of this gate should know."""
        return Learnt(
            rate=self.rates.prompt_rate / self.speed,
            reach=self.rates.reach,
            beside=self.rates.beside,
            crowd=self.rates.crowd,
            overtaken=self.rates.overtaken,
            first=self.rates.first.ratios,
            gap=self.rates.gap.ratios,
            near=self.rates.near.ratios,
        )

    def decide(  # who stands before it is the queue's to say
        self, ask: Ask, elsewhere: Elsewhere | None, patience_s: float, now: float, ahead: int = 0
    ) -> Choice:
        """What becomes of it now; `patience_s` is how long it may go on waiting, `ahead` how many wait before it."""
        flight = self.flight
        flight.settle(now)
        flight.reading.advance(now, self.rates.among(flight.streams(ask.priority)), self.rates.overtaken)
        count = len(flight)
        self._headroom.arrived(ask.priority, ask.first_s, now, flight.above(ask.priority, itself=True))
        slots, most_s = self._headroom.room(ask.priority, self._slots, now, flight.above(ask.priority))
        promised = ask.promised
        most = self._ceiling(count, now, ramped=promised)
        if elsewhere is None:
            # Late is better than never: nobody else may answer.
            most = self._slots
        self.situation = Situation(now, count, slots, most)
        slot_s = wait_for_slot(count + ahead, min(slots, max(1, most)), self._hold_s)
        price = 0 if elsewhere is None else elsewhere.price_nano
        seen = forecast(ask, flight, self.rates, slot_s, now, price)
        room = count < min(slots, most)
        read_s = (flight.reading.left + ask.prompt) / self.rates.prompt_rate + slot_s
        shut_s = now - self._shut_at
        choice = choose(
            seen,
            elsewhere,
            strictness=self.strictness,
            free=room and not ahead and read_s <= most_s,
            patience_s=patience_s,
            probe=shut_s >= _PROBE_S and (shut_s >= _DOOMED_PROBE_S or max(seen.late, seen.slow) < 0.5),
        )
        if self._should_wait(choice, ask, patience_s, now, behind=room and ahead > 0):
            return structs.replace(choice, outcome=Ruling.WAIT)
        if choice.outcome is Ruling.SPILL:
            self._shut_at = min(self._shut_at, now)
        return choice

    def send(self, number: int, ask: Ask, choice: Choice, now: float) -> Entry:
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
            gap_s=None if self.flight.pauses(ask.priority) else ask.gap_s,
            work=seen.work,
            priority=ask.priority,
            reading_s=seen.reading_s,
            speed=self._speed,
            cost_nano=choice.price_nano,
            streamed=ask.streamed,
            telling=ask.streamed,
            listening_since=now,
        )
        rate = self.rates.among(self.flight.streams(ask.priority) + 1)
        for other, tokens in seen.delays:
            other.later_s += tokens / rate
        self.flight.send(number, entry)
        return entry

    def token(self, number: int, now: float, count: int = 1) -> None:
        """It has its next tokens, or the whole answer, whose tokens nobody saw come."""
        cadence = self.flight.cadence
        before = cadence.speed
        entry = self.flight.token(number, now, count)
        if cadence.speed != before:
            # Prompts will be read as much faster or slower, before any first token tells.
            self.rates.follow(cadence.speed / before)
        if self.health.progressed(now):
            self.flight.disturb()
        if entry.tokens == count and entry.telling and not entry.overtaken:
            self.rates.began(entry)

    def end(self, number: int, now: float) -> None:
        """Its answer is over."""
        entry = self.flight.end(number, now)
        entry.observed_gap_s = entry.gap(now)
        self._held += 1
        self._hold_s += max(_SMOOTHING, 1 / self._held) * (now - entry.sent_at - self._hold_s)
        if entry.telling:
            self.rates.ended(entry, now)
            self.strictness.learn(entry, now, self._speed)

    def stands_still(self, now: float) -> bool:
        """Whether those who have got nothing yet wait in vain: nobody has got a token for longer than any forecast has
        been wrong by lately. An engine that has too much to do is late with its tokens, and still has one now and then.
        """
        flight, health, rates = self.flight, self.health, self.rates
        if not health.quiet(now):
            return False
        unheard = flight.unheard(health.progress_at)
        unread = sum(each.prompt for each in unheard)
        if not unheard or rates.unknown(unread):
            return False
        work_s = unread / rates.among(flight.running) + max(each.foretold_gap_s for each in unheard)
        factor = max(STALL_FACTOR, rates.first.most)
        return health.stands_still(work_s, factor, now, flight.listening_since)

    def excuse(self, seconds: float, now: float) -> None:
        """This process stood still for so long: nothing is to be learnt from those who are there."""
        self.health.excuse(seconds, now)
        self.flight.disturb()

    def fence(self, now: float) -> None:
        """It was found to stand still: nothing is to be learnt from those who are there."""
        self.health.fence()
        self.flight.disturb()
        self.situation = Situation(now, len(self.flight), self._slots, 0)

    @property
    def hold_s(self) -> float:
        """How long a slot is usually held."""
        return self._hold_s

    def see_speed(self, speed: float) -> None:
        """Its GPUs have another clock: it will be slower or faster by as much, before any first token tells."""
        self.rates.prompt_rate *= speed / self.speed
        self.flight.cadence.expect(speed / self.speed)
        self.speed = speed

    def clears_in(self, ahead: int) -> float:
        """Seconds until somebody whom so many wait before would find a slot."""
        return wait_for_slot(len(self.flight) + ahead, self._slots, self._hold_s)

    @property
    def _speed(self) -> float:
        """Of now, by the clock of its GPUs and the time between its tokens."""
        return self.speed * self.flight.cadence.speed

    def _should_wait(self, choice: Choice, ask: Ask, patience_s: float, now: float, *, behind: bool) -> bool:
        """Whether it waits, though the choice was made; `behind` somebody who waits though there is room."""
        if choice.elsewhere_nano is None:
            return False
        if choice.outcome is Ruling.ADMIT:
            return patience_s > _LAST_LOOK_S and gives_way(ask.prompt, self.flight, self.rates, patience_s, now)
        if choice.outcome is not Ruling.SPILL or choice.free or patience_s <= 0:
            return False
        # How long slots are held is a guess, or who is before it makes room in a moment, or it has no objective that
        # waiting could break.
        guess = self.situation.ceiling > 0 and choice.forecast.slot_s > 0 and not self._held
        return guess or (behind and choice.here_nano <= choice.elsewhere_nano) or not ask.promised

    def _ceiling(self, count: int, now: float, *, ramped: bool) -> int:
        flight, health = self.flight, self.health
        if not health.quiet(now):
            return health.ceiling(count, 0.0, now, ramped=ramped)
        work_s = _GUESSED_S if self.rates.unknown(flight.backlog) else flight.backlog / self.rates.prompt_rate
        return health.ceiling(count, work_s, now, since=flight.listening_since, ramped=ramped)


__all__ = ["NOTHING", "Ask", "Choice", "Elsewhere", "EngineGate", "Entry", "Learnt", "Ruling"]
