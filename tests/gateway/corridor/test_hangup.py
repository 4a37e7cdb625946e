"""Callers who hang up, or are told to go, at every turn of the loop: nothing is lost, left open or written twice."""

import asyncio
from collections.abc import Callable

import pytest
from msgspec import Struct

from gateway.errors import Broken, Code, Reason, Refused, Unavailable, Unreachable
from gateway.messages import ChatRequest, ResponseFormat
from gateway.outcome import Outcome, OutcomeStatus
from tests.gateway.applicants import applicant
from tests.gateway.corridor.backends import Pause, Streamed, Whole, pieces, says
from tests.gateway.corridor.house import POOR, House
from tests.gateway.nouns import IDENTITY, REQUEST, change
from tests.gateway.virtual_time import pass_time

GOOD, BAD, BAD_MID, BEST = says("light"), says(f"light {POOR}"), says(f"mid {POOR}"), says("premium")
LONG = Streamed(pieces(*"abcdefgh"))
LONG_BAD = Streamed(pieces("a", POOR, "c", "d", "e", "f"))
BROKEN = Whole(Broken("cut"))
LOST = Whole(Unreachable("cannot connect"))
JSON = change(REQUEST, response_format=ResponseFormat("json_object"))
DEAR_JSON = Streamed(pieces(*f'{{"a": "{POOR}"}}'))
PINNED = change(REQUEST, requested_model="box")
SHUTDOWN = Unavailable("shutting down", code=Code.SHUTTING_DOWN, status=503, retry_after=1.0)
MOST_TURNS = 2_000
GATE_OPENS_AT = 12
"""At which turn the only slot becomes free, where somebody had it."""


class Walk(Struct, frozen=True, kw_only=True):
    """A way through the corridor. `phases`: the states of the attempts in which a caller can leave."""

    build: Callable[[], House]
    request: ChatRequest = REQUEST
    stream: bool = False
    occupied: bool = False
    phases: frozenset[tuple[str, ...]]


def phases(*each: str) -> frozenset[tuple[str, ...]]:
    """The attempts' statuses at each phase, set apart by blanks."""
    return frozenset(tuple(phase.split()) for phase in each)


WALKS: dict[str, Walk] = {
    "a light answer": Walk(build=lambda: House(box=(GOOD,)), phases=phases("cancelled")),
    "a slot to wait for": Walk(
        build=lambda: House(box=(GOOD,), mini=(BEST,)), occupied=True, phases=phases("", "cancelled")
    ),
    "two escalations": Walk(
        build=lambda: House(box=(BAD,), mini=(BAD_MID,), big=(BEST,)),
        phases=phases("cancelled", "cancelled cancelled", "cancelled cancelled cancelled"),
    ),
    "a fallback": Walk(
        build=lambda: House(box=(BROKEN,), mini=(GOOD,)), phases=phases("cancelled", "failed cancelled")
    ),
    "a retry": Walk(
        build=lambda: House(mini=(LOST, GOOD), big=(GOOD,)), phases=phases("cancelled", "failed cancelled")
    ),
    "a failing escalation": Walk(
        build=lambda: House(box=(BAD,), mini=(BROKEN,), big=(BROKEN,)),
        phases=phases("cancelled", "cancelled cancelled", "cancelled failed cancelled"),
    ),
    "a stream": Walk(build=lambda: House(box=(LONG,), mini=(BEST,)), stream=True, phases=phases("cancelled")),
    "a stream without a window": Walk(build=lambda: House(box=(LONG,)), stream=True, phases=phases("cancelled")),
    "a stream behind others": Walk(
        build=lambda: House(box=(LONG,), mini=(BEST,)), stream=True, occupied=True, phases=phases("", "cancelled")
    ),
    "a stream that is escalated": Walk(
        build=lambda: House(box=(LONG_BAD,), mini=(LONG,), big=(BEST,)),
        stream=True,
        phases=phases("cancelled", "cancelled cancelled", "superseded cancelled"),
    ),
    "a held stream that goes out after all": Walk(
        build=lambda: House(box=(LONG_BAD,), mini=(BROKEN,), big=(Streamed((Broken("cut"),)),)),
        stream=True,
        phases=phases("cancelled", "cancelled cancelled", "cancelled failed cancelled", "cancelled failed failed"),
    ),
    "json, held whole and escalated twice": Walk(
        build=lambda: House(box=(DEAR_JSON,), mini=(Streamed(pieces("{", "a")),), big=(DEAR_JSON,)),
        request=JSON,
        stream=True,
        phases=phases("cancelled", "cancelled cancelled", "cancelled cancelled cancelled"),
    ),
    "a stream after a fallback": Walk(
        build=lambda: House(box=(BROKEN,), mini=(Streamed((Broken("cut"),)),), big=(LONG,)),
        stream=True,
        phases=phases("cancelled", "failed cancelled", "failed failed cancelled"),
    ),
}


