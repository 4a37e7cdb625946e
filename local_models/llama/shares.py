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
    aside: int = 512
    """A prompt with so many tokens left is evaluated aside while there are running sequences; see `aside`."""
    patient: int = 2048
    """With so many left it waits for that while another is there; with fewer it goes on beside the streams."""


def share(remaining: list[int], budget: int) -> list[int]:
    """How many of the `budget` prompt tokens each prompt gets; `remaining` has the longest waiting prompt first.

    Half goes to the first, which therefore always gets on; the rest goes to the shortest, so that a short prompt does
    not wait behind a long one. Nobody gets so many that he has a small rest, if he is better off with none or with all.
    """
    given = [0] * len(remaining)
    if not remaining:
        return given
    half = (budget + 1) // 2
    fit = _unbroken if half >= WIDE else min
    given[0] = fit(remaining[0], half) or fit(remaining[0], budget) or min(remaining[0], half)
    left = budget - given[0]
    for place in sorted(range(len(remaining)), key=lambda place: remaining[place] - given[place]):
        more = max(fit(remaining[place], given[place] + left) - given[place], 0)
        given[place] += more
        left -= more
    return given


def brief(remaining: list[int]) -> list[int]:
    """The least of prompts that is worth a step for which more urgent ones wait: of the first as much as the kernel for
    many takes, without leaving it too small a rest, and short ones beside it if they fit.
    """
    given = [0] * len(remaining)
    if not remaining:
        return given
    given[0] = remaining[0] if remaining[0] < 2 * WIDE else WIDE
    left = WIDE - given[0]
    for place in sorted(range(1, len(remaining)), key=remaining.__getitem__):
        if remaining[place] <= left:
            given[place] = remaining[place]
            left -= given[place]
    return given


def crowd(given: list[int], remaining: list[int], running: int, shares: Shares) -> list[int] | None:
    """A whole step, of which so much is given, for short prompts that come to few running sequences, if it gives as
    many their first token.

    It cannot go on so, for those who got theirs are running sequences themselves then.
    """
    ended = sum(count == left for count, left in zip(given, remaining, strict=True))
    return given if ended * shares.crowd >= running else None


def unbroken(remaining: int, budget: int) -> int:
    """How many tokens a prompt gets that is alone, so that its last step has enough of them for the wide kernel too.

    One evaluation of it all, which needs no steps, would take that kernel for every token.
    """
    return _unbroken(remaining, budget) or min(remaining, budget)


def _unbroken(remaining: int, budget: int) -> int:
    """As many as fit into the budget, if neither they nor the rest are too few for the wide kernel; else none."""
    if remaining <= budget or remaining < WIDE:
        return min(remaining, budget)
    most = min(budget, remaining - WIDE)
    return most if most >= WIDE else 0
