"""What every KV stream holds, token for token, and where a new prompt finds the longest beginning of its own. Pure.

A slot that was left keeps its tokens until it is needed again. A new sequence is seated

1. in the free slot that begins most like its prompt, where the rest is trimmed away; or
2. in the free slot that lies best, with a copy of a running sequence, where that begins like the prompt for `least`
   tokens more than any free slot. All that the stream holds is copied, then trimmed: the exact way (measured
   difference 0), which costs some milliseconds however little of it is wanted; or
3. in the free slot that lies best, to begin at the beginning.

llama.cpp decodes neighbouring streams together and takes another pass over the weights for every gap: eight in a row
take 19 ms a step, four and four 33, every second of sixteen 42. So the best free slot is one that fills a gap, or joins
those that are taken, though what was left there may be newer than elsewhere; of equally good ones, the one that was
left the longest time ago. Those who are decoded at other times are no neighbours, and best left room.

The last token of a prompt is always evaluated: it gives the logits.

What may differ. llama.cpp has two kernels for attention on a CPU, one for 64 tokens of a sequence and more at once, one
for fewer, and their results differ in the first or second digit of a log-probability (0.09 and 0.17 measured). Within
one of them neither chunks nor copies make any difference (up to 256 tokens in all a single token neither; from there on
one that is decoded alone has a third way). So a prompt shorter than 64 tokens, which never meets the kernel for many,
reuses only what was evaluated by the one for few; and any other leaves at least 64 to evaluate, by the kernel that a
prompt of that length has anyway. It is the faster one besides: at position 960 it takes 140 ms for 64 tokens, the other
one 230 for 18 (SmolLM2-135M, two cores). Where no step takes 64 prompt tokens (`--prompt-batch 63`) there is one kernel
only, and every prefix may be reused whole.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

WIDE: Final = 64
"""Tokens of one sequence that llama.cpp's kernel for many of them needs."""
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

    def exchange(self, one: int, other: int) -> None:
        """Two streams have changed places."""
        self._tokens[[one, other]] = self._tokens[[other, one]]
        for each in (self._lengths, self._few, self._used):
            each[one], each[other] = each[other], each[one]

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

    def place(self, prompt: NDArray[np.int32], free: list[int], apart: Collection[int] = ()) -> Place:
        """Where a new sequence sits; `free` are the slots without one, at least one, and `apart` those of sequences
        that are decoded at other times.
        """
        at, best = max(
            ((slot, self.common(slot, prompt)) for slot in free),
            key=lambda entry: (entry[1], self._neighbours(entry[0], {*free, *apart})),
        )
        taken = set(range(len(self._lengths))).difference(free)
        source, copied = max(
            ((slot, self.copied(slot, prompt)) for slot in sorted(taken)), key=lambda entry: entry[1], default=(at, 0)
        )
        if copied >= best + self.least(prompt.size):
            return Place(self.vacant(free, apart), source, copied)
        if best:
            return Place(at, at, best)
        vacant = self.vacant(free, apart)
        return Place(vacant, vacant, 0)

    def vacant(self, free: list[int], apart: Collection[int] = ()) -> int:
        """The free slot that lies best, for a sequence that finds nothing in any."""
        strangers = {*free, *apart}

        def worth(slot: int) -> tuple[int, ...]:
            room = (slot - 1 in apart) + (slot + 1 in apart)
            return -self._neighbours(slot, strangers), room, self._used[slot], slot

        return min(free, key=worth)

    def _neighbours(self, slot: int, strangers: Collection[int]) -> int:
        return sum(0 <= beside < len(self._used) and beside not in strangers for beside in (slot - 1, slot + 1))

    def _worth(self, alike: int, few: int, prompt: int) -> int:
        found = min(alike, prompt - 1)
        if not self._narrow:
            found = min(found, few) if prompt < WIDE else min(found, prompt - WIDE)
        return found if found >= self.least(prompt) else 0


def alike(one: NDArray[np.int32], other: NDArray[np.int32]) -> int:
    """How many tokens two sequences begin with alike."""
    size = min(one.size, other.size)
    different = one[:size] != other[:size]
    first = int(different.argmax()) if size else 0
    return first if size and different[first] else size