async def ask(house: House, request: ChatRequest, *, stream: bool) -> object:
    """What a caller does who stays."""
    return await (house.stream(request) if stream else house.answer(request))


async def leave_after(turns: int, walk: Walk, house: House, told: Unavailable | None) -> bool:
    """Hang up after so many turns of the loop; whether there was still somebody to hang up on."""
    permit = None
    if walk.occupied:
        permit = await house.gate.enter("small", applicant())
    task = asyncio.create_task(ask(house, walk.request, stream=walk.stream))
    for turn in range(turns):
        if permit is not None and turn == GATE_OPENS_AT:
            permit.release()
        await asyncio.sleep(0)
    task.cancel(told)
    await asyncio.wait([task])
    if permit is not None:
        permit.release()
    return task.cancelled()


async def outcomes_of(walk: Walk, told: Unavailable | None) -> list[Outcome]:
    """The outcome of leaving after each number of turns, until nobody is left to hang up on."""
    found: list[Outcome] = []
    for turns in range(1, MOST_TURNS):
        house = walk.build()
        cut = await leave_after(turns, walk, house, told)
        found.append(house.outcome)
        assert all(stream.closed == 1 for backend in house.backends.values() for stream in backend.streams)
        if not cut:
            return found[:-1]
    pytest.fail(f"not done after {MOST_TURNS} turns")


@pytest.mark.parametrize("name", WALKS)
async def test_a_caller_may_hang_up_at_any_turn(name: str) -> None:
    """One outcome, the slot given back, every stream closed once, every call paid for; in every phase."""
    walk = WALKS[name]
    outcomes = await outcomes_of(walk, None)
    assert {tuple(each.status.value for each in outcome.attempts) for outcome in outcomes} == walk.phases
    for outcome in outcomes:
        assert (outcome.status, outcome.code) == (OutcomeStatus.CANCELLED, None)
        assert outcome.http_status == (499 if outcome.answer is None else 200)
        assert (outcome.ttft_s is not None) == (outcome.answer is not None)
        assert all(each.cost_nano > 0 for each in outcome.attempts if each.status.value == "cancelled")


@pytest.mark.parametrize("name", WALKS)
async def test_a_caller_may_be_told_to_go_at_any_turn(name: str) -> None:
    """It was not them who hung up, and the record says so: refused before the first byte, interrupted after it."""
    walk = WALKS[name]
    for outcome in await outcomes_of(walk, SHUTDOWN):
        assert outcome.code is Code.SHUTTING_DOWN
        if outcome.answer is None:
            assert (outcome.status, outcome.http_status) == (OutcomeStatus.REFUSED, 503)
        else:
            assert (outcome.status, outcome.http_status) == (OutcomeStatus.INTERRUPTED, 200)


SLOW = Pause(seconds=5.0)
WAITS: dict[str, tuple[Callable[[], House], ChatRequest]] = {
    "a slow backend": (lambda: House(box=(Whole(says("x").outcome, SLOW),)), PINNED),
    "the provider's pause": (
        lambda: House(
            mini=(Whole(Refused("429", status=429, reason=Reason.RATE_LIMIT, retry_after=2.0)), GOOD),
        ),
        REQUEST,
    ),
}


