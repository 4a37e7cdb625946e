"""Sampling follows the definitions of bias, penalties, temperature, min-p, top-k and top-p."""

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from local_models.llama.constrained import DeadEndError, choose
from local_models.llama.sampling import Distribution, Sampling, adjust, distribution, generator

LOGITS = (2.0, 1.0, 0.5, 0.0, -1.0, -40.0)


def logits() -> NDArray[np.float32]:
    """Six tokens, one of them hopeless."""
    return np.array(LOGITS, dtype=np.float32)


def shares(found: Distribution) -> dict[int, float]:
    """Probability by token."""
    ids = range(found.weights.size) if found.ids is None else found.ids.tolist()
    return dict(zip(ids, (found.weights / found.weights.sum()).tolist(), strict=True))


def softmax(temperature: float, ids: list[int]) -> dict[int, float]:
    """The definition, over some tokens."""
    weights = {token: float(np.exp(LOGITS[token] / temperature)) for token in ids}
    return {token: weight / sum(weights.values()) for token, weight in weights.items()}


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
def test_without_cuts_it_is_the_softmax_at_that_temperature(temperature: float) -> None:
    """Every token that has a chance keeps it."""
    found = shares(distribution(logits(), Sampling(temperature=temperature)))
    assert {token: share for token, share in found.items() if share > 1e-9} == pytest.approx(
        {token: share for token, share in softmax(temperature, list(range(6))).items() if share > 1e-9}, rel=1e-5
    )


def test_top_k_keeps_the_k_best() -> None:
    """Two tokens stay and share everything."""
    assert shares(distribution(logits(), Sampling(top_k=2))) == pytest.approx(softmax(1.0, [0, 1]), rel=1e-5)


def test_top_p_keeps_the_smallest_set_that_reaches_p() -> None:
    """Token 0 has 0.53 and token 1 has 0.20: 0.6 needs both, 0.5 only the first, 0 still keeps one."""
    assert set(shares(distribution(logits(), Sampling(top_p=0.6)))) == {0, 1}
    assert set(shares(distribution(logits(), Sampling(top_p=0.5)))) == {0}
    assert set(shares(distribution(logits(), Sampling(top_p=0.0)))) == {0}


def test_top_p_is_measured_after_top_k() -> None:
    """Of the two that top-k leaves, the first has 0.73."""
    assert set(shares(distribution(logits(), Sampling(top_k=2, top_p=0.7)))) == {0}


def test_min_p_is_relative_to_the_best() -> None:
    """e^-1 is 0.37 of the best, e^-1.5 is 0.22."""
    assert set(shares(distribution(logits(), Sampling(min_p=0.3)))) == {0, 1}
    assert set(shares(distribution(logits(), Sampling(min_p=0.2)))) == {0, 1, 2}


def test_penalties_and_bias_follow_the_formula() -> None:
    """Frequency counts every occurrence, presence once, bias is added; the row itself stays as it was."""
    row = logits()
    sampling = Sampling(presence_penalty=0.5, frequency_penalty=0.25, bias=((4, 3.0),))
    changed = adjust(row, sampling, Counter({0: 2, 1: 1}))
    assert changed.tolist() == pytest.approx([2.0 - 1.0, 1.0 - 0.75, 0.5, 0.0, 2.0, -40.0])
    assert row.tolist() == list(LOGITS)


def test_without_bias_and_penalties_nothing_is_copied() -> None:
    """The common case costs nothing."""
    row = logits()
    assert adjust(row, Sampling(presence_penalty=1.0), Counter()) is row


def test_a_seed_repeats_and_choices_differ() -> None:
    """The same seed gives the same draws, for each choice its own."""
    first, again, other = generator(7, 0).random(4), generator(7, 0).random(4), generator(7, 1).random(4)
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()
    assert generator(-7, 0).random() != generator(7, 0).random()
    assert generator(None, 0).random() != generator(None, 0).random()


