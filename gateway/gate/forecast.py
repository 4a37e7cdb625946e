"""What would become of a request that is sent now: its first token, the time between its tokens, and the doubt."""

import math
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from gateway.gate.entries import ALONE, Entry, ReadingTimes
from gateway.gate.inflight import InFlight
from gateway.gate.others import harm
from gateway.gate.rates import Rates, margin
from gateway.types import Priority

_LEAST_S: Final = 0.001
"""No first token is foretold sooner, however little there is to read."""


class Ask(Struct, frozen=True, kw_only=True):
    """A request. `first_s` (from its arrival on) and `gap_s` are its objectives, None where it has none. `streamed`:
    its tokens will be told as they come. `priority` is that of its class.
    """

    prompt: int
    arrived_at: float
    first_s: float | None
    gap_s: float | None
    streamed: bool = True
    priority: Priority = Priority.NORMAL

    @property
    def promised(self) -> bool:
        """Whether it has any objective."""
        return self.first_s is not None or self.gap_s is not None


class Forecast(Struct, frozen=True, kw_only=True):
    """Seconds from now to the first token, of which `slot_s` are for a slot; seconds between tokens, 0 where unknown;
    and by the errors of the forecasts before the chances that the first token is `late`, and the others come more
    slowly than was promised. `harm_nano` is what those under way are expected to lose by it: see `others.harm`.

    `delay` is by how much the oldest request that waits for its first token is over its own forecast (1: not at all).
    `work`: prompt tokens to be read before its first one, and `reading_s` what that takes alone, beside few streams and
    beside many. `guess`: so many were never seen, which makes nobody late. `delays`: see `reading.Reading.delays`.
    """

    first_s: float
    gap_s: float
    slot_s: float
    delay: float
    late: float
    slow: float = 0.0
    work: int = 0
    guess: bool = False
    reading_s: ReadingTimes = ALONE
    delays: Sequence[tuple[Entry, float]] = ()
    harm_nano: float = 0.0


def wait_for_slot(count: int, slots: int, hold_s: float) -> float:
    """Seconds until one is free for whom so many are before, in slots or waiting for one, each held for so long."""
    return 0.0 if count < slots else (count - slots + 1) * hold_s / max(slots, 1)


def forecast(ask: Ask, flight: InFlight, rates: Rates, slot_s: float, now: float, price: float = 0.0) -> Forecast:
    """The forecast for a request that has to wait for a slot for so long, and that costs `price` elsewhere.

    What is left of the prompts before it and its own are read at the learnt rate, the slower the more of those before
    it have become streams. If the oldest of them is overdue, the engine is slower than was learnt by at least as much.
    """
    reading, streams = flight.reading, flight.streams(ask.priority)
    work, earlier = reading.ahead(ask.prompt, rates.overtaken, ask.priority)
    reading_s = rates.reading_s(work, ask.prompt, earlier, streams)
    first_s = max(_LEAST_S, sum(reading_s) + slot_s)
    oldest = flight.before(ask.priority)
    delay = 1.0 if oldest is None else max(1.0, (now - oldest.sent_at) / rates.foretold_s(oldest))
    gap_s = flight.gap(now, more=1, priority=ask.priority)
    delays = reading.delays(ask.prompt, ask.priority)
    late, slow, guess = 0.0, 0.0, rates.guessed(work)
    if ask.first_s is not None and not guess:
        more = margin(ask.first_s)
        late = rates.first.exceeds(first_s * delay + more, ask.first_s - (now - ask.arrived_at) + more)
    if ask.gap_s is not None and gap_s > 0:
        slow = rates.slow(gap_s, ask.gap_s)
    return Forecast(
        first_s=first_s,
        gap_s=gap_s,
        slot_s=slot_s,
        delay=delay,
        late=late,
        slow=slow,
        work=math.ceil(work),
        guess=guess,
        reading_s=reading_s,
        delays=delays,
        harm_nano=harm(delays, streams, reading, rates, price, now) if price else 0.0,
    )
