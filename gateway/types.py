"""The nouns that travel between stages: frozen, slotted, and shaped like OpenAI's API where they mirror it.

Units: money is integer nano-dollars (`*_nano`), durations are seconds (`*_s`), sizes are tokens.
Times called `*_at` are Unix seconds; deadlines are on the event loop's monotonic clock.
What a caller sends stands in `messages.py`, what is recorded of it in `outcome.py`.
"""

from enum import IntEnum, StrEnum
from typing import Literal, Self

from msgspec import Struct

from gateway.errors import Reason

Via = Literal["completions", "chat"]
"""Which route of a backend a raw prompt took."""
Answerer = tuple[str, str | None]
"""Who really answers: a backend's name, and the engine behind it, None for a provider. Another one than its standby."""


class Tier(StrEnum):
    """A class of backends, from cheapest to strongest; and, beside those, the ones that give vectors instead of text.

    No class of callers is shut out of vectors, so they rank with the cheapest.
    """

    rank: int
    """0 for light, 2 for premium."""

    LIGHT = "light", 0
    MID = "mid", 1
    PREMIUM = "premium", 2
    VECTORS = "vectors"

    def __new__(cls, value: str, rank: int = 0) -> Self:
        """Its rank is asked for many times by every request, and stands with it."""
        tier = str.__new__(cls, value)
        tier._value_, tier.rank = value, rank
        return tier


TIERS = (Tier.LIGHT, Tier.MID, Tier.PREMIUM)
"""Those that write text."""


class Complexity(StrEnum):
    """How much a prompt asks of a model."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Priority(IntEnum):
    """Who goes first at the gate; higher goes first."""

    BATCH = 0
    NORMAL = 1
    INTERACTIVE = 2

    @property
    def in_engines(self) -> int:
        """The same as engines have it: lower goes first, and what nothing is said of has 0."""
        return Priority.NORMAL - self


class Capability(StrEnum):
    """What a request may need and a backend may lack.

    FORCED_TOOLS: it makes the calls it is told to make, and knows what earlier calls and their results are. TOOLS: it
    also knows by itself when to call.
    """

    TOOLS = "tools"
    FORCED_TOOLS = "forced_tools"
    JSON_OBJECT = "json_object"
    JSON_SCHEMA = "json_schema"
    IMAGES = "images"
    REMOTE_IMAGES = "remote_images"
    LOGPROBS = "logprobs"
    MULTIPLE_CHOICES = "n"


class Price(Struct, frozen=True):
    """Nano-dollars per million tokens; `cached` is for prompt tokens read from the provider's cache, `cache_write` for
    those put into it.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    cache_write: int = 0


class BackendSpec(Struct, frozen=True, kw_only=True):
    """The static facts of a backend, as far as policy and routing care.

    `engine` names the process that serves it, None for a provider. `on_box` is what `local_only` asks for.
    `context` is prompt plus answer in tokens, None where nobody said. `assumed`: the capabilities are what its kind
    usually has, until its engine has said what it can. `vectors` names the vectors it gives instead of text: those of
    two backends compare only where it is the same. `completions`: it goes on with raw prompts. `standby` are the facts
    of the engine that answers under the same name while `engine` is not up.
    """

    name: str
    model: str
    region: str
    price: Price = Price()
    engine: str | None = None
    on_box: bool = False
    capabilities: frozenset[Capability] = frozenset()
    assumed: bool = False
    context: int | None = None
    max_output: int | None = None
    vectors: str | None = None
    completions: bool = False
    standby: "BackendSpec | None" = None

    @property
    def answerer(self) -> Answerer:
        """Whose failures are counted, and whose answers are calibrated."""
        return self.name, self.engine


class Replica(Struct, frozen=True, kw_only=True):
    """One of the servers that an engine is. `wavering`: its last check failed. `requests` are those it says it has,
    None where it says nothing.
    """

    url: str
    ready: bool
    wavering: bool = False
    hung: bool = False
    requests: int | None = None


class EngineView(Struct, frozen=True, kw_only=True):
    """One engine at this moment. `url` is where it listens, None while it does not.

    `ready`: it takes requests. `hung`: nothing more comes of those that it has taken. `given_up`: nobody expects it
    back without help. `detail` is a line for people. `model` is what it calls its model. `capabilities` are what it
    says it can do, None where it says nothing. `replicas` are its servers, where it is attached; `url` is then one that
    takes requests.
    """

    name: str
    ready: bool
    hung: bool = False
    given_up: bool
    url: str | None
    detail: str
    model: str = ""
    capabilities: frozenset[Capability] | None = None
    replicas: tuple[Replica, ...] = ()


