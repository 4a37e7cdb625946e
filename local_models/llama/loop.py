"""Commands in, batches through llama.cpp, events out: what the owner thread does, step by step.

What a step does is drawn in `scheduler`. Errors are kept as small as they are: a sequence that cannot go on fails its
own request, a batch that cannot be decoded is tried in halves until the one sequence is found that fails alone, and
only an error of the loop itself ends the thread, which `/health` then reports.
"""

import logging
import queue
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from local_models.llama.context import Batch
from local_models.llama.errors import Code
from local_models.llama.jobs import Began, Broke, Cancel, Command, Delta, Event, Gone, Job, Order, Snapshot
from local_models.llama.model import Vocabulary
from local_models.llama.scheduler import Ready, Row, Scheduler, Start
from local_models.llama.seats import Key
from local_models.llama.sequence import Sequence

_logger = logging.getLogger(__name__)


class Streams(Protocol):
    """The KV streams that batches are decoded into; see `context.Context`."""

    @property
    def batch(self) -> Batch:
        """What the next `decode` evaluates."""
        ...

    def decode(self) -> int:
        """Evaluate the batch; 0 when done."""
        ...

    def logits(self, rows: int) -> NDArray[np.float32]:
        """Raw logits of the tokens that wanted them."""
        ...

    def trim(self, slot: int, length: int) -> bool:
        """Keep the first `length` tokens of one stream. False: it cannot be cut there, and is empty now."""
        ...

    def copy(self, source: int, target: int) -> None:
        """Make one stream a copy of another."""
        ...


