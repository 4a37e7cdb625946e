"""Backends that fail, in every way the error tree knows: retries, fallbacks, what is passed over, and deadlines.

Each test runs for unstreamed and for streamed requests: what is promised is the same.
"""

import asyncio

import pytest

from gateway.errors import (
    AnswerError,
    AttemptError,
    Broken,
    Code,
    EngineGone,
    Reason,
    Refused,
    Rejected,
    RequestError,
    TimedOut,
    Unavailable,
    Unreachable,
)
from gateway.messages import ChatRequest, Hints
from gateway.outcome import PassedOver
from gateway.types import BackendSpec, Tier
from tests.gateway.corridor.backends import Pause, Whole, says
from tests.gateway.corridor.house import DOWN, HARD, LIMITS, MEDIUM, MINI, POOR, House, text_of
from tests.gateway.nouns import IDENTITY, REQUEST, change
from tests.gateway.virtual_time import pass_time

GOOD, MID, BEST = says("light"), says("mid"), says("premium")
BAD = says(f"light {POOR}")
PINNED = change(REQUEST, requested_model="mini")
LOST = Unreachable("mini: cannot connect")
CUT = Broken("mini: cut")
ONCE = change(LIMITS, max_attempts=1)

pytestmark = pytest.mark.parametrize("stream", [False, True])


def limited(wait: float | None, status: int = 429) -> Whole:
    """A provider that wants no call at present."""
    reason = Reason.RATE_LIMIT if status == 429 else Reason.UPSTREAM_ERROR
    return Whole(Refused(f"mini: {status}", status=status, reason=reason, retry_after=wait))


def refusing(status: int, reason: Reason = Reason.UPSTREAM_ERROR) -> Refused:
    """An HTTP error."""
    return Refused(f"mini: {status}", status=status, reason=reason)


def now() -> float:
    """Seconds on the loop's clock."""
    return asyncio.get_running_loop().time()


async def answered(house: House, request: ChatRequest, *, stream: bool) -> str | None:
    """The text that a caller gets."""
    return text_of(await house.stream(request)) if stream else (await house.answer(request))[0]


RETRIED: list[tuple[AttemptError, float]] = [
    (LOST, 0.0),
    (TimedOut("mini: no connection", stage="connect"), 0.0),
    (Refused("mini: 429", status=429, reason=Reason.RATE_LIMIT, retry_after=0.25), 0.25),
    (Refused("mini: 429", status=429, reason=Reason.RATE_LIMIT, retry_after=2.0), 2.0),
    (Refused("mini: 429", status=429, reason=Reason.RATE_LIMIT, retry_after=0.0), 0.0),
    (Refused("mini: 429", status=429, reason=Reason.RATE_LIMIT), 1.0),
    (Refused("mini: 503", status=503, reason=Reason.UPSTREAM_ERROR, retry_after=1.5), 1.5),
]
FINAL: list[AttemptError] = [
    CUT,
    *(TimedOut("mini: silent", stage=stage) for stage in ("first_token", "idle", "total")),
    *(refusing(status) for status in (400, 401, 404, 413, 422, 500, 502)),
    Refused("mini: 429", status=429, reason=Reason.RATE_LIMIT, retry_after=2.5),
    Refused("mini: 503", status=503, reason=Reason.UPSTREAM_ERROR, retry_after=60.0),
]


@pytest.mark.parametrize(("error", "wait"), RETRIED)
async def test_one_retry_where_nothing_was_billed(error: AttemptError, wait: float, *, stream: bool) -> None:
    """After the pause that the backend asked for, if it is short and nobody else may answer."""
    house = House(mini=(Whole(error), MID))
    began = now()
    assert await answered(house, PINNED, stream=stream) == "mid"
    assert now() - began == pytest.approx(wait)
    assert house.tried() == [("mini", "pinned", "failed"), ("mini", "pinned", "answered")]
    assert [each.cost_nano for each in house.outcome.attempts] == [0, 20_000]
    assert house.outcome.attempts[0].error is error.reason


