"""From a request to a `Classification`: score, complexity, expected output, and signals that add up."""

import math

import pytest

from gateway.classify import DEFAULT_TASKS, Classifier, Difficulty, TaskRule
from gateway.classify.difficulty import Weights
from gateway.messages import Hints, Message
from gateway.types import Classification, Complexity, Signal, TokenCount
from tests.gateway.classify.readings import SHIPPED, asked, classified
from tests.gateway.nouns import REQUEST, change

EASY = "What is the capital of France?"
HARD = "Prove that the square root of 2 is irrational, then explain why the same proof fails for the root of 4."
LOG_ODDS_OF_HIGH = math.log(0.85 / 0.15)


def weighed(log_odds: float, hints: Hints | None = None, text: str = EASY) -> Classification:
    """What a model makes of a request that finds every one equally hard."""
    classifier = Classifier(Difficulty(Weights(log_odds, {}, {})), DEFAULT_TASKS)
    return classifier.classify(asked(text, hints), TokenCount(10, 2))


def signal_of(found: Classification, name: str) -> Signal | None:
    """The signal of this name, if there is one."""
    return next((signal for signal in found.signals if signal.name == name), None)


@pytest.mark.parametrize("text", ["", EASY, HARD, "Reconcile the two leases in 800 words, please: 5 % or 7 %?"])
@pytest.mark.parametrize("reasoning", [None, True, False])
def test_the_score_is_the_sum_of_its_signals(*, text: str, reasoning: bool | None) -> None:
    """Nothing counts that is not shown: score = 1/(1 + e^-(intercept + the signals' weights))."""
    found = classified(asked(text, Hints(requires_reasoning=reasoning)))
    log_odds = SHIPPED.weights.intercept + sum(signal.weight for signal in found.signals)
    assert found.score == pytest.approx(1 / (1 + math.exp(-log_odds)), rel=1e-9)
    assert found.p_light == 1 - found.score


@pytest.mark.parametrize(
    ("log_odds", "complexity"),
    [
        (-9.0, Complexity.LOW),
        (-1e-6, Complexity.LOW),
        (0.0, Complexity.MEDIUM),
        (LOG_ODDS_OF_HIGH - 1e-6, Complexity.MEDIUM),
        (LOG_ODDS_OF_HIGH + 1e-6, Complexity.HIGH),
        (9.0, Complexity.HIGH),
    ],
)
def test_complexity_is_read_off_the_score(log_odds: float, complexity: Complexity) -> None:
    """Medium from one half, high from .85."""
    assert weighed(log_odds).complexity is complexity


@pytest.mark.parametrize("log_odds", [-1e300, -1000.0, 1000.0, 1e300])
def test_no_score_overflows(log_odds: float) -> None:
    """However sure the model is, it is a probability."""
    found = weighed(log_odds)
    assert 0 <= found.score <= 1
    assert found.score == pytest.approx(float(log_odds > 0), abs=1e-9)


def test_a_request_that_requires_reasoning_is_high() -> None:
    """Because the caller says so, whatever the model thinks of its words."""
    found = weighed(-9.0, Hints(requires_reasoning=True))
    assert found.complexity is Complexity.HIGH
    assert found.score > weighed(-9.0).score
    assert found.signals[0] == Signal("requires_reasoning", 1.0, 4.0)


def test_a_request_that_requires_none_is_thought_easier() -> None:
    """By one step, usually; it does not make everything easy."""
    found = weighed(1.0, Hints(requires_reasoning=False))
    assert (weighed(1.0).complexity, found.complexity) == (Complexity.MEDIUM, Complexity.LOW)
    assert found.signals == (Signal("requires_reasoning", 0.0, -2.0),)
    assert weighed(9.0, Hints(requires_reasoning=False)).complexity is Complexity.HIGH


def test_the_callers_word_stands_first_and_the_rest_by_weight() -> None:
    """The order in which they are shown."""
    for said in (True, False, None):
        found = classified(asked(HARD, Hints(requires_reasoning=said)))
        names = [signal.name for signal in found.signals]
        weights = [abs(signal.weight) for signal in found.signals if signal.name != "requires_reasoning"]
        assert ("requires_reasoning" in names) == (said is not None)
        assert said is None or names[0] == "requires_reasoning"
        assert weights == sorted(weights, reverse=True)
        assert len(names) == len(set(names))


