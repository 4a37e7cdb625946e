"""Faults of our own, wherever they happen: the caller gets an error, and the books agree all the same."""

import asyncio
from collections.abc import Callable

import pytest

from gateway.classify import Classifier
from gateway.confidence import Confidence
from gateway.errors import AnswerError, Code
from gateway.messages import ChatRequest, Completion, Delta
from gateway.outcome import OutcomeStatus
from gateway.types import Answerer, Classification, Score, TokenCount
from tests.gateway.classify.readings import SHIPPED
from tests.gateway.corridor.backends import Pause, Streamed, Whole, pieces, says
from tests.gateway.corridor.house import MEDIUM, POOR, House, pieces_of, text_of
from tests.gateway.nouns import REQUEST
from tests.gateway.virtual_time import pass_time


class Fault(RuntimeError):
    """Something nobody thought of."""


FAULT = Fault("a fault of ours")
GOOD, BAD, MID = says("light"), says(f"light {POOR}"), says("mid")
SLOW = Whole(says("x").outcome, Pause(seconds=30.0))


class FaultyJudge(Confidence):
    """A judge that fails on the judgements of these numbers."""

    def __init__(self, *fails: int) -> None:
        super().__init__({}, (POOR,))
        self._fails = fails
        self.asked = 0

    def judge(self, request: ChatRequest, completion: Completion, by: Answerer, *, partial: bool = False) -> Score:
        """The score of an answer, or not."""
        self.asked += 1
        if self.asked in self._fails:
            raise FAULT
        return super().judge(request, completion, by, partial=partial)


class FaultyClassifier(Classifier):
    """A classifier that fails."""

    def __init__(self) -> None:
        super().__init__(SHIPPED, {})

    def classify(self, request: ChatRequest, prompt: TokenCount) -> Classification:
        """No classification."""
        raise Fault(f"request {request.id} of {prompt.tokens} tokens cannot be classified")


BEFORE_THE_FIRST_BYTE: dict[str, tuple[Callable[[], House], int]] = {
    "the backend": (lambda: House(box=(Whole(FAULT),), mini=(MID,)), 1),
    "the backend, with a weaker one beside it": (
        lambda: House(mini=(Whole(FAULT),), box=(GOOD,), difficulty=MEDIUM),
        1,
    ),
    "the backend, asked for a better answer": (lambda: House(box=(BAD,), mini=(Whole(FAULT),)), 2),
    "the judge": (lambda: House(box=(GOOD,), mini=(MID,), confidence=FaultyJudge(1)), 1),
    "the judge of the better answer": (lambda: House(box=(BAD,), mini=(MID,), confidence=FaultyJudge(2)), 2),
}
"""Where it happens, and how many calls had been made by then."""


@pytest.mark.parametrize("where", BEFORE_THE_FIRST_BYTE)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_fault_before_the_first_byte_is_an_internal_error(where: str, *, stream: bool) -> None:
    """Nobody else is asked; slots are given back, streams closed, and one outcome is written."""
    build, calls = BEFORE_THE_FIRST_BYTE[where]
    house = build()
    with pytest.raises(Fault):
        await (house.stream(REQUEST) if stream else house.answer(REQUEST))
    outcome = house.outcome
    assert (outcome.status, outcome.code, outcome.http_status) == (
        OutcomeStatus.REFUSED,
        Code.INTERNAL_ERROR,
        500,
    )
    assert outcome.answer is None
    assert outcome.attempt_count == sum(len(backend.calls) for backend in house.backends.values()) == calls


@pytest.mark.parametrize("stream", [False, True])
async def test_a_fault_before_anything_is_decided_is_one_too(*, stream: bool) -> None:
    """It was a request, so there is an outcome of it."""
    house = House(box=(GOOD,), classifier=FaultyClassifier())
    with pytest.raises(Fault):
        await (house.stream(REQUEST) if stream else house.answer(REQUEST))
    outcome = house.outcome
    assert (outcome.status, outcome.code, outcome.http_status) == (OutcomeStatus.REFUSED, Code.INTERNAL_ERROR, 500)
    assert (outcome.attempts, outcome.classification) == ((), None)