@pytest.mark.parametrize(("error", "wait"), RETRIED)
async def test_no_second_retry(error: AttemptError, wait: float, *, stream: bool) -> None:
    """The same backend is asked twice at most."""
    house = House(mini=(Whole(error),))
    with pytest.raises(AnswerError):
        await answered(house, PINNED, stream=stream)
    assert len(house["mini"].calls) == house.outcome.attempt_count == 2
    assert house.outcome.cost_nano == 0


@pytest.mark.parametrize("error", FINAL)
async def test_no_retry_where_it_would_cost_or_be_in_vain(error: AttemptError, *, stream: bool) -> None:
    """Half an answer may have been billed; most errors are the same the second time; a long pause is the caller's."""
    house = House(mini=(Whole(error), MID))
    with pytest.raises(AnswerError):
        await answered(house, PINNED, stream=stream)
    assert house.tried() == [("mini", "pinned", "failed")]
    assert (house.outcome.cost_nano > 0) == error.billed


async def test_no_waiting_for_one_where_another_may_answer(*, stream: bool) -> None:
    """The next in the tier, or above it, is asked at once."""
    house = House(mini=(limited(0.5), MID), big=(BEST,), difficulty=MEDIUM)
    began = now()
    assert await answered(house, REQUEST, stream=stream) == "premium"
    assert now() == began
    assert house.tried() == [("mini", "medium_complexity", "failed"), ("big", "rate_limit", "answered")]


async def test_a_lost_connection_is_tried_again_even_then(*, stream: bool) -> None:
    """It costs nothing, and no time."""
    house = House(mini=(Whole(LOST), MID), big=(BEST,), difficulty=MEDIUM)
    assert await answered(house, REQUEST, stream=stream) == "mid"
    assert [each[::2] for each in house.tried()] == [("mini", "failed"), ("mini", "answered")]


async def test_no_retry_beyond_the_attempts(*, stream: bool) -> None:
    """All physical calls count."""
    house = House(mini=(Whole(LOST), MID), limits=ONCE)
    with pytest.raises(AnswerError):
        await answered(house, PINNED, stream=stream)
    assert house.outcome.attempt_count == 1


async def test_no_retry_beyond_the_deadline(*, stream: bool) -> None:
    """There is nobody left to answer to."""
    house = House(mini=(limited(1.5), MID), request_timeout_s=1.0)
    began = now()
    with pytest.raises(AnswerError):
        await answered(house, PINNED, stream=stream)
    assert now() == began
    assert house.outcome.attempt_count == 1


async def test_no_retry_of_what_is_left_alone(*, stream: bool) -> None:
    """The failure that opened the breaker is the last for now; a probe that fails is one call."""
    house = House(mini=(Whole(LOST),))
    for calls in (2, 4, 5, 5):
        with pytest.raises(AnswerError):
            await answered(house, PINNED, stream=stream)
        assert len(house["mini"].calls) == calls
    await pass_time(15.0)
    with pytest.raises(AnswerError):
        await answered(house, PINNED, stream=stream)
    assert len(house["mini"].calls) == 6


@pytest.mark.parametrize("error", [*FINAL, Rejected("down", reason=Reason.ENGINE_UNHEALTHY), EngineGone("gone")])
async def test_the_next_one_answers_for_the_reason_that_the_first_could_not(
    error: AttemptError, *, stream: bool
) -> None:
    """First within the tier, then upwards."""
    house = House(mini=(Whole(error),), second=(MID,), big=(BEST,), difficulty=MEDIUM)
    assert await answered(house, REQUEST, stream=stream) == "mid"
    assert house.tried()[-1] == ("second", error.reason.value, "answered")
    house = House(mini=(Whole(error),), second=(Whole(error),), big=(BEST,), difficulty=MEDIUM)
    assert await answered(house, REQUEST, stream=stream) == "premium"
    assert house.tried()[-1] == ("big", error.reason.value, "answered")


