"""A corridor with real stages between fake backends, and the books that must always agree."""

import asyncio

from gateway.attempt import Attempts
from gateway.broker import Broker, BrokerSettings, Stages
from gateway.classify import Classifier, Difficulty, TaskRule
from gateway.classify.difficulty import Weights
from gateway.committed import CommittedAnswer
from gateway.confidence import Confidence
from gateway.errors import cut_short
from gateway.escalation import Limits
from gateway.gate import Gate, GateSettings
from gateway.messages import ChatRequest, Delta, UsageQuality
from gateway.outcome import AttemptStatus, Outcome, OutcomeStatus
from gateway.policy import Policy, Regions
from gateway.probation import Window
from gateway.routing import RoutingTable
from gateway.throttle import EscalationThrottle
from gateway.types import BackendSpec, Capability, EngineView, Identity, Tier
from tests.gateway.corridor.backends import Behaviour, FakeBackend
from tests.gateway.nouns import IDENTITY, PRICE, SPEC, change

LIMITS = Limits(threshold=0.5, path="next", max_attempts=4, max_cost_nano=10**12)
WINDOW = Window(tokens=4, seconds=2.0)
PATIENCE_S = 10_000.0
POOR = "POOR"
"""A word that makes an answer not good enough: the operator watches for it."""

BOX = change(SPEC, name="box", model="box-model", on_box=True, engine="small", price=PRICE)
CPU = change(BOX, model="cpu-model", engine="cpu", context=1000, capabilities=frozenset({Capability.LOGPROBS}))
"""The standby of `box`: it can do less."""
MINI = change(SPEC, name="mini", price=PRICE)
SECOND = change(SPEC, name="second", price=PRICE)
BIG = change(SPEC, name="big", price=PRICE)
EASY, MEDIUM, HARD = -9.0, 1.0, 9.0
"""Log-odds of being hard, of every request that gives no hint."""

UP = EngineView(name="small", ready=True, given_up=False, url="http://e", detail="up")
DOWN = change(UP, ready=False, given_up=True, url=None, detail="quarantine")


class Ledger:
    """Keeps what is recorded."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def record(self, outcome: Outcome) -> None:
        """Take note."""
        self.outcomes.append(outcome)


class House:
    """light: box, on the engine `small`, whose standby is `cpu`; mid: mini, then second; premium: big.

    Backends without behaviours do not exist, nor does a standby.
    """

    def __init__(  # the few things that tests vary
        self,
        *,
        box: tuple[Behaviour, ...] = (),
        standby: tuple[Behaviour, ...] = (),
        mini: tuple[Behaviour, ...] = (),
        second: tuple[Behaviour, ...] = (),
        big: tuple[Behaviour, ...] = (),
        limits: Limits = LIMITS,
        difficulty: float = EASY,
        slots: int = 1,
        throttle: EscalationThrottle | None = None,
        specs: tuple[BackendSpec, ...] = (BOX, MINI, SECOND, BIG),
        request_timeout_s: float = 600.0,
        classifier: Classifier | None = None,
        confidence: Confidence | None = None,
    ) -> None:
        behaviours = {"box": box, "mini": mini, "second": second, "big": big}
        present = [spec for spec in specs if behaviours[spec.name]]
        self.backends = {spec.name: FakeBackend(spec, *behaviours[spec.name]) for spec in present}
        settings = GateSettings(max_wait_s=1.0, max_wait_alone_s=5.0, max_waiting=4)
        self.gate = Gate({"small": slots, "cpu": slots}, settings, {"small": "cpu"} if standby else {})
        self.gate.update(UP)
        if standby:
            self.gate.update(change(UP, name="cpu"))
            self.backends["box"].standby = FakeBackend(CPU, *standby)
        self.ledger = Ledger()
        self.max_attempts = limits.max_attempts
        self.attempts = Attempts(self.backends, self.gate, limits.max_attempts)
        tiers = {Tier.LIGHT: ("box",), Tier.MID: ("mini", "second"), Tier.PREMIUM: ("big",)}
        table = RoutingTable(
            {spec.name: spec for spec in present},
            {tier: tuple(name for name in names if name in self.backends) for tier, names in tiers.items()},
            {},
        )
        stages = Stages(
            policy=Policy(Regions({}), local_only=False),
            classifier=classifier
            or Classifier(Difficulty(Weights(difficulty, {}, {})), {"work": TaskRule(expected_output=100)}),
            table=table,
            attempts=self.attempts,
            confidence=confidence or Confidence({}, (POOR,)),
            throttle=throttle or EscalationThrottle(1.0, 1_000),
            recorder=self.ledger,
        )
        self.broker = Broker(
            stages,
            BrokerSettings(limits=limits, window=WINDOW, request_timeout_s=request_timeout_s, policy="0123456789ab"),
        )

    def __getitem__(self, name: str) -> FakeBackend:
        """A backend."""
        return self.backends[name]

    @property
    def outcome(self) -> Outcome:
        """The one record there is; the books agree."""
        self.assert_books(1)
        return self.ledger.outcomes[0]

    def tried(self) -> list[tuple[str, str, str]]:
        """Backend, reason and status of each attempt of the one request."""
        return [(each.backend, each.reason.value, each.status.value) for each in self.outcome.attempts]

    async def answer(self, request: ChatRequest, identity: Identity = IDENTITY) -> tuple[str | None, Outcome]:
        """The text that a caller of an unstreamed answer gets."""
        async with asyncio.timeout(PATIENCE_S):
            completion, outcome = await self.broker.answer(request, identity)
        assert self.ledger.outcomes[-1] is outcome
        return completion.choices[0].text, outcome

    async def open(self, request: ChatRequest, identity: Identity = IDENTITY) -> CommittedAnswer:
        """A streamed answer at the point where its first byte may leave."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.broker.stream(change(request, stream=True), identity)

    async def stream(self, request: ChatRequest, identity: Identity = IDENTITY) -> list[Delta]:
        """Every piece that a caller of a streamed answer gets."""
        committed = await self.open(request, identity)
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await pieces_of(committed)
        except asyncio.CancelledError as cancelled:
            committed.close(cut_short(cancelled))
            raise
        finally:
            committed.close()

    def breaker_open_s(self, name: str) -> float:
        """For how long a backend is left alone."""
        return self.attempts.breakers[self.backends[name].spec.answerer].open_for(asyncio.get_running_loop().time())

    def assert_books(self, requests: int) -> None:
        """Exactly one outcome per request, nothing held, nothing open, and every amount the sum of its parts."""
        assert len(self.ledger.outcomes) == requests
        assert all(state.in_use == 0 and state.waiting == 0 for state in self.gate.states())
        standbys = [each.standby for each in self.backends.values() if each.standby is not None]
        backends = (*self.backends.values(), *standbys)
        assert all(backend.open_streams == backend.in_progress == 0 for backend in backends)
        for outcome in self.ledger.outcomes:
            assert_consistent(outcome, self.max_attempts)
        calls = sum(len(backend.calls) for backend in backends)
        assert calls >= sum(outcome.attempt_count for outcome in self.ledger.outcomes)


