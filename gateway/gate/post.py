"""The gate's post at one engine: its permits, its state, and those who come to it."""

import asyncio
import itertools
import math
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from gateway.errors import Reason, Rejected
from gateway.gate.book import Book
from gateway.gate.engine import NOTHING, Ask, Choice, Elsewhere, EngineGate, Entry, Learnt, Ruling
from gateway.gate.eviction import Evictions, Wait
from gateway.gate.permits import Permit, PermitQueue, QueueFull, SentAway
from gateway.gates import GateReport
from gateway.types import EngineView, GateState

_UNWELL_S: Final = 2.0
"""When to come back to an engine that is not up."""
_MAX_RETRY_AFTER_S: Final = 60.0
# A process that dies takes all its connections with it at once; how many broke is known a moment after the first.
_GATHER_S: Final = 0.05
_DOUBT_S: Final = 1.0


class Applicant(Struct, frozen=True, kw_only=True):
    """Who wants to enter. `elsewhere` is who else may answer, None where nobody may: then waiting longer is worth it.

    `standby`: another engine will do while the one that was asked for is not up. `leaves` is asked when the engine
    stands still: whether somebody else would be asked at once. None where nobody else may answer.
    """

    ask: Ask
    elsewhere: Elsewhere | None
    deadline: float
    standby: bool = False
    leaves: Callable[[], bool] | None = None


class Post:
    """What the gate knows of one engine. `changed` hears of whatever may have become of its state."""

    def __init__(
        self, name: str, slots: int, max_waiting: int, changed: Callable[[], None], *, by_priority: bool = False
    ) -> None:
        self.name = name
        self._by_priority = by_priority
        self.permits = PermitQueue(slots, max_waiting)
        self.gate = EngineGate(slots, NOTHING, by_priority=by_priority)
        self.book = Book(self.gate)
        self.evictions = Evictions(self.gate, slots)
        self.view: EngineView | None = None
        self.numbers = itertools.count()
        self._followed = False
        self._in_flight = 0
        self._broken = 0
        self._doubt: asyncio.TimerHandle | None = None
        self._broken_off = False
        self._changed = changed

    @property
    def absent(self) -> bool:
        """Whether a standby should answer for it. While a doubt is weighed it is there: most pass in a moment."""
        return self.view is None or not self.view.ready or self._broken_off

    @property
    def given_up(self) -> bool:
        """Whether nobody expects it back."""
        return self.view is not None and self.view.given_up

    @property
    def ready(self) -> bool:
        """Whether it takes requests, free slots or not."""
        return self.permits.is_open

    @property
    def detail(self) -> str:
        """How it is, for people."""
        if self.view is None:
            return "not seen yet"
        return "its connections broke just now" if self.view.ready and self._doubt is not None else self.view.detail

    def see(self, view: EngineView) -> None:
        """Take note of its state. A doubt of this launch outlasts the news that it is not quite well; a successor,
        at another address, is free of it.
        """
        if self.view is not None and view.url != self.view.url:
            self._forget_doubt()
        self.view = view
        self.gate.health.heard(_now(), ready=view.ready)
        self._open_or_shut()

    def heard(self) -> None:
        """Who watches it is there, and has nothing new to say; from now on silence is suspicious."""
        self._followed = True
        self._refresh(_now())

    def recall(self, learnt: Learnt) -> None:
        """Go on with what was learnt in an earlier life, before anything was decided in this one."""
        self.gate = EngineGate(self.permits.slots, learnt, by_priority=self._by_priority)
        self.book = Book(self.gate)
        self.evictions = Evictions(self.gate, self.permits.slots)

    async def acquire(self, applicant: Applicant, until: float, clock: Callable[[], float]) -> Permit:
        """A permit before `until`, by the loop's clock. Raises MovedOn, or Rejected."""
        visit = _Visit(self, applicant, until, clock)
        try:
            return await self.permits.acquire(applicant.ask.priority, until - clock(), visit, movable=applicant.standby)
        except (TimeoutError, QueueFull, SentAway) as error:
            visit.went()
            raise self.rejection(visit.choice) from error

    def decide(self, applicant: Applicant, until: float, now: float, ahead: int) -> Choice:
        """What becomes of somebody now that so many wait before him."""
        if not self._followed:
            self._refresh(now)
        return self.gate.decide(applicant.ask, applicant.elsewhere, until - now, now, ahead)

    def rejection(self, choice: Choice | None = None) -> Rejected:
        """Why somebody is not let in, after this choice if there was one, and in how long to come back."""
        if not self.ready:
            return self._unwell(self.detail)
        if self.gate.health.fenced:
            return self._unwell("it stands still")
        permits = self.permits
        if choice is not None and choice.outcome is Ruling.SPILL and choice.free:
            return Rejected(
                f"engine {self.name}: its first token is expected after {choice.forecast.first_s:.1f} s",
                reason=Reason.LATENCY_OBJECTIVE,
                retry_after=_bounded(choice.forecast.first_s),
            )
        return Rejected(
            f"engine {self.name}: all {permits.slots} slots are in use and {permits.waiting} requests wait",
            reason=Reason.NO_CAPACITY,
            retry_after=_bounded(self.gate.clears_in(permits.waiting)),
        )

    @property
    def state(self) -> GateState:
        """Slots, use, queue and state."""
        permits = self.permits
        return GateState(
            engine=self.name,
            slots=permits.slots,
            in_use=permits.in_use,
            waiting=permits.waiting,
            ready=self.ready,
            detail=self.detail,
        )

    @property
    def unanswered(self) -> int:
        """How many requests it has, as whoever watches it should count: one at least while it is in doubt whether it
        gets on. After all were taken back nothing would be left to tell a hang from rest.
        """
        return self.permits.in_use or int(self.gate.health.in_doubt(_now()))

    def report(self) -> GateReport:
        """How it stands, and what was decided lately."""
        gate, flight, rates = self.gate, self.gate.flight, self.gate.rates
        return GateReport(
            state=self.state,
            prompt_rate=rates.prompt_rate if rates.reach else None,
            reach=rates.reach,
            backlog=flight.backlog,
            running=flight.running,
            gap_s=flight.gap(_now()),
            band=rates.first.usual,
            strictness=gate.strictness.late,
            gap_strictness=gate.strictness.slow,
            hold_s=gate.hold_s,
            fenced=gate.health.fenced,
            speed=gate.speed,
            cadence=flight.cadence.speed,
            beside=rates.beside,
            crowd=rates.crowd,
            overtaken=rates.overtaken,
            counts=dict(self.book.counts),
            decisions=self.book.decisions(),
        )

    def doubt(self) -> None:
        """A connection broke. Nobody is let in until it is known whether those of most others broke too; if so, the
        engine has probably died, and nobody is sent after them until who watches it says more.
        """
        self._broken += 1
        if self._doubt is None:
            self._in_flight, self._broken = self.permits.in_use, 1
            self._doubt = asyncio.get_running_loop().call_later(_GATHER_S, self._weigh)
            self._open_or_shut()

    def _unwell(self, why: str) -> Rejected:
        return Rejected(f"engine {self.name}: {why}", reason=Reason.ENGINE_UNHEALTHY, retry_after=_UNWELL_S)

    def _refresh(self, now: float) -> None:
        self.gate.health.heard(now, ready=self.view is not None and self.view.ready)

    def _weigh(self) -> None:
        if 2 * self._broken > self._in_flight:
            self._broken_off = True
            self.gate.flight.disturb()
            self._changed()
            self._doubt = asyncio.get_running_loop().call_later(_DOUBT_S - _GATHER_S, self._trust_again)
        else:
            self._trust_again()

    def _trust_again(self) -> None:
        self._doubt, self._broken_off = None, False
        self._open_or_shut()

    def _forget_doubt(self) -> None:
        if self._doubt is not None:
            self._doubt.cancel()
            self._doubt, self._broken_off = None, False

    def _open_or_shut(self) -> None:
        self.permits.set_open(is_open=self.view is not None and self.view.ready and self._doubt is None)
        self._changed()


