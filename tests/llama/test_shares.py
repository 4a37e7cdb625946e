"""How much of a prompt a step takes while nobody runs, and when a crowd may have a whole step: by the table."""

import pytest

from local_models.llama.shares import Shares, brief, crowd, share, unbroken


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
    whole = share(remaining, 128)
    assert crowd(whole, remaining, running, Shares()) == given
    assert crowd(whole, remaining, running, Shares(crowd=0)) is None


@pytest.mark.parametrize(
    ("remaining", "given"),
    [
        ([300], [64]),
        ([127], [127]),
        ([40], [40]),
        ([30, 20, 20], [30, 20, 0]),
        ([20, 50, 30], [20, 0, 30]),
        ([300, 10], [64, 0]),
    ],
)
def test_for_whom_others_wait_there_is_one_piece(remaining: list[int], given: list[int]) -> None:
    """Of the first, which gets on in any case, and of none so much that the rest is too small."""
    assert brief(remaining) == given
