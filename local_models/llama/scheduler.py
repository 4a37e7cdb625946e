"""What goes into the next batch, who joins and who leaves. Pure: numbers in, numbers out, no clock and no llama.cpp.

One step of the owner thread (`worker`), and where this module decides:

    commands ──► enqueue, withdraw        requests arrive and are given up only here, between two steps
        │
        ▼
      admit      the longest waiting first into the lowest free slot; a slot is one KV stream of `context` tokens, so
        │        whoever is admitted has its room for good. Low slots first because llama.cpp decodes neighbouring
        │        streams together: four in a row take 26 ms where every second of eight takes 37
        ▼
      plan       one token for every running sequence, and a bounded share of prompt tokens
        │            prefilling  ──last prompt token──►  running
        │            following   ──its leader is done──► running   (another choice of the same request: the prompt
        ▼                                                           is evaluated once and its KV copied)
    llama_decode
        │
        ▼
     advance     which slots have a row of logits now
        │
        ▼
      leave      end of text, stop string, length, cancelled, failed: the slot is free for the next step
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto


@dataclass(frozen=True, slots=True)
class Key:
    """A sequence: one choice of one request."""

    job: int
    choice: int


@dataclass(frozen=True, slots=True)
class Shares:
    """Prompt tokens per step, alone and beside running sequences.

    Alone, 64 tokens and more cost 3.6 ms each and 16 to 63 cost 4.9 (SmolLM2-135M, two cores): below 64 queries of one
    sequence the flash attention kernel takes another path. More than 128 gain nothing, and whoever arrives meanwhile
    waits for the end of the step. Beside running sequences every prompt token delays every stream.
    """

    alone: int = 128
    beside: int = 32


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


class _Phase(Enum):
    PREFILLING = auto()
    FOLLOWING = auto()
    RUNNING = auto()


@dataclass(slots=True)
class _Seat:
    key: Key
    prompt: int
    admitted: int
    phase: _Phase
    length: int = 0  # tokens in the KV stream


class Scheduler:
    """The state of all slots and the waiting line. Every method is called by the owner thread only."""

    def __init__(self, slots: int, shares: Shares) -> None:
        self._shares = shares
        self._seats: list[_Seat | None] = [None] * slots
        self._waiting: deque[tuple[Key, int]] = deque()
        self._admitted = 0

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

    def enqueue(self, key: Key, prompt: int) -> None:
        """A sequence with `prompt` tokens (at least one) waits for a slot."""
        self._waiting.append((key, prompt))

    def admit(self) -> tuple[tuple[Key, int], ...]:
        """Fill the free slots; returns who got which."""
        joined: list[tuple[Key, int]] = []
        for slot, seat in enumerate(self._seats):
            if seat is not None or not self._waiting:
                continue
            key, prompt = self._waiting.popleft()
            led = any(s is not None and s.key.job == key.job and s.phase is _Phase.PREFILLING for s in self._seats)
            self._admitted += 1
            phase = _Phase.FOLLOWING if led else _Phase.PREFILLING
            self._seats[slot] = _Seat(key, prompt, self._admitted, phase)
            joined.append((key, slot))
        return tuple(joined)

    def plan(self) -> tuple[Row, ...]:
        """The rows of the next batch, by slot; empty when nothing is seated."""
        rows = [
            Row(slot, seat.length, seat.length + 1, samples=True)
            for slot, seat in enumerate(self._seats)
            if seat is not None and seat.phase is _Phase.RUNNING
        ]
        prefilling = self._prefilling()
        budget = self._shares.beside if rows else self._shares.alone
        for (slot, seat), count in zip(
            prefilling, share([seat.prompt - seat.length for _, seat in prefilling], budget), strict=True
        ):
            if count:
                stop = seat.length + count
                rows.append(Row(slot, seat.length, stop, samples=stop == seat.prompt))
        return tuple(sorted(rows, key=lambda row: row.slot))

    def advance(self, rows: tuple[Row, ...]) -> tuple[Ready, ...]:
        """The batch of these rows was decoded; returns the slots with logits, in the order of the rows."""
        ready: list[Ready] = []
        for row in rows:
            seat = self._seat(row.slot)
            seat.length = row.stop
            if not row.samples:
                continue
            followers = self._followers(seat.key.job) if seat.phase is _Phase.PREFILLING else ()
            seat.phase = _Phase.RUNNING
            for slot in followers:
                follower = self._seat(slot)
                follower.phase, follower.length = _Phase.RUNNING, seat.length
            ready.append(Ready(row.slot, followers))
        return tuple(ready)

    def leave(self, slot: int) -> None:
        """The sequence in `slot` is over. If others follow its unfinished prompt, one of them takes it up anew."""
        seat = self._seat(slot)
        self._seats[slot] = None
        if seat.phase is _Phase.PREFILLING and (followers := self._followers(seat.key.job)):
            self._seat(followers[0]).phase = _Phase.PREFILLING

    def withdraw(self, job: int) -> tuple[int, ...]:
        """The request is given up: none of its sequences waits any longer. Returns the slots that it still holds."""
        self._waiting = deque(entry for entry in self._waiting if entry[0].job != job)
        return tuple(slot for slot, seat in enumerate(self._seats) if seat is not None and seat.key.job == job)

    def waiting_jobs(self) -> tuple[int, ...]:
        """Requests of which at least one sequence has no slot, longest waiting first."""
        return tuple(dict.fromkeys(key.job for key, _ in self._waiting))

    def _seat(self, slot: int) -> _Seat:
        seat = self._seats[slot]
        assert seat is not None, f"slot {slot} is empty"
        return seat

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


def share(remaining: list[int], budget: int) -> list[int]:
    """How many of the `budget` prompt tokens each prompt gets; `remaining` has the longest waiting prompt first.

    Half goes to the first, which therefore always gets on; the rest goes to the shortest, so that a short prompt does
    not wait behind a long one.
    """
    given = [0] * len(remaining)
    if not remaining:
        return given
    given[0] = min(remaining[0], (budget + 1) // 2)
    left = budget - given[0]
    for place in sorted(range(len(remaining)), key=lambda place: remaining[place] - given[place]):
        more = min(remaining[place] - given[place], left)
        given[place] += more
        left -= more
    return given
