"""Unstreamed answers, on every path of the corridor."""

import pytest

from gateway.errors import AnswerError, Broken, Code, Reason, Refused, RequestError, TimedOut, Unreachable
from gateway.escalation import Path
from gateway.messages import (
    Choice,
    Completion,
    FunctionSpec,
    Hints,
    ResponseFormat,
    Sampling,
    Tool,
    Usage,
    UsageQuality,
)
from gateway.outcome import OutcomeStatus
from gateway.throttle import EscalationThrottle
from gateway.types import Classification, Complexity, Price
from tests.gateway.corridor.backends import Behaviour, Whole, says
from tests.gateway.corridor.house import BIG, BOX, EASY, HARD, LIMITS, MEDIUM, MINI, POOR, House
from tests.gateway.nouns import CHOICE, COMPLETION, IDENTITY, PRICE, REQUEST, SLA, change

GOOD, BETTER, BEST = says("light"), says("mid"), says("premium")
BAD, BAD_MID = says(f"light {POOR}"), says(f"mid {POOR}")
JSON = change(REQUEST, response_format=ResponseFormat("json_object"))
BROKEN = Whole(Broken("mini: cut"))
LOST = Whole(Unreachable("mini: cannot connect"))
DOWN_500 = Whole(Refused("mini: 500", status=500, reason=Reason.UPSTREAM_ERROR))


async def test_a_light_answer_that_is_good_enough_is_the_answer() -> None:
    """One call, on the box, and the record says all about it."""
    house = House(box=(GOOD,), mini=(BETTER,), big=(BEST,))
    text, outcome = await house.answer(change(REQUEST, ignored=("store",)))
    assert text == "light"
    assert house.tried() == [("box", "low_complexity", "answered")]
    assert (outcome.status, outcome.escalated, outcome.gave_up) == (OutcomeStatus.OK, False, None)
    assert outcome.answer is not None
    assert (outcome.answer.response_model, outcome.answer.served_by) == ("small-1.0", "small")
    assert (outcome.answer.usage, outcome.cost_nano) == (COMPLETION.usage, 20_000)
    assert (outcome.tenant, outcome.key, outcome.sla_class, outcome.policy) == ("acme", "ci", "pro", "0123456789ab")
    assert (outcome.request_id, outcome.requested_model, outcome.ignored) == ("r-1", "auto", ("store",))
    assert outcome.decision_s is not None
    assert 0 < outcome.decision_s <= outcome.latency_s
    assert outcome.ttft_s is None


@pytest.mark.parametrize(
    ("difficulty", "text", "reason"),
    [(EASY, "light", "low_complexity"), (MEDIUM, "mid", "medium_complexity"), (HARD, "premium", "high_complexity")],
)
async def test_work_starts_where_its_difficulty_says(difficulty: float, text: str, reason: str) -> None:
    """And no other tier is called."""
    house = House(box=(GOOD,), mini=(BETTER,), big=(BEST,), difficulty=difficulty)
    found, outcome = await house.answer(REQUEST)
    assert found == text
    assert [each.reason.value for each in outcome.attempts] == [reason]
    assert sum(len(backend.calls) for backend in house.backends.values()) == 1


DEFECTS: list[tuple[Behaviour, Reason]] = [
    (BAD, Reason.LOW_CONFIDENCE),
    (says(""), Reason.LOW_CONFIDENCE),
    (says("I'm sorry, but I can't help with that."), Reason.REFUSAL),
    (says("light", finish_reason="length"), Reason.TRUNCATED),
    (says("light", finish_reason="content_filter"), Reason.CONTENT_FILTER),
]


@pytest.mark.parametrize(("light", "reason"), DEFECTS)
async def test_an_answer_that_is_not_good_enough_is_escalated(light: Behaviour, reason: Reason) -> None:
    """The next tier is asked for that reason; both calls are recorded and paid for."""
    house = House(box=(light,), mini=(BETTER,), big=(BEST,))
    text, outcome = await house.answer(REQUEST)
    assert text == "mid"
    assert house.tried() == [("box", "low_complexity", "superseded"), ("mini", reason.value, "answered")]
    assert outcome.attempts[0].verdict is (None if reason is Reason.LOW_CONFIDENCE else reason)
    assert (outcome.escalated, outcome.gave_up, outcome.cost_nano) == (True, None, 40_000)


async def test_broken_structure_is_escalated() -> None:
    """JSON that was asked for and did not come."""
    house = House(box=(says('{"a"'),), mini=(says('{"a": 1}'),))
    text, outcome = await house.answer(JSON)
    assert text == '{"a": 1}'
    assert [each.verdict for each in outcome.attempts] == [Reason.INVALID_STRUCTURE, None]
    assert house.tried()[1] == ("mini", "invalid_structure", "answered")