class Loop:
    """The owner thread's state."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        context: Streams,
        scheduler: Scheduler,
        commands: "queue.SimpleQueue[Command]",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._vocabulary = vocabulary
        self._context = context
        self._scheduler = scheduler
        self._commands = commands
        self._clock = clock
        self._jobs: dict[int, Job] = {}
        self._began: set[int] = set()
        self._left: dict[int, int] = {}  # choices of each job that are not over
        self._sequences: dict[int, Sequence] = {}  # by slot
        self._events: list[Event] = []
        self._prompt_tokens = 0
        self._generation_tokens = 0

    def warm_up(self) -> None:
        """Run one token, so that the first request does not pay for reading the weights from disk."""
        self._context.batch.clear()
        self._context.batch.add(0, 0, np.zeros(1, dtype=np.int32), want_last=True)
        self._context.decode()
        self._context.trim(0, 0)

    def snapshot(self) -> Snapshot:
        """The numbers of this moment."""
        return Snapshot(
            running=self._scheduler.seated,
            waiting=self._scheduler.waiting,
            kv_tokens=self._scheduler.tokens,
            prompt_tokens=self._prompt_tokens + self._scheduler.hits,
            prefix_queries=self._scheduler.queries,
            prefix_hits=self._scheduler.hits,
            generation_tokens=self._generation_tokens,
        )

    def obey(self) -> bool:
        """Take all commands there are, waiting for one when there is nothing to do. False: stop."""
        idle = not self._jobs
        while idle or not self._commands.empty():
            command = self._commands.get()
            idle = False
            if command is Order.STOP:
                return False
            self._take(command)
        return True

    def step(self) -> tuple[Event, ...]:
        """One batch; returns everything that happened since the last one."""
        for start in self._scheduler.admit():
            self._start(start)
        rows = self._scheduler.plan()
        if rows:
            self._decode(rows)
        events, self._events = tuple(self._events), []
        return events

    def _take(self, command: Command) -> None:
        if isinstance(command, Job):
            self._jobs[command.number] = command
            self._left[command.number] = command.choices
            for choice in range(command.choices):
                self._scheduler.enqueue(Key(command.number, choice), command.prompt, command.priority)
        elif isinstance(command, Cancel):
            self._give_up(command.job)
        else:
            doomed = self._scheduler.waiting_jobs() if command is Order.DROP_WAITING else tuple(self._jobs)
            for job in doomed:
                self._break(job, "shutting_down", "the engine is shutting down")

    def _start(self, start: Start) -> None:
        key, place = start.key, start.place
        job = self._jobs[key.job]
        if start.seated:
            self._sequences[place.slot] = Sequence(job, key.choice, self._vocabulary)
        if key.job not in self._began:
            self._began.add(key.job)
            self._events.append(Began(key.job))
        if place.source != place.slot:
            self._context.copy(place.source, place.slot)
        if not self._context.trim(place.slot, place.kept):
            self._scheduler.restart(place.slot)
        else:
            self._sequences[place.slot].cached = place.kept

    def _decode(self, rows: tuple[Row, ...]) -> None:
        """Evaluate the rows, and what fails of them in halves, until what fails is a single sequence."""
        pending = [*reversed(self._scheduler.apart(rows))]
        while pending:
            # A sequence may be gone since the first try, with another choice of its request.
            part = tuple(row for row in pending.pop() if row.slot in self._sequences)
            if not part:
                continue
            fed = {row.slot: self._sequences[row.slot].tokens(row.start, row.stop) for row in part}
            began = self._clock()
            code = self._evaluate(part, fed)
            if code == 0:
                self._scheduler.took(part, self._clock() - began)
                self._take_in(part, fed)
                continue
            _logger.error("llama_decode failed with code %d for %d sequences", code, len(part))
            intact = self._undo(part)
            middle = len(part) // 2
            if middle:
                pending += (part[middle:], part[:middle])
            if not middle or not intact:
                self._decode_failed(part, code)

    def _evaluate(self, rows: tuple[Row, ...], fed: Mapping[int, NDArray[np.int32]]) -> int:
        batch = self._context.batch
        batch.clear()
        for row in rows:
            batch.add(row.slot, row.start, fed[row.slot], want_last=row.samples)
        return self._context.decode()

    def _undo(self, rows: tuple[Row, ...]) -> bool:
        """Whatever a failed batch has left in the streams is taken out. False: it could not be, and they are empty."""
        undone = [self._context.trim(row.slot, row.start) for row in rows]
        return all(undone)

    def _take_in(self, rows: tuple[Row, ...], fed: Mapping[int, NDArray[np.int32]]) -> None:
        ready = self._scheduler.advance(rows, fed)
        self._prompt_tokens += sum(row.stop - row.start for row in rows if self._in_prompt(row))
        now = self._clock()
        logits = self._context.logits(len(ready)) if ready else None
        for place, one in enumerate(ready):
            assert logits is not None
            self._generate(one, logits[place], now)

    def _generate(self, ready: Ready, row: NDArray[np.float32], now: float) -> None:
        if ready.slot not in self._sequences:
            return  # another choice of the request failed a moment ago, and all of them with it
        for slot in ready.followers:
            self._context.copy(ready.slot, slot)
        for slot in (ready.slot, *ready.followers):
            if slot in self._sequences:
                self._advance(slot, row, now)

    def _advance(self, slot: int, row: NDArray[np.float32], now: float) -> None:
        sequence = self._sequences[slot]
        job = sequence.job
        try:
            progress = sequence.advance(row)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is this request's alone
            _logger.warning("request failed: %s: %s", type(error).__name__, error)
            self._break(job.number, "generation_failed", f"generation failed: {error}")
            return
        self._generation_tokens += 1
        self._events.append(
            Delta(
                job=job.number,
                choice=sequence.choice,
                at=now,
                text=progress.text,
                tokens=progress.tokens,
                generated=sequence.generated,
                finish=progress.finish,
                stop=progress.stop,
                cached=sequence.cached,
            )
        )
        if progress.finish is not None:
            self._leave(slot)
            self._left[job.number] -= 1
            if self._left[job.number] == 0:
                self._forget(job.number)

    def _decode_failed(self, rows: tuple[Row, ...], code: int) -> None:
        for job in dict.fromkeys(self._sequences[row.slot].job.number for row in rows):
            self._break(job, "generation_failed", f"llama.cpp could not evaluate the batch (code {code})")

    def _break(self, job: int, code: Code, message: str) -> None:
        if job in self._jobs:
            self._events.append(Broke(job, code, message))
            self._give_up(job, keep=False)

    def _give_up(self, job: int, *, keep: bool = True) -> None:
        """Free everything the job holds; a job that is over already is none."""
        if job in self._jobs:
            for slot in self._scheduler.withdraw(job):
                self._leave(slot, keep=keep)
            self._forget(job)

    def _leave(self, slot: int, *, keep: bool = True) -> None:
        """The slot is free. What a sequence that failed has left there is not trusted with another."""
        if not self._scheduler.leave(slot, keep=keep):
            self._context.trim(slot, 0)
        del self._sequences[slot]

    def _forget(self, job: int) -> None:
        del self._jobs[job], self._left[job]
        self._began.discard(job)
        self._events.append(Gone(job))

    def _in_prompt(self, row: Row) -> bool:
        return row.start < self._sequences[row.slot].job.prompt.size
