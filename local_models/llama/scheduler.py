"""What goes into the next batch, who joins and who leaves. Pure: numbers in, numbers out, no clock and no llama.cpp.

One step of the owner thread (`worker`), and where this module decides:

    commands ──► enqueue, withdraw        requests arrive and are given up only here, between two steps
        │
        ▼
      admit      whose turn it is (see `priority`) into a free slot; a slot is one KV stream of `context` tokens, so
        │        whoever is admitted has its room for good. Which one, and what it keeps of what is held there, say
        │        `prefixes`; without them the lowest, because llama.cpp decodes neighbouring streams together: four in
        │        a row take 26 ms where every second of eight takes 37
        ▼
      plan       one token for every running sequence, and a bounded share of prompt tokens; who is less urgent than
        │        a prompt is passed over, four times in a row at most
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

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from local_models.llama.pace import Left, Pace, apart
from local_models.llama.prefixes import Place, Prefixes
from local_models.llama.priority import Line, Turns, Waiting
from local_models.llama.seats import LEADING, Key, Phase, Seat, Seats
from local_models.llama.shares import Shares, share, unbroken

_NOTHING: Final[Mapping[int, NDArray[np.int32]]] = MappingProxyType({})


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


class Scheduler:
    """The state of all slots and the waiting line. Every method is called by the owner thread only."""

    def __init__(self, slots: int, shares: Shares, prefixes: Prefixes | None = None, pace: Pace | None = None) -> None:
        """Without `prefixes` no sequence uses what another has left."""
        self._shares = shares
        self._pace = pace or Pace(slots, shares)
        self._prefixes = prefixes
        self._seats = Seats(slots)
        self._line = Line()
        self._turns = Turns()
        self._admitted = 0
        self.queries = 0
        """Prompt tokens that were looked for in the prefixes, since the start."""
        self.hits = 0
        """Those found there."""

    @property
    def waiting(self) -> int:
        """Sequences without a slot."""
        return len(self._line)

    @property
    def seated(self) -> int:
        """Sequences with a slot."""
        return len(self._seats.taken)

    @property
    def tokens(self) -> int:
        """Tokens held in all KV streams."""
        return sum(seat.length for _, seat in self._seats.taken)

    def enqueue(self, key: Key, prompt: NDArray[np.int32], priority: int = 0) -> None:
        """A sequence with this prompt (at least one token) waits for a slot; a lower priority goes first."""
        self._line.add(key, prompt, priority)

    def admit(self) -> tuple[Start, ...]:
        """Fill the free slots, and let go on who need not wait for another any longer; to be carried out in order."""
        starts = [
            self._go_on(slot, seat, self._prefixes)
            for slot, seat in self._seats.taken
            if self._prefixes is not None and seat.phase is Phase.AWAITING and self._led(seat)
        ]
        while len(self._line) and (free := self._seats.free):
            starts.append(self._sit(self._line.next(), free))
        return tuple(starts)

    def plan(self) -> tuple[Row, ...]:
        """The rows of the next batch, by slot; empty when nothing is seated."""
        others_turn = self._turns.next(self._seats)
        passed = self._turns.passed
        rows = [
            Row(slot, seat.length, seat.length + 1, samples=True)
            for slot, seat in self._seats.taken
            if seat.phase is Phase.RUNNING and slot not in passed
        ]
        prefilling = [(slot, seat) for slot, seat in self._seats.prefilling() if slot not in passed]
        prompts = [Left(seat.length, seat.prompt.size - seat.length) for _, seat in prefilling]
        given = self._given(prompts, len(rows))
        if others_turn and not given[0]:
            # Whoever was there first gets on, whatever the more urgent ones have made the streams owe to each other.
            given[0] = min(prompts[0].tokens, self._shares.least)
        for (slot, seat), count in zip(prefilling, given, strict=True):
            if count:
                stop = seat.length + count
                rows.append(Row(slot, seat.length, stop, samples=stop == seat.prompt.size))
        return tuple(sorted(rows, key=lambda row: row.slot))

    def apart(self, rows: tuple[Row, ...]) -> tuple[tuple[Row, ...], ...]:
        """The rows of a batch by the calls of llama_decode that take them: running sequences first."""
        running = tuple(row for row in rows if self._seats.runs(row.slot))
        prompts = [row for row in rows if not self._seats.runs(row.slot)]
        return tuple(call for call in (running, *apart(prompts)) if call)

    def took(self, rows: tuple[Row, ...], seconds: float) -> None:
        """These rows took so long in one call; to be told before `advance`, for the shares of later ones."""
        prompts = [Left(row.start, row.stop - row.start) for row in rows if not self._seats.runs(row.slot)]
        beside = any(self._seats.runs(slot) for slot, _ in self._seats.taken if slot not in self._turns.passed)
        self._pace.took(len(rows) - len(prompts), prompts, seconds, beside=beside)

    def advance(self, rows: tuple[Row, ...], fed: Mapping[int, NDArray[np.int32]] = _NOTHING) -> tuple[Ready, ...]:
        """The batch of these rows was decoded; returns the slots with logits, in the order of the rows.

        `fed` has the tokens of the rows by slot; only the prefixes want to know them.
        """
        ready: list[Ready] = []
        for row in rows:
            seat = self._seats[row.slot]
            seat.length = row.stop
            if self._prefixes is not None:
                self._prefixes.feed(row.slot, row.start, fed[row.slot])
            if not row.samples:
                continue
            followers = self._seats.followers(seat.key.job) if seat.phase is Phase.PREFILLING else ()
            seat.phase = Phase.RUNNING
            for slot in followers:
                follower = self._seats[slot]
                follower.phase, follower.length = Phase.RUNNING, seat.length
                if self._prefixes is not None:
                    self._prefixes.take(Place(slot, row.slot, seat.length))
            ready.append(Ready(row.slot, followers))
        return tuple(ready)

    def leave(self, slot: int, *, keep: bool = True) -> bool:
        """The sequence in `slot` is over. If others follow its unfinished prompt, one of them takes it up anew.

        Returns whether the stream stays as it is, for whoever begins alike; never without `keep`.
        """
        seat = self._seats.leave(slot)
        if seat.phase in LEADING and (followers := self._seats.followers(seat.key.job)):
            self._seats[followers[0]].phase = Phase.PREFILLING
        if self._prefixes is None:
            return False
        self._prefixes.left(slot)
        if not keep:
            self._prefixes.take(Place(slot, slot, 0))
        return keep

    def restart(self, slot: int) -> None:
        """The stream could not be trimmed and is empty: the prompt is evaluated from its beginning."""
        seat = self._seats[slot]
        self.hits -= seat.length
        seat.length = 0
        if self._prefixes is not None:
            self._prefixes.take(Place(slot, slot, 0))

    def withdraw(self, job: int) -> tuple[int, ...]:
        """The request is given up: none of its sequences waits any longer. Returns the slots that it still holds."""
        self._line.withdraw(job)
        return self._seats.of(job)

    def waiting_jobs(self) -> tuple[int, ...]:
        """Requests of which at least one sequence has no slot, longest waiting first."""
        return self._line.jobs

    def _given(self, prompts: list[Left], running: int) -> list[int]:
        """How many tokens of each prompt the step takes, beside so many running sequences."""
        if running:
            return self._pace.beside(prompts, running)
        remaining = [prompt.tokens for prompt in prompts]
        if len(remaining) == 1:
            return [unbroken(remaining[0], self._shares.alone)]
        return share(remaining, self._shares.alone)

    def _sit(self, each: Waiting, free: list[int]) -> Start:
        self._admitted += 1
        key, prompt = each.key, each.prompt
        seat = Seat(key, prompt, each.priority, self._admitted, Phase.PREFILLING)
        place = Place(free[0], free[0], 0)
        if any(self._seats[slot].phase in LEADING for slot in self._seats.of(key.job)):
            seat.phase = Phase.FOLLOWING
        elif self._prefixes is not None:
            place = self._prefixes.place(prompt, free)
            seat.leader, seat.until = self._leader(prompt, place.kept, self._prefixes)
            if seat.until:
                seat.phase = Phase.AWAITING
        if self._prefixes is not None:
            if seat.phase is not Phase.PREFILLING:
                slot = self._prefixes.oldest(free)
                place = Place(slot, slot, 0)
            self._prefixes.take(place)
            self.queries += prompt.size if seat.phase is not Phase.FOLLOWING else 0
            self.hits += place.kept
        seat.length = place.kept
        self._seats.sit(place.slot, seat)
        return Start(key, place, seated=True)

    def _leader(self, prompt: NDArray[np.int32], kept: int, prefixes: Prefixes) -> tuple[int, int]:
        """The slot that is about to evaluate more of the prompt than is `kept` already, and how much; or (-1, 0)."""
        promises = ((slot, prefixes.promised(seat.prompt, prompt)) for slot, seat in self._seats.prefilling())
        leader, until = max(promises, key=lambda entry: entry[1], default=(-1, 0))
        return (leader, until) if until >= kept + prefixes.least(prompt.size) else (-1, 0)

    def _led(self, seat: Seat) -> bool:
        """What the sequence waits for is there, or will not come."""
        leader = self._seats.at(seat.leader)
        return leader is None or leader.phase is not Phase.PREFILLING or leader.length >= seat.until

    def _go_on(self, slot: int, seat: Seat, prefixes: Prefixes) -> Start:
        kept = prefixes.copied(seat.leader, seat.prompt)
        place = Place(slot, seat.leader if kept else slot, kept)
        prefixes.take(place)
        seat.phase, seat.length = Phase.PREFILLING, kept
        self.hits += kept
        return Start(seat.key, place, seated=False)
