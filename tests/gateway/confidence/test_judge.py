"""One score for an answer, with the parts that it is the product of, and the defects that no score excuses."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.confidence import Calibration, Confidence, Floors
from gateway.confidence.evidence import Band
from gateway.errors import Reason
from gateway.messages import (
    ChatRequest,
    Choice,
    Completion,
    FunctionCall,
    FunctionSpec,
    ResponseFormat,
    Sampling,
    TokenLogprob,
    Tool,
    ToolCall,
    Usage,
    UsageQuality,
)
from gateway.types import Answerer, Score
from tests.gateway.nouns import CHOICE, COMPLETION, REQUEST, USAGE, change
from tests.gateway.wire.answers import COMPLETIONS

FLOORS = {Band.HOT: Floors(-2.0, -0.5), Band.COLD: Floors(-4.0, -1.0)}
JUDGE = Confidence(
    {("small", None): Calibration(floors=FLOORS), ("warm", None): Calibration(FLOORS, default_temperature=0.7)},
    ("Lawyer",),
)
OTHER: Answerer = ("other", None)
JSON = change(REQUEST, response_format=ResponseFormat("json_object"))
TOOL = change(REQUEST, tools=(Tool(FunctionSpec("f")),), tool_choice="required")
SURE = (TokenLogprob("four", -0.5),) * 4
UNSURE = (TokenLogprob("four", -2.75),) * 4
LOOP = "and so on and so on and so on and so on and so on"


def judged(
    choice: Choice,
    request: ChatRequest = REQUEST,
    backend: str = "other",
    usage: Usage = USAGE,
    *,
    partial: bool = False,
) -> Score:
    """The score of an answer with this one choice; `other` is a backend without calibration."""
    return JUDGE.judge(request, change(COMPLETION, choices=(choice,), usage=usage), (backend, None), partial=partial)


def parts(score: Score) -> dict[str, float]:
    """The contributions by name."""
    return {each.name: each.value for each in score.contributions}


WORDS: list[tuple[Choice, dict[str, float]]] = [
    (CHOICE, {}),
    (change(CHOICE, text="I'm not sure, perhaps four."), {"hedging": 0.7}),
    (change(CHOICE, text="I'm sorry, but I can't help with that."), {"refusal": 0.2}),
    (change(CHOICE, text=None, refusal="No."), {"refusal": 0.2}),
    (change(CHOICE, text="I cannot help; I'm not sure why."), {"refusal": 0.2}),
    (change(CHOICE, text=LOOP), {"repetition": 0.2}),
    (change(CHOICE, text="Ask a LAWYER."), {"trigger_word": 0.1}),
    (
        change(CHOICE, text=f"I'm not sure, ask a lawyer {LOOP}"),
        {"hedging": 0.7, "repetition": 0.2, "trigger_word": 0.1},
    ),
    (change(CHOICE, text=""), {"empty": 0.0}),
    (change(CHOICE, text=" \n"), {"empty": 0.0}),
    (change(CHOICE, text=None), {"empty": 0.0}),
]


@pytest.mark.parametrize(("choice", "words"), WORDS, ids=lambda value: str(value)[:50])
def test_words_have_their_part(choice: Choice, words: dict[str, float]) -> None:
    """Each doubt is a named factor, and the score is their product."""
    score = judged(choice)
    assert parts(score) == {"tokens_unknown": 0.75, **words}
    assert score.value == pytest.approx(0.75 * math.prod(words.values()), abs=1e-4)


def test_an_answer_of_tool_calls_is_not_empty() -> None:
    """Text is not what was asked for."""
    call = change(CHOICE, text=None, tool_calls=(ToolCall("c", FunctionCall("f", "{}")),), finish_reason="tool_calls")
    assert parts(judged(call, TOOL)) == {"tokens_unknown": 0.75, "structure": 1.0}


@pytest.mark.parametrize(
    ("choice", "temperature", "backend", "tokens"),
    [
        (change(CHOICE, logprobs=SURE), None, "small", 0.75),
        (change(CHOICE, logprobs=SURE), 1.0, "small", 0.75),
        (change(CHOICE, logprobs=UNSURE), 1.0, "small", 0.25),
        (change(CHOICE, logprobs=UNSURE), 0.0, "small", 0.6042),
        (change(CHOICE, logprobs=SURE), 0.7, "small", None),
        (change(CHOICE, logprobs=SURE), None, "warm", None),
        (change(CHOICE, logprobs=SURE), 0.9, "warm", 0.75),
        (CHOICE, None, "small", None),
        (change(CHOICE, logprobs=SURE), None, "other", None),
    ],
)
def test_tokens_are_read_by_the_model_and_its_temperature(
    choice: Choice, temperature: float | None, backend: str, tokens: float | None
) -> None:
    """By the floors of the band that was sampled in; unknown without logprobs, without floors, or in another band."""
    score = judged(choice, change(REQUEST, sampling=Sampling(temperature=temperature)), backend)
    expected = {"tokens_unknown": 0.75} if tokens is None else {"tokens": tokens}
    assert parts(score) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("request_", [JSON, TOOL])
def test_under_a_grammar_tokens_are_unknown(request_: ChatRequest) -> None:
    """It forces tokens that the model may find unlikely: their probabilities say nothing."""
    assert "tokens_unknown" in parts(judged(change(CHOICE, text="{}", logprobs=SURE), request_, "small"))


PROBLEMS: list[tuple[ChatRequest, Choice, Reason | None, bool]] = [
    (REQUEST, CHOICE, None, True),
    (REQUEST, change(CHOICE, text="I cannot help with that."), Reason.REFUSAL, True),
    (REQUEST, change(CHOICE, finish_reason="length"), Reason.TRUNCATED, True),
    (REQUEST, change(CHOICE, finish_reason="content_filter"), Reason.CONTENT_FILTER, True),
    (JSON, change(CHOICE, text="{}"), None, True),
    (JSON, change(CHOICE, text="four"), Reason.INVALID_STRUCTURE, False),
    (JSON, change(CHOICE, text='{"a"', finish_reason="length"), Reason.INVALID_STRUCTURE, False),
    (JSON, change(CHOICE, text="I cannot help with that."), Reason.INVALID_STRUCTURE, False),
    (JSON, change(CHOICE, text="", finish_reason="content_filter"), Reason.CONTENT_FILTER, False),
    (TOOL, CHOICE, Reason.INVALID_STRUCTURE, False),
]


@pytest.mark.parametrize(("request_", "choice", "problem", "valid"), PROBLEMS, ids=lambda value: str(value)[:50])
def test_defects_are_told_whatever_the_score(
    *, request_: ChatRequest, choice: Choice, problem: Reason | None, valid: bool
) -> None:
    """Refusal, truncation, a filter, a broken structure; only the last makes an answer invalid."""
    score = judged(choice, request_)
    assert (score.problem, score.valid) == (problem, valid)
    assert parts(score).get("structure") == ({True: 1.0, False: 0.1}[valid] if request_ in (JSON, TOOL) else None)


def cut_off(limit: int | None, said: int, n: int = 1, quality: UsageQuality = UsageQuality.EXACT) -> Reason | None:
    """What is wrong with an answer that ended in `length` after so many tokens under the caller's limit."""
    request = change(REQUEST, sampling=Sampling(max_tokens=limit, n=n))
    return judged(change(CHOICE, finish_reason="length"), request, usage=Usage(9, said, quality=quality)).problem


