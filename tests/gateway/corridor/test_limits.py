"""Backends whose limits are used up: they are left alone until they said they want calls again, and callers hear it."""

import pytest

from gateway.errors import AnswerError, Code, Reason, Refused
from tests.gateway.corridor.backends import Whole, says
from tests.gateway.corridor.house import MEDIUM, House
from tests.gateway.nouns import REQUEST, change
from tests.gateway.virtual_time import pass_time

pytestmark = pytest.mark.parametrize("stream", [False, True])

PINNED = change(REQUEST, requested_model="mini")
MID, BEST = says("mid"), says("premium")


def last_of_its_limit(seconds: float) -> Whole:
    """An answer that comes with the word that no further call is taken for so long."""
    assert not isinstance(MID.outcome, Exception)
    return Whole(change(MID.outcome, pause_s=seconds))


async def ask(house: House, *, stream: bool) -> None:
    """One answer, read to its end."""
    if stream:
        await house.stream(PINNED)
    else:
        await house.answer(PINNED)


async def test_the_last_call_of_a_limit_is_the_last(*, stream: bool) -> None:
    """The answer that says so is given, and until the limit is renewed nobody is sent there to be refused."""
    house = House(mini=(last_of_its_limit(20.0), MID))
    await ask(house, stream=stream)
    assert house.breaker_open_s("mini") == pytest.approx(20.0)
    with pytest.raises(AnswerError) as caught:
        await ask(house, stream=stream)
    assert (caught.value.code, caught.value.status) == (Code.RATE_LIMITED, 429)
    assert caught.value.retry_after == pytest.approx(20.0)
    await pass_time(20.0)
    await ask(house, stream=stream)
    assert len(house["mini"].calls) == 2


async def test_others_answer_meanwhile(*, stream: bool) -> None:
    """Whoever may go elsewhere does, at once, and is told that the limit was the reason."""
    house = House(mini=(last_of_its_limit(20.0), MID), big=(BEST,), difficulty=MEDIUM)
    await ask(house, stream=stream)
    house.ledger.outcomes.clear()
    if stream:
        await house.stream(REQUEST)
    else:
        await house.answer(REQUEST)
    (outcome,) = house.ledger.outcomes
    assert [(each.backend, each.reason) for each in outcome.attempts] == [("big", Reason.RATE_LIMIT)]
    assert [(each.backend, each.reason) for each in outcome.passed_over] == [("mini", Reason.RATE_LIMIT)]


async def test_who_comes_after_a_refusal_hears_when_to_come_back(*, stream: bool) -> None:
    """The first caller is told by the backend, the next one by the breaker: both get 429 and the seconds."""
    refused = Refused("mini: 429", status=429, reason=Reason.RATE_LIMIT, retry_after=30.0)
    house = House(mini=(Whole(refused), MID))
    for _ in range(2):
        with pytest.raises(AnswerError) as caught:
            await ask(house, stream=stream)
        assert caught.value.code is Code.RATE_LIMITED
        assert caught.value.retry_after == pytest.approx(30.0)
    assert len(house["mini"].calls) == 1


async def test_an_overloaded_backend_is_asked_once_more(*, stream: bool) -> None:
    """529 is Anthropic's word for what is 503 elsewhere."""
    refused = Refused("mini: 529", status=529, reason=Reason.UPSTREAM_ERROR, retry_after=1.0)
    house = House(mini=(Whole(refused), MID))
    await ask(house, stream=stream)
    assert house.tried() == [("mini", "pinned", "failed"), ("mini", "pinned", "answered")]
