"""Which running sequence moves to which free slot, so that all who run are neighbours. Pure.

llama.cpp decodes neighbouring streams together and takes another pass over the weights for every gap between them. With
200 tokens in each stream, ms a step (SmolLM2-135M, two cores): four in a row 20, every second of eight 30; six in a row
26, in four groups 41; eight of sixteen in a row 32, every second one 54. Who arrives fills the gaps (see `prefixes`);
where nobody does, a sequence moves there, which takes 2 to 6 ms once.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final

_MOST: Final = 2048
"""Tokens of both streams that may be moved: 47 MB of SmolLM2-135M, for which all streams wait 15 ms."""


def move(running: Sequence[int], free: Collection[int], held: Callable[[int], int]) -> tuple[int, int] | None:
    """The sequence that moves and the slot it moves to; None where nobody should.

    They gather where fewest have to move for it, one at a time, whoever has the least to take along first. `held` says
    how many tokens a stream holds. Whoever does not run and is no longer free stays, so that nobody gathers across it.
    """
    count = len(running)
    if count < 2 or running[-1] - running[0] == count - 1:
        return None
    here, room = set(running), {*running, *free}
    slots = [range(begin, begin + count) for begin in sorted(room) if room.issuperset(range(begin, begin + count))]
    if not slots:
        return None
    best = max(slots, key=lambda block: len(here.intersection(block)))
    mover = min(here.difference(best), key=lambda slot: (held(slot), slot))
    target = min(set(best) - here, key=lambda slot: (held(slot), slot))
    return (mover, target) if held(mover) + held(target) <= _MOST else None
