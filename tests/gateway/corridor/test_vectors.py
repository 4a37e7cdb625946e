"""The corridor of vectors: one model, whoever of its backends is well, and exactly one record."""

import asyncio
from collections import deque

import pytest

from gateway.embedder import Embedder, EmbedderSettings
from gateway.errors import (
    AnswerError,
    AttemptError,
    Broken,
    Code,
    EngineGone,
    Reason,
    Refused,
    RequestError,
    Unavailable,
    Unreachable,
)
from gateway.gate import Gate, GateSettings
from gateway.messages import Usage, UsageQuality
from gateway.outcome import Outcome, OutcomeStatus
from gateway.policy import Policy, Regions
from gateway.routing import RoutingTable
from gateway.types import Allowance, BackendSpec, Identity, Priority, Tier
from gateway.vectors import EmbeddingRequest, Vectors
from tests.gateway.applicants import applicant
from tests.gateway.corridor.backends import Pause, rest
from tests.gateway.corridor.house import DOWN, UP, Ledger, assert_consistent
from tests.gateway.nouns import IDENTITY, PRICE, SLA, SPEC, change
from tests.gateway.virtual_time import pass_time

REQUEST = EmbeddingRequest(id="r-1", created=0, requested_model="box", inputs=("one", "two"))
GOOD = Vectors(
    model="mini-1.0", data=((0.5, 1.0), (1.0, 0.5)), width=2, usage=Usage(prompt=6, quality=UsageQuality.EXACT)
)
UNCOUNTED = change(GOOD, usage=Usage())
BOX = change(SPEC, name="box", on_box=True, engine="small", vectors="mini", price=PRICE, context=20)
EU = change(SPEC, name="eu", vectors="mini", price=PRICE)
OTHER = change(SPEC, name="other", vectors="maxi", price=PRICE)
SLOW = Pause(seconds=500.0)
Behaviour = Vectors | AttemptError | RuntimeError | Pause


class FakeVectors:
    """Answers each call by the next of its behaviours, and by the last one from then on; see `ports.VectorBackend`."""

    def __init__(self, spec: BackendSpec, *behaviours: Behaviour) -> None:
        self.spec = spec
        self.calls = 0
        self.deadlines: list[float] = []
        self.priorities: list[Priority] = []
        self._behaviours = deque(behaviours)

    def ignores(self, request: EmbeddingRequest) -> tuple[str, ...]:
        """It takes no `user`."""
        return () if request.user is None else ("user",)

    async def embed(self, request: EmbeddingRequest, deadline: float, priority: Priority) -> Vectors:
        """A vector for each input."""
        self.calls += 1
        self.deadlines.append(deadline)
        self.priorities.append(priority)
        behaviour = self._behaviours[0]
        if len(self._behaviours) > 1:
            self._behaviours.popleft()
        await rest(behaviour if isinstance(behaviour, Pause) else Pause())
        assert request.inputs
        if isinstance(behaviour, Vectors):
            return behaviour
        assert isinstance(behaviour, Exception)
        raise behaviour


class Room:
    """box on the engine `small`, and eu, give the same vectors; other gives another model's."""

    def __init__(self, *box: Behaviour, eu: tuple[Behaviour, ...] = (), most: int = 3) -> None:
        self.other = FakeVectors(OTHER, GOOD)
        self.backends = {"box": FakeVectors(BOX, *box), "other": self.other}
        if eu:
            self.backends["eu"] = FakeVectors(EU, *eu)
        self.gate = Gate({"small": 1}, GateSettings(max_wait_s=1.0, max_wait_alone_s=5.0, max_waiting=4))
        self.gate.update(UP)
        self.ledger = Ledger()
        self.most = most
        self.embedder = Embedder(
            Policy(Regions({}), local_only=False),
            RoutingTable({name: each.spec for name, each in self.backends.items()}, {}, {}),
            self.backends,
            self.gate,
            self.ledger.record,
            EmbedderSettings(max_attempts=most, request_timeout_s=60.0, policy_hash="0123456789ab"),
        )

    async def embed(self, request: EmbeddingRequest = REQUEST, identity: Identity = IDENTITY) -> Vectors:
        """What a caller gets."""
        async with asyncio.timeout(1_000):
            vectors, outcome = await self.embedder.embed(request, identity)
        assert self.ledger.outcomes[-1] is outcome
        return vectors

    @property
    def outcome(self) -> Outcome:
        """The one record there is; the books agree, and no slot is held. The other model was never asked."""
        (outcome,) = self.ledger.outcomes
        assert_consistent(outcome, self.most)
        assert all(state.in_use == state.waiting == 0 for state in self.gate.states())
        assert self.other.calls == 0
        return outcome

    def tried(self) -> list[tuple[str, str, str]]:
        """Backend, reason and status of each attempt."""
        return [(each.backend, each.reason.value, each.status.value) for each in self.outcome.attempts]


