"""Commands in, batches through llama.cpp, events out: what the owner thread does, call by call.

What a step does, in one call of llama_decode or several, is drawn in `scheduler`. Errors are kept as small as they are:
a sequence that cannot go on fails its own request, a batch that cannot be decoded is tried in halves until the one
sequence is found that fails alone, and only an error of the loop itself ends the thread, which `/health` then reports.
"""

import logging
import math
import queue
import time
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from local_models.llama.aside import Aside
from local_models.llama.errands import Brought, Errands
from local_models.llama.errors import Code
from local_models.llama.jobs import (
    Began,
    Broke,
    Cancel,
    Command,
    Delta,
    Evaluated,
    Event,
    Further,
    Gone,
    Job,
    Order,
    Snapshot,
)
from local_models.llama.model import Vocabulary
from local_models.llama.preemption import PREEMPTED
from local_models.llama.rows import Ready, Row
from local_models.llama.scheduler import Scheduler
from local_models.llama.seating import Start
from local_models.llama.seats import Key
from local_models.llama.sequence import Sequence
from local_models.llama.streams import Streams

_logger = logging.getLogger(__name__)


class Loop:
    """The owner thread's state."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        context: Streams,
        scheduler: Scheduler,
        commands: "queue.SimpleQueue[Command]",
        clock: Callable[[], float] = time.monotonic,
        aside: Aside | None = None,
    ) -> None:
        """Without `aside` no prompt is evaluated in a context of its own, and the scheduler must want none to be."""
        self._vocabulary = vocabulary
        self._context = context
        self._scheduler = scheduler
        self._commands = commands
        self._clock = clock
        self._resting = False  # nothing but a prompt aside, or what waits for it
        self._calls: list[tuple[Row, ...]] = []  # of the step that is under way, the next one last
        self._halves: list[tuple[Row, ...]] = []  # of a call that failed, before all others
        self._jobs: dict[int, Job] = {}
        self._began: set[int] = set()
        self._left: dict[int, int] = {}  # choices of each job that are not over
        self._sequences: dict[int, Sequence] = {}  # by slot
        self._errands = None if aside is None else Errands(aside, context, scheduler, self._sequences)
        self._events: list[Event] = []
        self._prompt_tokens = 0
        self._aside_tokens = 0
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
            aside_tokens=self._aside_tokens,
            prefix_queries=self._scheduler.queries,
            prefix_hits=self._scheduler.hits,
            generation_tokens=self._generation_tokens,
        )

    @property
    def idle(self) -> bool:
        """There is nothing to do until the next command."""
        return not self._jobs or self._resting

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
        """One call of llama_decode, the step's next one; returns everything that happened since the last call.

        `ready` is called just before, when nothing else of the step needs the interpreter.
        """
        rows = self._next()
        if not rows:
            self._plan()
            rows = self._next()
        if rows:
            self._decode(rows, ready)
        events, self._events = tuple(self._events), []
        return events

    def _plan(self) -> None:
        """The last step is over, and another begins."""
        for start in self._scheduler.admit():
            self._start(start)
        if (move := self._scheduler.gather()) is not None:
            self._move(*move)
        if self._errands is not None:
            self._errands.send()
        rows = self._scheduler.plan()
        if self._errands is not None:
            self._resting = self._errands.share(running=bool(rows))
        self._calls = [*reversed(self._scheduler.apart(rows))]

    def _next(self) -> tuple[Row, ...]:
        """The rows of the next call; none: the step is over. Whoever has been given up since it began is left out."""
        while calls := self._halves or self._calls:
            if rows := tuple(row for row in calls.pop() if row.slot in self._sequences):
                return rows
        return ()

    def _take(self, command: Command) -> None:
        if isinstance(command, Job):
            self._jobs[command.number] = command
            self._left[command.number] = command.choices
            for choice in range(command.choices):
                self._scheduler.enqueue(Key(command.number, choice), command.prompt, command.priority)
            self._calls = [rows for rows in self._calls if not self._scheduler.yields(rows, command.priority)]
        elif isinstance(command, Cancel):
            self._give_up(command.job)
        elif isinstance(command, Further):
            self._prompt_tokens += command.tokens
            self._aside_tokens += command.tokens
        elif isinstance(command, Evaluated):
            if self._errands is not None and (brought := self._errands.back(command)) is not None:
                self._came_back(brought)
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
            self._scheduler.restart(place.slot, place.kept)
        else:
            self._sequences[place.slot].cached = place.kept

    def _move(self, slot: int, to: int) -> None:
        """A sequence goes on in a free slot; what that one holds is kept in its old one."""
        there, back = self._context.exchange(slot, to)
        if there:
            self._sequences[to] = self._sequences.pop(slot)
        self._scheduler.moved(slot, to, there=there, back=back)

    def _came_back(self, brought: Brought) -> None:
        """A prompt was evaluated aside: its sequence runs."""
        for ready in self._scheduler.advance((brought.row,), {brought.row.slot: brought.tokens}):
            self._generate(ready, brought.logits, self._clock())
        self._calls = self._scheduler.rest(self._calls)

    def _decode(self, rows: tuple[Row, ...], ready: Callable[[], None]) -> None:
        """Evaluate the rows; if that fails its halves are the next calls, until what fails is a single sequence."""
        fed = {row.slot: self._sequences[row.slot].tokens(row.start, row.stop) for row in rows}
        self._fill(rows, fed)
        ready()
        began, below = self._clock(), self._scheduler.preempted_by(rows)
        code = self._context.decode(below)
        if code == 0:
            self._scheduler.took(rows, self._clock() - began)
            self._take_in(rows, fed)
            return
        intact = self._undo(rows)
        if intact and code == PREEMPTED and below > -math.inf:
            self._scheduler.preempted()  # what is done again is planned anew
            return
        _logger.error("llama_decode failed with code %d for %d sequences", code, len(rows))
        middle = len(rows) // 2
        if middle:
            self._halves += (rows[middle:], rows[:middle])
        if not middle or not intact:
            self._decode_failed(rows, code)

    def _fill(self, rows: tuple[Row, ...], fed: Mapping[int, NDArray[np.int32]]) -> None:
        batch = self._context.batch
        batch.clear()
        for row in rows:
            batch.add(row.slot, row.start, fed[row.slot], want_last=row.samples)

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
        self._calls = self._scheduler.rest(self._calls)

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
        if self._errands is not None:
            self._errands.left(slot)
        if not self._scheduler.leave(slot, keep=keep):
            self._context.trim(slot, 0)
        del self._sequences[slot]

    def _forget(self, job: int) -> None:
        del self._jobs[job], self._left[job]
        self._began.discard(job)
        self._events.append(Gone(job))

    def _in_prompt(self, row: Row) -> bool:
        return row.start < self._sequences[row.slot].job.prompt.size