async def test_escalation_goes_on_until_an_answer_is_good_enough() -> None:
    """From tier to tier."""
    house = House(box=(BAD,), mini=(BAD_MID,), big=(BEST,))
    text, _ = await house.answer(REQUEST)
    assert text == "premium"
    assert [each[0] for each in house.tried()] == ["box", "mini", "big"]


@pytest.mark.parametrize(("path", "second"), [("next", "mini"), ("premium", "big"), ("expected_cost", "mini")])
async def test_the_path_is_the_operators(path: Path, second: str) -> None:
    """To the next tier, or straight to the top; by expected cost a cheap step between is worth its risk."""
    specs = (BOX, MINI, change(BIG, price=Price(input=10 * PRICE.input, output=10 * PRICE.output)))
    house = House(box=(BAD,), mini=(BETTER,), big=(BEST,), limits=change(LIMITS, path=path), specs=specs)
    await house.answer(REQUEST)
    assert [each[0] for each in house.tried()] == ["box", second]


WINNERS: list[tuple[str, str, str, str, str]] = [
    # A valid answer of the strongest tier wins, whatever the scores.
    ("{", '{"mid": 1}', '{"premium": 1}', '{"mid": 1}', "mini"),
    ("{", "[", '{"premium": 1}', '{"premium": 1}', "big"),
    (f'{{"a": "{POOR}"}}', "[", "(", f'{{"a": "{POOR}"}}', "box"),
    (f'{{"a": "{POOR}"}}', f'{{"b": "{POOR}"}}', "(", f'{{"b": "{POOR}"}}', "mini"),
    (f'{{"a": "{POOR}"}}', f'{{"b": "{POOR}"}}', f'{{"c": "{POOR}"}}', f'{{"c": "{POOR}"}}', "big"),
    # If none is valid, the strongest of all.
    ("{", "[", "(", "(", "big"),
]


@pytest.mark.parametrize(("light", "mid", "premium", "text", "backend"), WINNERS)
async def test_which_answer_wins(light: str, mid: str, premium: str, text: str, backend: str) -> None:
    """The structurally valid answer of the strongest tier that was tried."""
    house = House(box=(says(light),), mini=(says(mid),), big=(says(premium),))
    found, outcome = await house.answer(JSON)
    assert outcome.answer is not None
    assert (found, outcome.answer.backend) == (text, backend)
    assert {each.status.value for each in outcome.attempts if each.backend != backend} <= {"superseded"}


@pytest.mark.parametrize("failure", [BROKEN, DOWN_500, Whole(TimedOut("mini: silent", stage="total"))])
async def test_a_failed_escalation_returns_the_light_answer_and_says_so(failure: Behaviour) -> None:
    """What is at hand is better than an error; the failures stand in the record."""
    house = House(box=(BAD,), mini=(failure,), big=(failure,))
    text, outcome = await house.answer(REQUEST)
    assert text == f"light {POOR}"
    assert [each[::2] for each in house.tried()] == [("box", "answered"), ("mini", "failed"), ("big", "failed")]
    assert (outcome.status, outcome.escalated, outcome.gave_up) == (OutcomeStatus.OK, True, None)
    assert all(each.error is not None for each in outcome.attempts[1:])


async def test_after_a_failed_escalation_nobody_weaker_is_asked() -> None:
    """Only who is stronger than the answer at hand could be of use."""
    house = House(box=(GOOD,), mini=(BAD_MID,), big=(DOWN_500,), difficulty=MEDIUM)
    text, _ = await house.answer(REQUEST)
    assert text == f"mid {POOR}"
    assert [each[0] for each in house.tried()] == ["mini", "big"]


async def test_a_caller_may_forbid_escalation() -> None:
    """Then the light answer goes out as it is, and why."""
    house = House(box=(BAD,), mini=(BETTER,))
    text, outcome = await house.answer(change(REQUEST, hints=Hints(no_escalation=True)))
    assert text == f"light {POOR}"
    assert (outcome.escalated, outcome.gave_up) == (False, "not_allowed")


@pytest.mark.parametrize(("priority", "gave_up", "text"), [(False, "throttled", f"light {POOR}"), (True, None, "mid")])
async def test_a_braked_escalation_is_for_classes_with_priority(
    *, priority: bool, gave_up: str | None, text: str
) -> None:
    """When too many escalate, only those who were promised it still do."""
    throttle = EscalationThrottle(0.1, 1)
    throttle.record(escalated=True)
    house = House(box=(BAD,), mini=(BETTER,), throttle=throttle)
    identity = change(IDENTITY, sla=change(SLA, escalation_priority=priority))
    found, outcome = await house.answer(REQUEST, identity)
    assert (found, outcome.gave_up) == (text, gave_up)


