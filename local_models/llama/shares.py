"""How many prompt tokens a step takes, and whose. Pure."""

from dataclasses import dataclass

from local_models.llama.prefixes import WIDE


@dataclass(frozen=True, slots=True)
class Shares:
    """Prompt tokens per step, alone and beside running sequences.

    Alone, 64 tokens and more cost 3.6 ms each and 16 to 63 cost 4.9 (SmolLM2-135M, two cores): below 64 queries of one
    sequence the flash attention kernel takes another path. More than 128 gain nothing, and whoever arrives meanwhile
    waits for the end of the step. Beside running sequences every prompt token delays every stream.
    """

    alone: int = 128
    beside: int = 32


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


def unbroken(remaining: int, budget: int) -> int:
    """How many tokens a prompt gets that is alone, so that its last step has enough of them for the wide kernel too.

    One evaluation of it all, which needs no steps, would take that kernel for every token.
    """
    rest = remaining - budget
    return remaining - WIDE if 0 < rest < WIDE <= remaining - WIDE else min(remaining, budget)
