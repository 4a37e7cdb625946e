"""A backend that counts more tokens than were estimated: where the class says so, it is asked with fewer turns."""

import pytest

from gateway.errors import AnswerError, Code, Reason, Refused
from gateway.messages import Message
from gateway.types import Identity
from tests.gateway.corridor.backends import Whole, says
from tests.gateway.corridor.house import LIMITS, House
from tests.gateway.nouns import IDENTITY, REQUEST, SLA, change

pytestmark = pytest.mark.parametrize("stream", [False, True])

SHORTENED = change(IDENTITY, sla=change(SLA, truncate=True))
TOO_LONG = Whole(Refused("mini: 400", status=400, reason=Reason.CONTEXT_LENGTH))
TALK = tuple([Message("assistant" if number % 2 else "user", "a word or two " * 20) for number in range(20)])
PINNED = change(REQUEST, requested_model="mini", messages=(*TALK, Message("user", "And now?")))
GOOD = says("mid")


async def ask(house: House, identity: Identity = SHORTENED, *, stream: bool) -> None:
    """One answer, read to its end."""
    if stream:
        await house.stream(PINNED, identity)
    else:
        await house.answer(PINNED, identity)


async def test_it_is_asked_again_with_fewer_turns(*, stream: bool) -> None:
    """Half of what it was sent first, the oldest turns gone; the record says how many and why."""
    house = House(mini=(TOO_LONG, GOOD))
    await ask(house, stream=stream)
    first, second = (call.request.messages for call in house["mini"].calls)
    dropped = house.outcome.dropped_turns
    assert first == PINNED.messages
    assert second == first[dropped:]
    assert 8 <= dropped <= 14
    assert house.tried() == [("mini", "pinned", "failed"), ("mini", "context_length", "answered")]


async def test_it_is_asked_until_it_takes_it_or_calls_are_used_up(*, stream: bool) -> None:
    """Each time with half; who has no more calls is told that the prompt is too long."""
    house = House(mini=(TOO_LONG,) * 3, limits=change(LIMITS, max_attempts=3))
    with pytest.raises(AnswerError) as caught:
        await ask(house, stream=stream)
    assert (caught.value.status, caught.value.code) == (400, Code.CONTEXT_LENGTH_EXCEEDED)
    lengths = [len(call.request.messages) for call in house["mini"].calls]
    assert lengths[0] > lengths[1] > lengths[2] > 1


async def test_others_come_first(*, stream: bool) -> None:
    """Nothing is dropped where somebody else takes it whole."""
    house = House(box=(TOO_LONG,), mini=(GOOD,))
    request = change(PINNED, requested_model="auto")
    if stream:
        await house.stream(request, SHORTENED)
    else:
        await house.answer(request, SHORTENED)
    assert house.outcome.dropped_turns == 0
    assert house["mini"].calls[0].request.messages == PINNED.messages


async def test_without_that_policy_it_is_not_asked_again(*, stream: bool) -> None:
    """The refusal goes to the caller."""
    house = House(mini=(TOO_LONG, GOOD))
    with pytest.raises(AnswerError) as caught:
        await ask(house, IDENTITY, stream=stream)
    assert caught.value.code is Code.CONTEXT_LENGTH_EXCEEDED
    assert len(house["mini"].calls) == 1
