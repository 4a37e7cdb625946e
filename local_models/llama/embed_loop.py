"""Texts in, batches through llama.cpp, vectors out: what the owner thread of a pooling engine does, step by step.

A batch takes a text of each request in turn, so that one with two thousand texts does not keep one with a single text
waiting. Requests are given up between two batches only. A batch that cannot be evaluated fails the requests in it.

While requests of several priorities are at work a batch is of the most urgent ones alone, for on a CPU it takes as long
as all its texts: who searches does not wait for who fills an index, but for the batch that has begun. When they have
had four times as long as everybody's last batch took, and half a second at least, one is everybody's again, so that
nobody starves. Nothing is kept for a request between two batches, so each priority has all the seats.
"""

import logging
import queue
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from local_models.llama.embed_context import UncomputableError
from local_models.llama.errors import Code
from local_models.llama.jobs import (
    Began,
    Broke,
    Cancel,
    Command,
    Embedded,
    EmbedJob,
    Event,
    Gone,
    Order,
    Snapshot,
)
from local_models.llama.priority import IN_A_ROW, TURN_S

_logger = logging.getLogger(__name__)


class Encoder(Protocol):
    """What makes vectors; see `embed_context.EmbedContext`."""

    @property
    def capacity(self) -> int:
        """Tokens of one batch, at most."""
        ...

    @property
    def most(self) -> int:
        """Texts of one batch, at most."""
        ...

    def embed(self, texts: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
        """A vector for each text. Raises UncomputableError."""
        ...


class _Work:
    """A request on its way through batches."""

    def __init__(self, job: EmbedJob) -> None:
        self.job = job
        self.next = 0
        """The first text that was in no batch yet; texts are taken in their order."""
        self.vectors: list[NDArray[np.float32]] = []


class EmbedLoop:
    """The owner thread's state: `seats` requests of each priority at work, others in line. `clock` is in seconds."""

    def __init__(
        self,
        encoder: Encoder,
        seats: int,
        commands: "queue.SimpleQueue[Command]",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._encoder = encoder
        self._clock = clock
        self._seats = seats
        self._commands = commands
        self._at_work: deque[_Work] = deque()  # whoever stands first is sure to get on
        self._waiting: deque[EmbedJob] = deque()
        self._events: list[Event] = []
        self._tokens = 0
        self._had_s = 0.0  # the most urgent ones, since a batch was everybody's
        self._turn_s = 0.0  # that batch

    def warm_up(self) -> None:
        """Run one token, so that the first request does not pay for reading the weights from disk."""
        self._encoder.embed([np.ones(1, dtype=np.int32)])

    def snapshot(self) -> Snapshot:
        """The numbers of this moment. Nothing is kept between two batches, so no memory is ever in use."""
        return Snapshot(running=len(self._at_work), waiting=len(self._waiting), prompt_tokens=self._tokens)

    @property
    def idle(self) -> bool:
        """There is nothing to do until the next command."""
        return not self._at_work and not self._waiting

    def obey(self) -> bool:
        """Take all commands there are, waiting for one when there is nothing to do. False: stop."""
        idle = self.idle
        while idle or not self._commands.empty():
            command = self._commands.get()
            idle = False
            if command is Order.STOP:
                return False
            self._take(command)
        return True

    def step(self, ready: Callable[[], None] = lambda: None) -> tuple[Event, ...]:
        """One batch; returns everything that happened since the last one. `ready` is called just before it."""
        self._seat()
        if self._at_work:
            turn, yielding = self._turn()
            chosen = self._chosen(turn)
            ready()
            began = self._clock()
            self._embed(chosen)
            took = self._clock() - began
            self._had_s, self._turn_s = (self._had_s + took, self._turn_s) if yielding else (0.0, took)
            if turn[0] in self._at_work:
                self._at_work.remove(turn[0])
                self._at_work.append(turn[0])
        events, self._events = tuple(self._events), []
        return events

    def _seat(self) -> None:
        taken = Counter(work.job.priority for work in self._at_work) if self._waiting else Counter[int]()
        for job in tuple(self._waiting):
            if taken[job.priority] < self._seats:
                taken[job.priority] += 1
                self._waiting.remove(job)
                self._at_work.append(_Work(job))
                self._events.append(Began(job.number))

    def _take(self, command: Command) -> None:
        if isinstance(command, EmbedJob):
            self._waiting.append(command)
        elif isinstance(command, Cancel):
            self._give_up(command.job)
        else:
            doomed = [job.number for job in self._waiting]
            if command is Order.DROP_ALL:
                doomed += [work.job.number for work in self._at_work]
            for number in doomed:
                self._break(number, "shutting_down", "the engine is shutting down")

    def _turn(self) -> tuple[list[_Work], bool]:
        """Whose texts may be in the next batch, a text of the first one is; and whether others yield to them."""
        everybody = list(self._at_work)
        if self._had_s >= max(TURN_S, IN_A_ROW * self._turn_s):
            return everybody, False
        most = min(work.job.priority for work in everybody)
        urgent = [work for work in everybody if work.job.priority == most]
        return urgent, len(urgent) < len(everybody)

    def _chosen(self, at_work: Sequence[_Work]) -> list[tuple[_Work, int]]:
        """Whose text of which place goes into the next batch: one of each request in turn, as far as there is room."""
        chosen: list[tuple[_Work, int]] = []
        room = self._encoder.capacity
        ahead = {work.job.number: work.next for work in at_work}
        turn = deque(at_work)
        while turn and len(chosen) < self._encoder.most:
            work = turn.popleft()
            place = ahead[work.job.number]
            if place < len(work.job.texts) and work.job.texts[place].size <= room:
                chosen.append((work, place))
                room -= work.job.texts[place].size
                ahead[work.job.number] = place + 1
                turn.append(work)
        return chosen

    def _embed(self, chosen: list[tuple[_Work, int]]) -> None:
        texts = [work.job.texts[place] for work, place in chosen]
        try:
            vectors = self._encoder.embed(texts)
        except UncomputableError as error:
            _logger.warning("a batch of %d texts failed: %s", len(texts), error)
            for number in dict.fromkeys(work.job.number for work, _ in chosen):
                self._break(number, "generation_failed", str(error))
            return
        self._tokens += sum(text.size for text in texts)
        for (work, place), vector in zip(chosen, vectors, strict=True):
            work.vectors.append(vector)
            work.next = place + 1
        now = time.monotonic()
        for work in [work for work in self._at_work if work.next == len(work.job.texts)]:
            self._events.append(Embedded(work.job.number, now, np.stack(work.vectors)))
            self._leave(work.job.number)

    def _break(self, number: int, code: Code, message: str) -> None:
        self._events.append(Broke(number, code, message))
        self._give_up(number)

    def _give_up(self, number: int) -> None:
        """A request that is over already is none."""
        known = {*(job.number for job in self._waiting), *(work.job.number for work in self._at_work)}
        if number in known:
            self._leave(number)

    def _leave(self, number: int) -> None:
        self._waiting = deque(job for job in self._waiting if job.number != number)
        self._at_work = deque(work for work in self._at_work if work.job.number != number)
        self._events.append(Gone(number))