def braking() -> EscalationThrottle:
    """Too many have escalated."""
    throttle = EscalationThrottle(0.1, 1)
    throttle.record(escalated=True)
    return throttle


async def pieces_of(committed: CommittedAnswer) -> list[Delta]:
    """Every piece, and after them the finish reasons that were held back for the last event."""
    deltas: list[Delta] = []
    while batch := await committed.batch():
        deltas += batch
    return deltas + committed.finish


def text_of(deltas: list[Delta]) -> str:
    """What was said."""
    return "".join(delta.text or "" for delta in deltas)


def assert_consistent(outcome: Outcome, max_attempts: int) -> None:
    """What holds for every record, however its request went."""
    attempts = outcome.attempts
    statuses = [attempt.status for attempt in attempts]
    assert [attempt.number for attempt in attempts] == list(range(1, len(attempts) + 1))
    assert len(attempts) <= max_attempts
    assert outcome.cost_nano == sum(attempt.cost_nano for attempt in attempts)
    assert outcome.answer is None or outcome.answer in attempts
    assert all((attempt.error is None) == (attempt.detail is None) for attempt in attempts)
    # Whatever ended a call, it was settled: it took its time, and its tokens are known or estimated.
    assert all(attempt.latency_s > 0 and attempt.usage.quality is not UsageQuality.UNKNOWN for attempt in attempts)
    assert (outcome.code is None) == (outcome.status in (OutcomeStatus.OK, OutcomeStatus.CANCELLED))
    if outcome.status is OutcomeStatus.OK:
        assert statuses.count(AttemptStatus.ANSWERED) == 1
        assert outcome.answer is not None
        assert outcome.answer.status is AttemptStatus.ANSWERED
        assert AttemptStatus.CANCELLED not in statuses
    if outcome.status is OutcomeStatus.REFUSED:
        assert outcome.answer is None
        assert AttemptStatus.ANSWERED not in statuses
    if outcome.status is OutcomeStatus.INTERRUPTED:
        assert outcome.answer is not None
        assert outcome.answer.status is AttemptStatus.INTERRUPTED
    assert outcome.gave_up is None or outcome.status is not OutcomeStatus.REFUSED
