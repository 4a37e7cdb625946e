"""The gate's own ledger of what it has sent to an engine: right at once, where the engine's gauges lag by seconds."""

import heapq
import math
from collections.abc import Iterable
from typing import Final

from gateway.gate.cadence import MANY, Cadence
from gateway.gate.entries import Entry
from gateway.gate.reading import Reading
from gateway.types import Priority

_WINDOW_S: Final = 1.0
"""How far back the time between tokens is looked at."""
_OWN_STREAMS: Final = 4.0
"""What a step costs before any stream, in streams: the time between tokens grows with this plus their number."""
_TELLING: Final = 0.5
"""A stream without a token for so much of that time tells something too."""
_GRAIN_S: Final = 0.005
"""Tokens that come as close together count as of the same moment."""


class _Side:
    """How many requests are on it, how many of them are streams with a first token, and of those how many rest: their
    client has yet to take what came.
    """

    __slots__ = ("count", "resting", "running")

    def __init__(self) -> None:
        self.count = self.running = self.resting = 0


class InFlight:
    """Everything between being sent and its end. Times are of one monotonic clock."""

    def __init__(self, *, by_priority: bool = False) -> None:
        """`by_priority`: the engine serves first who is urgent; see `local_models.llama.priority`."""
        self._by_priority = by_priority
        self.backlog = 0
        """Prompt tokens of requests without a first token."""
        self.reading = Reading(by_priority=by_priority)
        self.cadence = Cadence()
        self._entries: dict[int, Entry] = {}
        # By class, those of more urgent ones among them: asked for more often than they change.
        self._counts = [0 for _ in range(len(Priority) + 1)]
        self._streams = [0 for _ in Priority]
        self._unstarted: dict[int, Entry] = {}
        self._fresh: dict[int, Entry] = {}
        self._silent: list[tuple[float, int]] = []
        self._front = _Side()
        self._behind = _Side()  # those who pause while there is anybody in front
        self._stream_s = 0.0
        self._tokens = 0.0
        self._at = 0.0
        self._changed_at = 0.0  # since when as many have streamed, and prompts been read or not

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def running(self) -> int:
        """Streams with a first token."""
        return self._front.running + self._behind.running

    @property
    def oldest(self) -> Entry | None:
        """Who has waited longest for a first token, of those whose tokens are told."""
        return next(iter(self._unstarted.values()), None)

    def pauses(self, priority: Priority) -> bool:
        """Whether a request of this class gets hardly a token while there are others above it."""
        return self._by_priority and priority < Priority.NORMAL

    def streams(self, priority: Priority) -> int:
        """Streams that are served at the same time as the prompt of a request of this class."""
        return self._streams[priority]

    def above(self, priority: Priority, *, itself: bool = False) -> int:
        """How many requests of the classes above this one are under way, or of `itself` and above."""
        return self._counts[priority if itself else priority + 1]

    def before(self, priority: Priority) -> Entry | None:
        """Who has waited longest of those whom a request of this class has to wait for."""
        for each in self._unstarted.values():
            if each.priority >= priority or not self._by_priority:
                return each
        return None

    @property
    def unstarted(self) -> Iterable[Entry]:
        """All of those, who has waited longest first."""
        return self._unstarted.values()

    @property
    def fresh(self) -> Iterable[Entry]:
        """Streams of which only the first token has come."""
        return self._fresh.values()

    @property
    def listening_since(self) -> float:
        """Since when a token has been waited for; infinite where none is."""
        return min((each.listening_since for each in self._entries.values() if each.streamed), default=math.inf)

    def unheard(self, since: float) -> list[Entry]:
        """Those that had not begun by then. Of a whole answer that is what was foretold."""
        return [each for each in self._entries.values() if each.unheard(since)]

    def send(self, number: int, entry: Entry) -> None:
        """It is on its way."""
        self._pass(entry.sent_at)
        self._entries[number] = entry
        self._come(entry, 1)
        entry.pauses = self.pauses(entry.priority)
        # Whoever is in front of it is served first, answer and all, however much longer that takes.
        entry.overtaken = entry.pauses and self._front.count > 0
        self._side(entry).count += 1
        if not self.backlog:
            self._changed_at = entry.sent_at
        self.backlog += entry.prompt
        self.reading.add(number, entry)
        if entry.streamed:
            self._unstarted[number] = entry
        else:
            heapq.heappush(self._silent, (entry.sent_at + entry.foretold_s, number))

    def token(self, number: int, now: float, count: int = 1) -> Entry:
        """It has its next tokens."""
        entry = self._entries[number]
        if not entry.streamed:
            self._begin_silent(number, entry, now)
            return entry
        if entry.first_at is None:
            self._pass(now)
            entry.first_at = now
            self._shrink(number, entry, now)
            self._flow(entry, 1)
            del self._unstarted[number]
            self._fresh[number] = entry
            self._count(entry, count - 1)
        else:
            if now - self._at > _GRAIN_S:
                self._pass(now)
                self._tell(entry, now, count)
            self._count(entry, count)
            if self._fresh:
                self._fresh.pop(number, None)
        entry.tokens += count
        entry.last_at = now
        return entry

    def listen(self, entry: Entry, now: float) -> None:
        """Its next token is waited for."""
        if entry.resting:
            self._turn(entry, -1, now)
        entry.listening_since = now

    def rest(self, entry: Entry, now: float) -> None:
        """Its client has yet to take what came: the next token is not waited for, whenever it comes."""
        if entry.streamed and not entry.resting:
            self._turn(entry, 1, now)
        entry.listening_since = math.inf

    def end(self, number: int, now: float) -> Entry:
        """It is over, whole or not."""
        self._pass(now)
        entry = self._entries.pop(number)
        self._come(entry, -1)
        side = self._side(entry)
        side.count -= 1
        if not entry.streamed:
            self._begin_silent(number, entry, now)
        elif self._unstarted.pop(number, None) is not None:
            self._shrink(number, entry, now)
        else:
            self._changed_at = now
            self._flow(entry, -1)
            side.resting -= entry.resting
            self._fresh.pop(number, None)
        return entry

    def settle(self, now: float) -> None:
        """Time has passed: whole answers that should have begun by now have."""
        while self._silent and self._silent[0][0] <= now:
            at, number = heapq.heappop(self._silent)
            entry = self._entries.get(number)
            if entry is not None:
                self._begin_silent(number, entry, at)

    def disturb(self) -> None:
        """The engine stood still: nothing can be learnt from those who were there."""
        for entry in self._entries.values():
            entry.telling = False
        self._stream_s = self._tokens = 0.0

    def gap(self, now: float, more: int = 0, priority: Priority | None = None) -> float:
        """Time between a stream's tokens lately, as it would be beside `more` others: stream-seconds per token; 0 where
        too little was seen of it. Of a class it is that of when it is served, and otherwise that of who is.
        """
        self._pass(now)
        served = self._served
        told = self._tokens >= 1 or (_OWN_STREAMS + served.count) * self._stream_s >= _TELLING * _WINDOW_S
        if priority is not None:
            served = self._behind if self.pauses(priority) else self._front
        return (_OWN_STREAMS + served.count + more) * self._stream_s / max(self._tokens, 1.0) if told else 0.0

    @property
    def _served(self) -> _Side:
        return self._front if self._front.count else self._behind

    def _side(self, entry: Entry) -> _Side:
        return self._behind if entry.pauses else self._front

    def _come(self, entry: Entry, more: int) -> None:
        for place in range(entry.priority + 1):
            self._counts[place] += more

    def _flow(self, entry: Entry, more: int) -> None:
        """It is a stream from now on, or until now."""
        self._side(entry).running += more
        for place in range(entry.priority + 1 if self._by_priority else len(self._streams)):
            self._streams[place] += more

    def _count(self, entry: Entry, tokens: int) -> None:
        """What those behind get now and then while they pause says nothing of the gap."""
        if not entry.pauses or not self._front.count:
            self._tokens += tokens

    def _tell(self, entry: Entry, now: float, count: int) -> None:
        """The time since its last token tells how fast the engine is, if that was spent on nothing else."""
        since, streams = entry.last_at, self.running
        if self.backlog or now - since <= _GRAIN_S or not entry.telling or entry.listening_since > since + _GRAIN_S:
            return
        if (streams < MANY and self._changed_at > since) or (entry.pauses and self._front.count):
            return
        self.cadence.told((now - since) / count, streams)

    def _begin_silent(self, number: int, entry: Entry, now: float) -> None:
        if entry.first_at is None:
            entry.first_at = now
            self._shrink(number, entry, now)

    def _shrink(self, number: int, entry: Entry, now: float) -> None:
        self._changed_at = now
        self.backlog -= entry.prompt
        self.reading.drop(number)

    def _turn(self, entry: Entry, more: int, now: float) -> None:
        if now - self._at > _GRAIN_S:
            self._pass(now)
        self._side(entry).resting += more

    def _pass(self, now: float) -> None:
        past = now - self._at
        if past > 0:
            kept = math.exp(-past / _WINDOW_S) if past < 50 * _WINDOW_S else 0.0
            served = self._served
            listening = served.running - served.resting
            self._stream_s = self._stream_s * kept + listening * past / (_OWN_STREAMS + served.count)
            self._tokens *= kept
            self._at = now
