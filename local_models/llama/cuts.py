"""A step ends early when somebody gets his first token: the second one would wait for the prompts of others. Pure.

    calls of a step        running │ short prompts │ a piece of a long one
                                          └─ first tokens ──► the rest is dropped, and planned anew beside new streams
    of one after it        running │ the piece that was dropped │ short prompts

A call with 64 to 128 tokens of a prompt takes 100 to 250 ms on two CPUs, and an answer of five tokens has no time to
make up for it. Nothing of what is dropped has been evaluated, so it costs nothing. But short prompts go first, and if
more of them came all the time no piece would ever be evaluated: so whoever's was dropped goes before them once it has
its next one, and of whoever has waited longest no two in a row are dropped.

A step is carried out to its end for answers that are less urgent than usual, whose next token nobody waits for; and
where it is the turn of those who were passed over (see `priority`), for that is short.
"""

import math
from collections.abc import Iterable

from local_models.llama.priority import USUAL
from local_models.llama.rows import Row
from local_models.llama.seats import Seats


class Cuts:
    """Kept by the scheduler, whose seats these are."""

    def __init__(self, seats: Seats) -> None:
        self._seats = seats
        self.begun: list[int] = []
        """Slots that the last call has given their first token."""

    def order(self, calls: Iterable[tuple[Row, ...]]) -> list[tuple[Row, ...]]:
        """Calls for prompts, those first of which something was dropped before; of these, who was admitted first."""
        return sorted(calls, key=self._admitted)

    def rest(self, calls: list[tuple[Row, ...]]) -> list[tuple[Row, ...]]:
        """What is left of the calls to come: all, or nothing when somebody has begun in the last one and goes on."""
        if not calls or not any(self._goes_on(slot) for slot in self.begun):
            return calls
        for row in (row for rows in calls for row in rows):
            if (seat := self._seats.at(row.slot)) is not None:
                seat.dropped = True
        return []

    def _admitted(self, rows: tuple[Row, ...]) -> float:
        seats = [self._seats[row.slot] for row in rows]
        return min((seat.admitted for seat in seats if seat.dropped), default=math.inf)

    def _goes_on(self, slot: int) -> bool:
        """It is running, not over with its first token, and somebody waits for the next."""
        seat = self._seats.at(slot)
        return seat is not None and seat.priority <= USUAL