async def test_every_request_counts_in_the_escalation_rate() -> None:
    """Escalated ones and others, refused ones too."""
    throttle = EscalationThrottle(0.9, 1)
    house = House(box=(BAD, GOOD), mini=(BETTER,), throttle=throttle)
    await house.answer(REQUEST)
    await house.answer(REQUEST)
    with pytest.raises(RequestError):
        await house.answer(change(REQUEST, requested_model="nobody"))
    assert throttle.rate == pytest.approx(1 / 3)


async def test_attempts_are_bounded() -> None:
    """All physical calls count, whatever they were made for."""
    house = House(box=(BAD,), mini=(BAD_MID,), big=(BEST,), limits=change(LIMITS, max_attempts=2))
    text, outcome = await house.answer(REQUEST)
    assert text == f"mid {POOR}"
    assert (outcome.attempt_count, outcome.gave_up) == (2, "attempts")
    failing = House(box=(DOWN_500,), mini=(DOWN_500,), big=(BEST,), limits=change(LIMITS, max_attempts=2))
    with pytest.raises(AnswerError):
        await failing.answer(REQUEST)
    assert failing.outcome.attempt_count == 2


async def test_cost_is_bounded() -> None:
    """Nobody is asked with whom a request would cost more than it may; neither after an answer nor after a failure."""
    limits = change(LIMITS, max_cost_nano=100_000)
    house = House(box=(BAD,), mini=(BETTER,), big=(BEST,), limits=limits)
    _, outcome = await house.answer(REQUEST)
    assert (outcome.attempt_count, outcome.gave_up) == (1, "cost")
    failing = House(box=(DOWN_500,), mini=(BETTER,), limits=limits)
    with pytest.raises(AnswerError):
        await failing.answer(REQUEST)
    assert failing.outcome.attempt_count == 1


async def test_without_anybody_stronger_the_answer_goes_out() -> None:
    """And the record says that there was nobody."""
    house = House(box=(BAD,))
    text, outcome = await house.answer(REQUEST)
    assert (text, outcome.gave_up) == (f"light {POOR}", "no_stronger_tier")


async def test_an_unknown_model_is_recorded_without_an_attempt() -> None:
    """The request was refused before anybody was asked."""
    house = House(box=(GOOD,))
    with pytest.raises(RequestError):
        await house.answer(change(REQUEST, requested_model="nobody", ignored=("store",)))
    outcome = house.outcome
    assert (outcome.status, outcome.code, outcome.http_status) == (OutcomeStatus.REFUSED, Code.MODEL_NOT_FOUND, 404)
    assert (outcome.attempts, outcome.classification, outcome.decision_s) == ((), None, None)
    assert outcome.ignored == ("store",)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_that_nobody_may_answer_is_recorded_without_an_attempt(*, stream: bool) -> None:
    """Nothing is sent anywhere."""
    house = House(mini=(BETTER,), big=(BEST,))
    request = change(REQUEST, hints=Hints(local_only=True))
    with pytest.raises(RequestError) as caught:
        await (house.stream(request) if stream else house.answer(request))
    assert caught.value.status == 403
    assert (house.outcome.code, house.outcome.attempts) == (Code.RESIDENCY_NO_ELIGIBLE_BACKEND, ())
    assert isinstance(house.outcome.classification, Classification)
    assert not any(backend.calls for backend in house.backends.values())


async def test_tools_and_formats_reach_the_backend_as_they_were_asked() -> None:
    """The request travels unchanged."""
    house = House(big=(BEST,), difficulty=HARD)
    request = change(REQUEST, tools=(Tool(FunctionSpec("f")),), sampling=Sampling(temperature=0.3))
    await house.answer(request)
    assert house["big"].calls[0].request is request
    assert house.outcome.classification is not None
    assert house.outcome.classification.complexity is Complexity.HIGH


@pytest.mark.parametrize(
    ("choices", "written"),
    [
        ((change(CHOICE, text="one two three four five six"),), 6),
        ((change(CHOICE, text="one two three"), change(CHOICE, index=1, text="four five six")), 6),
    ],
)
async def test_an_answer_whose_tokens_nobody_counted_is_charged_by_its_length(
    choices: tuple[Choice, ...], written: int
) -> None:
    """The usage says that it is estimated; nothing is given away."""
    house = House(box=(Whole(Completion(model="m", choices=choices, usage=Usage())),), specs=(BOX, MINI, BIG))
    _, outcome = await house.answer(REQUEST)
    assert outcome.answer is not None
    assert outcome.classification is not None
    prompt, usage = outcome.classification.prompt, outcome.answer.usage
    assert usage.quality is UsageQuality.ESTIMATED
    assert abs(usage.completion - written) <= 3
    assert usage.prompt == prompt.tokens + prompt.error
    assert outcome.cost_nano == 1_000 * usage.prompt + 2_000 * usage.completion
