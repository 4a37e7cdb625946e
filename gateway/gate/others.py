"""What a request would do to those who are under way: their first tokens come later, and so do their next ones.

Engines read what is short before what is long, and hold streams up meanwhile. How much of both is learnt.
"""

from collections.abc import Sequence
from itertools import islice

from gateway.gate.entries import Entry
from gateway.gate.inflight import InFlight
from gateway.gate.rates import Rates, margin
from gateway.gate.reading import MOST, Reading


def harm(
    delays: Sequence[tuple[Entry, float]], streams: int, reading: Reading, rates: Rates, price: float, now: float
) -> float:
    """What those whom it `delays` beside so many streams are expected to lose, in nano-dollars: by how much their
    promises become less likely to be kept, weighted by what somebody else takes for them, or by `price` where nobody
    else may answer.
    """
    lost = 0.0
    if not rates.overtaken:
        return lost
    band, rate, then = rates.first, rates.among(streams), rates.among(streams + 1)
    slowest = min(rate, then)
    for entry, tokens in delays:
        if entry.first_s is None:
            continue
        more = margin(entry.first_s)
        limit = entry.arrived_at + entry.first_s - now + more
        if limit >= band.most * ((reading.left + tokens) / slowest + more):
            continue
        until = reading.until(entry)
        first_s = until / rate + more
        later_s = rates.overtaken * ((until + tokens) / then - until / rate)
        chance = band.exceeds(first_s + later_s, limit) - band.exceeds(first_s, limit)
        lost += chance * (entry.cost_nano or price)
    return lost


def gives_way(prompt: int, flight: InFlight, rates: Rates, patience_s: float, now: float) -> bool:
    """Whether it should let those before it go on first, who would otherwise be held up between their first two tokens
    for longer than they were promised. Only if that is a matter of its patience, and this engine does so.
    """
    if not rates.stalls:
        return False
    own_s = prompt / rates.prompt_rate
    for entry in islice(flight.fresh, MOST):
        past = now - (entry.first_at or now)
        if entry.gap_s is not None and past < entry.gap_s < past + own_s:
            return True
    if flight.reading.left / rates.prompt_rate >= patience_s:
        return False
    return any(entry.gap_s is not None and entry.gap_s < own_s for entry in islice(flight.unstarted, MOST))