@pytest.mark.parametrize("name", WAITS)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_caller_may_hang_up_while_time_passes(name: str, *, stream: bool) -> None:
    """Waiting for a backend, or for the pause that it asked for: the slot is free at once."""
    build, request = WAITS[name]
    house = build()
    task = asyncio.create_task(ask(house, request, stream=stream))
    await pass_time(1.0)
    task.cancel()
    await asyncio.wait([task])
    assert house.outcome.status is OutcomeStatus.CANCELLED
    assert house.outcome.attempt_count == 1


@pytest.mark.parametrize("silence", [0.5, 1.5, 2.5])
async def test_a_caller_may_hang_up_while_the_window_is_open_or_just_shut(silence: float) -> None:
    """Within its seconds and after them."""
    house = House(box=(Streamed((*pieces("a")[:1], Pause(60.0), *pieces("b"))),), mini=(GOOD,))
    task = asyncio.create_task(house.stream(REQUEST))
    await pass_time(silence)
    task.cancel()
    await asyncio.wait([task])
    assert house.tried() == [("box", "low_complexity", "cancelled")]
    assert (house.outcome.answer is None) == (silence < 2)


@pytest.mark.parametrize("stream", [False, True])
async def test_those_who_hang_up_say_nothing_of_the_backend(*, stream: bool) -> None:
    """However many do: its breaker stays shut, its slots stay whole, and the next one is answered."""
    slow = Whole(says("x").outcome, SLOW)
    house = House(box=(*[slow] * 40, GOOD), mini=(BEST,), slots=2)
    for _ in range(40):
        task = asyncio.create_task(ask(house, REQUEST, stream=stream))
        await pass_time(0.1)
        task.cancel()
        await asyncio.wait([task])
    house.assert_books(40)
    assert (await house.answer(REQUEST))[0] == "light"
    assert house.ledger.outcomes[-1].attempt_count == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_neither_do_they_excuse_it(*, stream: bool) -> None:
    """Between failures, somebody who hangs up is no success: the fifth failure in a row opens the breaker."""
    slow = Whole(says("x").outcome, SLOW)
    house = House(mini=(*[BROKEN] * 4, slow, BROKEN), big=(BEST,))
    for _ in range(4):
        await house.answer(REQUEST)
    task = asyncio.create_task(ask(house, REQUEST, stream=stream))
    await pass_time(0.1)
    task.cancel()
    await asyncio.wait([task])
    assert house.breaker_open_s("mini") == 0
    await house.answer(REQUEST)
    assert house.breaker_open_s("mini") > 0


async def test_who_hangs_up_on_a_probe_leaves_room_for_another() -> None:
    """A backend that is tried again after a pause is not locked away for ever by a caller who left."""
    slow = Whole(says("x").outcome, SLOW)
    house = House(mini=(*[BROKEN] * 5, slow, GOOD), big=(BEST,))
    for _ in range(5):
        await house.answer(REQUEST)
    assert house.breaker_open_s("mini") > 0
    await pass_time(20.0)
    task = asyncio.create_task(house.answer(REQUEST))
    await pass_time(0.1)
    assert house.breaker_open_s("mini") > 0
    task.cancel()
    await asyncio.wait([task])
    assert (await house.answer(REQUEST))[0] == "light"


async def test_one_who_leaves_the_queue_does_not_take_the_slot_along() -> None:
    """A slot that was granted in the same turn as its caller left goes to the next one who waits."""
    house = House(box=(GOOD,))
    for turns in range(40):
        permit = await house.gate.enter("small", applicant())
        first, second = (asyncio.create_task(house.answer(PINNED, IDENTITY)) for _ in range(2))
        for _ in range(5):
            await asyncio.sleep(0)
        permit.release()
        for _ in range(turns):
            await asyncio.sleep(0)
        first.cancel()
        assert (await second)[0] == "light"
        await asyncio.wait([first])
    house.assert_books(len(house.ledger.outcomes))
    assert len(house.ledger.outcomes) == 2 * 40
