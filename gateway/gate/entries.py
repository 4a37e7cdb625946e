"""A request under way at an engine, with what was foretold and promised of it."""

import math
from typing import Final

from msgspec import Struct

from gateway.types import Priority

ReadingTimes = tuple[float, float, float]
"""Seconds of reading prompts alone, beside few streams and beside many. What is learnt hangs on the shares only."""
ALONE: Final[ReadingTimes] = (1.0, 0.0, 0.0)
TELLING_TOKENS: Final = 8
"""The mean time between fewer tokens than these hangs on a single step."""


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
    priority: Priority = Priority.NORMAL
    overtaken: bool = False
    """Whether more urgent ones are served before its first token comes, which makes that later than was foretold."""
    pauses: bool = False
    """Whether it gets hardly a token while more urgent ones are served: what is between its tokens tells nothing."""
    cost_nano: float = 0.0
    """What somebody else would have taken for it; 0 where nobody else might."""
    reading_s: ReadingTimes = ALONE
    """What was foretold of reading: seconds alone, beside few streams and beside many."""
    later_s: float = 0.0
    """What prompts take that were sent after it, and may be read before it."""
    speed: float = 1.0
    """That of the engine when it was sent, by its clock and its cadence."""
    left: float = 0.0
    """Tokens of its prompt that are still to be read, as far as that is foretold."""
    streamed: bool = True
    """Whether its tokens are told as they come. That of a whole answer is taken to begin when it was foretold to."""
    first_at: float | None = None
    last_at: float = 0.0
    """When its latest token came; before there is one it means nothing."""
    tokens: int = 0
    telling: bool = True
    """Whether what comes of it says anything about forecasts: not if the engine stood still meanwhile."""
    observed_gap_s: float = 0.0
    """Mean time between its tokens, once it is over."""
    listening_since: float = -math.inf
    """Since when its next token has been waited for; infinite while nobody does, because its client is slow."""

    @property
    def resting(self) -> bool:
        """Whether nobody waits for its next token, of those that are told as they come."""
        return self.streamed and self.listening_since == math.inf

    def gap(self, now: float) -> float:
        """Mean time between its tokens; 0 before it has two."""
        return (now - self.first_at) / (self.tokens - 1) if self.first_at is not None and self.tokens > 1 else 0.0

    def unheard(self, since: float) -> bool:
        """Whether it had not begun by then."""
        return self.first_at is None or self.first_at > since

    def late(self, now: float) -> bool:
        """Whether its first token has come later than was promised, or has not come and is late by now."""
        first = (now if self.first_at is None else self.first_at) - self.arrived_at
        return self.first_s is not None and first > self.first_s

    def slow(self, now: float) -> bool:
        """Whether its tokens come more slowly than was promised, as far as there are any."""
        return self.gap_s is not None and self.gap(now) > self.gap_s
