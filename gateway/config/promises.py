"""The sections that say what is allowed to whom: rules for everybody, SLA classes, kinds of work."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from gateway.config.kinds import Count, Dollars, Milliseconds, Name, Section, Share, TextTier, Tokens
from gateway.types import Tier


class Escalation(Section):
    """When and how far an answer that is not good enough goes up."""

    max_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """Physical calls per request, all reasons together."""
    max_cost_usd: Dollars = Decimal("0.25")
    """No further attempt once a request would cost more."""
    path: Literal["expected_cost", "next", "premium"] = "expected_cost"
    """Where to: whichever expects to cost less until the answer is good, the next tier, or the top."""
    throttle_rate: Share = 0.35
    """Above this escalation rate only classes with `escalation_priority` escalate."""
    throttle_after: Count = 200
    """Requests that must have been seen before the rate counts."""


class OutputLimits(Section):
    """How long answers may be, reasoning included. Of several maxima that apply the lowest holds."""

    default_output: Tokens | None = None
    """Most tokens of an answer where the caller names no limit: the task's, or else the class's, or the policy's."""
    max_output: Tokens | None = None
    """Most tokens of an answer, whatever the caller asks for."""


class Policy(OutputLimits):
    """Rules for everybody."""

    default_regions: Literal["any"] | tuple[Name, ...] | None = None
    """Where data may go unless a tenant says otherwise: `any`, or a list of regions and groups."""
    local_only: bool = False
    """Nothing leaves the box, whoever asks."""
    default_class: Name | None = None
    """SLA class of tenants and callers that name none."""
    escalation: Escalation = Escalation()
    """When and how far answers go up."""
    over_max_output: Literal["lower", "refuse"] = "lower"
    """What becomes of a request for more than max_output: it is lowered and says so, or it is refused."""
    max_prompt: Tokens | None = None
    """Most tokens of a prompt, as they are estimated; a longer one is refused, or shortened by `truncation`."""
    truncation: Literal["refuse", "oldest_turns"] = "refuse"
    """What becomes of a prompt over max_prompt, or too long for every backend: it is refused, or loses its oldest turns
    and says so. Instructions, the last question and the last step stay."""


class SlaClass(OutputLimits):
    """What a class of tenants is promised."""

    priority: Literal["batch", "normal", "interactive"] = "normal"
    """Who goes first at the gate, and in engines of kind llama_cpp, or vllm with `--scheduling-policy priority`."""
    ttft_ms: Milliseconds | None = None
    """Objective: time to first token."""
    itl_ms: Milliseconds | None = None
    """Objective: time between tokens."""
    default_tier: TextTier = Tier.MID
    """Where work that is not clearly easy starts."""
    max_tier: TextTier = Tier.PREMIUM
    """The strongest tier it may use."""
    escalation_priority: bool = False
    """Escalates even while escalation is throttled."""
    max_prompt: Tokens | None = None
    """Most tokens of a prompt, as they are estimated; `policy.max_prompt` holds as well."""
    truncation: Literal["refuse", "oldest_turns"] | None = None
    """What becomes of a longer one; `policy.truncation` unless given."""


class Task(OutputLimits):
    """What is known of a kind of work before the prompt is read."""

    start: TextTier | None = None
    """Where it starts; by complexity alone unless given."""
    expected_output: Tokens | None = None
    """Tokens an answer usually has, for cost estimates."""
