"""Streamed answers that are not good enough: who is asked instead, which answer goes out, and what is let go."""

import asyncio

import pytest

from gateway.errors import AnswerError, Broken, Code, Reason, Refused, Rejected, TimedOut, Unavailable, Unreachable
from gateway.messages import Delta, FunctionSpec, ResponseFormat, Tool, ToolCallDelta, UsageQuality
from gateway.outcome import OutcomeStatus
from gateway.types import Price
from tests.gateway.corridor.backends import UNTOLD, Behaviour, Pause, Step, Streamed, Whole, pieces, says
from tests.gateway.corridor.house import BIG, BOX, LIMITS, MINI, POOR, House, braking, text_of
from tests.gateway.nouns import IDENTITY, REQUEST, SLA, change
from tests.gateway.virtual_time import pass_time

JSON = change(REQUEST, response_format=ResponseFormat("json_object"))
TOOLS = change(REQUEST, tools=(Tool(FunctionSpec("f")),))
LIGHT_TEXT = f"one {POOR} two three four five six seven"
LIGHT = Streamed(pieces("one ", POOR, " two", " three", " four", " five", " six", " seven"))
"""Not good enough, as its window of four pieces shows; it goes on after it."""

MID, BEST = says("mid"), says("premium")
BROKEN = Broken("mini: cut")


def streamed(*texts: str) -> Streamed:
    """An answer in these pieces."""
    return Streamed(pieces(*texts))


@pytest.mark.parametrize("after", [0, 1])
async def test_an_answer_that_is_not_good_enough_is_never_seen(after: int) -> None:
    """The stronger tier's goes out from its first piece; of the light one not a character, and it is hung up on."""
    house = House(box=(LIGHT,), mini=(MID,) if after == 0 else (streamed(f"m {POOR}", "!"),), big=(BEST,))
    text = text_of(await house.stream(REQUEST))
    assert text == ("mid", "premium")[after]
    assert [each[::2] for each in house.tried()][:-1] == [("box", "superseded"), ("mini", "superseded")][: after + 1]
    assert house.outcome.escalated
    assert house["box"].streams[0].closed == 1


async def test_a_light_answer_that_was_cut_is_paid_for_as_far_as_it_came() -> None:
    """What the backend has not counted is estimated."""
    house = House(box=(change(LIGHT, usage=UNTOLD),), mini=(MID,))
    await house.stream(REQUEST)
    cut = house.outcome.attempts[0]
    assert (cut.usage.completion, cut.usage.quality) == (4, UsageQuality.ESTIMATED)
    assert house.outcome.cost_nano == cut.cost_nano + house.outcome.attempts[1].cost_nano
    assert cut.cost_nano > 2_000 * 4
    assert (cut.response_model, cut.finish_reason) == ("streamed-1.0", None)


DEFECTS: list[tuple[Behaviour, Reason]] = [
    (streamed(POOR), Reason.LOW_CONFIDENCE),
    (Streamed(pieces()), Reason.LOW_CONFIDENCE),
    (streamed("I'm sorry,", " but I can't", " help with that.", " Sorry."), Reason.REFUSAL),
    (streamed("I'm sorry,", " but I can't", " help with that.", " Sorry.", " Ask", " others"), Reason.REFUSAL),
    (Streamed(([Delta(refusal="No.")], [Delta(finish_reason="stop")])), Reason.REFUSAL),
    (Streamed(pieces("a", finish_reason="length")), Reason.TRUNCATED),
    (Streamed(pieces("a", finish_reason="content_filter")), Reason.CONTENT_FILTER),
]


@pytest.mark.parametrize(("light", "reason"), DEFECTS)
async def test_what_the_window_shows_is_the_reason(light: Behaviour, reason: Reason) -> None:
    """Whatever can be seen in it, to the end of the answer where it ends that soon."""
    house = House(box=(light,), mini=(MID,))
    assert text_of(await house.stream(REQUEST)) == "mid"
    assert house.tried()[1] == ("mini", reason.value, "answered")


async def test_a_bad_tool_call_is_escalated() -> None:
    """It was held whole, so that nobody has acted on it."""
    bad = [Delta(tool_calls=(ToolCallDelta(0, "c", "unknown", "{}"),))]
    good = [Delta(tool_calls=(ToolCallDelta(0, "c", "f", "{}"),))]
    end: Step = [Delta(finish_reason="tool_calls")]
    house = House(box=(Streamed((bad, end)),), mini=(Streamed((good, end)),))
    assert (await house.stream(TOOLS))[0] == good[0]
    assert house.tried()[1] == ("mini", "invalid_structure", "answered")