class GateState(Struct, frozen=True, kw_only=True):
    """One engine as the gate sees it, for metrics and for people."""

    engine: str
    slots: int
    in_use: int
    waiting: int
    ready: bool
    detail: str


class Allowance(Struct, frozen=True, kw_only=True):
    """How long prompts and answers may be, in tokens; None is no limit. `default_output` is for whoever names none."""

    max_prompt: int | None = None
    default_output: int | None = None
    max_output: int | None = None


class SlaClass(Struct, frozen=True, kw_only=True):
    """What a tenant was promised. Objectives are None where the class has none.

    `truncate`: a prompt that is too long loses its oldest turns instead of being refused.
    """

    name: str
    priority: Priority = Priority.NORMAL
    default_tier: Tier = Tier.MID
    max_tier: Tier = Tier.PREMIUM
    ttft_s: float | None = None
    itl_s: float | None = None
    escalation_priority: bool = False
    allowance: Allowance = Allowance()
    truncate: bool = False


class Identity(Struct, frozen=True, kw_only=True):
    """Who is asking. `regions` None means any; `key` is the key's name, never the key."""

    tenant: str
    key: str
    sla: SlaClass
    regions: frozenset[str] | None = None
    local_only: bool = False


class Constraints(Struct, frozen=True, kw_only=True):
    """What every attempt of this request must obey. `regions` None means any region.

    `tokens_needed` is the prompt at its largest plus room for an answer.
    """

    regions: frozenset[str] | None
    local_only: bool
    needs: frozenset[Capability]
    tokens_needed: int
    sla: SlaClass
    deadline: float
    escalation_allowed: bool

    def forbids(self, spec: BackendSpec, tier: Tier) -> Reason | None:
        """Why this backend may not answer, or None. Asked when routing, and again before each attempt."""
        if self.local_only and not spec.on_box:
            return Reason.LOCAL_ONLY
        if self.regions is not None and spec.region not in self.regions:
            return Reason.RESIDENCY
        if tier.rank > self.sla.max_tier.rank:
            return Reason.SLA_CLASS
        if not self.needs <= spec.capabilities:
            return Reason.CAPABILITY
        if spec.context is not None and self.tokens_needed > spec.context:
            return Reason.CONTEXT_LENGTH
        return None


class TokenCount(Struct, frozen=True):
    """Prompt tokens. The true count lies within `tokens` ± `error` for 95 % of texts; error 0 is exact."""

    tokens: int
    error: int = 0


class Signal(Struct, frozen=True):
    """One thing the classifier noticed, and what it added to the score (in log-odds)."""

    name: str
    value: float
    weight: float


class Classification(Struct, frozen=True, kw_only=True):
    """What the prompt asks for.

    `score` in [0, 1] grows with difficulty; `p_light` is P(light is good enough). `start` is where the task
    table has this work begin, None where complexity alone decides.
    """

    task: str
    task_source: str
    start: Tier | None
    complexity: Complexity
    score: float
    p_light: float
    prompt: TokenCount
    expected_output: int
    signals: tuple[Signal, ...]


class Candidate(Struct, frozen=True, kw_only=True):
    """One backend that may answer. `reason` holds for the first; later ones are reached for another."""

    backend: str
    tier: Tier
    reason: Reason
    cost_nano: int


class Exclusion(Struct, frozen=True):
    """A backend that may not answer, and which constraint forbids it."""

    backend: str
    tier: Tier
    reason: Reason


class Route(Struct, frozen=True, kw_only=True):
    """Candidates in the order to try them; empty when every backend is excluded."""

    candidates: tuple[Candidate, ...]
    excluded: tuple[Exclusion, ...]
    pinned: bool


class Contribution(Struct, frozen=True):
    """One named part of a confidence score; `value` in [0, 1]."""

    name: str
    value: float


class Score(Struct, frozen=True, kw_only=True):
    """How far an answer can be trusted.

    `value` in [0, 1], or None where there is no evidence. `problem` is a defect that asks for a stronger tier
    whatever the value says. `valid` is False when the answer breaks the structure that was asked for.
    """

    value: float | None
    contributions: tuple[Contribution, ...] = ()
    problem: Reason | None = None
    valid: bool = True
