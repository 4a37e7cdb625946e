"""From token bytes to text that may be sent: UTF-8 is never cut, stop strings never leak. Pure.

A token's bytes may end inside a character, and the end of the text so far may be the beginning of a stop string.
Such text is held back. A token travels with the text that releases it, and every token of the answer is released
exactly once; tokens that lie wholly inside the matched stop string belong to no answer and are dropped, as is an
incomplete character at the very end (its token is kept, with its bytes).
"""

import codecs
from collections import deque
from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")


class Placed(Struct, Generic[T], frozen=True):
    """A token and where its text begins in the answer, in characters."""

    token: T
    offset: int


class Released(Struct, Generic[T], frozen=True):
    """What one step lets out: text, the tokens it belongs to, and the stop string that was met, if one was."""

    text: str
    tokens: tuple[Placed[T], ...]
    stop: str | None = None


class StopMatcher:
    """Finds one stop string in a stream of characters (Knuth, Morris and Pratt 1977): constant work per character."""

    __slots__ = ("_fallback", "matched", "pattern")

    def __init__(self, pattern: str) -> None:
        if not pattern:
            raise ValueError("a stop string must not be empty")
        self.pattern = pattern
        self.matched = 0
        """Length of the longest prefix of the pattern that the text ends with."""
        self._fallback = _fallbacks(pattern)

    def feed(self, character: str) -> bool:
        """True when `character` completes the pattern."""
        matched = self.matched
        while matched and self.pattern[matched] != character:
            matched = self._fallback[matched - 1]
        if self.pattern[matched] == character:
            matched += 1
        self.matched = matched
        return matched == len(self.pattern)


def _fallbacks(pattern: str) -> list[int]:
    table = [0] * len(pattern)
    length = 0
    for index in range(1, len(pattern)):
        while length and pattern[length] != pattern[index]:
            length = table[length - 1]
        if pattern[length] == pattern[index]:
            length += 1
        table[index] = length
    return table


class TextStream(Generic[T]):
    """The text of one answer as it grows. After `Released.stop` or `finish` it takes nothing more."""

    __slots__ = ("_decoder", "_held", "_length", "_sent", "_stops", "_waiting")

    def __init__(self, stops: tuple[str, ...] = ()) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = tuple(StopMatcher(stop) for stop in stops)
        self._held = ""
        self._length = 0  # characters decoded so far, held ones included
        self._sent = 0
        self._waiting: deque[tuple[Placed[T], int]] = deque()  # with the number of characters that must be out

    def push(self, token: T, piece: bytes) -> Released[T]:
        """Add one token and its bytes; returns what may be sent now."""
        start = self._length
        text = self._decoder.decode(piece)
        self._length += len(text)
        unfinished = 1 if self._decoder.getstate()[0] else 0
        self._waiting.append((Placed(token, start), self._length + unfinished))
        if not self._stops:
            text, self._held = self._held + text, ""
            return self._release(text, self._length)
        return self._match(text, start)

    def ignore_stops(self) -> None:
        """From here on no stop string counts; what was held back because of one comes with the next token."""
        self._stops = ()

    def finish(self) -> Released[T]:
        """The answer ended without a stop string: everything still held, without an incomplete last character."""
        text, self._held = self._held, ""
        self._sent = self._length
        tokens = tuple(placed for placed, _ in self._waiting)
        self._waiting.clear()
        return Released(text, tokens)

    def _match(self, text: str, start: int) -> Released[T]:
        for index, character in enumerate(text):
            met = [stop.pattern for stop in self._stops if stop.feed(character)]
            if met:
                longest = max(met, key=len)
                return self._cut(self._held + text, start + index + 1 - len(longest), longest)
        held = max(stop.matched for stop in self._stops)
        pending = self._held + text
        keep = len(pending) - held
        self._held = pending[keep:]
        return self._release(pending[:keep], self._length - held)

    def _cut(self, pending: str, end: int, stop: str) -> Released[T]:
        """Release what lies before character `end`, where `stop` begins, and drop the rest."""
        text = pending[: end - self._sent]
        tokens = tuple(placed for placed, _ in self._waiting if placed.offset < end)
        self._waiting.clear()
        self._held = ""
        self._sent = end
        return Released(text, tokens, stop)

    def _release(self, text: str, upto: int) -> Released[T]:
        self._sent = upto
        tokens = []
        while self._waiting and self._waiting[0][1] <= upto:
            tokens.append(self._waiting.popleft()[0])
        return Released(text, tuple(tokens))
