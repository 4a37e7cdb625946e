"""Counting a prompt's tokens without answering it: who is asked, what comes of it, and that it leaves no trace."""

import asyncio

import pytest

from gateway.errors import AnswerError, AttemptError, Broken, Code, EngineGone, Reason, Refused
from gateway.messages import Delta, Usage, UsageQuality
from gateway.prices import usage_cost
from gateway.tokens import estimate_prompt
from tests.gateway.corridor.backends import Pause, Streamed, Whole, pieces, says
from tests.gateway.corridor.house import BOX, MEDIUM, MINI, POOR, House, pieces_of, text_of
from tests.gateway.nouns import IDENTITY, PRICE, REQUEST, USAGE, change
from tests.gateway.virtual_time import pass_time

GOOD = says("light")
PINNED = change(REQUEST, requested_model="mini")


async def test_the_first_candidate_counts() -> None:
    """As it would be asked first for an answer; nobody else hears of the prompt."""
    house = House(box=(GOOD,), mini=(GOOD,), big=(GOOD,))
    house["box"].counts = 31
    found = await house.broker.count(REQUEST, IDENTITY)
    assert (found.candidate.backend, found.prompt.tokens, found.prompt.error, found.asked) == ("box", 31, 0, True)
    assert [len(backend.counted) for backend in house.backends.values()] == [1, 0, 0]
    assert found.policy == "0123456789ab"


async def test_it_leaves_no_trace() -> None:
    """No row, no answer, no slot, no call to a breaker's account."""
    house = House(box=(GOOD,))
    house["box"].counts = Broken("box: cut")
    for _ in range(10):
        await house.broker.count(REQUEST, IDENTITY)
    house.assert_books(0)
    assert house["box"].calls == []
    assert house.breaker_open_s("box") == 0


@pytest.mark.parametrize(
    "counts", [None, EngineGone("box: restarting"), Refused("404", status=404, reason=Reason.UPSTREAM_ERROR)]
)
async def test_who_cannot_tell_is_estimated(counts: AttemptError | None) -> None:
    """With the error that an estimate has."""
    house = House(box=(GOOD,), mini=(GOOD,))
    house["box"].counts = counts
    found = await house.broker.count(REQUEST, IDENTITY)
    assert (found.candidate.backend, found.asked, found.prompt) == ("box", False, estimate_prompt(REQUEST))
    assert found.prompt.error > 0
    assert house["mini"].counted == []


async def test_a_backend_that_is_left_alone_is_not_asked() -> None:
    """Its breaker is open: an estimate will do."""
    refused = Refused("mini: 429", status=429, reason=Reason.RATE_LIMIT, retry_after=30.0)
    house = House(mini=(Whole(refused),), difficulty=MEDIUM)
    with pytest.raises(AnswerError):
        await house.answer(PINNED)
    house["mini"].counts = 31
    assert not (await house.broker.count(PINNED, IDENTITY)).asked
    assert house["mini"].counted == []


async def test_policy_holds_for_counts() -> None:
    """What may not be answered somewhere is not counted there: a prompt is a prompt."""
    house = House(box=(GOOD,), mini=(GOOD,), specs=(BOX, change(MINI, region="us-east")), difficulty=MEDIUM)
    for backend in house.backends.values():
        backend.counts = 31
    kept = await house.broker.count(REQUEST, change(IDENTITY, regions=frozenset({"eu-west"})))
    assert kept.candidate.backend == "box"
    assert house["mini"].counted == []
    for identity in (change(IDENTITY, regions=frozenset({"nowhere"})), change(IDENTITY, local_only=True)):
        with pytest.raises(AnswerError) as caught:
            await house.broker.count(PINNED, identity)
        assert caught.value.code is Code.RESIDENCY_NO_ELIGIBLE_BACKEND
    with pytest.raises(AnswerError) as caught:
        await house.broker.count(change(REQUEST, requested_model="gpt-9"), IDENTITY)
    assert caught.value.status == 404
    assert house["mini"].counted == []


async def test_ignored_fields_are_named() -> None:
    """Those unknown here, and those that the backend is not sent."""
    house = House(box=(GOOD,))
    house["box"].ignored = ("top_k",)
    found = await house.broker.count(change(REQUEST, ignored=("store",)), IDENTITY)
    assert found.ignored == ("store", "top_k")


async def test_the_ledger_has_the_status_that_the_caller_saw() -> None:
    """Where the caller's API has another one for an error."""
    house = House(box=(Whole(GOOD.outcome, Pause(60.0)),))
    async with asyncio.TaskGroup() as group:
        group.create_task(house.answer(REQUEST))
        await pass_time(1.0)
        with pytest.raises(AnswerError) as caught:
            await house.broker.answer(change(REQUEST, statuses={Code.NO_CAPACITY: 529}), IDENTITY)
    assert (caught.value.code, caught.value.status) == (Code.NO_CAPACITY, 429)
    assert [(each.code, each.http_status) for each in house.ledger.outcomes] == [(Code.NO_CAPACITY, 529), (None, 200)]


EARLY = Usage(prompt=1000, cached=100, completion=1, quality=UsageQuality.UNKNOWN)


@pytest.mark.parametrize(
    ("early", "told"),
    [(Usage(), Usage(prompt=estimate_prompt(REQUEST).tokens, quality=UsageQuality.ESTIMATED)), (EARLY, EARLY)],
)
async def test_the_opening_of_a_stream_knows_the_prompt(early: Usage, told: Usage) -> None:
    """As the backend has counted it, or else as it is estimated; at the end it is what was counted in all."""
    house = House(mini=(Streamed(pieces("one", " two"), early=early),))
    committed = await house.open(PINNED)
    assert committed.usage == told
    await pieces_of(committed)
    assert committed.usage == USAGE


async def test_what_was_counted_before_it_was_cut_off_is_charged() -> None:
    """A backend that has counted its prompt is taken at its word; of the answer, what has come."""
    doubtful = Streamed((*([Delta(text=f"{POOR} ")] for _ in range(6)), Pause(9.0)), early=EARLY)
    house = House(box=(doubtful,), mini=(says("mid"),))
    assert text_of(await house.stream(REQUEST)) == "mid"
    (cut, _) = house.outcome.attempts
    assert (cut.usage.prompt, cut.usage.cached, cut.usage.quality) == (1000, 100, UsageQuality.ESTIMATED)
    assert cut.usage.completion >= 4
    assert cut.cost_nano == usage_cost(PRICE, cut.usage)


@pytest.mark.parametrize("leaves", [False, True])
async def test_what_was_counted_before_it_broke_off_is_charged(*, leaves: bool) -> None:
    """The same where the stream breaks, and where the caller hangs up."""
    rest = ([Delta(text="b")],) if leaves else (Broken("cut"),)
    house = House(mini=(Streamed(([Delta(text="a")], *rest), early=EARLY),))
    committed = await house.open(PINNED)
    await committed.batch()
    if leaves:
        committed.close()
    else:
        with pytest.raises(AnswerError):
            await committed.batch()
    (attempt,) = house.outcome.attempts
    assert attempt.usage == change(EARLY, quality=UsageQuality.ESTIMATED)
    assert attempt.cost_nano == usage_cost(PRICE, attempt.usage)