async def test_vectors_and_their_record() -> None:
    """They are no work for any tier: no score, no escalation; the tokens that were read are paid for."""
    room = Room(GOOD)
    assert await room.embed(change(REQUEST, user="u", ignored=("x",))) is GOOD
    outcome = room.outcome
    assert (outcome.status, outcome.cost_nano, outcome.escalated) == (OutcomeStatus.OK, 6_000, False)
    assert outcome.answer is not None
    assert (outcome.answer.tier, outcome.answer.reason, outcome.answer.response_model) == (
        Tier.VECTORS,
        Reason.PINNED,
        "mini-1.0",
    )
    assert outcome.classification is not None
    assert (outcome.classification.task, outcome.for_vectors) == ("embeddings", True)
    assert outcome.answer.served_by == "small"
    assert outcome.ignored == ("user", "x")


async def test_what_is_not_counted_is_charged_at_its_largest() -> None:
    """Nothing is ever written, so nothing is charged for that."""
    room = Room(UNCOUNTED)
    await room.embed(change(REQUEST, inputs=((1, 2, 3), (4,))))
    (attempt,) = room.outcome.attempts
    assert attempt.usage == Usage(prompt=4, completion=0, quality=UsageQuality.ESTIMATED)
    assert room.outcome.cost_nano == 4_000


FAILURES: list[tuple[AttemptError, Reason]] = [
    (Unreachable("box: lost", retryable=False), Reason.UPSTREAM_ERROR),
    (Broken("box: cut"), Reason.UPSTREAM_ERROR),
    (Refused("box: 500", status=500, reason=Reason.UPSTREAM_ERROR), Reason.UPSTREAM_ERROR),
    (Refused("box: 429", status=429, reason=Reason.RATE_LIMIT, retry_after=1.0), Reason.RATE_LIMIT),
]


@pytest.mark.parametrize(("error", "reason"), FAILURES)
async def test_another_backend_of_the_same_model_follows(error: AttemptError, reason: Reason) -> None:
    """And says why it was asked."""
    room = Room(error, eu=(GOOD,))
    assert await room.embed() is GOOD
    assert room.tried() == [("box", "pinned", "failed"), ("eu", reason.value, "answered")]


@pytest.mark.parametrize("error", [each for each, _ in FAILURES])
async def test_another_model_never_does(error: AttemptError) -> None:
    """Whatever went wrong, and although it is well."""
    room = Room(error)
    with pytest.raises(AnswerError):
        await room.embed()
    assert {backend for backend, _, _ in room.tried()} == {"box"}


async def test_a_limit_is_waited_for_where_nobody_else_would_do() -> None:
    """A second that the backend asked for, and one call more."""
    room = Room(FAILURES[3][0], GOOD)
    began = asyncio.get_running_loop().time()
    assert await room.embed() is GOOD
    assert asyncio.get_running_loop().time() - began == pytest.approx(1.0)
    assert room.tried() == [("box", "pinned", "failed"), ("box", "pinned", "answered")]
    assert room.outcome.cost_nano == 6_000


async def test_there_are_no_more_calls_than_allowed() -> None:
    """However many backends there are."""
    room = Room(Broken("box: cut"), eu=(GOOD,), most=1)
    with pytest.raises(Unavailable):
        await room.embed()
    assert room.tried() == [("box", "pinned", "failed")]


async def test_a_backend_that_keeps_failing_is_left_alone() -> None:
    """Its breaker is its own."""
    room = Room(FAILURES[2][0], eu=(GOOD,))
    for _ in range(7):
        await room.embed()
    assert room.backends["box"].calls == 5
    assert room.ledger.outcomes[-1].passed_over[0].backend == "box"


async def test_an_engine_that_died_is_waited_for_where_nobody_else_would_do() -> None:
    """Its successor answers."""
    room = Room(EngineGone("box: its engine takes no connections"), GOOD)
    loop = asyncio.get_running_loop()
    loop.call_later(0.2, room.gate.update, change(DOWN, given_up=False))
    loop.call_later(3.0, room.gate.update, UP)
    assert await room.embed() is GOOD
    assert room.tried() == [("box", "pinned", "answered")]


