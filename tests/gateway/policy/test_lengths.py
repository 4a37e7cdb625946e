"""How long prompts and answers may be: whose limit holds, what becomes of an excess, and what the caller is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.blocks import Conversation, Thinking, ToolResultBlock, ToolUseBlock, Turn
from gateway.errors import Code, RequestError
from gateway.messages import ChatRequest, Message, Sampling
from gateway.policy import Lengths, Policy, Regions
from gateway.policy.output import output_limit
from gateway.tokens import estimate_prompt
from gateway.types import Allowance, Identity
from gateway.wire.anthropic_messages import openai_messages
from tests.gateway.nouns import IDENTITY, REQUEST, SLA, change

NOTHING = Allowance()

ANSWERS: list[tuple[int | None, Allowance, Allowance, Allowance, int | None]] = [
    (None, NOTHING, NOTHING, NOTHING, None),
    (900, NOTHING, NOTHING, NOTHING, 900),
    (None, NOTHING, NOTHING, Allowance(default_output=100), 100),
    (None, NOTHING, Allowance(default_output=50), Allowance(default_output=100), 50),
    (None, Allowance(default_output=200), Allowance(default_output=50), Allowance(default_output=100), 200),
    (900, Allowance(default_output=200), NOTHING, NOTHING, 900),
    (None, NOTHING, NOTHING, Allowance(max_output=100), 100),
    (None, NOTHING, NOTHING, Allowance(default_output=80, max_output=100), 80),
    (None, Allowance(default_output=200), NOTHING, Allowance(max_output=100), 100),
    (900, NOTHING, NOTHING, Allowance(max_output=100), 100),
    (100, NOTHING, NOTHING, Allowance(max_output=100), 100),
    (7, NOTHING, NOTHING, Allowance(default_output=80, max_output=100), 7),
    (900, Allowance(max_output=300), Allowance(max_output=200), Allowance(max_output=400), 200),
    (900, Allowance(max_output=100), Allowance(max_output=200), Allowance(max_output=400), 100),
    (150, Allowance(max_output=300), Allowance(max_output=200), Allowance(max_output=400), 150),
]
"""What the caller asks, what task, class and everybody may, and what holds."""


def policy(
    everybody: Allowance = NOTHING, tasks: dict[str, Allowance] | None = None, *, refuse: bool = False
) -> Policy:
    """The rules for everybody, with these lengths."""
    lengths = Lengths(everybody=everybody, tasks=tasks or {}, on_excess="refuse" if refuse else "lower")
    return Policy(Regions({}), local_only=False, lengths=lengths)


def asking(max_tokens: int | None) -> ChatRequest:
    """The plain request with that limit."""
    return change(REQUEST, sampling=Sampling(max_tokens=max_tokens, temperature=0.5))


def of_class(allowance: Allowance, *, truncate: bool = False) -> Identity:
    """A caller whose class is allowed this."""
    return change(IDENTITY, sla=change(SLA, allowance=allowance, truncate=truncate))


@pytest.mark.parametrize(("asked", "task", "sla", "everybody", "holds"), ANSWERS)
def test_what_an_answer_may_have(
    asked: int | None, task: Allowance, sla: Allowance, everybody: Allowance, holds: int | None
) -> None:
    """The lowest maximum, and of the defaults the narrowest; it is imposed where it is not what was asked."""
    limited = policy(everybody, {"faq": task}).limit(asking(asked), of_class(sla), "faq")
    assert limited.request == asking(holds)
    assert limited.imposed == (None if holds == asked else holds)


def test_a_task_counts_for_its_own_requests_only() -> None:
    """Another task, or one that nobody has heard of, has what its class has."""
    rules = policy(Allowance(max_output=50), {"faq": Allowance(max_output=10)})
    assert [rules.limit(asking(None), IDENTITY, task).imposed for task in ("faq", "code", "?")] == [10, 50, 50]


limits = st.none() | st.integers(1, 50)
allowances = st.builds(Allowance, default_output=limits, max_output=limits)


@given(asked=limits, holders=st.lists(allowances, max_size=3))
def test_no_maximum_is_ever_exceeded(asked: int | None, holders: list[Allowance]) -> None:
    """Whatever is asked and whoever has a default; and nobody gets less than what all of them allow."""
    found = output_limit(asked, [("somebody", each) for each in holders], "lower").tokens
    maxima = [each.max_output for each in holders if each.max_output is not None]
    assert all(found is not None and found <= each for each in maxima)
    assert asked is None or found == min([asked, *maxima])


def test_an_excess_may_be_refused() -> None:
    """Where the operator says so: 400, the field, what was asked, the limit, and whose it is."""
    rules = policy(Allowance(max_output=100), {"faq": Allowance(max_output=40)}, refuse=True)
    with pytest.raises(RequestError) as caught:
        rules.limit(asking(41), of_class(Allowance(max_output=60)), "faq")
    error = caught.value
    assert (error.status, error.code, error.param) == (400, Code.INVALID_VALUE, "max_tokens")
    assert str(error) == "max_tokens is 41; an answer may have at most 40 tokens (task faq)"
    assert rules.limit(asking(None), IDENTITY, "faq").imposed == 40
    assert rules.limit(asking(40), IDENTITY, "faq").imposed is None


def test_no_limit_is_lowered_below_the_thought_that_is_part_of_it() -> None:
    """Anthropic's API refuses such a body; here the caller hears whose limit it is."""
    talk = Conversation(messages=(Turn("user", "hi"),), thinking=Thinking("enabled", 1024))
    rules = policy(Allowance(max_output=1024))
    with pytest.raises(RequestError, match=r"budget_tokens is 1024; .* at most 1024 tokens \(everybody\)") as caught:
        rules.limit(change(asking(4096), conversation=talk), IDENTITY, "faq")
    assert caught.value.param == "thinking.budget_tokens"
    assert policy(Allowance(max_output=1025)).limit(change(asking(4096), conversation=talk), IDENTITY, "faq").imposed


