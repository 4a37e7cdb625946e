"""The plainest of each noun that travels through the corridor; tests change the one thing they are about.

`change` makes a copy of any of them with other fields.
"""

import math

import msgspec

from gateway.errors import Reason
from gateway.messages import ChatRequest, Choice, Completion, Message, Usage, UsageQuality
from gateway.outcome import AttemptRecord, AttemptStatus, Outcome, OutcomeStatus
from gateway.types import (
    BackendSpec,
    Candidate,
    Capability,
    Classification,
    Complexity,
    Constraints,
    Identity,
    Price,
    SlaClass,
    Tier,
    TokenCount,
)

change = msgspec.structs.replace

REQUEST = ChatRequest(id="r-1", created=1_700_000_000, requested_model="auto", messages=(Message("user", "hi"),))
SLA = SlaClass(name="pro")
IDENTITY = Identity(tenant="acme", key="ci", sla=SLA)
CONSTRAINTS = Constraints(
    regions=None,
    local_only=False,
    needs=frozenset(),
    tokens_needed=100,
    sla=SLA,
    deadline=math.inf,
    escalation_allowed=True,
)
CLASSIFICATION = Classification(
    task="faq",
    task_source="detected",
    start=None,
    complexity=Complexity.LOW,
    score=0.1,
    p_light=0.9,
    prompt=TokenCount(10, 2),
    expected_output=100,
    signals=(),
)
SPEC = BackendSpec(name="small", model="small-1", region="eu-west", capabilities=frozenset(Capability))
PRICE = Price(input=1_000_000_000, output=2_000_000_000, cached=100_000_000)
"""$1, $2 and $0.10 per million tokens: 1,000, 2,000 and 100 nano-dollars per token."""

USAGE = Usage(prompt=10, completion=5, quality=UsageQuality.EXACT)
CHOICE = Choice(text="four", finish_reason="stop")
COMPLETION = Completion(model="small-1.0", choices=(CHOICE,), usage=USAGE)
CANDIDATE = Candidate(backend="small", tier=Tier.LIGHT, reason=Reason.LOW_COMPLEXITY, cost_nano=0)
ATTEMPT = AttemptRecord(
    number=1,
    backend="small",
    tier=Tier.LIGHT,
    reason=Reason.LOW_COMPLEXITY,
    status=AttemptStatus.ANSWERED,
    started_at=1_700_000_000.25,
    latency_s=0.5,
    ttft_s=0.125,
    usage=USAGE,
    cost_nano=20_000,
    response_model="small-1.0",
    finish_reason="stop",
    confidence=0.75,
)
OUTCOME = Outcome(
    request_id="r-1",
    started_at=1_700_000_000.0,
    tenant="acme",
    key="ci",
    sla_class="pro",
    region=None,
    session=None,
    stream=False,
    requested_model="auto",
    classification=CLASSIFICATION,
    status=OutcomeStatus.OK,
    code=None,
    http_status=200,
    answer=ATTEMPT,
    attempts=(ATTEMPT,),
    passed_over=(),
    cost_nano=20_000,
    escalated=False,
    gave_up=None,
    latency_s=0.75,
    ttft_s=None,
    decision_s=0.0005,
    policy="0123456789ab",
    ignored=(),
    max_output=None,
    dropped_turns=0,
)
