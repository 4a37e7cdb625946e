"""The CPU engine on a clock that is only counted: its own scheduler, and a law of how long a step takes."""

from typing import NamedTuple

import numpy as np

from local_models.llama.scheduler import Row, Scheduler
from local_models.llama.seats import Key
from local_models.llama.shares import Shares
from scripts.benchmarks.gate_pace import RecordedPace


class Law(NamedTuple):
    """Seconds: of any evaluation, and more of it for each sequence, token of context and prompt token; and what a
    request needs besides, on its way to its first token.
    """

    step: float
    sequence: float
    context: float
    prompt: float
    way: float

    def seconds(self, running: int, context: int, prompt: int, prompts: int) -> float:
        """What a step takes on a machine of its own that has so many running sequences, tokens of their context, and
        prompt tokens of so many prompts.

        Beside running sequences llama.cpp evaluates a token of every sequence first, and then the rest of the prompts,
        with its kernels for few tokens and for many.
        """
        if not running:
            return self.step * prompts + self.prompt * prompt
        rest = self.step + self.prompt * (prompt - prompts) if prompt > prompts else 0.0
        return self.step + self.sequence * (running + prompts) + self.context * context + rest


class Token(NamedTuple):
    """A step has given a request its next token."""

    number: int
    first: bool
    last: bool


class SimulatedEngine:
    """Requests in, tokens out, a step at a time."""

    def __init__(self, slots: int, room: int, law: Law) -> None:
        """`room` is how many tokens all slots hold together."""
        self._scheduler = Scheduler(slots, Shares(), pace=RecordedPace(slots))
        self._law = law
        self._room = room
        self._left: dict[int, int] = {}
        self._fresh: set[int] = set()
        self._by_slot: dict[int, int] = {}
        self._rows: tuple[Row, ...] = ()

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

    def begin(self) -> float | None:
        """Start a step; returns its seconds, None when there is nothing to do."""
        for start in self._scheduler.admit():
            self._by_slot[start.place.slot] = start.key.job
        self._rows = self._scheduler.plan()
        if not self._rows:
            return None
        running = [row for row in self._rows if self._by_slot[row.slot] not in self._fresh]
        tokens = sum(row.stop - row.start for row in self._rows)
        context = sum(row.start for row in running)
        prompts = len(self._rows) - len(running)
        return self._law.seconds(len(running), context, tokens - len(running), prompts)

    def end(self, seconds: float) -> list[Token]:
        """The step took so long; returns the tokens it made."""
        self._scheduler.took(self._rows, seconds)
        return [self._advance(ready.slot) for ready in self._scheduler.advance(self._rows)]

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