NAMED: list[tuple[str, str, str]] = [
    ("the size of the prompt", "length", EASY),
    ("what is asked, in words", "instruction_words", EASY),
    ("reasoning connectors", "conditions", "It is cheap, therefore buy it, because we can, unless it rains."),
    ("questions of reasoning", "reasoning", "Why is the sky blue?"),
    ("several steps, in words", "steps", "First sort them, then add them up, and finally round the sum."),
    ("several steps, as a list", "list_items", "Do this:\n1. sort\n2. add\n3. round"),
    ("a length that is asked for", "long_output", "Tell me of it in 800 words"),
    ("a length in pages", "long_output", "Tell me of it on 3 pages"),
    ("a short answer asked for", "brevity", "Tell me of it in one word"),
    ("code", "code", "What does it do?\n```\nfor (;;) {\n  f();\n}\n```"),
    ("maths", "maths", "Find x with x^2 = 2"),
    ("numbers", "numbers_asked", "Add 3 and 4 and 5"),
    ("the law", "legal", "May the landlord terminate the lease?"),
    ("medicine", "medical", "Which dose should the patient get?"),
    ("finance", "finance", "What is the NPV at this discount rate?"),
    ("statistics", "statistics", "Is the correlation significant?"),
    ("proofs", "proof", "Prove it by induction"),
    ("design", "design", "Design the schema"),
    ("debugging", "debugging", "Find the memory leak"),
    ("judgement", "judgement", "Should we sell?"),
    ("what must be reconciled", "reconciling", "These two contradict each other"),
    ("constraints", "constraints", "No two may meet, and each must leave"),
    ("simple work", "simple_asks", "Fix the typos"),
    ("turns before", "multi_turn", EASY),
    ("house rules", "system", EASY),
    ("words that were learnt", "wording", EASY),
]


@pytest.mark.parametrize(("what", "name", "text"), NAMED)
def test_what_counts_is_a_named_signal(what: str, name: str, text: str) -> None:
    """Who asks why a request went where it went is told by name, and what it weighed."""
    before = {
        "multi_turn": (Message("user", "x"), Message("assistant", "y")),
        "system": (Message("system", "You are a clerk."),),
    }
    request = asked(text)
    found = signal_of(classified(change(request, messages=(*before.get(name, ()), *request.messages))), name)
    assert found is not None, what
    assert found.value > 0
    assert found.weight != 0


LENGTHS: list[tuple[str, int]] = [
    ("An essay of 800 words", 1_080),
    ("An 800-word essay", 1_080),
    ("An essay, 1 word", 1),
    ("A 1,500 word essay", 2_025),
    ("A 10,000-word thesis", 13_500),
    ("100000 WORDS of it", 135_000),
    ("A report of 3 pages", 1_950),
    ("A 2 - page report", 1_300),
    ("10 lines on rain", 140),
    ("Rain in 5 sentences", 125),
    # The first that is asked for.
    ("800 words on 2 pages", 1_080),
]


@pytest.mark.parametrize(("text", "tokens"), LENGTHS)
def test_a_length_that_is_asked_for_is_expected(text: str, tokens: int) -> None:
    """In tokens, from words, pages, lines or sentences."""
    assert classified(asked(text), {}).expected_output == tokens


@pytest.mark.parametrize(
    "text", ["0 words", "800 wordsmiths", "words: 800", "2.5 pages of it", "the web has 1234567 pages", "page 3"]
)
def test_what_is_no_asked_length(text: str) -> None:
    """Then the usual one is expected."""
    assert classified(asked(text), {}).expected_output in (80, 300, 700)


def test_what_an_answer_is_expected_to_be() -> None:
    """As long as was asked for, else as the task's answers are, else as answers of this complexity are."""
    assert weighed(0.0, text="Translate this in 800 words").expected_output == 1_080
    assert weighed(9.0, text="Translate this").expected_output == 150
    assert [weighed(odds, text="Tell Anna").expected_output for odds in (-9.0, 0.0, 9.0)] == [80, 300, 700]
    assert weighed(-9.0, Hints(requires_reasoning=True), "Tell Anna").expected_output == 900


def test_a_length_in_the_material_is_not_asked_for() -> None:
    """What is pasted says nothing of the answer."""
    text = "Fix the typos:\n\nHe wrote 900 pages. It was too much for all of them.\n\nThanks"
    assert classified(asked(text)).expected_output == 150


def test_the_prompts_size_is_handed_through() -> None:
    """As it was counted."""
    assert weighed(0.0).prompt == TokenCount(10, 2)


def test_a_conversation_is_judged_by_what_was_said_last() -> None:
    """With what is to be known of the turns before, and of the house rules."""
    turns = (Message("user", HARD), Message("assistant", "So it is."), Message("user", "thanks"))
    rules = Message("system", "You are a clerk. Answer briefly.")
    alone, after, ruled = (
        classified(change(REQUEST, messages=messages)) for messages in (turns[-1:], turns, (rules, *turns))
    )
    assert alone.complexity is after.complexity is ruled.complexity is Complexity.LOW
    assert after.score > alone.score
    assert ruled.score < after.score
    assert after.task == "chat"


def test_the_table_is_copied() -> None:
    """Who changes it afterwards changes nothing."""
    tasks = {"faq": TaskRule(expected_output=7)}
    classifier = Classifier(SHIPPED, tasks)
    tasks["faq"] = TaskRule(expected_output=8)
    assert classifier.classify(asked(EASY), TokenCount(1)).expected_output == 7
