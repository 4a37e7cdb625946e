"""What would become of a request that is sent now: its first token, the time between its tokens, and the doubt."""

from typing import Final

from msgspec import Struct

from gateway.gate.inflight import InFlight
from gateway.gate.rates import Rates

_OWN_STREAMS: Final = 4.0
"""What a step costs before any stream, in streams: the time between tokens grows with this plus their number."""

_LEAST_S: Final = 0.001
"""No first token is foretold sooner, however little there is to read."""


class Ask(Struct, frozen=True, kw_only=True):
    """A request. `first_s` (from its arrival on) and `gap_s` are its objectives, None where it has none. `streamed`:
    its tokens will be told as they come.
    """

    prompt: int
    arrived_at: float
    first_s: float | None
    gap_s: float | None
    streamed: bool = True

    @property
    def promised(self) -> bool:
        """Whether it has any objective."""
        return self.first_s is not None or self.gap_s is not None


class Forecast(Struct, frozen=True, kw_only=True):
    """Seconds from now to the first token, of which `slot_s` are for a slot; seconds between tokens, 0 where unknown;
    and the chance that a promise is broken, by the errors of the forecasts before.

    `delay` is by how much the oldest request that waits for its first token is over its own forecast (1: not at all).
    `work`: prompt tokens to be read before its first one. `guess`: so many were never seen, which makes nobody late.
    """

    first_s: float
    gap_s: float
    slot_s: float
    delay: float
    late: float
    work: int = 0
    guess: bool = False


def wait_for_slot(count: int, slots: int, hold_s: float) -> float:
    """Seconds until one is free for whom so many are before, in slots or waiting for one, each held for so long."""
    return 0.0 if count < slots else (count - slots + 1) * hold_s / max(slots, 1)


def forecast(ask: Ask, flight: InFlight, rates: Rates, slot_s: float, now: float) -> Forecast:
    """The forecast for a request that has to wait for a slot for so long.

    Prompts before it and its own are read at the learnt rate. If the oldest of them is overdue, the engine is slower
    than was learnt by at least as much.
    """
    count, work = len(flight), flight.backlog + ask.prompt
    first_s = max(_LEAST_S, work / rates.prompt_rate + slot_s)
    oldest = flight.oldest
    delay = 1.0 if oldest is None else max(1.0, (now - oldest.sent_at) / oldest.foretold_s)
    gap_s = flight.gap(now) * (_OWN_STREAMS + count + 1) / (_OWN_STREAMS + count)
    late, guess = 0.0, rates.guessed(work)
    if ask.first_s is not None and not guess:
        late = rates.first.exceeds(first_s * delay, ask.first_s - (now - ask.arrived_at))
    if ask.gap_s is not None and gap_s > 0:
        late = max(late, rates.gap.exceeds(gap_s, ask.gap_s))
    return Forecast(first_s=first_s, gap_s=gap_s, slot_s=slot_s, delay=delay, late=late, work=work, guess=guess)
