"""How many prompt tokens a step takes, and whose. Pure: times are told, not taken.

Beside running sequences every prompt token delays every stream, so their number follows from what steps have taken
lately: a step with prompt tokens may last `STRETCH` times as long as one without. Seven streams of SmolLM2-135M on two
cores take 40 ms a step and 55 more with 16 prompt tokens; a larger model, a longer prompt, a busier machine and another
number of streams have other numbers, and are measured as they come.

The exception is a crowd of short prompts that comes to few streams: a step that gives many their first token may hold
up half as many for once. It cannot go on so, for those who got theirs are streams themselves then.
"""

from dataclasses import dataclass
from typing import Final

from local_models.llama.prefixes import WIDE

STRETCH: Final = 2.25
"""The aim is two and a half; a tenth is left for what cannot be foreseen."""
_MEMORY: Final = 0.2
"""What the latest step counts against all before it."""
_OUTLIER: Final = 2.0
"""No step counts for more than this many times what was expected: the machine had something else to do."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Prompt tokens per step: alone, and at most, at least and at first beside running sequences.

    Alone, 64 tokens and more cost 3.6 ms each and 16 to 63 cost 4.9 (SmolLM2-135M, two cores): below 64 queries of one
    sequence the flash attention kernel takes another path. More than 128 gain nothing, and whoever arrives meanwhile
    waits for the end of the step.
    """

    alone: int = 128
    beside: int = 128
    least: int = 4
    first: int = 16
    crowd: int = 2
    """As many running sequences may be held up for each prompt that comes to its end; 0: none."""


class Pace:
    """What steps take: one number for each count of running sequences, and one for a prompt token beside them."""

    def __init__(self, slots: int, shares: Shares) -> None:
        self._shares = shares
        self._decoding: list[float | None] = [None] * (slots + 1)
        self._token: float | None = None

    def observe(self, seconds: float, running: int, prompt: int) -> None:
        """A step with so many running sequences and prompt tokens took so long."""
        if not running:
            return
        if not prompt:
            self._decoding[running] = _blend(self._decoding[running], seconds)
        elif (decoding := self._expected(running)) is not None:
            self._token = _blend(self._token, max(seconds - decoding, 0.0) / prompt)

    def beside(self, running: int) -> int:
        """Prompt tokens that the next step may take beside so many running sequences."""
        shares = self._shares
        decoding = self._expected(running)
        if decoding is None or self._token is None:
            return min(shares.first, shares.beside)
        room = (STRETCH - 1) * decoding
        found = shares.beside if self._token * shares.beside <= room else int(room / self._token)
        return max(min(shares.least, shares.beside), found)

    def _expected(self, running: int) -> float | None:
        """What a step without prompt tokens takes; that of the nearest count known where this one is not."""
        known = [count for count, seconds in enumerate(self._decoding) if seconds is not None]
        nearest = min(known, key=lambda count: abs(count - running), default=0)
        return self._decoding[nearest]


def _blend(before: float | None, seconds: float) -> float:
    if not before:
        return seconds
    return before + _MEMORY * (min(seconds, _OUTLIER * before) - before)


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


def beside(remaining: list[int], running: int, shares: Shares, spared: int) -> list[int]:
    """As `share`, beside so many running sequences: of what they can spare, or for a crowd of a whole step."""
    given = share(remaining, shares.alone)
    ended = sum(count == left for count, left in zip(given, remaining, strict=True))
    return given if ended * shares.crowd >= running else share(remaining, spared)


def unbroken(remaining: int, budget: int) -> int:
    """How many tokens a prompt gets that is alone, so that its last step has enough of them for the wide kernel too.

    One evaluation of it all, which needs no steps, would take that kernel for every token.
    """
    rest = remaining - budget
    return remaining - WIDE if 0 < rest < WIDE <= remaining - WIDE else min(remaining, budget)
