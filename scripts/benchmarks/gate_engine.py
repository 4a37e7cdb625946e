"""The CPU engine on a clock that is only counted: its own scheduler, and a law of how long a call of llama.cpp takes.

No prompt is evaluated aside here, as with `--aside-threads 0`: of the trace's prompts one in 4,000 would be.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from local_models.llama.rows import Row
from local_models.llama.scheduler import Scheduler
from local_models.llama.seats import Key
from local_models.llama.shares import Shares


class Law(NamedTuple):
    """Seconds: of a call for running sequences, of each of them in it, and of each token of their contexts; of a call
    for prompts, and of each token of a prompt; and of what a request needs besides on its way to its first token.
    """

    step: float
    sequence: float
    context: float
    call: float
    prompt: float
    way: float

    def running(self, count: int, context: int) -> float:
        """What a token for so many sequences takes, which hold so many tokens together."""
        return self.step + self.sequence * count + self.context * context

    def reading(self, tokens: int) -> float:
        """What so many tokens of prompts take in one call."""
        return self.call + self.prompt * tokens


class Token(NamedTuple):
    """A call has given a request its next token."""

    number: int
    first: bool
    last: bool


class SimulatedEngine:
    """Requests in, tokens out, a call at a time."""

    def __init__(self, slots: int, room: int, law: Law, *, cuts: bool = True) -> None:
        """`room` is how many tokens all slots hold together. Without `cuts` every step is carried out to its end, as by
        the engine of the recording: what a call takes is the same.
        """
        self._cuts = cuts
        self._scheduler = Scheduler(slots, Shares())
        self._law = law
        self._room = room
        self._left: dict[int, int] = {}
        self._fresh: set[int] = set()
        self._by_slot: dict[int, int] = {}
        self._calls: list[tuple[Row, ...]] = []  # of the step that is under way, the next one last

    @property
    def waiting(self) -> int:
        """Requests without a slot."""
        return self._scheduler.waiting

    @property
    def usage(self) -> float:
        """Share of the room that is taken."""
        return self._scheduler.tokens / self._room

    def ask(self, number: int, prompt: int, answer: int, priority: int = 0) -> None:
        """A request for so many tokens; a lower priority goes first."""
        self._left[number] = max(1, answer)
        self._fresh.add(number)
        self._scheduler.enqueue(Key(number, 0), np.zeros(max(1, prompt), dtype=np.int32), priority)
        self._calls[:-1] = [rows for rows in self._calls[:-1] if not self._scheduler.yields(rows, priority)]

    def begin(self) -> float | None:
        """Start a call of llama_decode, the next one of the step; returns its seconds, None when nothing is to do."""
        if not self._calls:
            for start in self._scheduler.admit():
                self._by_slot[start.place.slot] = start.key.job
            self._calls = [*reversed(self._scheduler.apart(self._scheduler.plan()))]
        return self._seconds(self._calls[-1]) if self._calls else None

    def end(self, seconds: float) -> list[Token]:
        """The call took so long; returns the tokens it made."""
        rows = self._calls.pop()
        self._scheduler.took(rows, seconds)
        tokens = [self._advance(ready.slot) for ready in self._scheduler.advance(rows)]
        if self._cuts:
            self._calls = self._scheduler.rest(self._calls)
        return tokens

    def _seconds(self, call: Sequence[Row]) -> float:
        """Running sequences have a call of their own."""
        if self._by_slot[call[0].slot] in self._fresh:
            return self._law.reading(sum(row.stop - row.start for row in call))
        return self._law.running(len(call), sum(row.start for row in call))

    def _advance(self, slot: int) -> Token:
        number = self._by_slot[slot]
        first = number in self._fresh
        self._fresh.discard(number)
        self._left[number] -= 1
        last = self._left[number] == 0
        if last:
            self._scheduler.leave(slot)
            del self._left[number], self._by_slot[slot]
        return Token(number, first, last)
