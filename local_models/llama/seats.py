"""The slots of a scheduler, and who sits in them. Pure."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Key:
    """A sequence: one choice of one request."""

    job: int
    choice: int


class Phase(Enum):
    """Where a sequence stands; see `scheduler`."""

    AWAITING = auto()
    PREFILLING = auto()
    ASIDE = auto()
    FOLLOWING = auto()
    RUNNING = auto()


EVALUATING: Final = frozenset((Phase.PREFILLING, Phase.ASIDE))
"""Whose prompt is being evaluated."""
LEADING: Final = frozenset((Phase.AWAITING, Phase.PREFILLING, Phase.ASIDE))
"""Who sits so will have its prompt evaluated, and other choices of the request follow."""


@dataclass(slots=True)
class Seat:
    """A sequence that has a slot."""

    key: Key
    prompt: NDArray[np.int32]
    priority: int
    admitted: int
    """How many were before it."""
    phase: Phase
    length: int = 0
    """Tokens in the KV stream."""
    leader: int = -1
    """Awaiting: the slot that evaluates what both prompts begin with."""
    until: int = 0
    """Awaiting: how much that is."""
    dropped: bool = False
    """A piece of its prompt was planned and not evaluated, and none has been since; see `cuts`."""

    @property
    def left(self) -> int:
        """Prompt tokens that are not in the KV stream."""
        return self.prompt.size - self.length


class Seats:
    """All slots, taken or free."""

    def __init__(self, slots: int) -> None:
        self._seats: list[Seat | None] = [None] * slots
        self.taken: list[tuple[int, Seat]] = []
        """All who sit, by slot."""
        self.mixed = False
        """Not all of them are equally urgent."""
        self.least_urgent = 0
        """The highest priority among them."""

    def __getitem__(self, slot: int) -> Seat:
        seat = self._seats[slot]
        assert seat is not None, f"slot {slot} is empty"
        return seat

    def at(self, slot: int) -> Seat | None:
        """Who sits there; None for a free slot."""
        return self._seats[slot]

    def sit(self, slot: int, seat: Seat) -> None:
        """A free slot is taken."""
        self._seats[slot] = seat
        self._count()

    def leave(self, slot: int) -> Seat:
        """A slot that was taken is free; returns who sat there."""
        seat = self[slot]
        self._seats[slot] = None
        self._count()
        return seat

    @property
    def free(self) -> list[int]:
        """Slots without anybody."""
        return [slot for slot, seat in enumerate(self._seats) if seat is None]

    def runs(self, slot: int) -> bool:
        """Whether the sequence in a slot has its prompt behind it."""
        seat = self._seats[slot]
        return seat is not None and seat.phase is Phase.RUNNING

    @property
    def evaluating(self) -> list[tuple[int, Seat]]:
        """Whose prompt is being evaluated, wherever, by slot."""
        return [(slot, seat) for slot, seat in self.taken if seat.phase in EVALUATING]

    def prefilling(self) -> list[tuple[int, Seat]]:
        """Whose prompt is evaluated here, whoever was admitted first before others."""
        seats = [(slot, seat) for slot, seat in self.taken if seat.phase is Phase.PREFILLING]
        return sorted(seats, key=lambda entry: entry[1].admitted)

    def of(self, job: int) -> tuple[int, ...]:
        """The slots that a request holds."""
        return tuple(slot for slot, seat in self.taken if seat.key.job == job)

    def followers(self, job: int) -> tuple[int, ...]:
        """The slots of a request's choices that wait for its prompt."""
        return tuple(slot for slot in self.of(job) if self[slot].phase is Phase.FOLLOWING)

    def urgency(self) -> dict[int, int]:
        """The priority by which each slot is served: its own, or that of somebody more urgent who awaits its prompt."""
        found = {slot: seat.priority for slot, seat in self.taken}
        for slot, seat in self.taken:
            if seat.phase is Phase.AWAITING and seat.leader in found:
                found[seat.leader] = min(found[seat.leader], found[slot])
        return found

    def _count(self) -> None:
        """Asked many times a step, those who sit are looked for when somebody comes or goes."""
        self.taken = [(slot, seat) for slot, seat in enumerate(self._seats) if seat is not None]
        priorities = {seat.priority for _, seat in self.taken}
        self.mixed, self.least_urgent = len(priorities) > 1, max(priorities, default=0)
