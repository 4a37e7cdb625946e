"""Where a sequence sits, and what it goes on from: of whatever `prefixes` finds, or at the beginning. Pure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from local_models.llama.prefixes import Place, Prefixes
from local_models.llama.priority import USUAL, Waiting
from local_models.llama.seats import EVALUATING, LEADING, Key, Phase, Seat, Seats


@dataclass(frozen=True, slots=True)
class Start:
    """The sequence `key` goes on from what its place holds. `seated`: it has just got its slot."""

    key: Key
    place: Place
    seated: bool


class Seating:
    """Kept by the scheduler, whose seats these are."""

    def __init__(self, seats: Seats, prefixes: Prefixes | None) -> None:
        self._seats = seats
        self._prefixes = prefixes
        self._admitted = 0
        self.queries = 0
        """Prompt tokens that were looked for in the prefixes, since the start."""
        self.hits = 0
        """Those found there."""

    def go_on(self) -> list[Start]:
        """Whoever need not wait for another any longer."""
        prefixes = self._prefixes
        if prefixes is None:
            return []
        return [
            self._follow(slot, seat, prefixes)
            for slot, seat in self._seats.taken
            if seat.phase is Phase.AWAITING and self._led(seat)
        ]

    def sit(self, each: Waiting, free: list[int]) -> Start:
        """Who waited has one of the free slots now."""
        self._admitted += 1
        key, prompt = each.key, each.prompt
        seat = Seat(key, prompt, each.priority, self._admitted, Phase.PREFILLING)
        place = Place(free[0], free[0], 0)
        if any(self._seats[slot].phase in LEADING for slot in self._seats.of(key.job)):
            seat.phase = Phase.FOLLOWING
        elif self._prefixes is not None:
            place = self._prefixes.place(prompt, free, self._apart(each))
            seat.leader, seat.until = self._leader(prompt, place.kept, self._prefixes)
            if seat.until:
                seat.phase = Phase.AWAITING
        if self._prefixes is not None:
            if seat.phase is not Phase.PREFILLING:
                slot = self._prefixes.vacant(free, self._apart(each))
                place = Place(slot, slot, 0)
            self._prefixes.take(place)
            self.queries += prompt.size if seat.phase is not Phase.FOLLOWING else 0
            self.hits += place.kept
        seat.length = place.kept
        self._seats.sit(place.slot, seat)
        return Start(key, place, seated=True)

    def _apart(self, each: Waiting) -> list[int]:
        """Those who are decoded when it is not; see `priority`."""
        behind = each.priority > USUAL
        return [slot for slot, seat in self._seats.taken if (seat.priority > USUAL) is not behind]

    def _leader(self, prompt: NDArray[np.int32], kept: int, prefixes: Prefixes) -> tuple[int, int]:
        """The slot that is about to evaluate more of the prompt than is `kept` already, and how much; or (-1, 0)."""
        promises = ((slot, prefixes.promised(seat.prompt, prompt)) for slot, seat in self._seats.evaluating)
        leader, until = max(promises, key=lambda entry: entry[1], default=(-1, 0))
        return (leader, until) if until >= kept + prefixes.least(prompt.size) else (-1, 0)

    def _led(self, seat: Seat) -> bool:
        """What the sequence waits for is there, or will not come."""
        leader = self._seats.at(seat.leader)
        return leader is None or leader.phase not in EVALUATING or leader.length >= seat.until

    def _follow(self, slot: int, seat: Seat, prefixes: Prefixes) -> Start:
        kept = prefixes.copied(seat.leader, seat.prompt)
        place = Place(slot, seat.leader if kept else slot, kept)
        prefixes.take(place)
        seat.phase, seat.length = Phase.PREFILLING, kept
        self.hits += kept
        return Start(seat.key, place, seated=False)