@pytest.mark.parametrize(
    ("limit", "said", "problem"),
    [
        (None, 10, Reason.TRUNCATED),
        (10, 10, None),
        (10, 11, None),
        (10, 9, Reason.TRUNCATED),
        (4096, 256, Reason.TRUNCATED),
    ],
)
def test_only_a_limit_that_the_caller_did_not_set_is_a_defect(
    limit: int | None, said: int, problem: Reason | None
) -> None:
    """Who asks for ten tokens and gets ten has what they asked for; who gets fewer was cut off by the backend."""
    assert cut_off(limit, said) is problem


def test_truncation_is_not_guessed() -> None:
    """Where it is not known how many tokens a choice has, the caller's own limit is taken to be the cause."""
    assert cut_off(10, 5, n=2) is None
    assert cut_off(10, 5, quality=UsageQuality.UNKNOWN) is None
    assert cut_off(None, 5, n=2, quality=UsageQuality.UNKNOWN) is Reason.TRUNCATED


@pytest.mark.parametrize(("tokens", "problem"), [(3, Reason.TRUNCATED), (4, None)])
def test_logprobs_count_the_tokens_of_a_choice(tokens: int, problem: Reason | None) -> None:
    """Also of several choices, and whatever the usage says."""
    request = change(REQUEST, sampling=Sampling(max_tokens=4, n=2))
    choice = change(CHOICE, finish_reason="length", logprobs=SURE[:1] * tokens)
    assert judged(choice, request, usage=Usage()).problem is problem


