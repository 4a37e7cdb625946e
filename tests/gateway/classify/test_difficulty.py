"""The logistic model: what it is the sum of, and how it judges plain examples."""

import itertools
import json
import math
from importlib import resources

import pytest

from gateway.classify import Difficulty
from gateway.classify.difficulty import Weights
from gateway.classify.measures import Reading
from gateway.messages import Message
from gateway.types import Signal
from tests.gateway.classify.readings import SHIPPED, WORDS, measured, reading

MODEL = Difficulty(
    Weights(-1.0, {"reasoning": 0.5, "any_reasoning": -2.0, "questions": 0.0}, {"sky": 3.0, "blue": 1.0})
)


def judged(text: str, model: Difficulty = MODEL) -> tuple[float, tuple[Signal, ...]]:
    """What a model makes of one question."""
    return model.judge(reading(text))


def test_log_odds_are_the_intercept_and_the_signals() -> None:
    """Each measure by its weight, and the known words together."""
    log_odds, signals = judged("Why is the blue sky blue, why?")
    assert signals == (
        Signal("wording", 2.0, 4.0 / math.sqrt(2)),
        Signal("any_reasoning", 1.0, -2.0),
        Signal("reasoning", 2, 1.0),
    )
    assert log_odds == pytest.approx(-1.0 + 4.0 / math.sqrt(2) - 2.0 + 1.0)


def test_what_has_no_weight_is_no_signal() -> None:
    """Neither a measure of weight 0, nor one that the model does not know, nor words that it does not know."""
    assert judged("Our cat?") == (-1.0, ())
    assert judged("") == (-1.0, ())


def test_wording_does_not_grow_with_the_number_of_words() -> None:
    """Each known word counts once, and their sum is divided by the root of how many there are."""
    assert judged("sky sky sky")[1] == (Signal("wording", 1.0, 3.0),)
    assert judged("sky blue")[1] == (Signal("wording", 2.0, 4.0 / math.sqrt(2)),)


def test_the_weightiest_signal_stands_first() -> None:
    """Whichever way it weighs."""
    for text in ("Why is the sky blue?", "Prove that 2 = 1, then compare both proofs in 800 words."):
        signals = judged(text, SHIPPED)[1]
        weights = [abs(signal.weight) for signal in signals]
        assert len(weights) > 3
        assert weights == sorted(weights, reverse=True)


def test_the_shipped_weights_are_those_of_the_file() -> None:
    """Read from the package, as they were fitted."""
    raw = json.loads(resources.files("gateway.classify").joinpath("difficulty.json").read_bytes())
    weights = SHIPPED.weights
    assert (weights.intercept, weights.measures, weights.words) == (raw["intercept"], raw["measures"], raw["words"])
    assert all(math.isfinite(weight) for weight in (*weights.measures.values(), *weights.words.values()))


def test_every_known_word_can_be_met() -> None:
    """It is written as texts are read, else it could never count."""
    for word in SHIPPED.weights.words:
        assert word in reading(word if word != "#" else "7").tokens, word


EASY = (
    "hi",
    "What is the capital of France?",
    "What is 17 * 23?",
    "Fix the typos: teh cat sat",
    "Translate good morning into Spanish",
    "Give me a synonym for quick",
)
HARD = (
    "Prove that the square root of 2 is irrational, then explain why the same proof fails for the root of 4.",
    "Our two contracts contradict each other on liability. Reconcile them clause by clause, and say why one prevails.",
    "Design a distributed rate limiter that never admits more than its limit, and compare three trade-offs in detail.",
    "A patient on warfarin needs an antibiotic. Weigh the options, justify your assumptions, and recommend a dose.",
)


@pytest.mark.parametrize(("easy", "hard"), list(itertools.product(EASY, HARD)))
def test_plain_examples_are_told_apart(easy: str, hard: str) -> None:
    """Anybody would say which of the two needs the stronger model."""
    assert judged(easy, SHIPPED)[0] < 0 < judged(hard, SHIPPED)[0]


def test_signals_say_what_was_measured() -> None:
    """Each by the name and the value of its measure."""
    text = HARD[1]
    measures = measured(text)
    signals = {signal.name: signal for signal in judged(text, SHIPPED)[1]}
    assert {"reconciling", "legal", "reasoning"} <= set(signals)
    for name, signal in signals.items():
        if name != "wording":
            assert signal.value == measures[name]
            assert signal.weight == measures[name] * SHIPPED.weights.measures[name]


def test_turns_before_the_last_are_not_judged_by_their_words() -> None:
    """What was hard a while ago may be easy now."""
    before = Message("user", HARD[0])
    log_odds, signals = SHIPPED.judge(
        Reading((before, Message("assistant", "Done."), Message("user", "thanks")), WORDS)
    )
    alone, own = judged("thanks", SHIPPED)
    assert {signal.name for signal in signals} - {signal.name for signal in own} == {"multi_turn"}
    assert log_odds == pytest.approx(alone + SHIPPED.weights.measures["multi_turn"])