async def test_a_request_takes_a_slot_and_waits_for_one() -> None:
    """Like any other at the gate; who finds none in time is told when to come back."""
    room = Room(GOOD)
    permit = await room.gate.enter("small", applicant())
    with pytest.raises(Unavailable) as caught:
        await room.embed()
    permit.release()
    assert (caught.value.code, caught.value.status) == (Code.NO_CAPACITY, 429)
    assert caught.value.retry_after is not None
    assert room.outcome.attempts == ()


async def test_who_hangs_up_is_recorded() -> None:
    """Once, and the slot is free again; what was read is charged at its largest."""
    room = Room(SLOW, GOOD)
    task = asyncio.create_task(room.embed())
    await pass_time(1.0)
    task.cancel()
    await asyncio.wait([task])
    assert room.outcome.status is OutcomeStatus.CANCELLED
    assert room.tried() == [("box", "pinned", "cancelled")]
    assert room.outcome.cost_nano > 0


async def test_a_fault_of_our_own_is_recorded() -> None:
    """As an internal error."""
    room = Room(RuntimeError("oh"))
    with pytest.raises(RuntimeError):
        await room.embed()
    assert (room.outcome.code, room.outcome.http_status) == (Code.INTERNAL_ERROR, 500)


async def test_a_name_that_nobody_knows_is_recorded() -> None:
    """Before anything was decided."""
    room = Room(GOOD)
    with pytest.raises(RequestError):
        await room.embed(change(REQUEST, requested_model="gone"))
    assert (room.outcome.code, room.outcome.classification) == (Code.MODEL_NOT_FOUND, None)


@pytest.mark.parametrize(("text", "fits"), [((7,) * 20, True), ((7,) * 21, False), ("word " * 15, True)])
async def test_what_certainly_does_not_fit_is_refused(text: str | tuple[int, ...], *, fits: bool) -> None:
    """By the longest of the texts, not by their sum; what may fit is for the backend to count."""
    room = Room(GOOD)
    request = change(REQUEST, inputs=("a", text, "b", (1,) * 15))
    if fits:
        assert await room.embed(request) is GOOD
        return
    with pytest.raises(RequestError) as caught:
        await room.embed(request)
    assert (caught.value.code, caught.value.param) == (Code.CONTEXT_LENGTH_EXCEEDED, "input")
    assert room.backends["box"].calls == 0


async def test_what_a_class_may_ask_holds_for_each_text() -> None:
    """Not for their sum: a batch of many texts is no long prompt."""
    room = Room(GOOD)
    limited = change(IDENTITY, sla=change(SLA, allowance=Allowance(max_prompt=4)))
    await room.embedder.embed(change(REQUEST, inputs=((1,) * 4,) * 3), limited)
    with pytest.raises(RequestError) as caught:
        await room.embedder.embed(change(REQUEST, inputs=((1,), (1,) * 5)), limited)
    assert (caught.value.code, caught.value.param) == (Code.CONTEXT_LENGTH_EXCEEDED, "input")
    assert "class pro" in caught.value.message


async def test_a_width_that_was_not_asked_for_is_no_answer() -> None:
    """It was given and is paid for, but it would not fit where it is to be stored."""
    room = Room(GOOD)
    assert await room.embed(change(REQUEST, dimensions=2)) is GOOD
    room.ledger.outcomes.clear()
    with pytest.raises(RequestError) as caught:
        await room.embed(change(REQUEST, dimensions=3))
    assert caught.value.param == "dimensions"
    assert (room.outcome.status, room.outcome.cost_nano) == (OutcomeStatus.REFUSED, 6_000)


async def test_every_call_has_the_one_deadline() -> None:
    """Of the request as a whole."""
    room = Room(Broken("box: cut"), eu=(GOOD,))
    began = asyncio.get_running_loop().time()
    await room.embed()
    assert room.backends["box"].deadlines == room.backends["eu"].deadlines == [began + 60.0]


async def test_a_backend_is_told_how_urgent_it_is() -> None:
    """By the class of whoever asks: an index that is filled is not to keep a search waiting."""
    room = Room(GOOD)
    for priority in Priority:
        await room.embed(identity=change(IDENTITY, sla=change(SLA, priority=priority)))
    assert room.backends["box"].priorities == list(Priority)
