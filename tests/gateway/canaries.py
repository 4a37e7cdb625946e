"""A request that says something secret wherever a caller can say anything, and the outcome it comes to.

Each text is one of its own, so that a leak tells where it came from.
"""

import re

from gateway.blocks import Conversation, ThinkingBlock, Turn
from gateway.errors import Broken, Code, Reason
from gateway.messages import (
    ChatRequest,
    FunctionCall,
    FunctionSpec,
    Hints,
    ImagePart,
    ImageUrl,
    JsonSchema,
    Message,
    NamedFunction,
    NamedToolChoice,
    RefusalPart,
    ResponseFormat,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
)
from gateway.outcome import AttemptStatus, Outcome, OutcomeStatus
from gateway.run import Arrival, Attempt, Decided, Run
from gateway.types import Route, Score
from tests.gateway.nouns import CANDIDATE, CLASSIFICATION, CONSTRAINTS, IDENTITY, USAGE, change

MARK = "canary"
NAMES = ("id", "requested_model", "session", "region", "task")
"""What callers name, and may find again: these are `canary-name-…`."""

_ANY = re.compile(rb"canary[a-z_-]*")
_NAME = b"canary-name-"
_CALL = ToolCall(f"{MARK}-call-id", FunctionCall(f"{MARK}-call-name", f'{{"a": "{MARK}-arguments"}}'))
_TURNS = (
    Message("system", f"{MARK}-system", name=f"{MARK}-turn"),
    Message(
        "user",
        (
            TextPart(f"{MARK}-text"),
            ImagePart(ImageUrl(f"data:image/png;base64,{MARK}-image")),
            RefusalPart(f"{MARK}-refused"),
        ),
    ),
    Message("assistant", tool_calls=(_CALL,), refusal=f"{MARK}-refusal"),
    Message("tool", f"{MARK}-result", tool_call_id=f"{MARK}-result-of"),
)
_SCHEMA = JsonSchema(f"{MARK}-schema", {f"{MARK}-key": f"{MARK}-value"}, f"{MARK}-schema-description")
REQUEST = ChatRequest(
    id=f"{MARK}-name-id",
    created=1_700_000_000,
    requested_model=f"{MARK}-name-requested_model",
    messages=_TURNS,
    sampling=Sampling(stop=(f"{MARK}-stop",), logit_bias={f"{MARK}-bias": 1.0}),
    tools=(Tool(FunctionSpec(f"{MARK}-tool", f"{MARK}-tool-description", {f"{MARK}-parameter": 1})),),
    tool_choice=NamedToolChoice(NamedFunction(f"{MARK}-choice")),
    parallel_tool_calls=True,
    response_format=ResponseFormat("json_schema", _SCHEMA),
    reasoning_effort=f"{MARK}-effort",
    logprobs=True,
    top_logprobs=3,
    stream=True,
    include_usage=True,
    user=f"{MARK}-user",
    hints=Hints(
        task=f"{MARK}-name-task",
        requires_reasoning=True,
        region=f"{MARK}-name-region",
        session=f"{MARK}-name-session",
        local_only=True,
        no_escalation=True,
        allow_fallback=True,
    ),
    ignored=(f"{MARK}-ignored",),
    conversation=Conversation(
        messages=(Turn("assistant", (ThinkingBlock(f"{MARK}-thinking", f"{MARK}-signature"),)),),
        system=f"{MARK}-rules",
    ),
    prompt=f"{MARK}-prompt",
    statuses={Code.NO_CAPACITY: 529},
)


def outcome() -> Outcome:
    """What is recorded of that request: it was hinted, tried twice, and answered."""
    classification = change(CLASSIFICATION, task=REQUEST.hints.task, task_source="hint")
    route = Route(candidates=(CANDIDATE,), excluded=(), pinned=False)
    decided = Decided(
        request=REQUEST, constraints=CONSTRAINTS, classification=classification, route=route, took_s=0.0005
    )
    run = Run(Arrival.now(REQUEST, IDENTITY, "0123456789ab"), decided)
    for number, error in ((1, Broken("small: the stream broke")), (2, None)):
        attempt = Attempt(number, CANDIDATE, Reason.LOW_COMPLEXITY, "small")
        attempt.ignored = (f"{MARK}-ignored-by-backend",)
        attempt.usage, attempt.model, attempt.finish_reason = USAGE, "small-1.0", "stop"
        attempt.score = Score(value=0.5)
        attempt.ended(AttemptStatus.FAILED if error else None, error)
        run.attempts.append(attempt)
    run.ttft_s = 0.25
    return run.outcome(OutcomeStatus.OK, run.attempts[-1])


def leaked(raw: bytes) -> set[bytes]:
    """The secret texts that stand in some bytes; names that callers chose are none."""
    return {found for found in _ANY.findall(raw) if not found.startswith(_NAME)}


def named(raw: bytes) -> set[str]:
    """Which of the names that callers chose stand in some bytes."""
    return {name for name in NAMES if f"{MARK}-name-{name}".encode() in raw}
