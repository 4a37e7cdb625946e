"""How many prompt tokens a step takes while nobody else runs, and whose. Pure.

What it takes beside running sequences, whom every prompt token delays, is a matter of time: see `pace`.
"""

from dataclasses import dataclass

from local_models.llama.prefixes import WIDE


@dataclass(frozen=True, slots=True)
class Shares:
    """Prompt tokens per step: alone, and at most, at least and at first beside running sequences.

    Alone, 64 tokens and more cost 3.6 ms each and 16 to 63 cost 4.9 (SmolLM2-135M, two cores, no AMX): below 64 queries
    of one sequence the flash attention kernel takes another path. More than 128 gain nothing, and whoever arrives
    meanwhile waits for the end of the step.
    """

    alone: int = 128
    beside: int = 128
    least: int = 4
    first: int = 16
    crowd: int = 2
    """As many running sequences may be held up for each prompt that comes to its end; 0: none."""
    stretch: float = 2.4
    """Beside running sequences a step may take so many times what it does without prompt tokens. The aim is two and a
    half, of what 99 of 100 steps take by themselves; a little is left for what cannot be foreseen."""
    wide: bool = True
    """Attention has a kernel for `WIDE` tokens of a sequence and more, which is faster with long ones."""


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


def crowd(remaining: list[int], running: int, shares: Shares) -> list[int] | None:
    """A whole step for short prompts that come to few running sequences, if it gives as many their first token.

    It cannot go on so, for those who got theirs are running sequences themselves then.
    """
    given = share(remaining, shares.alone)
    ended = sum(count == left for count, left in zip(given, remaining, strict=True))
    return given if ended * shares.crowd >= running else None


def unbroken(remaining: int, budget: int) -> int:
    """How many tokens a prompt gets that is alone, so that its last step has enough of them for the wide kernel too.

    One evaluation of it all, which needs no steps, would take that kernel for every token.
    """
    rest = remaining - budget
    return remaining - WIDE if 0 < rest < WIDE <= remaining - WIDE else min(remaining, budget)
