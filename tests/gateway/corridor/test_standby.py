"""A backend whose engine has a standby: who answers, as whom, and what it costs the other one."""

import asyncio

import pytest

from gateway.confidence import Calibration, Confidence, Floors
from gateway.confidence.evidence import Band
from gateway.errors import Broken, EngineGone, Reason, Unavailable
from gateway.messages import ChatRequest, Message, ResponseFormat, TokenLogprob
from gateway.outcome import Outcome, OutcomeStatus
from gateway.types import Answerer, EngineView
from tests.gateway.corridor.backends import FakeBackend, Pause, Streamed, Whole, pieces, says
from tests.gateway.corridor.house import DOWN, LIMITS, UP, House, text_of
from tests.gateway.nouns import CHOICE, COMPLETION, REQUEST, change
from tests.gateway.virtual_time import pass_time

BIG, SMALL = says("From the GPU."), says("From the CPU.")
PINNED = change(REQUEST, requested_model="box")
JSON = change(PINNED, response_format=ResponseFormat("json_object"))
LONG = change(PINNED, messages=(Message("user", "word " * 2000),))
RESTARTING = change(DOWN, given_up=False, detail="restarting: killed by signal 9")
BROKE = Whole(Broken("box: the answer stopped short"))


def served_by(outcome: Outcome) -> tuple[str, str | None]:
    """The backend and the engine that the ledger has."""
    assert outcome.answer is not None
    return outcome.answer.backend, outcome.answer.served_by


def standby_of(house: House) -> FakeBackend:
    """The standby of the box."""
    found = house["box"].standby
    assert found is not None
    return found


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("view", "text", "engine"), [(UP, "GPU", "small"), (RESTARTING, "CPU", "cpu")])
async def test_who_is_up_answers_under_the_same_name(*, stream: bool, view: EngineView, text: str, engine: str) -> None:
    """At once, and the record tells which engine it was."""
    house = House(box=(BIG,), standby=(SMALL,), mini=(says("From the cloud."),))
    house.gate.update(view)
    began = asyncio.get_running_loop().time()
    if stream:
        assert text_of(await house.stream(REQUEST)) == f"From the {text}."
    else:
        assert (await house.answer(REQUEST))[0] == f"From the {text}."
    assert asyncio.get_running_loop().time() == began
    assert served_by(house.outcome) == ("box", engine)
    assert house.tried() == [("box", "low_complexity", "answered")]


async def test_the_engine_answers_again_when_it_is_back() -> None:
    """Each request finds whoever is up then."""
    house = House(box=(BIG,), standby=(SMALL,))
    found = []
    for view in (UP, RESTARTING, DOWN, UP):
        house.gate.update(view)
        found.append(served_by((await house.answer(REQUEST))[1])[1])
    assert found == ["small", "cpu", "cpu", "small"]


@pytest.mark.parametrize("request_", [JSON, LONG])
async def test_what_the_standby_cannot_do_waits_for_the_engine(request_: ChatRequest) -> None:
    """It is no fault of the caller's that the engine is down: who waits gets it, who cannot is told to come back."""
    house = House(box=(says("{}"),), standby=(SMALL,))
    house.gate.update(RESTARTING)
    asyncio.get_running_loop().call_later(3.0, house.gate.update, UP)
    assert served_by((await house.answer(request_))[1]) == ("box", "small")
    house.gate.update(DOWN)
    with pytest.raises(Unavailable) as caught:
        await house.answer(request_)
    assert (caught.value.status, caught.value.retry_after) == (503, 2.0)
    assert standby_of(house).calls == []


async def test_the_standby_is_asked_within_its_own_bounds() -> None:
    """The limit of its answer is what its context leaves, and not the engine's."""
    house = House(box=(BIG,), standby=(SMALL,))
    house.gate.update(RESTARTING)
    await house.answer(change(PINNED, sampling=change(PINNED.sampling, max_tokens=50_000)))
    (call,) = standby_of(house).calls
    assert call.max_tokens is not None
    assert 900 < call.max_tokens < 1000


