"""What would become of a request, in words and numbers: the decision, and what could still change it. Pure."""

import math
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

from msgspec import Struct

from gateway.app.decision import decider
from gateway.app.nouns import broker_settings
from gateway.broker import BrokerSettings
from gateway.config.schema import Config
from gateway.errors import Code, Reason
from gateway.escalation import Escalate, GiveUp, Progress, decide
from gateway.messages import ChatRequest
from gateway.prices import NANO
from gateway.probation import Window, window_for
from gateway.refusals import nobody_allowed
from gateway.routing import RoutingTable
from gateway.run import Decided
from gateway.types import (
    BackendSpec,
    Candidate,
    Capability,
    Complexity,
    Constraints,
    Exclusion,
    Identity,
    Score,
    Signal,
    Tier,
)

NOTHING_LEARNT: Mapping[str, frozenset[Capability]] = MappingProxyType({})
"""No engine is at work."""


class PromptSize(Struct, frozen=True):
    """Prompt tokens: within `tokens` ± `error` for 95 of 100 texts."""

    tokens: int
    error: int


class Bounds(Struct, frozen=True, kw_only=True):
    """What every attempt must obey. `regions` None is anywhere; `tokens_needed` is prompt and room for an answer."""

    sla_class: str
    default_tier: Tier
    max_tier: Tier
    regions: tuple[str, ...] | None
    local_only: bool
    needs: tuple[str, ...]
    tokens_needed: int
    escalation_allowed: bool


class StandbyLine(Struct, frozen=True, kw_only=True):
    """The engine that answers for a candidate while its own is not up; or `because` says why it may not."""

    engine: str
    model: str
    because: str | None


class CandidateLine(Struct, frozen=True, kw_only=True):
    """A backend that may answer, in its turn."""

    backend: str
    tier: Tier
    model: str
    region: str
    on_box: bool
    expected_cost_usd: Decimal
    standby: StandbyLine | None


class ExcludedLine(Struct, frozen=True, kw_only=True):
    """A backend that may not answer; `reason` is the constraint that forbids it, `because` says it in words."""

    backend: str
    tier: Tier
    reason: Reason
    because: str


class Outlook(Struct, frozen=True, kw_only=True):
    """What would make the first candidate's answer escalate, and where to.

    `to` is None where it would be kept however bad, and `because` says why. Of a stream, `window_tokens` are held
    back and scored, or what comes within `window_ms` of the first; None is the whole answer, 0 is nothing.
    """

    threshold: float
    to: str | None
    to_tier: Tier | None
    because: str | None
    window_tokens: int | None
    window_ms: int
    path: str
    max_attempts: int
    max_cost_usd: Decimal


class Refusal(Struct, frozen=True):
    """What the caller would be told, where nobody may answer."""

    status: int
    code: Code
    message: str


class Explanation(Struct, frozen=True, kw_only=True):
    """The decision on one request. `tier`, `backend` and `reason` are None where nobody may answer.

    `max_output` is the limit of the answer in tokens, None for none, and `imposed` where policy sets it.
    `score` in [0, 1] is P(the light tier is not good enough): 1 / (1 + e^-(base + Σ signal weights)).
    """

    requested_model: str
    tier: Tier | None
    backend: str | None
    reason: Reason | None
    pinned: bool
    complexity: Complexity
    score: float
    p_light: float
    base: float
    task: str
    task_source: str
    task_start: Tier | None
    prompt: PromptSize
    expected_output: int
    max_output: int | None
    imposed: bool
    constraints: Bounds
    signals: tuple[Signal, ...]
    candidates: tuple[CandidateLine, ...]
    excluded: tuple[ExcludedLine, ...]
    escalation: Outlook | None
    refusal: Refusal | None
    policy: str
    decision_ms: float


def explained(
    config: Config,
    request: ChatRequest,
    identity: Identity,
    learnt: Mapping[str, frozenset[Capability]] = NOTHING_LEARNT,
) -> Explanation:
    """What a gateway with this configuration would decide, having `learnt` from its engines what they can do.

    Raises RequestError for a model nobody knows.
    """
    deciding, settings = decider(config), broker_settings(config)
    table = deciding.table
    for engine, capabilities in learnt.items():
        table.learn(engine, capabilities)
    decided = deciding.decide(request, identity, math.inf)
    judged, route = decided.classification, decided.route
    first = route.candidates[0] if route.candidates else None
    return Explanation(
        requested_model=request.requested_model,
        tier=None if first is None else first.tier,
        backend=None if first is None else first.backend,
        reason=None if first is None else first.reason,
        pinned=route.pinned,
        complexity=judged.complexity,
        score=judged.score,
        p_light=judged.p_light,
        base=_log_odds(judged.score) - sum(signal.weight for signal in judged.signals),
        task=judged.task,
        task_source=judged.task_source,
        task_start=judged.start,
        prompt=PromptSize(judged.prompt.tokens, judged.prompt.error),
        expected_output=judged.expected_output,
        max_output=decided.request.sampling.max_tokens,
        imposed=decided.max_output is not None,
        constraints=_bounds(decided.constraints),
        signals=judged.signals,
        candidates=tuple(_candidate(each, table, decided.constraints) for each in route.candidates),
        excluded=tuple(_excluded(each, table, decided.constraints) for each in route.excluded),
        escalation=None if first is None else _outlook(first, decided, settings),
        refusal=None if first is not None else _refusal(route.excluded, decided.constraints),
        policy=settings.policy,
        decision_ms=round(decided.took_s * 1000, 3),
    )