def chat(turns: int, words: int = 20) -> ChatRequest:
    """Instructions, then so many turns of user and assistant, and a question."""
    said = [
        Message("user" if number % 2 == 0 else "assistant", f"turn {number} " + "word " * words)
        for number in range(turns)
    ]
    return change(REQUEST, messages=(Message("system", "Be brief."), *said, Message("user", "And now?")))


def size(request: ChatRequest) -> int:
    """Its tokens, as they are estimated."""
    return estimate_prompt(request).tokens


@pytest.mark.parametrize(
    ("everybody", "sla", "whom"), [(100, None, "everybody"), (None, 100, "class pro"), (200, 100, "class pro")]
)
def test_a_prompt_that_is_too_long_is_refused(everybody: int | None, sla: int | None, whom: str) -> None:
    """400, the field, how long it is and how sure that is, the limit, and whose it is."""
    request = chat(40)
    with pytest.raises(RequestError) as caught:
        policy(Allowance(max_prompt=everybody)).fit(
            request, of_class(Allowance(max_prompt=sla)), estimate_prompt(request)
        )
    error, count = caught.value, estimate_prompt(request)
    assert (error.status, error.code, error.param) == (400, Code.CONTEXT_LENGTH_EXCEEDED, "messages")
    assert str(error) == (
        f"the prompt has about {count.tokens} tokens (estimated, ± {count.error}); at most 100 are allowed ({whom})"
    )


def test_a_prompt_at_its_limit_is_left_alone() -> None:
    """Nothing is dropped of what is short enough, also where dropping is allowed."""
    request = chat(40)
    allowed = of_class(Allowance(max_prompt=size(request)), truncate=True)
    assert policy().fit(request, allowed, estimate_prompt(request)).request is request


@given(limit=st.integers(40, 2000))
def test_as_few_turns_are_dropped_as_make_it_fit(limit: int) -> None:
    """The oldest ones, in whole exchanges; with one exchange more it would be too long."""
    request = chat(40)
    found = policy().fit(request, of_class(Allowance(max_prompt=limit), truncate=True), estimate_prompt(request))
    kept = found.request.messages
    assert kept == (request.messages[0], *request.messages[1 + found.dropped :])
    assert found.prompt == estimate_prompt(found.request)
    assert found.prompt.tokens <= limit
    assert found.dropped % 2 == 0
    if found.dropped:
        one_less = (request.messages[0], *request.messages[found.dropped - 1 :])
        assert size(change(request, messages=one_less)) > limit


@pytest.mark.parametrize(
    "request_",
    [change(REQUEST, messages=(Message("user", "word " * 200),)), change(chat(10), prompt="word " * 200)],
    ids=["one question", "a text to go on with"],
)
def test_where_dropping_is_no_help_it_is_refused(request_: ChatRequest) -> None:
    """The last question is never cut, and a raw text has no turns; the caller hears that it was tried."""
    with pytest.raises(RequestError, match="leaving out its oldest turns does not make it short enough") as caught:
        policy().fit(request_, of_class(Allowance(max_prompt=50), truncate=True), estimate_prompt(request_))
    assert caught.value.param == ("messages" if request_.prompt is None else "prompt")


def test_a_conversation_in_anthropics_words_loses_the_same() -> None:
    """In both forms, so that whoever is asked gets the same; its system text is no turn."""
    turns = (
        Turn("user", "first " + "word " * 200),
        Turn("assistant", (ToolUseBlock("c-1", "look", {}),)),
        Turn("user", (ToolResultBlock("c-1", "word " * 200),)),
        Turn("assistant", "Found."),
        Turn("user", "Thanks. What is next?"),
    )
    talk = Conversation(messages=turns, system="Be brief.")
    request = change(REQUEST, conversation=talk, messages=openai_messages(talk))
    found = policy().fit(request, of_class(Allowance(max_prompt=100), truncate=True), estimate_prompt(request))
    assert found.dropped == 4
    assert found.request.conversation == change(talk, messages=turns[4:])
    assert found.request.messages == (Message("system", "Be brief."), Message("user", "Thanks. What is next?"))


def test_into_a_context_it_is_fitted_at_its_largest() -> None:
    """With the error that is stated added, and room for an answer; not at all for those who want it refused."""
    request, rules = chat(40), policy()
    whole = rules.fit(request, IDENTITY, estimate_prompt(request))
    assert rules.fit_into(whole, IDENTITY, 600) is None
    found = rules.fit_into(whole, of_class(NOTHING, truncate=True), 600)
    assert found is not None
    assert found.dropped > 0
    assert rules.constrain(found.request, IDENTITY, found.prompt, 0.0).tokens_needed <= 600
    assert rules.fit_into(whole, of_class(NOTHING, truncate=True), 20) is None