IN_THE_STREAM: dict[str, Streamed] = {
    "at once": Streamed((FAULT,)),
    "in the window": Streamed((*pieces("a")[:1], FAULT)),
}


@pytest.mark.parametrize("when", IN_THE_STREAM)
async def test_a_fault_in_the_window_is_not_seen(when: str) -> None:
    """No byte has left, so it is an error with a status."""
    house = House(box=(IN_THE_STREAM[when],), mini=(MID,))
    with pytest.raises(Fault):
        await house.stream(REQUEST)
    assert house.outcome.code is Code.INTERNAL_ERROR
    assert house.tried() == [("box", "low_complexity", "cancelled")]


AFTER_THE_FIRST_BYTE: dict[str, tuple[Streamed, tuple[int, ...]]] = {
    "the backend": (Streamed((*pieces(*"abcdef")[:-1], FAULT)), ()),
    "the judge, at the end": (Streamed(pieces(*"abcdef")), (2,)),
    "the backend and the judge": (Streamed((*pieces(*"abcdef")[:-1], FAULT)), (2,)),
}
"""How the stream goes, and which judgements fail; the first is that of the window."""


@pytest.mark.parametrize("where", AFTER_THE_FIRST_BYTE)
async def test_a_fault_after_the_first_byte_interrupts_the_answer(where: str) -> None:
    """It is not the caller who hung up: whoever reads the record finds our own fault in it, and it once."""
    behaviour, judgements = AFTER_THE_FIRST_BYTE[where]
    house = House(box=(behaviour,), mini=(MID,), confidence=FaultyJudge(*judgements))
    committed = await house.open(REQUEST)
    assert text_of(await committed.batch()) == "abcd"
    with pytest.raises(Fault):
        await pieces_of(committed)
    assert await committed.batch() == []
    committed.close()
    outcome = house.outcome
    assert committed.outcome is outcome
    assert (outcome.status, outcome.code, outcome.http_status) == (
        OutcomeStatus.INTERRUPTED,
        Code.INTERNAL_ERROR,
        200,
    )
    assert house.tried() == [("box", "low_complexity", "interrupted")]
    assert house["box"].streams[0].closed == 1


async def test_a_judge_who_fails_on_a_caller_who_left_changes_nothing() -> None:
    """They hung up; that is the outcome, though the fault is told."""
    house = House(box=(Streamed(pieces(*"abcdef")),), mini=(MID,), confidence=FaultyJudge(2))
    committed = await house.open(REQUEST)
    await committed.batch()
    with pytest.raises(Fault):
        committed.close()
    committed.close()
    assert (house.outcome.status, house.outcome.code) == (OutcomeStatus.CANCELLED, None)


@pytest.mark.parametrize("stream", [False, True])
async def test_faults_of_ours_say_nothing_of_a_backend(*, stream: bool) -> None:
    """However many: its breaker stays shut, its slots stay whole."""
    house = House(box=(*[Whole(FAULT)] * 30, GOOD), mini=(MID,))
    for _ in range(30):
        with pytest.raises(Fault):
            await (house.stream(REQUEST) if stream else house.answer(REQUEST))
    assert (await house.answer(REQUEST))[0] == "light"
    house.assert_books(31)


async def test_many_at_once() -> None:
    """Good answers, bad ones, failures, faults and callers who leave, all together: each has its one outcome."""
    behaviours = (GOOD, BAD, Whole(FAULT), SLOW, Streamed((*pieces("a")[:1], FAULT)), Streamed(pieces(*"abcdef")))
    house = House(box=behaviours * 20, mini=behaviours * 20, big=(GOOD,), slots=3)

    async def ask() -> list[Delta] | None:
        try:
            return await house.stream(REQUEST)
        except (AnswerError, Fault):
            return None

    tasks = [asyncio.create_task(ask()) for _ in range(60)]
    # Before the slow ones are taken back from an engine that was quick so far, and stands still now.
    await pass_time(0.5)
    for task in tasks[::3]:
        task.cancel()
    await asyncio.wait(tasks)
    house.assert_books(60)
    assert {outcome.status for outcome in house.ledger.outcomes} == set(OutcomeStatus)