def _log_odds(score: float) -> float:
    return math.log(score / (1 - score))


def _bounds(constraints: Constraints) -> Bounds:
    return Bounds(
        sla_class=constraints.sla.name,
        default_tier=constraints.sla.default_tier,
        max_tier=constraints.sla.max_tier,
        regions=None if constraints.regions is None else tuple(sorted(constraints.regions)),
        local_only=constraints.local_only,
        needs=tuple(sorted(constraints.needs)),
        tokens_needed=constraints.tokens_needed,
        escalation_allowed=constraints.escalation_allowed,
    )


def _candidate(candidate: Candidate, table: RoutingTable, constraints: Constraints) -> CandidateLine:
    spec = table.specs[candidate.backend]
    return CandidateLine(
        backend=candidate.backend,
        tier=candidate.tier,
        model=spec.model,
        region=spec.region,
        on_box=spec.on_box,
        expected_cost_usd=_dollars(candidate.cost_nano),
        standby=None if spec.standby is None else _standby(spec.standby, candidate.tier, constraints),
    )


def _standby(spec: BackendSpec, tier: Tier, constraints: Constraints) -> StandbyLine:
    reason = constraints.forbids(spec, tier)
    because = None if reason is None else _because(Exclusion(spec.name, tier, reason), spec, constraints)
    return StandbyLine(engine=spec.engine or "", model=spec.model, because=because)


def _excluded(exclusion: Exclusion, table: RoutingTable, constraints: Constraints) -> ExcludedLine:
    spec = table.specs[exclusion.backend]
    because = _because(exclusion, spec, constraints)
    return ExcludedLine(backend=exclusion.backend, tier=exclusion.tier, reason=exclusion.reason, because=because)


def _because(exclusion: Exclusion, spec: BackendSpec, constraints: Constraints) -> str:
    match exclusion.reason:
        case Reason.LOCAL_ONLY:
            return "is not on this box, which the data must not leave"
        case Reason.RESIDENCY:
            allowed = ", ".join(sorted(constraints.regions or ())) or "no region at all"
            return f"is in {spec.region}; the data may go to {allowed}"
        case Reason.SLA_CLASS:
            return f"is {exclusion.tier}; class {constraints.sla.name} reaches up to {constraints.sla.max_tier}"
        case Reason.CAPABILITY:
            return f"cannot do {', '.join(sorted(constraints.needs - spec.capabilities))}"
        case Reason.CONTEXT_LENGTH:
            return f"has room for {spec.context} tokens; {constraints.tokens_needed} are needed"
    return f"is ruled out by {exclusion.reason}"


def _outlook(first: Candidate, decided: Decided, settings: BrokerSettings) -> Outlook:
    """What the broker would do with an answer of `first` that nothing can be said for."""
    limits = settings.limits
    progress = Progress(
        complexity=decided.classification.complexity,
        attempts=1,
        spent_nano=first.cost_nano,
        blocked=None if decided.constraints.escalation_allowed else "not_allowed",
    )
    worst = Score(value=0.0, problem=Reason.LOW_CONFIDENCE)
    decision = decide(worst, first.tier, decided.route.candidates[1:], limits, progress)
    target = decision.target if isinstance(decision, Escalate) else None
    window = window_for(decided.request, first.tier, settings.window, may_escalate=target is not None)
    return Outlook(
        threshold=limits.threshold,
        to=None if target is None else target.backend,
        to_tier=None if target is None else target.tier,
        because=decision.because if isinstance(decision, GiveUp) else None,
        window_tokens=window.tokens,
        window_ms=_milliseconds(window),
        path=limits.path,
        max_attempts=limits.max_attempts,
        max_cost_usd=_dollars(limits.max_cost_nano),
    )


def _milliseconds(window: Window) -> int:
    return round(window.seconds * 1000)


def _refusal(excluded: tuple[Exclusion, ...], constraints: Constraints) -> Refusal:
    error = nobody_allowed(excluded, constraints)
    return Refusal(error.status, error.code, error.message)


def _dollars(nano: int) -> Decimal:
    return Decimal(nano) / NANO
