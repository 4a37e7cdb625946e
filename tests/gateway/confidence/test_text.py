"""What an answer's words give away, and what they do not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.confidence.text import hedges, is_refusal, repeats, triggered
from tests.gateway.confidence.wordings import HEDGES, LOOPS, NO_HEDGES, NO_LOOPS, NO_REFUSALS, REFUSALS


def shown(text: str) -> str:
    """A name for a test."""
    return repr(text[:40])


@pytest.mark.parametrize("text", REFUSALS, ids=shown)
def test_a_model_that_declines_is_noticed(text: str) -> None:
    """In the words that models use for it, with either apostrophe."""
    assert is_refusal(text)


@pytest.mark.parametrize("text", NO_REFUSALS, ids=shown)
def test_an_answer_that_speaks_of_declining_is_no_refusal(text: str) -> None:
    """Being sorry, drafting a letter, quoting somebody, or an idiom."""
    assert not is_refusal(text)


@pytest.mark.parametrize("text", HEDGES, ids=shown)
def test_a_model_that_doubts_is_noticed(text: str) -> None:
    """Wherever it stands in the answer."""
    assert hedges(text) == 1
    assert hedges(f"The report was written in 1911. {text}") == 1


@pytest.mark.parametrize("text", NO_HEDGES, ids=shown)
def test_an_answer_that_speaks_of_doubt_is_no_hedge(text: str) -> None:
    """Somebody else's doubt, and words that only look like it."""
    assert hedges(text) == 0


@pytest.mark.parametrize("text", LOOPS, ids=shown)
def test_an_answer_that_goes_round_in_circles_is_noticed(text: str) -> None:
    """One word, a phrase, a line; at its end or all along."""
    assert repeats(text)
    assert repeats(text.rstrip())


@pytest.mark.parametrize("text", NO_LOOPS, ids=shown)
def test_lists_tables_code_and_verse_are_no_loops(text: str) -> None:
    """What has a form says things once all the same."""
    assert not repeats(text)


def test_there_are_enough_examples_of_each() -> None:
    """Twenty of each at least: fewer say nothing of a pattern."""
    assert min(map(len, (REFUSALS, NO_REFUSALS, HEDGES, NO_HEDGES, LOOPS, NO_LOOPS))) >= 20


def test_only_the_opening_can_be_a_refusal() -> None:
    """Far into an answer the words are about the matter."""
    assert not is_refusal("x" * 300 + " As an AI language model I cannot help.")


@pytest.mark.parametrize(
    ("text", "words", "found"),
    [
        ("Please consult a lawyer.", ("lawyer",), "lawyer"),
        ("PLEASE CONSULT A LAWYER", ("lawyer",), "lawyer"),
        ("Ask your doctor or a lawyer.", ("lawyer", "doctor"), "lawyer"),
        ("All is well.", ("lawyer",), None),
        ("All is well.", (), None),
        ("", ("lawyer",), None),
        ("in my opinion it is", ("my opinion",), "my opinion"),
    ],
)
def test_words_the_operator_watches_for(text: str, words: tuple[str, ...], found: str | None) -> None:
    """The first of the list that stands in the answer, whatever its case."""
    assert triggered(text, words) == found


@given(st.text(max_size=80), st.integers(1, 60))
@settings(max_examples=150, deadline=None)
def test_any_text_can_be_looked_at(text: str, times: int) -> None:
    """Whatever a model writes, often or once; nothing raises."""
    whole = text * times
    assert isinstance(is_refusal(whole), bool)
    assert hedges(whole) >= 0
    assert isinstance(repeats(whole), bool)


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=12), st.integers(4, 8))
@settings(max_examples=150, deadline=None)
def test_four_rounds_at_the_end_are_a_loop(words: list[str], rounds: int) -> None:
    """Whatever the words and whatever stood before them, if the run is eight words long."""
    run = " ".join(words)
    text = "Something else came first: " + " ".join([run] * rounds)
    assert repeats(text) or len(words) * rounds < 8
