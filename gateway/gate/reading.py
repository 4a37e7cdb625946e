"""How far an engine has come with the prompts under way, and what a new one would have to wait for. Pure.

An engine says only when a prompt has been read as a whole. What is left of it in between is foretold: of the tokens
that are read meanwhile the longest waiting prompt gets at least half, and the shortest the rest as far as the engine
lets short prompts overtake (`overtaken`, from 0: first come, first served, to 1: as `local_models.llama.shares` does).
"""

from collections.abc import Collection, Sequence
from itertools import islice
from typing import Final

from gateway.gate.entries import Entry
from gateway.types import Priority

_LEAST: Final = 1.0
"""A prompt without a first token has a token left, whatever was foretold."""
MOST: Final = 8
"""So many of the longest waiting are looked at one by one: time is not to grow with what an engine can hold."""
_READ: Final = 1.01
"""Of a prompt that has been read no more is left than this."""


class Reading:
    """The prompts that have no first token yet, who waits longest first."""

    def __init__(self, *, by_priority: bool = False) -> None:
        """`by_priority`: the engine reads no prompt while there is a more urgent one."""
        self._by_priority = by_priority
        self.left = 0.0
        """Tokens that are left of all."""
        self._prompts: dict[int, Entry] = {}
        self._lefts = [0.0 for _ in Priority]  # the same by class
        self._at = 0.0

    def add(self, number: int, entry: Entry) -> None:
        """It is to be read."""
        entry.left = max(_LEAST, entry.prompt)
        if self._by_priority:
            for other in self._prompts.values():
                other.overtaken = other.overtaken or other.priority < entry.priority
        self._more(entry, entry.left)
        self._prompts[number] = entry

    def drop(self, number: int) -> None:
        """It has been read, or need not be any more."""
        entry = self._prompts.pop(number)
        self._more(entry, -entry.left)
        if not self._prompts:
            self.left = 0.0
            self._lefts = [0.0 for _ in Priority]

    def advance(self, now: float, rate: float, overtaken: float) -> None:
        """Time has passed, at so many tokens per second."""
        tokens, self._at = (now - self._at) * rate, now
        while self._prompts and tokens > 0:
            first = short = None
            for each in self._served():
                if each.left > _READ:
                    first = first or each
                    if short is None or each.left < short.left:
                        short = each
                    if not overtaken:
                        break
            if first is None or short is None:
                return
            share = overtaken / 2 if short is not first else 0.0
            done = min(tokens, (first.left - _LEAST) / (1 - share))
            if share:
                done = min(done, (short.left - _LEAST) / share)
                short.left -= done * share
                self._more(short, -done * share)
            first.left -= done * (1 - share)
            self._more(first, -done * (1 - share))
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
        first, *others = prompts
        shorter = () if entry is first else (each.left for each in others if each.left < entry.left)
        return min(left, 2 * (entry.left + sum(shorter)))

    def delays(self, prompt: int, priority: Priority) -> list[tuple[Entry, float]]:
        """Whom of its equals a new prompt would overtake, and by how many tokens."""
        prompts, left = self._before(priority, equals=self._by_priority)
        if not prompts:
            return []
        first, *others = prompts
        found: list[tuple[Entry, float]] = [(each, prompt) for each in others if each.left > prompt]
        # Who waits longest keeps half of every step, whoever comes.
        half = 2 * first.left - left
        return [(first, min(prompt, half)), *found] if half > 0 else found

    def _before(self, priority: Priority, *, equals: bool = False) -> tuple[list[Entry], float]:
        """The first of the prompts that are read before one of this class is done, or of its `equals` among them; and
        what is left of all that are read before.
        """
        prompts = self._prompts.values()
        if not self._by_priority:
            return list(islice(prompts, MOST)), self.left
        wanted = (each for each in prompts if each.priority is priority or (not equals and each.priority > priority))
        return list(islice(wanted, MOST)), sum(self._lefts[priority:])

    def _more(self, entry: Entry, tokens: float) -> None:
        self.left += tokens
        self._lefts[entry.priority] += tokens

    def _served(self) -> Collection[Entry]:
        """The prompts that are read at present."""
        prompts = self._prompts.values()
        if not self._by_priority:
            return prompts
        most = max((each.priority for each in prompts if each.left > _READ), default=None)
        return [each for each in prompts if each.priority is most]
