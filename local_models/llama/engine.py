"""The asyncio side of the engine: submits jobs to the owner thread and sorts what comes back into inboxes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Generic, Protocol, TypeVar

from local_models.llama.asks import Asks
from local_models.llama.errors import Code, RequestError, StartError
from local_models.llama.jobs import (
    Began,
    Broke,
    Cancel,
    Command,
    Delta,
    Died,
    Embedded,
    EmbedJob,
    Event,
    Gone,
    Happening,
    Job,
    Loaded,
    Order,
    Snapshot,
)
from local_models.llama.metrics import Ending, Timings
from local_models.llama.model import Model

A_co = TypeVar("A_co", covariant=True)

_RETRY_AFTER: Final = 1


class Owner(Protocol):
    """The owner thread, as the event loop sees it; see `worker.Worker`."""

    @property
    def snapshot(self) -> Snapshot:
        """The latest published numbers."""
        ...

    @property
    def alive(self) -> bool:
        """The thread runs."""
        ...

    def send(self, command: Command) -> None:
        """Hand over a command without waiting."""
        ...


class Inbox:
    """Events of one job, in order, for the one task that awaits them."""

    def __init__(self) -> None:
        self._events: list[Happening] = []
        self._waiter: asyncio.Future[None] | None = None

    def put(self, event: Happening) -> None:
        """Add an event and wake the reader."""
        self._events.append(event)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def take(self) -> list[Happening]:
        """All events since the last call, at least one."""
        while not self._events:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        events, self._events = self._events, []
        return events


@dataclass(slots=True)
class _Ticket:
    """A job the owner thread has not let go of."""

    inbox: Inbox
    choices: int
    arrived: float
    began: bool = False
    open: bool = True  # somebody still reads the inbox
    last: dict[int, float] = field(default_factory=dict)  # time of the latest token, by choice
    finished: set[int] = field(default_factory=set)


class Desk(Generic[A_co]):
    """One model being served: who is let in, who is told what, and how it ends. Runs on the event loop."""

    def __init__(self, worker: Owner, asks_of: Callable[[Model], A_co], *, parallel: int, max_waiting: int) -> None:
        """`asks_of` gives what makes jobs for a loaded model."""
        self.worker = worker
        self.timings = Timings()
        self.asks: A_co | None = None
        """Makes jobs; there once the model is loaded."""
        self.failure: StartError | None = None
        """Why nothing will be answered any more."""
        self._ended: asyncio.Future[StartError] = asyncio.get_running_loop().create_future()
        self._asks_of = asks_of
        self._parallel = parallel
        self._max_waiting = max_waiting
        self._draining = False
        self._tickets: dict[int, _Ticket] = {}
        self._numbers = 0

    @property
    def waiting(self) -> int:
        """Sequences without a slot, those on their way to the owner thread included."""
        choices = sum(ticket.choices - len(ticket.finished) for ticket in self._tickets.values())
        return max(choices - self.worker.snapshot.running, 0)

    async def died(self) -> StartError:
        """Wait for the owner thread to die of an error; returns that."""
        return await asyncio.shield(self._ended)

    def number(self) -> int:
        """A fresh job number."""
        self._numbers += 1
        return self._numbers

    def open_for_requests(self) -> A_co:
        """What makes jobs.

        Raises RequestError (503) while loading or shutting down, after a failure, and when too many requests wait: to
        be asked before a prompt is tokenised, so that a burst does not pay for what it will be refused.
        """
        asks = self.loaded()
        free, line = self._room()
        if free <= 0 and line >= self._max_waiting:
            raise _unavailable("overloaded", f"{line} requests are waiting already")
        return asks

    def loaded(self) -> A_co:
        """What reads prompts, however many requests wait. Raises RequestError (503) where there is none to be had."""
        if self.failure is not None:
            raise _unavailable("engine_failed", f"the engine has failed: {self.failure}")
        if self._draining:
            raise _unavailable("shutting_down", "the engine is shutting down")
        if self.asks is None:
            raise _unavailable("model_loading", "the model is still loading")
        return self.asks

    def submit(self, job: Job | EmbedJob, arrived: float) -> Inbox:
        """Queue a job that arrived at time.monotonic() `arrived`. Raises what `open_for_requests` does."""
        self.open_for_requests()
        ticket = _Ticket(Inbox(), job.choices, arrived)
        self._tickets[job.number] = ticket
        self.worker.send(job)
        return ticket.inbox

    def release(self, number: int) -> None:
        """Nobody reads the job's inbox any longer; what is left of it is cancelled."""
        ticket = self._tickets.get(number)
        if ticket is not None and ticket.open:
            ticket.open = False
            if len(ticket.finished) < ticket.choices:
                self.worker.send(Cancel(number))

    def drain(self) -> None:
        """Take no new requests, fail those that wait, let the running ones go on."""
        self._draining = True
        self.worker.send(Order.DROP_WAITING)

    def abort(self) -> None:
        """Fail what is left."""
        self.worker.send(Order.DROP_ALL)

    def deliver(self, events: tuple[Event, ...]) -> None:
        """Take the owner thread's events, on the event loop."""
        for event in events:
            if isinstance(event, Loaded):
                self.asks = self._asks_of(event.model)
            elif isinstance(event, Died):
                self._die(event.error)
            else:
                self._sort(event)

    def _room(self) -> tuple[int, int]:
        """Slots that are free once all who came have sat down, and how many requests then still stand in line.

        Those the owner thread has not seen yet are counted as it will seat them, so that a burst is not let in twice.
        """
        tickets = self._tickets.values()
        free = self._parallel - sum(ticket.choices - len(ticket.finished) for ticket in tickets if ticket.began)
        line = 0
        for ticket in tickets:
            if not ticket.began:
                line += free <= 0
                free -= ticket.choices
        return free, line

    def _sort(self, event: Happening | Gone) -> None:
        ticket = self._tickets.get(event.job)
        if ticket is None:
            return
        if isinstance(event, Gone):
            del self._tickets[event.job]
            self._count("abort", ticket.choices - len(ticket.finished))
            return
        if isinstance(event, Began):
            ticket.began = True
        elif isinstance(event, Delta):
            self._time(ticket, event)
        elif isinstance(event, Embedded):
            ticket.finished.add(0)
            self._count("stop", 1)
            self.timings.request.observe(event.at - ticket.arrived)
        else:
            self._count("error", ticket.choices - len(ticket.finished))
            ticket.finished.update(range(ticket.choices))
        if ticket.open:
            ticket.inbox.put(event)

    def _time(self, ticket: _Ticket, delta: Delta) -> None:
        last = ticket.last.get(delta.choice)
        if last is None:
            self.timings.first_token.observe(delta.at - ticket.arrived)
        else:
            self.timings.between_tokens.observe(delta.at - last)
        ticket.last[delta.choice] = delta.at
        if delta.finish is not None:
            ticket.finished.add(delta.choice)
            self._count(delta.finish, 1)
            if len(ticket.finished) == ticket.choices:
                self.timings.request.observe(delta.at - ticket.arrived)

    def _count(self, ending: Ending, choices: int) -> None:
        self.timings.endings[ending] += choices

    def _die(self, error: StartError) -> None:
        self.failure = error
        for number, ticket in list(self._tickets.items()):
            ticket.inbox.put(Broke(number, "engine_failed", str(error)))
            del self._tickets[number]
        if not self._ended.done():
            self._ended.set_result(error)


class Engine(Desk[Asks]):
    """The desk of a model that generates."""

    def __init__(self, worker: Owner, *, parallel: int, context: int, max_waiting: int) -> None:
        super().__init__(worker, partial(Asks, context=context), parallel=parallel, max_waiting=max_waiting)


def _unavailable(code: Code, message: str) -> RequestError:
    return RequestError(503, code, message, retry_after=_RETRY_AFTER)
