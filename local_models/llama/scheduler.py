"""What goes into the next batch, who joins and who leaves. Pure: numbers in, numbers out, no clock and no llama.cpp.

One step of the owner thread (`worker`), and where this module decides:

    commands ──► enqueue, withdraw        requests arrive and are given up only here, between two steps
        │
        ▼
      admit      the longest waiting first into a free slot; a slot is one KV stream of `context` tokens, so whoever is
        │        admitted has its room for good. Which one, and what it keeps of what is held there, say `prefixes`;
        │        without them the lowest, because llama.cpp decodes neighbouring streams together: four in a row
        │        take 26 ms where every second of eight takes 37
        ▼
      plan       one token for every running sequence, and a bounded share of prompt tokens
        │            awaiting    ──another has evaluated what both begin with; admit copies it──► prefilling
        │            prefilling  ──last prompt token──►  running
        │            following   ──its leader is done──► running   (another choice of the same request: the prompt
        ▼                                                           is evaluated once and its KV copied)
    llama_decode     once for the running sequences, then for the prompts: see `apart`
        │
        ▼
     advance     which slots have a row of logits now
        │
        ▼
      leave      end of text, stop string, length, cancelled, failed: the slot is free for the next step
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from local_models.llama.pace import Left, Pace, apart
from local_models.llama.prefixes import Place, Prefixes
from local_models.llama.shares import Shares, share, unbroken

_NOTHING: Final[Mapping[int, NDArray[np.int32]]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Key:
    """A sequence: one choice of one request."""

    job: int
    choice: int


@dataclass(frozen=True, slots=True)
class Row:
    """Positions `start` to `stop` of the sequence in `slot`; with `samples`, the last one yields logits."""

    slot: int
    start: int
    stop: int
    samples: bool


@dataclass(frozen=True, slots=True)
class Ready:
    """A slot whose row of logits is there, and slots that continue from a copy of its prompt and the same row."""

    slot: int
    followers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Start:
    """The sequence `key` goes on from what its place holds. `seated`: it has just got its slot."""

    key: Key
    place: Place
    seated: bool


class _Phase(Enum):
    AWAITING = auto()
    PREFILLING = auto()
    FOLLOWING = auto()
    RUNNING = auto()


_LEADING: Final = frozenset((_Phase.AWAITING, _Phase.PREFILLING))
"""Who sits so will evaluate its prompt, and other choices of the request follow."""


@dataclass(slots=True)
class _Seat:
    key: Key
    prompt: NDArray[np.int32]
    admitted: int
    phase: _Phase
    length: int = 0  # tokens in the KV stream
    leader: int = -1  # awaiting: the slot that evaluates what both prompts begin with
    until: int = 0  # awaiting: how much that is


class Scheduler:
    """The state of all slots and the waiting line. Every method is called by the owner thread only."""

    def __init__(self, slots: int, shares: Shares, prefixes: Prefixes | None = None, pace: Pace | None = None) -> None:
        """Without `prefixes` no sequence uses what another has left."""
        self._shares = shares
        self._pace = pace or Pace(slots, shares)
        self._prefixes = prefixes
        self._seats: list[_Seat | None] = [None] * slots
        self._waiting: deque[tuple[Key, NDArray[np.int32]]] = deque()
        self._admitted = 0
        self.queries = 0
        """Prompt tokens that were looked for in the prefixes, since the start."""
        self.hits = 0
        """Those found there."""

    @property
    def waiting(self) -> int:
        """Sequences without a slot."""
        return len(self._waiting)

    @property
    def seated(self) -> int:
        """Sequences with a slot."""
        return sum(seat is not None for seat in self._seats)

    @property
    def tokens(self) -> int:
        """Tokens held in all KV streams."""
        return sum(seat.length for seat in self._seats if seat is not None)

    def enqueue(self, key: Key, prompt: NDArray[np.int32]) -> None:
        """A sequence with this prompt (at least one token) waits for a slot."""
        self._waiting.append((key, prompt))

    def admit(self) -> tuple[Start, ...]:
        """Fill the free slots, and let go on who need not wait for another any longer; to be carried out in order."""
        starts = [
            self._go_on(slot, seat, self._prefixes)
            for slot, seat in enumerate(self._seats)
            if self._prefixes is not None and seat is not None and seat.phase is _Phase.AWAITING and self._led(seat)
        ]
        while self._waiting and (free := [slot for slot, seat in enumerate(self._seats) if seat is None]):
            starts.append(self._sit(*self._waiting.popleft(), free))
        return tuple(starts)

    def plan(self) -> tuple[Row, ...]:
        """The rows of the next batch, by slot; empty when nothing is seated."""
        rows = [
            Row(slot, seat.length, seat.length + 1, samples=True)
            for slot, seat in enumerate(self._seats)
            if seat is not None and seat.phase is _Phase.RUNNING
        ]
        prefilling = self._prefilling()
        remaining = [seat.prompt.size - seat.length for _, seat in prefilling]
        if rows:
            prompts = [Left(seat.length, left) for (_, seat), left in zip(prefilling, remaining, strict=True)]
            given = self._pace.beside(prompts, len(rows))
        elif len(remaining) == 1:
            given = [unbroken(remaining[0], self._shares.alone)]
        else:
            given = share(remaining, self._shares.alone)
        for (slot, seat), count in zip(prefilling, given, strict=True):
            if count:
                stop = seat.length + count
                rows.append(Row(slot, seat.length, stop, samples=stop == seat.prompt.size))
        return tuple(sorted(rows, key=lambda row: row.slot))

    def apart(self, rows: tuple[Row, ...]) -> tuple[tuple[Row, ...], ...]:
        """The rows of a batch by the calls of llama_decode that take them: running sequences first."""
        running = tuple(row for row in rows if self._runs(row.slot))
        return tuple(call for call in (running, *apart([row for row in rows if not self._runs(row.slot)])) if call)

    def took(self, rows: tuple[Row, ...], seconds: float) -> None:
        """These rows took so long in one call; to be told before `advance`, for the shares of later ones."""
        prompts = [Left(row.start, row.stop - row.start) for row in rows if not self._runs(row.slot)]
        self._pace.took(
            len(rows) - len(prompts), prompts, seconds, beside=any(map(self._runs, range(len(self._seats))))
        )

    def advance(self, rows: tuple[Row, ...], fed: Mapping[int, NDArray[np.int32]] = _NOTHING) -> tuple[Ready, ...]:
        """The batch of these rows was decoded; returns the slots with logits, in the order of the rows.

        `fed` has the tokens of the rows by slot; only the prefixes want to know them.
        """
        ready: list[Ready] = []
        for row in rows:
            seat = self._seat(row.slot)
            seat.length = row.stop
            if self._prefixes is not None:
                self._prefixes.feed(row.slot, row.start, fed[row.slot])
            if not row.samples:
                continue
            followers = self._followers(seat.key.job) if seat.phase is _Phase.PREFILLING else ()
            seat.phase = _Phase.RUNNING
            for slot in followers:
                follower = self._seat(slot)
                follower.phase, follower.length = _Phase.RUNNING, seat.length
                if self._prefixes is not None:
                    self._prefixes.take(Place(slot, row.slot, seat.length))
            ready.append(Ready(row.slot, followers))
        return tuple(ready)

    def leave(self, slot: int, *, keep: bool = True) -> bool:
        """The sequence in `slot` is over. If others follow its unfinished prompt, one of them takes it up anew.

        Returns whether the stream stays as it is, for whoever begins alike; never without `keep`.
        """
        seat = self._seat(slot)
        self._seats[slot] = None
        if seat.phase in _LEADING and (followers := self._followers(seat.key.job)):
            self._seat(followers[0]).phase = _Phase.PREFILLING
        if self._prefixes is None:
            return False
        self._prefixes.left(slot)
        if not keep:
            self._prefixes.take(Place(slot, slot, 0))
        return keep

    def restart(self, slot: int) -> None:
        """The stream could not be trimmed and is empty: the prompt is evaluated from its beginning."""
        seat = self._seat(slot)
        self.hits -= seat.length
        seat.length = 0
        if self._prefixes is not None:
            self._prefixes.take(Place(slot, slot, 0))

    def withdraw(self, job: int) -> tuple[int, ...]:
        """The request is given up: none of its sequences waits any longer. Returns the slots that it still holds."""
        self._waiting = deque(entry for entry in self._waiting if entry[0].job != job)
        return tuple(slot for slot, seat in enumerate(self._seats) if seat is not None and seat.key.job == job)

    def waiting_jobs(self) -> tuple[int, ...]:
        """Requests of which at least one sequence has no slot, longest waiting first."""
        return tuple(dict.fromkeys(key.job for key, _ in self._waiting))

    def _sit(self, key: Key, prompt: NDArray[np.int32], free: list[int]) -> Start:
        self._admitted += 1
        seat = _Seat(key, prompt, self._admitted, _Phase.PREFILLING)
        place = Place(free[0], free[0], 0)
        if any(s is not None and s.key.job == key.job and s.phase in _LEADING for s in self._seats):
            seat.phase = _Phase.FOLLOWING
        elif self._prefixes is not None:
            place = self._prefixes.place(prompt, free)
            seat.leader, seat.until = self._leader(prompt, place.kept, self._prefixes)
            if seat.until:
                seat.phase = _Phase.AWAITING
        if self._prefixes is not None:
            if seat.phase is not _Phase.PREFILLING:
                slot = self._prefixes.oldest(free)
                place = Place(slot, slot, 0)
            self._prefixes.take(place)
            self.queries += prompt.size if seat.phase is not _Phase.FOLLOWING else 0
            self.hits += place.kept
        seat.length = place.kept
        self._seats[place.slot] = seat
        return Start(key, place, seated=True)

    def _leader(self, prompt: NDArray[np.int32], kept: int, prefixes: Prefixes) -> tuple[int, int]:
        """The slot that is about to evaluate more of the prompt than is `kept` already, and how much; or (-1, 0)."""
        promises = ((slot, prefixes.promised(seat.prompt, prompt)) for slot, seat in self._prefilling())
        leader, until = max(promises, key=lambda entry: entry[1], default=(-1, 0))
        return (leader, until) if until >= kept + prefixes.least(prompt.size) else (-1, 0)

    def _led(self, seat: _Seat) -> bool:
        """What the sequence waits for is there, or will not come."""
        leader = self._seats[seat.leader]
        return leader is None or leader.phase is not _Phase.PREFILLING or leader.length >= seat.until

    def _go_on(self, slot: int, seat: _Seat, prefixes: Prefixes) -> Start:
        kept = prefixes.copied(seat.leader, seat.prompt)
        place = Place(slot, seat.leader if kept else slot, kept)
        prefixes.take(place)
        seat.phase, seat.length = _Phase.PREFILLING, kept
        self.hits += kept
        return Start(seat.key, place, seated=False)

    def _seat(self, slot: int) -> _Seat:
        seat = self._seats[slot]
        assert seat is not None, f"slot {slot} is empty"
        return seat

    def _runs(self, slot: int) -> bool:
        seat = self._seats[slot]
        return seat is not None and seat.phase is _Phase.RUNNING

    def _prefilling(self) -> list[tuple[int, _Seat]]:
        seats = [
            (slot, seat)
            for slot, seat in enumerate(self._seats)
            if seat is not None and seat.phase is _Phase.PREFILLING
        ]
        return sorted(seats, key=lambda entry: entry[1].admitted)

    def _followers(self, job: int) -> tuple[int, ...]:
        return tuple(
            slot
            for slot, seat in enumerate(self._seats)
            if seat is not None and seat.key.job == job and seat.phase is _Phase.FOLLOWING
        )