def test_what_is_not_there_yet_is_no_defect() -> None:
    """Of the first pieces of a stream only what can be seen in them counts: no end, no structure, no emptiness."""
    assert parts(judged(change(CHOICE, text="", finish_reason=""), partial=True)) == {"tokens_unknown": 0.75}
    half = judged(change(CHOICE, text='{"a"', finish_reason=""), JSON, partial=True)
    assert (parts(half), half.problem, half.valid) == ({"tokens_unknown": 0.75}, None, True)
    opening = judged(change(CHOICE, text="I'm sorry, but I can't help", finish_reason=""), partial=True)
    assert opening.problem is Reason.REFUSAL
    assert judged(change(CHOICE, finish_reason="length"), partial=True).problem is None


def test_of_several_choices_the_worst_counts() -> None:
    """Its score and its parts; a defect in any of them is one of the answer; one invalid makes it invalid."""
    poor = change(CHOICE, index=1, text="I'm not sure.")
    cut = change(CHOICE, index=2, finish_reason="length")
    score = JUDGE.judge(REQUEST, change(COMPLETION, choices=(CHOICE, poor, cut)), OTHER)
    assert (parts(score), score.problem, score.valid) == (
        {"tokens_unknown": 0.75, "hedging": 0.7},
        Reason.TRUNCATED,
        True,
    )
    broken = change(CHOICE, index=1, text="{")
    mixed = JUDGE.judge(JSON, change(COMPLETION, choices=(change(CHOICE, text="{}"), broken)), OTHER)
    assert (mixed.problem, mixed.valid) == (Reason.INVALID_STRUCTURE, False)


def test_no_choices_is_no_score() -> None:
    """A stream that has said nothing yet is unknown, not bad."""
    assert JUDGE.judge(REQUEST, change(COMPLETION, choices=()), OTHER, partial=True) == Score(value=None)


@given(COMPLETIONS, st.sampled_from([REQUEST, JSON, TOOL]), st.sampled_from(["small", "other"]), st.booleans())
@settings(max_examples=150, deadline=None)
def test_every_answer_has_a_score_between_0_and_1(
    completion: Completion,
    request_: ChatRequest,
    backend: str,
    partial: bool,  # noqa: FBT001 - drawn
) -> None:
    """It is the product of its named parts, each of them in [0, 1], whatever a backend has answered."""
    score = JUDGE.judge(request_, completion, (backend, None), partial=partial)
    assert score.value is not None
    assert 0.0 <= score.value <= 1.0
    assert all(0.0 <= each.value <= 1.0 for each in score.contributions)
    assert score.value == pytest.approx(math.prod(each.value for each in score.contributions), abs=1e-4)
    assert score.valid or score.problem is not None