class _Visit:
    """Somebody at an engine's gate: asks for him while he waits, and tells what comes of him; see permits.Visit."""

    def __init__(self, post: Post, applicant: Applicant, until: float, clock: Callable[[], float]) -> None:
        self.engine = post.name
        self.wait = None if applicant.leaves is None else Wait(post.name)
        self.choice: Choice | None = None
        self.doubt = post.doubt
        self._post = post
        self._applicant = applicant
        self._until = until
        self._number = next(post.numbers)
        self._entry: Entry | None = None
        self._clock = clock

    def ask(self, ahead: int) -> Ruling:
        """Decide once more."""
        post, applicant, now = self._post, self._applicant, self._clock()
        self.choice = choice = post.decide(applicant, self._until, now, ahead)
        ruling = choice.outcome
        if ruling is Ruling.ADMIT:
            # Somebody has to find out whether an engine that stood still gets on.
            stays = self.wait is None or post.gate.health.fenced
            self._entry = entry = post.gate.send(self._number, applicant.ask, choice, now)
            post.book.note(ruling, applicant.ask, choice, entry)
            post.evictions.sent(self._number, None if stays else self._evict)
        return ruling

    def went(self) -> None:
        """It was not let in: somebody else answers, or nobody does."""
        applicant = self._applicant
        if self.choice is None:
            return
        outcome = Ruling.REFUSE if applicant.elsewhere is None else Ruling.SPILL
        self._post.book.note(outcome, applicant.ask, self.choice, None)

    def listen(self) -> None:
        """The engine has the word."""
        if self._entry is not None:
            self._post.gate.flight.listen(self._entry, self._clock())

    def token(self, count: int = 1) -> None:
        """The client has it; who waits first may enter if this was the first."""
        entry = self._entry
        if entry is None:
            return
        first = entry.first_at is None
        now = self._clock()
        self._post.gate.token(self._number, now, count)
        self._post.gate.flight.rest(entry, now)
        if first:
            self._post.permits.look()

    def leave(self) -> None:
        """It is over."""
        if self._entry is not None:
            self._entry = None
            self._post.evictions.over(self._number)
            self._post.gate.end(self._number, self._clock())

    def _evict(self) -> bool:
        """The engine stands still. Who has got nothing yet is taken back, if somebody else is asked then."""
        post, ask, leaves = self._post, self._applicant.ask, self._applicant.leaves
        entry, wait, choice = self._entry, self.wait, self.choice
        if entry is None or wait is None or choice is None or leaves is None:
            return False
        if not wait.under_way or not entry.unheard(post.gate.health.progress_at) or not leaves():
            return False
        wait.end()
        post.book.note(Ruling.EVICT, ask, choice, entry)
        return True


def _bounded(seconds: float) -> float:
    return min(_MAX_RETRY_AFTER_S, max(1.0, math.ceil(seconds)))


def _now() -> float:
    return asyncio.get_running_loop().time()