async def test_when_the_cloud_is_gone_the_box_answers(*, stream: bool) -> None:
    """Weaker than was wanted is better than nothing, and the reason says why."""
    house = House(box=(GOOD,), mini=(Whole(CUT),), big=(Whole(refusing(500)),), difficulty=HARD)
    assert await answered(house, REQUEST, stream=stream) == "light"
    assert house.tried() == [
        ("big", "high_complexity", "failed"),
        ("mini", "upstream_error", "failed"),
        ("box", "upstream_error", "answered"),
    ]
    assert not house.outcome.escalated


async def test_who_never_started_is_passed_over_and_no_attempt(*, stream: bool) -> None:
    """Nothing was sent and nothing paid; who and why stands in the record."""
    house = House(box=(GOOD,), mini=(Whole(Rejected("mini: full", reason=Reason.NO_CAPACITY)),), big=(BEST,))
    house.gate.update(DOWN)
    assert await answered(house, REQUEST, stream=stream) == "premium"
    assert house.tried() == [("big", "no_capacity", "answered")]
    assert house.outcome.passed_over == (
        PassedOver("box", Tier.LIGHT, Reason.ENGINE_UNHEALTHY, "engine small: quarantine"),
        PassedOver("mini", Tier.MID, Reason.NO_CAPACITY, "mini: full"),
    )
    assert house.outcome.attempts[0].number == 1


async def test_where_everybody_is_passed_over_the_caller_may_come_back(*, stream: bool) -> None:
    """With the error of the one that waiting would mend, and for how long to wait."""
    house = House(box=(GOOD,))
    house.gate.update(DOWN)
    with pytest.raises(Unavailable) as caught:
        await answered(house, REQUEST, stream=stream)
    assert (caught.value.code, caught.value.status) == (Code.ENGINE_UNAVAILABLE, 503)
    assert caught.value.retry_after is not None
    assert (house.outcome.attempts, len(house.outcome.passed_over)) == ((), 1)


SLOW = Whole(says(f"slow {POOR}").outcome, Pause(seconds=30.0))


async def test_a_failure_after_the_deadline_is_the_last(*, stream: bool) -> None:
    """Nobody else is asked, and the caller hears that the time was up."""
    house = House(box=(Whole(CUT, Pause(seconds=30.0)),), mini=(MID,), request_timeout_s=20.0)
    with pytest.raises(Unavailable) as caught:
        await answered(house, REQUEST, stream=stream)
    assert (caught.value.code, caught.value.status) == (Code.DEADLINE_EXCEEDED, 504)
    assert (house.outcome.code, house.outcome.attempt_count) == (Code.DEADLINE_EXCEEDED, 1)
    assert (house["mini"].calls, house.outcome.passed_over) == ([], ())


async def test_an_answer_after_the_deadline_is_not_bettered(*, stream: bool) -> None:
    """It goes out as it is; who would have been asked was not."""
    house = House(box=(SLOW,), mini=(MID,), request_timeout_s=20.0)
    assert await answered(house, REQUEST, stream=stream) == f"slow {POOR}"
    assert not house["mini"].calls
    assert [(each.backend, each.reason) for each in house.outcome.passed_over] == [("mini", Reason.DEADLINE)]


async def test_nobody_waits_for_a_slot_beyond_the_deadline(*, stream: bool) -> None:
    """The gate's patience ends with the request's."""
    house = House(box=(SLOW,), request_timeout_s=3.0)
    first = asyncio.create_task(house.answer(REQUEST))
    await pass_time(1.0)
    with pytest.raises(Unavailable) as caught:
        await answered(house, REQUEST, stream=stream)
    assert (caught.value.code, now()) == (Code.DEADLINE_EXCEEDED, 1_004.0)
    await asyncio.wait([first])
    house.assert_books(2)