def test_a_draw_finds_the_token_at_its_place_in_the_whole() -> None:
    """Over more tokens than one block holds, every place of the running sum leads to its token, both ends included."""
    weights = np.random.default_rng(1).exponential(1.0, 1_000).astype(np.float32)
    weights[[0, 255, 256, 511, 999]] = 0.0
    found = Distribution(None, weights)
    running = np.cumsum(weights, dtype=np.float64) / weights.sum(dtype=np.float64)
    for token in np.flatnonzero(weights).tolist():
        middle = (running[token] + (running[token - 1] if token else 0.0)) / 2
        assert found.pick(middle) == token
    assert found.pick(0.0) == 1
    assert found.pick(np.nextafter(1.0, 0.0)) == 998


def test_a_wide_nucleus_is_found_as_well_as_a_narrow_one() -> None:
    """Nuclei of one, hundreds and nearly all tokens have exactly the size that the definition gives."""
    row = np.random.default_rng(2).normal(0, 2, 5_000).astype(np.float32)
    weights = np.sort(np.exp(row.astype(np.float64)))[::-1]
    for top_p in (0.001, 0.3, 0.7, 0.99, 0.999999):
        size = int((np.cumsum(weights) / weights.sum()).searchsorted(top_p)) + 1
        ids = distribution(row, Sampling(top_p=top_p)).ids
        assert ids is not None
        assert set(ids.tolist()) == set(np.argsort(-row, kind="stable")[:size].tolist())


class Allowed:
    """A constraint that allows certain tokens, and counts what it is asked."""

    def __init__(self, *tokens: int) -> None:
        self.tokens = set(tokens)
        self.tested: list[int] = []
        self.passes: list[int] = []

    def allows(self, token: int) -> bool:
        """Is it one of them?"""
        self.tested.append(token)
        return token in self.tokens

    def allowed(self, tokens: NDArray[np.intp]) -> NDArray[np.intp]:
        """Those that are."""
        self.passes.append(tokens.size)
        return tokens[np.isin(tokens, list(self.tokens))]


def test_greedy_takes_the_best_allowed_token() -> None:
    """The best token costs one test; another one is found among the best before the whole vocabulary is asked."""
    easy, hard = Allowed(0), Allowed(3, 4)
    assert choose(logits(), Sampling(temperature=0.0), generator(1, 0), easy) == 0
    assert easy.passes == []
    assert choose(logits(), Sampling(temperature=0.0), generator(1, 0), hard) == 3


def test_greedy_searches_the_whole_vocabulary_when_the_best_do_not_do() -> None:
    """A token far down is found all the same."""
    row = np.arange(1_000, 0, -1).astype(np.float32)
    far = Allowed(900, 901)
    assert choose(row, Sampling(temperature=0.0), generator(1, 0), far) == 900
    assert far.passes == [64, 1_000]


def test_nothing_allowed_is_a_dead_end() -> None:
    """No token is made up when none is allowed."""
    for sampling in (Sampling(temperature=0.0), Sampling(), Sampling(top_p=0.5)):
        with pytest.raises(DeadEndError):
            choose(logits(), sampling, generator(1, 0), Allowed())


@pytest.mark.parametrize(
    ("sampling", "allowed", "expected"),
    [
        (Sampling(), (1, 2, 3), [1, 2, 3]),
        (Sampling(temperature=0.5), (2, 4), [2, 4]),
        (Sampling(top_k=2), (1, 2, 3), [1, 2]),
        (Sampling(top_p=0.8), (1, 2, 3), [1, 2]),
    ],
)
def test_draws_under_a_constraint_have_the_distribution_of_the_allowed(
    sampling: Sampling, allowed: tuple[int, ...], expected: list[int]
) -> None:
    """20,000 draws lie within four standard errors of the softmax over the allowed tokens, cuts made after them."""
    random = generator(11, 0)
    count = 20_000
    drawn = Counter(choose(logits(), sampling, random, Allowed(*allowed)) for _ in range(count))
    wanted = softmax(sampling.temperature, expected)
    assert set(drawn) == set(wanted)
    for token, share in wanted.items():
        assert drawn[token] / count == pytest.approx(share, abs=4 * (share * (1 - share) / count) ** 0.5)


def test_a_likely_allowed_token_costs_no_full_pass() -> None:
    """Rejection sampling asks about single tokens only, and never twice about the same."""
    constraint = Allowed(0, 1)
    choose(logits(), Sampling(), generator(3, 0), constraint)
    assert constraint.passes == []
    assert len(constraint.tested) == len(set(constraint.tested))
