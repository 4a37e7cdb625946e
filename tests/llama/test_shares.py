"""How much of a prompt a step takes while nobody runs, and when a crowd may have a whole step: by the table."""

import pytest

from local_models.llama.shares import Shares, crowd, unbroken


@pytest.mark.parametrize(
    ("remaining", "budget", "given"),
    [(40, 128, 40), (128, 128, 128), (129, 128, 65), (191, 128, 127), (192, 128, 128), (300, 128, 128), (70, 63, 63)],
)
def test_a_prompt_alone_does_not_end_with_a_small_step(remaining: int, budget: int, given: int) -> None:
    """What is left after a step is nothing, or 64 tokens and more, where that many are taken at once."""
    assert unbroken(remaining, budget) == given


@pytest.mark.parametrize(
    ("remaining", "running", "given"),
    [
        ([15] * 7, 1, [15] * 7),  # seven come to one stream
        ([50] * 3, 4, [50, 50, 28]),  # two of them get their first token, and four wait for it
        ([50] * 3, 5, None),
        ([4000], 1, None),
        ([4000, 20, 20], 4, [88, 20, 20]),
        ([4000, 20, 20], 5, None),
        ([], 3, None),
    ],
)
def test_a_crowd_of_short_prompts_may_hold_up_few_streams(
    remaining: list[int], running: int, given: list[int] | None
) -> None:
    """A whole step of 128 if half as many get their first token as are held up."""
    assert crowd(remaining, running, Shares(alone=128)) == given
    assert crowd(remaining, running, Shares(alone=128, crowd=0)) is None
