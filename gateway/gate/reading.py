"""How far an engine has come with the prompts under way, and what a new one would have to wait for. Pure.

An engine says only when a prompt has been read as a whole. What is left of it in between is foretold: of the tokens
that are read meanwhile the longest waiting prompt gets at least half, and the shortest the rest as far as the engine
lets short prompts overtake (`overtaken`, from 0: first come, first served, to 1: as `local_models.llama.shares` does).
"""

from itertools import islice
from typing import Final

from gateway.gate.entries import Entry

_LEAST: Final = 1.0
"""A prompt without a first token has a token left, whatever was foretold."""
_MOST: Final = 8
"""So many of the longest waiting are looked at one by one."""
_READ: Final = 1.01
"""Of a prompt that has been read no more is left than this."""


class Reading:
    """The prompts that have no first token yet, who waits longest first."""

    def __init__(self) -> None:
        self.left = 0.0
        """Tokens that are left of all."""
        self._prompts: dict[int, Entry] = {}
        self._at = 0.0

    def add(self, number: int, entry: Entry) -> None:
        """It is to be read."""
        entry.left = max(_LEAST, entry.prompt)
        self.left += entry.left
        self._prompts[number] = entry

    def drop(self, number: int) -> None:
        """It has been read, or need not be any more."""
        self.left -= self._prompts.pop(number).left
        if not self._prompts:
            self.left = 0.0

    def advance(self, now: float, rate: float, overtaken: float) -> None:
        """Time has passed, at so many tokens per second."""
        tokens, self._at = (now - self._at) * rate, now
        while self._prompts and tokens > 0:
            first = short = None
            for each in self._prompts.values():
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
            first.left -= done * (1 - share)
            self.left -= done
            tokens -= done

    def ahead(self, prompt: int, overtaken: float) -> float:
        """Tokens to be read before a new prompt has been, its own among them."""
        every = self.left + prompt
        if not overtaken or not self._prompts:
            return every
        shorter = sum(each.left for each in islice(self._prompts.values(), 1, _MOST) if each.left <= prompt)
        return every - overtaken * (every - min(every, 2 * (prompt + shorter)))

    def until(self, entry: Entry) -> float:
        """Tokens to be read before its first one, as far as it is overtaken by all that are shorter."""
        first, *others = islice(self._prompts.values(), _MOST)
        shorter = () if entry is first else (each.left for each in others if each.left < entry.left)
        return min(self.left, 2 * (entry.left + sum(shorter)))

    def delays(self, prompt: int) -> list[tuple[Entry, float]]:
        """Whom a new prompt would overtake, and by how many tokens."""
        if not self._prompts:
            return []
        first, *others = islice(self._prompts.values(), _MOST)
        found: list[tuple[Entry, float]] = [(each, prompt) for each in others if each.left > prompt]
        # Who waits longest keeps half of every step, whoever comes.
        half = 2 * first.left - self.left
        return [(first, min(prompt, half)), *found] if half > 0 else found
