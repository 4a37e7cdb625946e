"""How far an engine has come with the prompts under way, and what a new one would have to wait for. Pure.

An engine says only when a prompt has been read as a whole. What is left of it in between is foretold: of the tokens
that are read meanwhile the longest waiting prompt gets at least half, and the shortest the rest as far as the engine
lets short prompts overtake (`overtaken`, from 0: first come, first served, to 1: as `local_models.llama.shares` does).
"""

from collections.abc import Sequence
from itertools import islice
from operator import attrgetter
from typing import Final

from gateway.gate.entries import Entry
from gateway.types import Priority

_LEAST: Final = 1.0
"""A prompt without a first token has a token left, whatever was foretold."""
MOST: Final = 8
"""So many of the longest waiting are looked at one by one: time is not to grow with what an engine can hold."""
_READ: Final = 1.01
"""Of a prompt that has been read no more is left than this."""
_sent_at: Final = attrgetter("sent_at")


class Reading:
    """The prompts that have no first token yet, who waits longest first."""

    def __init__(self, *, by_priority: bool = False) -> None:
        """`by_priority`: the engine reads no prompt while there is a more urgent one."""
        self._by_priority = by_priority
        self.left = 0.0
        """Tokens that are left of all."""
        # By class, the most urgent last; of an engine that knows no classes all are of one.
        self._prompts: list[dict[int, Entry]] = [{} for _ in Priority] if by_priority else [{}]
        self._lefts = [0.0 for _ in self._prompts]
        # What `_before` finds, by class, as long as it is known.
        self._longest: list[list[Entry] | None] = [[] for _ in self._prompts]
        self._at = 0.0

    def add(self, number: int, entry: Entry) -> None:
        """It is to be read."""
        entry.left = max(_LEAST, entry.prompt)
        place = self._place(entry.priority)
        self._prompts[place][number] = entry
        for prompts in self._prompts[:place]:
            for other in reversed(prompts.values()):
                if other.overtaken:
                    break  # and so were those who came before it
                other.overtaken = True
        for longest in self._longest[: place + 1]:
            if longest is not None and len(longest) < MOST:
                longest.append(entry)
        self._more(place, entry.left)

    def drop(self, number: int) -> None:
        """It has been read, or need not be any more."""
        place = next(place for place, prompts in enumerate(self._prompts) if number in prompts)
        entry = self._prompts[place].pop(number)
        self._more(place, -entry.left)
        self._forget(place, entry)
        if not any(self._prompts):
            self.left = 0.0
            self._lefts = [0.0 for _ in self._prompts]

    def advance(self, now: float, rate: float, overtaken: float) -> None:
        """Time has passed, at so many tokens per second."""
        tokens, self._at = (now - self._at) * rate, now
        place = len(self._prompts) - 1
        while place >= 0 and tokens > 0:
            first = short = None
            for each in self._prompts[place].values():
                if each.left > _READ:
                    first = first or each
                    if short is None or each.left < short.left:
                        short = each
                    if not overtaken:
                        break
            if first is None or short is None:
                place -= 1
                continue
            share = overtaken / 2 if short is not first else 0.0
            done = min(tokens, (first.left - _LEAST) / (1 - share))
            if share:
                done = min(done, (short.left - _LEAST) / share)
                short.left -= done * share
            first.left -= done * (1 - share)
            self._more(place, -done)
            tokens -= done

    def ahead(self, prompt: int, overtaken: float, priority: Priority) -> tuple[float, Sequence[float]]:
        """Tokens to be read before a new prompt has been, its own among them; and what is left of each of those that
        end before it does, in that order: they are streams then.
        """
        prompts, left = self._before(priority)
        every = left + prompt
        if not prompts:
            return every, ()
        if not overtaken:
            return every, [each.left for each in prompts]
        earlier = [each.left for each in prompts if each.left <= prompt]
        shorter = sum(earlier) - (prompts[0].left if prompts[0].left <= prompt else 0.0)
        earlier.sort()
        return every - overtaken * (every - min(every, 2 * (prompt + shorter))), earlier

    def until(self, entry: Entry) -> float:
        """Tokens to be read before its first one, as far as it is overtaken by all that are shorter."""
        prompts, left = self._before(entry.priority)
        own = entry.left
        if entry is prompts[0]:
            return min(left, 2 * own)
        shorter = sum([each.left for each in prompts if each.left < own])
        return min(left, 2 * (own + shorter - (prompts[0].left if prompts[0].left < own else 0.0)))

    def delays(self, prompt: int, priority: Priority) -> list[tuple[Entry, float]]:
        """Whom of its equals a new prompt would overtake, and by how many tokens."""
        place = self._place(priority)
        equals = self._prompts[place].values()
        if not equals:
            return []
        first, *others = islice(equals, MOST)
        found: list[tuple[Entry, float]] = [(each, prompt) for each in others if each.left > prompt]
        # Who waits longest keeps half of every step, whoever comes.
        half = 2 * first.left - sum(self._lefts[place:])
        return [(first, min(prompt, half)), *found] if half > 0 else found

    def _before(self, priority: Priority) -> tuple[list[Entry], float]:
        """The first of the prompts that are read before one of this class is done; and what is left of all of them."""
        place = self._place(priority)
        found = self._longest[place]
        if found is None:
            found = [*islice(self._prompts[place].values(), MOST)]
            urgent = [
                each for prompts in self._prompts[place + 1 :] if prompts for each in islice(prompts.values(), MOST)
            ]
            if urgent:
                found = sorted(found + urgent, key=_sent_at)[:MOST]
            self._longest[place] = found
        return found, sum(self._lefts[place:])

    def _forget(self, place: int, entry: Entry) -> None:
        """Shorter lists have all that there are; the others are looked up once more, if it was one of them."""
        for each, longest in enumerate(self._longest[: place + 1]):
            if longest is not None and len(longest) < MOST:
                self._longest[each] = [other for other in longest if other is not entry]
            elif longest is not None and entry.sent_at <= longest[-1].sent_at:
                self._longest[each] = None

    def _place(self, priority: Priority) -> int:
        return priority if self._by_priority else 0

    def _more(self, place: int, tokens: float) -> None:
        self.left += tokens
        self._lefts[place] += tokens
