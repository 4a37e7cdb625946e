"""What goes into the next batch, who joins and who leaves. Pure: numbers in, numbers out, no clock and no llama.cpp.

One step of the owner thread (`worker`), and where this module decides:

    commands ──► enqueue, withdraw        requests arrive and are given up only here, between two calls
        │
        ▼
      admit      whose turn it is (see `priority`) into a free slot; a slot is one KV stream of `context` tokens, so
        │        whoever is admitted has its room for good. Which one, and what it keeps of what is held there, say
        │        `prefixes`; without them the lowest, because llama.cpp decodes neighbouring streams together
        ▼
      gather     for the same reason a running sequence moves to a free slot, when others have left gaps between those
        │        who run (see `neighbours`)
        ▼
      plan       one token for every running sequence, and a bounded share of prompt tokens; who is less urgent than
        │        others may be passed over, and has a turn now and then
        │            awaiting    ──another has evaluated what both begin with; admit copies it──► prefilling
        │            prefilling  ──last prompt token──►  running
        │            aside       ──the same, in a context of its own (see `aside`)──►  running
        │            following   ──its leader is done──► running   (another choice of the same request: the prompt
        ▼                                                           is evaluated once and its KV copied)
    llama_decode     one call for the running sequences, then some for the prompts (see `apart`); after each of them
        │            what came of it is told, so that nobody's first token waits for another's prompt; and whoever gets
        │            his first one and goes on ends the step, so that his second does not either (see `cuts`). A call
        │            for those whom nobody waits for ends early when somebody else comes (see `preemption`)
        ▼
     advance     which slots have a row of logits now
        │
        ▼
      leave      end of text, stop string, length, cancelled, failed: the slot is free for the next step
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from local_models.llama.away import Away
from local_models.llama.cuts import Cuts
from local_models.llama.neighbours import move
from local_models.llama.pace import Left, Pace, apart
from local_models.llama.prefixes import Place, Prefixes
from local_models.llama.priority import USUAL, Line, Turns
from local_models.llama.rows import Ready, Row
from local_models.llama.seating import Seating, Start
from local_models.llama.seats import LEADING, Key, Phase, Seats
from local_models.llama.shares import Shares, brief, share, unbroken

_SETTLED: Final = frozenset((Phase.RUNNING, Phase.ASIDE))
_NOTHING: Final[Mapping[int, NDArray[np.int32]]] = MappingProxyType({})


class Scheduler:
    """The state of all slots and the waiting line. Every method is called by the owner thread only."""

    def __init__(
        self,
        slots: int,
        shares: Shares,
        prefixes: Prefixes | None = None,
        pace: Pace | None = None,
        *,
        moves: bool = False,
    ) -> None:
        """Without `prefixes` no sequence uses what another has left. `moves`: a sequence may get another slot."""
        self._shares = shares
        self._pace = pace or Pace(slots, shares)
        self._prefixes = prefixes
        self._moves = moves
        self._seats = Seats(slots)
        self.away = Away(self._seats, shares)
        self._seating = Seating(self._seats, prefixes)
        self._cuts = Cuts(self._seats)
        self._line = Line()
        self._turns = Turns()
        self._hurried = False  # a call for those whom nobody waits for has ended early, and none has got through since

    @property
    def waiting(self) -> int:
        """Sequences without a slot."""
        return len(self._line)

    @property
    def seated(self) -> int:
        """Sequences with a slot."""
        return len(self._seats.taken)

    @property
    def queries(self) -> int:
        """Prompt tokens that were looked for in the prefixes, since the start."""
        return self._seating.queries

    @property
    def hits(self) -> int:
        """Those found there."""
        return self._seating.hits

    @property
    def aside_waits(self) -> bool:
        """What is evaluated aside is passed over in the step that was planned last."""
        return self.away.passed(self._turns.passed)

    @property
    def tokens(self) -> int:
        """Tokens held in all KV streams."""
        return sum(seat.length for _, seat in self._seats.taken)

    def enqueue(self, key: Key, prompt: NDArray[np.int32], priority: int = 0) -> None:
        """A sequence with this prompt (at least one token) waits for a slot; a lower priority goes first."""
        self._line.add(key, prompt, priority)

    def admit(self) -> tuple[Start, ...]:
        """Fill the free slots, and let go on who need not wait for another any longer; to be carried out in order."""
        starts = self._seating.go_on()
        while len(self._line) and (free := self._seats.free):
            starts.append(self._seating.sit(self._line.next(), free))
        return tuple(starts)

    def gather(self) -> tuple[int, int] | None:
        """A running sequence's slot, and the free one where it goes on next to others; to be asked after `admit`."""
        passed, served = self._turns.passed, self._seats.taken
        if passed:
            served = [(slot, seat) for slot, seat in served if slot not in passed]
        if not self._moves or any(seat.phase not in _SETTLED for _, seat in served):
            return None  # whoever begins fills a gap
        return move([slot for slot, seat in served if seat.phase is Phase.RUNNING], self._seats.free, self._held)

    def moved(self, slot: int, to: int, *, there: bool, back: bool) -> None:
        """Two streams have changed places; or one did not get `there`, or `back`, and its new place is empty."""
        self._moves = there and back
        if there:
            self._seats.sit(to, self._seats.leave(slot))
        if self._prefixes is not None:
            if there:
                self._prefixes.exchange(slot, to)
            if not there or not back:
                emptied = slot if there else to
                self._prefixes.take(Place(emptied, emptied, 0))

    def send_aside(self) -> Row | None:
        """What of a prompt is evaluated aside from now on, all the rest of it; to be asked before `plan`."""
        sent = self.away.send()
        return sent and Row(sent[0], sent[1].length, sent[1].prompt.size, samples=True)

    def plan(self) -> tuple[Row, ...]:
        """The rows of the next batch, by slot; empty when nothing is seated, or nothing but a prompt aside."""
        self._pace.share(shared=self.away.shared)
        self._turns.next(self._seats)
        if self._turns.begins:
            self._pace.forgive()
        passed = self._turns.passed
        rows = [
            Row(slot, seat.length, seat.length + 1, samples=True)
            for slot, seat in self._seats.taken
            if seat.phase is Phase.RUNNING and slot not in passed
        ]
        prefilling = [entry for entry in self.away.here(running=bool(rows)) if entry[0] not in passed]
        if not prefilling:
            return tuple(rows)
        prompts = [Left(seat.length, seat.left) for _, seat in prefilling]
        given = self._given(prompts, len(rows))
        if self._turns.theirs and not given[0]:
            # Whoever was there first gets on, whatever the more urgent ones have made the streams owe to each other.
            given[0] = min(prompts[0].tokens, self._shares.least)
        for (slot, seat), count in zip(prefilling, given, strict=True):
            if count:
                stop = seat.length + count
                rows.append(Row(slot, seat.length, stop, samples=stop == seat.prompt.size))
        return tuple(sorted(rows, key=lambda row: row.slot))

    def apart(self, rows: tuple[Row, ...]) -> tuple[tuple[Row, ...], ...]:
        """The rows of a batch by the calls of llama_decode that take them: running sequences first, then prompts of
        which something was dropped before.
        """
        running = tuple(row for row in rows if self._seats.runs(row.slot))
        prompts = [row for row in rows if not self._seats.runs(row.slot)]
        return tuple(call for call in (running, *self._cuts.order(apart(prompts))) if call)

    def rest(self, calls: list[tuple[Row, ...]]) -> list[tuple[Row, ...]]:
        """Of the calls that are left of a step those that are carried out, once the tokens of the last one are known
        and whoever is done with them has left: all or none, and then the next step is planned at once.
        """
        return calls if self._turns.theirs else self._cuts.rest(calls)

    def yields(self, rows: tuple[Row, ...], priority: int) -> bool:
        """Whether this call of a step waits for somebody of this priority, who has just come and finds a slot."""
        if self._turns.theirs or not self._seats.free:
            return False
        urgency = self._seats.urgency()
        ranks = [urgency.get(row.slot, priority) for row in rows]
        return min(ranks) >= priority and max(ranks) > priority

    def preempted_by(self, rows: tuple[Row, ...]) -> float:
        """Whoever comes with a lower priority than this one need not wait for the end of this call: nobody waits for
        what comes of it, and not the last one has ended so already.
        """
        seats = self._seats
        if seats.least_urgent <= USUAL or self._hurried or self._turns.theirs or not seats.free:
            return -math.inf
        urgency = seats.urgency()
        most = min(urgency[row.slot] for row in rows)
        return most if most > USUAL else -math.inf

    def preempted(self) -> None:
        """A call has ended early, and what it has done is undone."""
        self._hurried = True

    def took(self, rows: tuple[Row, ...], seconds: float) -> None:
        """These rows took so long in one call; to be told before `advance`, for the shares of later ones."""
        prompts = [Left(row.start, row.stop - row.start) for row in rows if not self._seats.runs(row.slot)]
        seated = self._seats.taken if prompts else []
        self._turns.took(seconds)
        self._hurried = self._hurried and all(self._seats[row.slot].priority <= USUAL for row in rows)
        beside = any(seat.phase is Phase.RUNNING for slot, seat in seated if slot not in self._turns.passed)
        self._pace.took(len(rows) - len(prompts), prompts, seconds, beside=beside)

    def advance(self, rows: tuple[Row, ...], fed: Mapping[int, NDArray[np.int32]] = _NOTHING) -> tuple[Ready, ...]:
        """The batch of these rows was decoded; returns the slots with logits, in the order of the rows.

        `fed` has the tokens of the rows by slot; only the prefixes want to know them.
        """
        ready: list[Ready] = []
        self._cuts.begun.clear()
        for row in rows:
            seat = self._seats[row.slot]
            seat.length, seat.dropped = row.stop, False
            if self._prefixes is not None:
                self._prefixes.feed(row.slot, row.start, fed[row.slot])
            if not row.samples:
                continue
            first = seat.phase is Phase.PREFILLING
            followers = self._seats.followers(seat.key.job) if first else ()
            self._cuts.begun += (row.slot, *followers) if first else ()
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
        self.away.left(slot)
        if seat.phase in LEADING and (followers := self._seats.followers(seat.key.job)):
            self._seats[followers[0]].phase = Phase.PREFILLING
        if self._prefixes is None:
            return False
        self._prefixes.left(slot)
        if not keep:
            self._prefixes.take(Place(slot, slot, 0))
        return keep

    def restart(self, slot: int, found: int) -> None:
        """The stream is empty, though so much was found for it: the prompt is evaluated from its beginning."""
        self._seating.hits -= found
        self._seats[slot].length = 0
        if self._prefixes is not None:
            self._prefixes.take(Place(slot, slot, 0))

    def withdraw(self, job: int) -> tuple[int, ...]:
        """The request is given up: none of its sequences waits any longer. Returns the slots that it still holds."""
        self._line.withdraw(job)
        return self._seats.of(job)

    def waiting_jobs(self) -> tuple[int, ...]:
        """Requests of which at least one sequence has no slot, longest waiting first."""
        return self._line.jobs

    def _held(self, slot: int) -> int:
        """How many tokens a stream holds."""
        if self._prefixes is not None:
            return self._prefixes.held(slot).size
        seat = self._seats.at(slot)
        return 0 if seat is None else seat.length

    def _given(self, prompts: list[Left], running: int) -> list[int]:
        """How many tokens of each prompt the step takes, beside so many running sequences."""
        if running:
            return self._pace.beside(prompts, running, briefly=self._turns.theirs)
        remaining = [prompt.tokens for prompt in prompts]
        if self._turns.theirs:
            return brief(remaining)
        if len(remaining) == 1:
            return [unbroken(remaining[0], self._shares.alone)]
        return share(remaining, self._shares.alone)
