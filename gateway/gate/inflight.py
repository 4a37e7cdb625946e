"""The gate's own ledger of what it has sent to an engine: right at once, where the engine's gauges lag by seconds."""

import heapq
import math
from typing import Final

from msgspec import Struct

_WINDOW_S: Final = 0.5
"""How far back the time between tokens is looked at."""
_TELLING: Final = 0.5
"""A stream without a token for so much of that time tells something too."""
_GRAIN_S: Final = 0.005
"""Tokens that come as close together count as of the same moment."""


class Entry(Struct):
    """A request under way, and what was foretold of it: seconds to its first token, and between tokens (0: nothing).

    `first_s` (from its arrival on) and `gap_s` are what it was promised, None where nothing was. `work` are the prompt
    tokens that were to be read before its first one, its own among them.
    """

    prompt: int
    arrived_at: float
    sent_at: float
    foretold_s: float
    foretold_gap_s: float
    first_s: float | None
    gap_s: float | None
    work: int = 0
    streamed: bool = True
    """Whether its tokens are told as they come. That of a whole answer is taken to begin when it was foretold to."""
    first_at: float | None = None
    tokens: int = 0
    telling: bool = True
    """Whether what comes of it says anything about forecasts: not if the engine stood still meanwhile."""
    observed_gap_s: float = 0.0
    """Mean time between its tokens, once it is over."""
    listening_since: float = -math.inf
    """Since when its next token has been waited for; infinite while nobody does, because its client is slow."""

    def gap(self, now: float) -> float:
        """Mean time between its tokens; 0 before it has two."""
        return (now - self.first_at) / (self.tokens - 1) if self.first_at is not None and self.tokens > 1 else 0.0

    def missed(self, now: float) -> bool:
        """Whether a promise to it is broken by now."""
        first = (now if self.first_at is None else self.first_at) - self.arrived_at
        late = self.first_s is not None and first > self.first_s
        return late or (self.gap_s is not None and self.gap(now) > self.gap_s)


class InFlight:
    """Everything between being sent and its end. Times are of one monotonic clock."""

    def __init__(self) -> None:
        self.backlog = 0
        """Prompt tokens of requests without a first token."""
        self.running = 0
        """Streams with a first token."""
        self._entries: dict[int, Entry] = {}
        self._unstarted: dict[int, Entry] = {}
        self._silent: list[tuple[float, int]] = []
        self._stream_s = 0.0
        self._tokens = 0.0
        self._at = 0.0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def oldest(self) -> Entry | None:
        """Who has waited longest for a first token, of those whose tokens are told."""
        return next(iter(self._unstarted.values()), None)

    @property
    def listening_since(self) -> float:
        """Since when a token has been waited for; infinite where none is."""
        return min((each.listening_since for each in self._entries.values() if each.streamed), default=math.inf)

    def send(self, number: int, entry: Entry) -> None:
        """It is on its way."""
        self._pass(entry.sent_at)
        self._entries[number] = entry
        self.backlog += entry.prompt
        if entry.streamed:
            self._unstarted[number] = entry
        else:
            heapq.heappush(self._silent, (entry.sent_at + entry.foretold_s, number))

    def token(self, number: int, now: float, count: int = 1) -> Entry:
        """It has its next tokens."""
        entry = self._entries[number]
        if not entry.streamed:
            self._begin_silent(entry, now)
            return entry
        if entry.first_at is None:
            self._pass(now)
            entry.first_at = now
            self.backlog -= entry.prompt
            self.running += 1
            del self._unstarted[number]
            self._tokens += count - 1
        else:
            if now - self._at > _GRAIN_S:
                self._pass(now)
            self._tokens += count
        entry.tokens += count
        return entry

    def end(self, number: int, now: float) -> Entry:
        """It is over, whole or not."""
        self._pass(now)
        entry = self._entries.pop(number)
        if not entry.streamed:
            self._begin_silent(entry, now)
        elif self._unstarted.pop(number, None) is not None:
            self.backlog -= entry.prompt
        else:
            self.running -= 1
        return entry

    def settle(self, now: float) -> None:
        """Time has passed: whole answers that should have begun by now have."""
        while self._silent and self._silent[0][0] <= now:
            at, number = heapq.heappop(self._silent)
            entry = self._entries.get(number)
            if entry is not None:
                self._begin_silent(entry, at)

    def disturb(self) -> None:
        """The engine stood still: nothing can be learnt from those who were there."""
        for entry in self._entries.values():
            entry.telling = False
        self._stream_s = self._tokens = 0.0

    def gap(self, now: float) -> float:
        """Time between a stream's tokens at present: stream-seconds per token; 0 where too little was seen of it."""
        self._pass(now)
        told = self._tokens >= 1 or self._stream_s >= _TELLING * _WINDOW_S
        return self._stream_s / max(self._tokens, 1.0) if told else 0.0

    def _begin_silent(self, entry: Entry, now: float) -> None:
        if entry.first_at is None:
            entry.first_at = now
            self.backlog -= entry.prompt

    def _pass(self, now: float) -> None:
        past = now - self._at
        if past > 0:
            kept = math.exp(-past / _WINDOW_S) if past < 50 * _WINDOW_S else 0.0
            self._stream_s = self._stream_s * kept + self.running * past
            self._tokens *= kept
            self._at = now
