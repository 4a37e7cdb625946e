"""What every KV stream holds, token for token, and where a new prompt finds the longest beginning of its own. Pure.

A slot that was left keeps its tokens until it is needed again. A new sequence is seated

1. in the free slot that begins most like its prompt, where the rest is trimmed away; or
2. in the least recently used free slot, with a copy of a running sequence, where that begins like the prompt for
   `least` tokens more than any free slot. Split KV streams are copied whole, then trimmed: the exact way (measured
   difference 0), which costs some milliseconds however little of it is wanted; or
3. in the least recently used free slot, to begin at the beginning.

The last token of a prompt is always evaluated: it gives the logits.

What may differ. llama.cpp has two kernels for attention on a CPU, one for 64 tokens of a sequence and more at once, one
for fewer, and their results differ in the first or second digit of a log-probability (0.09 and 0.17 measured). Within
one of them neither chunks nor copies make any difference, up to 256 tokens in all; from there on a single sequence is
decoded by a third way. So a prompt shorter than 64 tokens, which never meets the kernel for many, reuses only what was
evaluated by the one for few; and a prompt of up to 256 leaves at least 64 to evaluate, by the kernel that a prompt of
that length has anyway. Where no step takes 64 prompt tokens (`--prompt-batch 63`) there is one kernel only, and every
prefix may be reused whole.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

WIDE: Final = 64
"""Tokens of one sequence that llama.cpp's kernel for many of them needs."""
EXACT: Final = 256
"""Tokens up to which a sequence is decoded alone as it is beside others."""
LITTLE: Final = 16
"""Tokens that are worth it for a prompt of fewer than `WIDE`, whose first token is not far off anyway."""
_STREAM_PER_TOKEN: Final = 256
"""Positions of a stream that may be copied for every token that need not be evaluated."""


@dataclass(frozen=True, slots=True)
class Place:
    """Sit in `slot`, which then holds the first `kept` tokens of what `source` holds."""

    slot: int
    source: int
    kept: int


class Prefixes:
    """The tokens of all streams. Kept by the scheduler, which tells it whatever is fed, copied and trimmed."""

    def __init__(self, slots: int, context: int, *, narrow: bool = False, least: int = WIDE) -> None:
        """`narrow`: no step takes 64 prompt tokens. A prefix of fewer than `least` is not worth it to a long prompt."""
        self._tokens = np.zeros((slots, context), dtype=np.int32)
        self._lengths = [0] * slots
        self._few = [0] * slots  # how many of those, from the first on, the kernel for few has evaluated
        self._used = [0] * slots
        self._moment = 0
        self._narrow = narrow
        self._least = least
        self._least_copied = context // _STREAM_PER_TOKEN

    def held(self, slot: int) -> NDArray[np.int32]:
        """The tokens in a stream. A view."""
        return self._tokens[slot, : self._lengths[slot]]

    def feed(self, slot: int, start: int, tokens: NDArray[np.int32]) -> None:
        """These tokens were evaluated at `start` and on, which is where the stream ended."""
        assert start == self._lengths[slot], f"slot {slot} holds {self._lengths[slot]} tokens, not {start}"
        if start == self._few[slot] and tokens.size < WIDE:
            self._few[slot] += tokens.size
        self._lengths[slot] = start + tokens.size
        self._tokens[slot, start : start + tokens.size] = tokens

    def take(self, place: Place) -> None:
        """The stream of a slot becomes the beginning of another, or of itself."""
        assert place.kept <= self._lengths[place.source]
        if place.source != place.slot:
            self._tokens[place.slot, : place.kept] = self._tokens[place.source, : place.kept]
        self._lengths[place.slot] = place.kept
        self._few[place.slot] = min(self._few[place.source], place.kept)

    def left(self, slot: int) -> None:
        """Nobody sits in the slot any longer; of all it is the one used last."""
        self._moment += 1
        self._used[slot] = self._moment

    def least(self, prompt: int) -> int:
        """How much a prompt of this length has to find so that it is worth it."""
        return min(self._least, LITTLE) if prompt < WIDE else self._least

    def common(self, slot: int, prompt: NDArray[np.int32]) -> int:
        """How much of a prompt need not be evaluated because the stream begins with it; 0 where that is too little."""
        return self._worth(alike(self.held(slot), prompt), self._few[slot], prompt.size)

    def copied(self, slot: int, prompt: NDArray[np.int32]) -> int:
        """As `common`, where the stream has to be copied for it."""
        found = self.common(slot, prompt)
        return found if found >= self._least_copied else 0

    def promised(self, other: NDArray[np.int32], prompt: NDArray[np.int32]) -> int:
        """As `copied`, once all of the prompt `other` is evaluated."""
        few = other.size if other.size < WIDE else 0
        found = self._worth(alike(other, prompt), few, prompt.size)
        return found if found >= self._least_copied else 0

    def place(self, prompt: NDArray[np.int32], free: list[int]) -> Place:
        """Where a new sequence sits; `free` are the slots without one, at least one."""
        at, best = max(((slot, self.common(slot, prompt)) for slot in free), key=lambda entry: entry[1])
        taken = set(range(len(self._lengths))).difference(free)
        source, copied = max(
            ((slot, self.copied(slot, prompt)) for slot in sorted(taken)), key=lambda entry: entry[1], default=(at, 0)
        )
        if copied >= best + self.least(prompt.size):
            return Place(self.oldest(free), source, copied)
        if best:
            return Place(at, at, best)
        oldest = self.oldest(free)
        return Place(oldest, oldest, 0)

    def oldest(self, free: list[int]) -> int:
        """The free slot that was left the longest time ago; the lowest of those never used."""
        return min(free, key=lambda slot: (self._used[slot], slot))

    def _worth(self, alike: int, few: int, prompt: int) -> int:
        found = min(alike, prompt - 1)
        if not self._narrow and prompt < WIDE:
            found = min(found, few)
        elif not self._narrow and prompt <= EXACT:
            found = min(found, prompt - WIDE)
        return found if found >= self.least(prompt) else 0


def alike(one: NDArray[np.int32], other: NDArray[np.int32]) -> int:
    """How many tokens two sequences begin with alike."""
    size = min(one.size, other.size)
    different = one[:size] != other[:size]
    first = int(different.argmax()) if size else 0
    return first if size and different[first] else size
