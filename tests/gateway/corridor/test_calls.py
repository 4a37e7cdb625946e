"""What a backend is asked, and what of a request it is not sent."""

import asyncio

import pytest

from gateway.messages import ChatRequest, Sampling
from gateway.types import BackendSpec, Capability, Priority, Tier
from tests.gateway.corridor.backends import says
from tests.gateway.corridor.house import BIG, BOX, EASY, HARD, MEDIUM, MINI, POOR, House
from tests.gateway.nouns import IDENTITY, REQUEST, SLA, change

pytestmark = pytest.mark.parametrize("stream", [False, True])

LEVELS = {Tier.LIGHT: EASY, Tier.MID: MEDIUM, Tier.PREMIUM: HARD}
SPECS = {Tier.LIGHT: BOX, Tier.MID: MINI, Tier.PREMIUM: BIG}
GIVES_NO_LOGPROBS = frozenset(Capability) - {Capability.LOGPROBS}


async def asked(request: ChatRequest, tier: Tier, spec: BackendSpec | None = None, *, stream: bool) -> House:
    """A house in which the backend of this tier was asked."""
    answer = (says("x"),)
    specs = tuple(spec if spec is not None and spec.name == each.name else each for each in SPECS.values())
    house = House(box=answer, mini=answer, big=answer, difficulty=LEVELS[tier], specs=specs)
    await (house.stream(request) if stream else house.answer(request))
    assert [each.tier for each in house.outcome.attempts] == [tier]
    return house


LOGPROBS: list[tuple[Tier, frozenset[Capability], int | None, int | None]] = [
    # The gateway asks for what it scores answers by, where there is any and somebody could do better.
    (Tier.LIGHT, frozenset(Capability), None, 1),
    (Tier.MID, frozenset(Capability), None, 1),
    (Tier.PREMIUM, frozenset(Capability), None, None),
    (Tier.LIGHT, GIVES_NO_LOGPROBS, None, None),
    # The client gets what it asked for, on every tier.
    (Tier.LIGHT, frozenset(Capability), 5, 5),
    (Tier.LIGHT, frozenset(Capability), 0, 1),
    (Tier.PREMIUM, frozenset(Capability), 5, 5),
    (Tier.PREMIUM, frozenset(Capability), 0, 0),
]
"""Tier, what the backend can, what the client asked for, what the backend is asked for."""


@pytest.mark.parametrize(("tier", "can", "wanted", "top"), LOGPROBS)
async def test_logprobs(
    tier: Tier, can: frozenset[Capability], wanted: int | None, top: int | None, *, stream: bool
) -> None:
    """For the client and for the score, whichever needs more."""
    request = change(REQUEST, logprobs=wanted is not None, top_logprobs=wanted or 0)
    spec = change(SPECS[tier], capabilities=can)
    house = await asked(request, tier, spec, stream=stream)
    assert house[spec.name].calls[0].top_logprobs == top


ROOM: list[tuple[int | None, int | None, int | None, int | None]] = [
    (None, None, None, None),
    (None, 4096, 100, None),
    (500, None, None, 500),
    (500, 4096, None, 500),
    (500, None, 100, 100),
    (500, None, 1_000, 500),
    (5_000, 1_000, None, -1),
    (5_000, 1_000, 100, 100),
]
"""The caller's limit, the backend's context and its largest answer; then the limit it is sent, -1 the rest of it."""


@pytest.mark.parametrize(("wanted", "context", "most", "sent"), ROOM)
async def test_the_callers_limit_is_lowered_to_what_there_is_room_for(
    wanted: int | None, context: int | None, most: int | None, sent: int | None, *, stream: bool
) -> None:
    """Some providers refuse a limit that they cannot keep; where the caller set none, none is sent."""
    request = change(REQUEST, sampling=Sampling(max_tokens=wanted))
    house = await asked(request, Tier.MID, change(MINI, context=context, max_output=most), stream=stream)
    assert house.outcome.classification is not None
    prompt = house.outcome.classification.prompt
    rest = (context or 0) - prompt.tokens - prompt.error
    assert house["mini"].calls[0].max_tokens == (rest if sent == -1 else sent)


async def test_the_request_and_its_deadline(*, stream: bool) -> None:
    """The request travels as it is; every call of it has the one deadline."""
    began = asyncio.get_running_loop().time()
    house = House(box=(says(POOR),), mini=(says("mid"),), request_timeout_s=7.0)
    await (house.stream(REQUEST) if stream else house.answer(REQUEST))
    calls = [house["box"].calls[0], house["mini"].calls[0]]
    assert [call.request.messages for call in calls] == [REQUEST.messages] * 2
    assert [call.deadline for call in calls] == [began + 7.0] * 2


@pytest.mark.parametrize("priority", list(Priority))
async def test_the_priority_of_the_class_goes_with_every_call(priority: Priority, *, stream: bool) -> None:
    """Who is called may serve by it."""
    house = House(box=(says(POOR),), mini=(says("mid"),))
    identity = change(IDENTITY, sla=change(SLA, priority=priority))
    await (house.stream(REQUEST, identity) if stream else house.answer(REQUEST, identity))
    assert [house[name].calls[0].priority for name in ("box", "mini")] == [priority] * 2


async def test_fields_that_the_answering_backend_was_not_sent_are_named(*, stream: bool) -> None:
    """Beside those that nobody knows; not those that another one would not have been sent."""
    house = House(box=(says(POOR),), mini=(says("mid"),))
    house["box"].ignored, house["mini"].ignored = ("top_p",), ("seed",)
    request = change(REQUEST, ignored=("store",))
    await (house.stream(request) if stream else house.answer(request))
    assert house.outcome.ignored == ("seed", "store")