async def test_after_the_first_byte_nobody_else_is_asked() -> None:
    """Not by the next pieces, and not by the last one; the record says that it was too late."""
    house = House(box=(streamed("a", "b", "c", "d", f" {POOR}", POOR),), mini=(MID,), big=(BEST,))
    committed = await house.open(REQUEST)
    assert text_of(await committed.batch()) == "abcd"
    while await committed.batch():
        continue
    assert not house["mini"].calls
    assert (house.outcome.attempt_count, house.outcome.gave_up) == (1, "committed")


@pytest.mark.parametrize("at_once", [False, True])
async def test_the_record_does_not_depend_on_how_an_answer_came(*, at_once: bool) -> None:
    """The last one that may be asked refuses, piece by piece or at once: that it stayed at that is known either way."""
    refusal = ("I'm sorry,", " but I can't", " help with that.", " Sorry.")
    mid = streamed("".join(refusal)) if at_once else streamed(*refusal)
    house = House(box=(LIGHT,), mini=(mid,), big=(BEST,), limits=change(LIMITS, max_attempts=2))
    assert text_of(await house.stream(REQUEST)) == "".join(refusal)
    assert (house.outcome.attempt_count, house.outcome.gave_up) == (2, "attempts")


FAILURES: dict[str, Behaviour] = {
    "no connection": Whole(Unreachable("mini: cannot connect")),
    "an error": Whole(Refused("mini: 500", status=500, reason=Reason.UPSTREAM_ERROR)),
    "the caller's fault": Whole(Refused("mini: 400", status=400, reason=Reason.UPSTREAM_ERROR)),
    "a rate limit": Whole(Refused("mini: 429", status=429, reason=Reason.RATE_LIMIT, retry_after=1.0)),
    "no time": Whole(TimedOut("mini: silent", stage="first_token")),
    "garbage": Whole(BROKEN),
    "not even a call": Whole(Rejected("mini: down", reason=Reason.ENGINE_UNHEALTHY)),
    "a break before the first piece": Streamed((BROKEN,)),
    "a break in the window": Streamed(([Delta(text="")], BROKEN)),
    "a long silence": Streamed((Pause(500.0), BROKEN)),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failed_escalation_gives_the_light_answer_without_a_gap(failure: str) -> None:
    """From its first piece, through what was held, to what had not been read yet."""
    house = House(box=(LIGHT,), mini=(FAILURES[failure],), big=(FAILURES[failure],))
    deltas = await house.stream(REQUEST)
    assert [delta.text for delta in deltas] == [
        *("one ", POOR, " two", " three", " four", " five", " six", " seven"),
        None,
    ]
    outcome = house.outcome
    assert (outcome.status, outcome.escalated, outcome.gave_up) == (OutcomeStatus.OK, True, None)
    assert outcome.answer is not None
    assert (outcome.answer.backend, outcome.answer.status.value) == ("box", "answered")
    assert len(outcome.attempts) + len(outcome.passed_over) >= 3
    assert outcome.cost_nano == sum(attempt.cost_nano for attempt in outcome.attempts)
    assert house["box"].streams[0].closed == 1


async def test_a_light_answer_that_was_held_may_still_break() -> None:
    """It was the best there was; the caller is told that it is not whole."""
    steps: tuple[Step, ...] = (*pieces("one ", POOR, " two", " three", " four")[:-1], Broken("box: cut"))
    house = House(box=(Streamed(steps),), mini=(Whole(BROKEN),))
    committed = await house.open(REQUEST)
    assert text_of(await committed.batch()) == f"one {POOR} two three"
    assert text_of(await committed.batch()) == " four"
    with pytest.raises(Unavailable):
        await committed.batch()
    assert [each[::2] for each in house.tried()] == [("box", "interrupted"), ("mini", "failed")]
    assert house.outcome.code is Code.UPSTREAM_INTERRUPTED


async def test_the_slot_is_kept_while_the_light_answer_is_held() -> None:
    """Its generation goes on, so the engine is not free; whoever lets it go gives the slot back."""
    answer = asyncio.Event()
    house = House(box=(LIGHT,), mini=(Streamed((Pause(until=answer), *pieces("mid"))),))
    task = asyncio.create_task(house.stream(REQUEST))
    await pass_time(1.0)
    assert house["mini"].open_streams == 1
    assert house.gate.states()[0].in_use == 1
    answer.set()
    assert text_of(await task) == "mid"
    house.assert_books(1)


WINNERS: list[tuple[str, str, str, str, str]] = [
    ('{"light": 1}', "", "", '{"light": 1}', "box"),
    ("{", '{"mid": 1}', '{"premium": 1}', '{"mid": 1}', "mini"),
    ("{", "[", '{"premium": 1}', '{"premium": 1}', "big"),
    (f'{{"a": "{POOR}"}}', "[", "(", f'{{"a": "{POOR}"}}', "box"),
    (f'{{"a": "{POOR}"}}', f'{{"b": "{POOR}"}}', "(", f'{{"b": "{POOR}"}}', "mini"),
    ("{", "[", "(", "(", "big"),
]


@pytest.mark.parametrize(("light", "mid", "premium", "text", "backend"), WINNERS)
async def test_which_answer_wins(light: str, mid: str, premium: str, text: str, backend: str) -> None:
    """The structurally valid answer of the strongest tier that was tried, as for unstreamed ones."""
    house = House(box=(streamed(*light),), mini=(streamed(*mid),), big=(Streamed(pieces(*premium)),))
    assert text_of(await house.stream(JSON)) == text
    outcome = house.outcome
    assert outcome.answer is not None
    assert outcome.answer.backend == backend
    assert {each.status.value for each in outcome.attempts if each.backend != backend} <= {"superseded"}
    assert all(stream.closed == 1 for each in house.backends.values() for stream in each.streams)


CUT: list[tuple[Step, ...]] = [(Broken("big: cut"),), (*pieces('{"c"')[:-1], Broken("big: cut"))]


@pytest.mark.parametrize("cut", CUT)
async def test_a_whole_answer_in_hand_is_not_given_up_for_half_a_better_one(cut: tuple[Step, ...]) -> None:
    """JSON of the strongest tier is held as well, where it may still turn out that a weaker one has to do."""
    light = f'{{"a": "{POOR}"}}'
    house = House(box=(streamed(*light),), big=(Streamed(cut),))
    assert text_of(await house.stream(JSON)) == light
    assert [each[::2] for each in house.tried()] == [("box", "answered"), ("big", "failed")]


@pytest.mark.parametrize(("priority", "text"), [(False, LIGHT_TEXT), (True, "mid")])
async def test_a_braked_escalation_is_for_classes_with_priority(*, priority: bool, text: str) -> None:
    """The others get the light answer as it comes."""
    house = House(box=(LIGHT,), mini=(MID,), throttle=braking())
    identity = change(IDENTITY, sla=change(SLA, escalation_priority=priority))
    assert text_of(await house.stream(REQUEST, identity)) == text


async def test_all_costs_of_a_request_count_towards_its_limit() -> None:
    """Also those of an answer that is held and not charged yet."""
    dear = change(MINI, price=Price(input=0, output=10_000_000_000))
    house = House(box=(LIGHT,), mini=(MID,), specs=(BOX, dear, BIG))
    await house.stream(REQUEST)
    light, mid = (candidate.cost_nano for candidate in house.broker.decide(REQUEST, IDENTITY).route.candidates)
    assert (light > 0, mid > light) == (True, True)
    for limit, backend in ((light + mid - 1, "box"), (light + mid, "mini")):
        house = House(box=(LIGHT,), mini=(MID,), specs=(BOX, dear, BIG), limits=change(LIMITS, max_cost_nano=limit))
        await house.stream(REQUEST)
        assert house.outcome.answer is not None
        assert house.outcome.answer.backend == backend


async def test_nobody_streams_where_everybody_fails() -> None:
    """No byte has left, so the caller gets an error with a status, and a record of it."""
    house = House(box=(Whole(BROKEN),), mini=(Streamed((BROKEN,)),), big=(Whole(BROKEN),))
    with pytest.raises(AnswerError) as caught:
        await house.stream(REQUEST)
    assert (caught.value.status, house.outcome.http_status) == (502, 502)
    assert [each[::2] for each in house.tried()] == [("box", "failed"), ("mini", "failed"), ("big", "failed")]
