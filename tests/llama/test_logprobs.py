"""Log-probabilities equal the plain log-softmax of the whole row."""

import numpy as np
import pytest
from numpy.typing import NDArray

from local_models.llama.logprobs import log_normaliser, survey, top_tokens


def row(seed: int, size: int = 5_000, spread: float = 4.0) -> NDArray[np.float32]:
    """A row of logits."""
    return np.random.default_rng(seed).normal(0, spread, size).astype(np.float32)


def exact(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """The log-softmax in double precision."""
    values = logits.astype(np.float64)
    peak = values.max()
    result: NDArray[np.float64] = values - peak - np.log(np.exp(values - peak).sum())
    return result


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("top", [0, 1, 5, 20])
def test_values_and_order_are_those_of_the_whole_row(seed: int, top: int) -> None:
    """The chosen token and the top tokens carry their log-softmax, best first."""
    logits = row(seed)
    reference = exact(logits)
    described = survey(logits, top).describe(logits, 17, top)
    assert described.logprob == pytest.approx(reference[17], abs=1e-4)
    order = np.argsort(-reference, kind="stable")[:top].tolist()
    assert [token for token, _ in described.top] == order
    assert [value for _, value in described.top] == pytest.approx(reference[order].tolist(), abs=1e-4)


@pytest.mark.parametrize("size", [1, 7, 200, 5_000, 5_003])
@pytest.mark.parametrize("count", [1, 3, 20, 128, 1_024])
@pytest.mark.parametrize("values", [3, 1_000_000])
def test_the_best_are_those_of_the_whole_row(size: int, count: int, values: int) -> None:
    """However many of them there are, wherever they stand, and however many tie with the last of them."""
    logits = np.random.default_rng(size).integers(0, values, size).astype(np.float32)
    assert top_tokens(logits, count).tolist() == np.argsort(-logits, kind="stable")[:count].tolist()


def test_the_best_may_all_be_neighbours() -> None:
    """The very last tokens of the row too, which its lines may not reach."""
    logits = row(1, 5_003)
    logits[-20:] = logits.max() + np.arange(1, 21)
    assert top_tokens(logits, 20).tolist() == list(range(5_002, 4_982, -1))


def test_one_token_far_above_all_others_does_not_shorten_the_list() -> None:
    """Others are named however unlikely they are, even impossible ones."""
    logits = np.full(200, -np.inf, dtype=np.float32)
    logits[3] = 0
    assert top_tokens(logits, 20).tolist() == [3, 0, 1, 2, *range(4, 20)]


def test_ties_go_to_the_lower_id() -> None:
    """Equal logits come in the order of their ids, so that two runs agree."""
    assert top_tokens(np.zeros(1_000, dtype=np.float32), 3).tolist() == [0, 1, 2]


def test_a_small_vocabulary_gives_what_there_is() -> None:
    """Asking for more tokens than exist gives all of them."""
    assert top_tokens(np.array([1.0, 2.0], dtype=np.float32), 20).tolist() == [1, 0]


def test_huge_logits_do_not_overflow() -> None:
    """The normaliser is computed around the maximum."""
    assert log_normaliser(np.array([3e4, 3e4], dtype=np.float32), 3e4) == pytest.approx(3e4 + np.log(2), rel=1e-6)


@pytest.mark.parametrize("shift", [-300.0, -41.0, -39.0, 39.0, 41.0, 87.0, 300.0])
def test_where_the_row_lies_does_not_matter(shift: float) -> None:
    """Far from 0 as near to it, shifted logits have the same probabilities."""
    row = np.linspace(-20.0, 0.0, 50_000, dtype=np.float32)
    assert log_normaliser(row + np.float32(shift), shift) == pytest.approx(log_normaliser(row, 0.0) + shift, abs=1e-4)


@pytest.mark.parametrize("size", [1, 63, 64, 5_003, 49_152])
def test_the_normaliser_is_as_good_as_a_float32_is(size: int) -> None:
    """However the sum is made, and whatever is left of the row beside its lines."""
    logits = row(2, size)
    expected = np.log(np.exp(logits.astype(np.float64)).sum())
    assert log_normaliser(logits, float(logits.max())) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("top", [None, 0, 1, 5])
def test_the_first_of_a_survey_is_the_greedy_choice(top: int | None) -> None:
    """The lower id where two are equal, as argmax has it."""
    logits = row(3)
    logits[[4_000, 70]] = 50.0
    assert survey(logits, top).best[0] == int(logits.argmax()) == 70


@pytest.mark.parametrize("top", [None, 0, 5])
@pytest.mark.parametrize("size", [3, 5_003])
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("peak", [0.0, 90.0])
def test_a_row_that_is_no_number_anywhere_is_not_sound(top: int | None, size: int, wrong: float, peak: float) -> None:
    """Wherever it stands, beside whatever else, and however little of the row is wanted."""
    for place in (0, size // 2, size - 1):
        logits = row(4, size)
        logits[1] = peak
        assert survey(logits, top).sound
        logits[place] = wrong
        assert not survey(logits, top).sound


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("top", [None, 0, 5])
@pytest.mark.parametrize("size", [3, 5_003])
def test_a_row_of_nothing_else_is_not_sound(top: int | None, value: float, size: int) -> None:
    """Nothing can be chosen from it."""
    assert not survey(np.full(size, value, dtype=np.float32), top).sound
