"""Admit, wait, spill or refuse: what costs least, in money and in broken promises.

A promise that the box breaks weighs `LATENESS` times what somebody else takes for the same tokens. A long request,
which costs most elsewhere, is therefore worth as much more of a risk as its lateness would weigh more: the choice
hangs on the chances, and not on the length.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct

from gateway.gate.forecast import Forecast
from gateway.gate.strictness import Strictness

LATENESS: Final = 9.0
_LEAST_NANO: Final = 1_000
"""What a request counts for where others take nothing for it: the box comes first."""


class Ruling(StrEnum):
    """What becomes of a request at the gate."""

    ADMIT = "admit"
    WAIT = "wait"
    SPILL = "spill"
    REFUSE = "refuse"
    EVICT = "evict"  # it was admitted, and is taken back: the engine stands still, and somebody else may answer


class Elsewhere(Struct, frozen=True):
    """Who else may answer: what it takes, and the chance that it is late too."""

    cost_nano: int
    late: float = 0.0

    @property
    def price_nano(self) -> int:
        """What it counts for."""
        return max(self.cost_nano, _LEAST_NANO)


class Choice(Struct, frozen=True, kw_only=True):
    """The outcome and what it was chosen by: expected nano-dollars here and elsewhere, None where nobody else may.

    `free`: there was a slot for it. `retry_after_s` is in how long a refused request would find room. `price_nano` is
    what somebody else takes for it, 0 where nobody else may answer.
    """

    outcome: Ruling
    forecast: Forecast
    here_nano: float
    elsewhere_nano: float | None
    free: bool = True
    retry_after_s: float = 0.0
    price_nano: float = 0.0


def choose(  # each is another stage's
    seen: Forecast, elsewhere: Elsewhere | None, *, strictness: Strictness, free: bool, patience_s: float, probe: bool
) -> Choice:
    """The cheapest outcome that is possible.

    `strictness` corrects the chances by what came of them. `free`: there is a slot for it. `patience_s` is how long it
    may still wait for one, or for others. `probe`: it is to find out whether forecasts that keep everybody out still
    hold.
    """
    if elsewhere is None:
        # Late is better than never: nobody else may answer.
        outcome = Ruling.ADMIT if free else Ruling.WAIT if patience_s > 0 else Ruling.REFUSE
        retry = seen.slot_s if outcome is Ruling.REFUSE else 0.0
        return Choice(
            outcome=outcome, forecast=seen, here_nano=0.0, elsewhere_nano=None, free=free, retry_after_s=retry
        )
    price = elsewhere.price_nano
    alone = LATENESS * price * strictness.chance(seen.late, seen.slow)
    here = alone + LATENESS * seen.harm_nano * strictness.late
    there = price + LATENESS * price * elsewhere.late
    outcome = Ruling.SPILL
    if free and (here <= there or probe):
        outcome = Ruling.ADMIT
    elif here <= there and 0 < seen.slot_s <= patience_s:
        outcome = Ruling.WAIT
    elif free and alone <= there and patience_s > 0:
        # Those whom it would delay may have their first tokens in time for it.
        outcome = Ruling.WAIT
    return Choice(outcome=outcome, forecast=seen, here_nano=here, elsewhere_nano=there, free=free, price_nano=price)