CHANGED: list[tuple[BackendSpec, Reason]] = [
    (change(MINI, region="us-east"), Reason.RESIDENCY),
    (change(MINI, capabilities=frozenset()), Reason.CAPABILITY),
    (change(MINI, context=50), Reason.CONTEXT_LENGTH),
]


@pytest.mark.parametrize(("spec", "reason"), CHANGED)
async def test_constraints_are_checked_again_before_each_attempt(
    spec: BackendSpec, reason: Reason, *, stream: bool
) -> None:
    """A backend that is not any more what it was when the route was planned gets nothing."""
    house = House(box=(BAD,), mini=(MID,))
    house["mini"].spec = spec
    identity = change(IDENTITY, regions=frozenset({"eu-west"}))
    request = change(REQUEST, logprobs=True)
    text = text_of(await house.stream(request, identity)) if stream else (await house.answer(request, identity))[0]
    assert text == f"light {POOR}"
    assert not house["mini"].calls
    assert [(each.backend, each.reason) for each in house.outcome.passed_over] == [("mini", reason)]


async def test_local_requests_stay_local_whatever_fails(*, stream: bool) -> None:
    """Better no answer than one from elsewhere."""
    house = House(box=(Whole(CUT),), mini=(MID,), big=(BEST,))
    with pytest.raises(AnswerError):
        await answered(house, change(REQUEST, hints=Hints(local_only=True)), stream=stream)
    assert not house["mini"].calls
    assert not house["big"].calls


async def test_a_pinned_request_stays_where_it_is(*, stream: bool) -> None:
    """Unless the caller allows otherwise."""
    house = House(box=(GOOD,), mini=(Whole(CUT),), big=(BEST,))
    with pytest.raises(AnswerError):
        await answered(house, PINNED, stream=stream)
    assert house.tried() == [("mini", "pinned", "failed")]
    house = House(box=(GOOD,), mini=(Whole(CUT),), big=(BEST,))
    assert await answered(house, change(PINNED, hints=Hints(allow_fallback=True)), stream=stream) == "premium"
    assert house.tried()[-1] == ("big", "upstream_error", "answered")


async def test_a_backend_that_keeps_failing_is_left_alone(*, stream: bool) -> None:
    """After five failures in a row it is passed over, until its pause is over and a probe has gone well."""
    house = House(mini=(*[Whole(CUT)] * 5, MID), big=(BEST,), difficulty=MEDIUM)
    for _ in range(7):
        assert await answered(house, REQUEST, stream=stream) == "premium"
    assert len(house["mini"].calls) == 5
    last = house.ledger.outcomes[-1]
    assert [(each.backend, each.reason) for each in last.passed_over] == [("mini", Reason.UPSTREAM_ERROR)]
    assert [each.backend for each in last.attempts] == ["big"]
    await pass_time(15.0)
    assert await answered(house, REQUEST, stream=stream) == "mid"
    assert await answered(house, REQUEST, stream=stream) == "mid"
    house.assert_books(9)


async def test_a_pause_that_was_asked_for_is_kept(*, stream: bool) -> None:
    """By everybody, and not a moment longer; it is no failure."""
    house = House(mini=(limited(30.0), MID), big=(BEST,), difficulty=MEDIUM)
    for _ in range(3):
        assert await answered(house, REQUEST, stream=stream) == "premium"
    assert len(house["mini"].calls) == 1
    await pass_time(30.0)
    assert await answered(house, REQUEST, stream=stream) == "mid"


async def test_the_callers_own_faults_say_nothing_of_a_backend(*, stream: bool) -> None:
    """Any number of bad requests opens no breaker; where it is the only answer there is, the caller gets it."""
    house = House(mini=(*[Whole(refusing(400))] * 20, MID))
    for _ in range(20):
        with pytest.raises(RequestError) as caught:
            await answered(house, PINNED, stream=stream)
        assert (caught.value.code, caught.value.status) == (Code.REQUEST_REFUSED, 400)
    assert await answered(house, PINNED, stream=stream) == "mid"
