"""Outcomes with everything in them, and with nothing that may be absent."""

from gateway.errors import Code, Reason
from gateway.messages import Usage, UsageQuality
from gateway.outcome import AttemptRecord, AttemptStatus, Outcome, OutcomeStatus, PassedOver
from gateway.types import Classification, Complexity, Tier, TokenCount
from tests.gateway.nouns import ATTEMPT, OUTCOME, change

LIGHT = AttemptRecord(
    number=1,
    backend="local",
    tier=Tier.LIGHT,
    reason=Reason.TASK_POLICY,
    status=AttemptStatus.SUPERSEDED,
    started_at=1_700_000_001.5,
    latency_s=0.25,
    ttft_s=0.0625,
    usage=Usage(prompt=101, completion=51, cached=11, reasoning=7, quality=UsageQuality.ESTIMATED, cache_written=21),
    cost_nano=1_001,
    response_model="light-1.0",
    served_by="small",
    finish_reason="length",
    confidence=0.125,
    verdict=Reason.TRUNCATED,
    error=Reason.UPSTREAM_TIMEOUT,
    detail="local: the stream fell silent",
    via="chat",
)
ANSWER = AttemptRecord(
    number=2,
    backend="mini",
    tier=Tier.MID,
    reason=Reason.LOW_CONFIDENCE,
    status=AttemptStatus.INTERRUPTED,
    started_at=1_700_000_002.5,
    latency_s=0.75,
    ttft_s=0.375,
    usage=Usage(prompt=102, completion=52, cached=12, reasoning=8, quality=UsageQuality.EXACT, cache_written=22),
    cost_nano=2_002,
    response_model="mid-1.0",
    served_by="standby",
    finish_reason="stop",
    confidence=0.875,
    via="completions",
)
FULL = Outcome(
    request_id="r-77",
    started_at=1_700_000_000.5,
    tenant="acme",
    key="ci",
    sla_class="pro",
    region="eu-west",
    session="session-9",
    stream=True,
    requested_model="gpt-4o-mini",
    classification=Classification(
        task="faq",
        task_source="hint",
        start=Tier.LIGHT,
        complexity=Complexity.MEDIUM,
        score=0.4375,
        p_light=0.5625,
        prompt=TokenCount(100, 10),
        expected_output=50,
        signals=(),
    ),
    status=OutcomeStatus.INTERRUPTED,
    code=Code.UPSTREAM_INTERRUPTED,
    http_status=502,
    answer=ANSWER,
    attempts=(LIGHT, ANSWER),
    passed_over=(PassedOver("other", Tier.LIGHT, Reason.NO_CAPACITY, "full"),),
    cost_nano=3_003,
    escalated=True,
    gave_up="attempts",
    latency_s=1.25,
    ttft_s=0.625,
    decision_s=0.0003,
    policy="0123456789ab",
    ignored=("store",),
    max_output=512,
    dropped_turns=6,
)
BARE = change(
    OUTCOME,
    classification=None,
    status=OutcomeStatus.REFUSED,
    code=None,
    http_status=404,
    answer=None,
    attempts=(),
    cost_nano=0,
    decision_s=None,
)
"""Refused before anything was decided."""

BARE_ATTEMPT = change(
    ATTEMPT,
    status=AttemptStatus.CANCELLED,
    ttft_s=None,
    usage=Usage(),
    cost_nano=0,
    response_model=None,
    finish_reason=None,
    confidence=None,
)
"""Hung up on before a byte had come."""


def numbered(count: int, attempts: int = 1) -> list[Outcome]:
    """Outcomes with the ids r-0, r-1 and so on, each with some attempts."""
    made = tuple([change(ATTEMPT, number=number) for number in range(1, attempts + 1)])
    return [change(OUTCOME, request_id=f"r-{number}", attempts=made, answer=made[-1]) for number in range(count)]