async def test_its_answer_is_scored_by_its_own_calibration() -> None:
    """The same log-probabilities are usual for one model and poor for the other."""
    floors = {"small": Floors(-8.0, -4.0), "cpu": Floors(-0.2, -0.1)}
    calibrations: dict[Answerer, Calibration] = {
        ("box", engine): Calibration(floors=dict.fromkeys(Band, each)) for engine, each in floors.items()
    }
    unsure = Whole(change(COMPLETION, choices=(change(CHOICE, logprobs=(TokenLogprob("four", -1.0),) * 4),)))
    house = House(box=(unsure,), standby=(unsure,), confidence=Confidence(calibrations, ()))
    scores = []
    for view in (UP, RESTARTING):
        house.gate.update(view)
        answer = (await house.answer(PINNED))[1].answer
        assert answer is not None
        scores.append(answer.confidence)
    sure, doubtful = scores
    assert sure is not None
    assert doubtful is not None
    assert sure > 0.7
    assert doubtful < 0.3


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("gone", [BROKE, Whole(EngineGone("box: its engine takes no connections"))])
async def test_who_met_its_death_and_has_nobody_else_is_answered_by_the_standby(*, stream: bool, gone: Whole) -> None:
    """Nothing of the first answer was passed on. The host need not have noticed yet."""
    house = House(box=(gone,), standby=(SMALL,))
    if stream:
        assert text_of(await house.stream(PINNED)) == "From the CPU."
    else:
        assert (await house.answer(PINNED))[0] == "From the CPU."
    assert served_by(house.outcome) == ("box", "cpu")


async def test_who_may_go_elsewhere_goes_there_as_ever() -> None:
    """A request that met the death of its engine is the next backend's."""
    house = House(box=(BROKE,), standby=(SMALL,), mini=(says("From the cloud."),))
    assert (await house.answer(REQUEST))[0] == "From the cloud."


async def test_what_is_committed_is_never_switched() -> None:
    """A stream that breaks after its first byte ends, whoever stands by."""
    house = House(box=(Streamed((*pieces("Half")[:1], Broken("box: the stream broke"))),), standby=(SMALL,))
    committed = await house.open(PINNED)
    assert text_of(await committed.batch()) == "Half"
    with pytest.raises(Unavailable):
        await committed.batch()
    committed.close()
    assert house.outcome.status is OutcomeStatus.INTERRUPTED
    assert standby_of(house).calls == []


async def test_failures_of_one_are_not_held_against_the_other() -> None:
    """Each has its breaker: an engine that keeps failing leaves its standby free, and the other way round."""
    house = House(box=(BIG,), standby=(BROKE,), limits=change(LIMITS, max_attempts=1))
    house.gate.update(RESTARTING)
    for _ in range(5):
        with pytest.raises(Unavailable):
            await house.answer(PINNED)
        house.gate.update(change(UP, name="cpu", detail="again"))
        await pass_time(2.0)
    breakers, now = house.attempts.breakers, asyncio.get_running_loop().time()
    assert breakers["box", "cpu"].open_for(now) > 0
    assert breakers["box", "small"].open_for(now) == 0
    house.gate.update(UP)
    assert (await house.answer(PINNED))[0] == "From the GPU."


async def test_a_standby_that_is_full_says_so() -> None:
    """Its slots count, not the engine's."""
    blocked = asyncio.Event()
    slow = Whole(COMPLETION, Pause(until=blocked))
    house = House(box=(BIG,), standby=(slow,), slots=1)
    house.gate.update(RESTARTING)
    first = asyncio.create_task(house.answer(PINNED))
    await pass_time(0.1)
    with pytest.raises(Unavailable) as caught:
        await house.answer(PINNED)
    assert caught.value.status == 429
    assert [each.reason for each in house.ledger.outcomes[0].passed_over] == [Reason.NO_CAPACITY]
    assert "engine cpu" in house.ledger.outcomes[0].passed_over[0].detail
    blocked.set()
    assert served_by((await first)[1]) == ("box", "cpu")
