"""Tenant, request and rules for everybody, narrowed into one set of constraints."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    ResponseFormat,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
)
from gateway.policy import Policy, Regions
from gateway.policy.capability import needs
from gateway.types import Capability, Constraints, Identity, TokenCount
from tests.gateway.nouns import IDENTITY, REQUEST, change

REGIONS = Regions({"eu": ("eu-west", "eu-central")})
PROMPT = TokenCount(100, 20)
EU = frozenset({"eu-west", "eu-central"})


def constrained(
    request: ChatRequest = REQUEST,
    identity: Identity = IDENTITY,
    *,
    local_only: bool = False,
) -> Constraints:
    """What holds for a request, with these rules for everybody."""
    return Policy(REGIONS, local_only=local_only).constrain(request, identity, PROMPT, 99.0)


def hinted(hints: Hints) -> ChatRequest:
    """The plain request with hints."""
    return change(REQUEST, hints=hints)


@pytest.mark.parametrize(
    ("tenant", "hint", "regions"),
    [
        (None, None, None),
        (EU, None, EU),
        (frozenset({"us-east"}), None, {"us-east"}),
        (None, "eu", EU),
        (None, "eu-west", {"eu-west"}),
        (EU, "eu-west", {"eu-west"}),
        (EU, "us-east", set()),
        (EU, "eu-west-2", set()),
        (EU, "nowhere", set()),
        (frozenset({"eu-west"}), "eu", {"eu-west"}),
        (frozenset(), None, set()),
        (frozenset(), "eu", set()),
    ],
)
def test_where_data_may_go(tenant: frozenset[str] | None, hint: str | None, regions: set[str] | None) -> None:
    """The tenant's regions hold, and None of them is anywhere; a hint only takes away; an unknown one is nowhere."""
    assert constrained(hinted(Hints(region=hint)), change(IDENTITY, regions=tenant)).regions == regions


@pytest.mark.parametrize("everybody", [False, True])
@pytest.mark.parametrize("tenant", [False, True])
@pytest.mark.parametrize("hint", [False, True])
def test_local_only_is_set_by_anybody_and_lifted_by_nobody(*, everybody: bool, tenant: bool, hint: bool) -> None:
    """The rules, the tenant and the caller can each keep data on the box."""
    request = hinted(Hints(local_only=hint))
    found = constrained(request, change(IDENTITY, local_only=tenant), local_only=everybody)
    assert found.local_only == (everybody or tenant or hint)


HINTS = st.builds(
    Hints,
    task=st.none() | st.just("faq"),
    requires_reasoning=st.none() | st.booleans(),
    region=st.none() | st.sampled_from(["eu", "eu-west", "us-east", "nowhere", ""]),
    session=st.none(),
    local_only=st.booleans(),
    no_escalation=st.booleans(),
    allow_fallback=st.booleans(),
)
LIMITS = st.none() | st.frozensets(st.sampled_from(["eu-west", "us-east", "mars"]))


@given(hints=HINTS, regions=LIMITS, local=st.booleans(), rule=st.booleans())
@settings(max_examples=200, deadline=None)
def test_no_hint_widens_anything(*, hints: Hints, regions: frozenset[str] | None, local: bool, rule: bool) -> None:
    """With hints a request may do at most what it may do without them."""
    identity = change(IDENTITY, regions=regions, local_only=local)
    without = constrained(REQUEST, identity, local_only=rule)
    found = constrained(hinted(hints), identity, local_only=rule)
    assert found.local_only >= without.local_only
    assert found.escalation_allowed <= without.escalation_allowed
    if without.regions is not None:
        assert found.regions is not None
        assert found.regions <= without.regions
    assert (found.needs, found.tokens_needed, found.sla) == (without.needs, without.tokens_needed, without.sla)


@pytest.mark.parametrize(
    ("max_tokens", "needed"), [(None, 376), (1, 121), (255, 375), (256, 376), (4096, 376), (10_000_000, 376)]
)
def test_room_is_needed_for_the_prompt_at_its_largest_and_some_answer(max_tokens: int | None, needed: int) -> None:
    """The stated error is added; a large `max_tokens` is a ceiling and not a wish."""
    assert constrained(change(REQUEST, sampling=Sampling(max_tokens=max_tokens))).tokens_needed == needed


def test_the_rest_is_handed_through() -> None:
    """Class, deadline, and that the caller wants no escalation."""
    found = constrained(hinted(Hints(no_escalation=True)))
    assert (found.sla, found.deadline, found.escalation_allowed) == (IDENTITY.sla, 99.0, False)
    assert constrained().escalation_allowed


TEXT, PICTURE = TextPart("x"), ImagePart(ImageUrl("data:image/png;base64,AAAA"))
REMOTE = ImagePart(ImageUrl("https://example.com/cat.png"))
TOOL = Tool(FunctionSpec("f"))
CALLED = (
    Message("user", "x"),
    Message("assistant", tool_calls=(ToolCall("c1", FunctionCall("f", "{}")),)),
    Message("tool", "y", tool_call_id="c1"),
)
SCHEMA = ResponseFormat("json_schema", JsonSchema("s", {}))

NEEDS: list[tuple[ChatRequest, set[Capability]]] = [
    (REQUEST, set()),
    (change(REQUEST, tools=(TOOL,)), {Capability.TOOLS}),
    (change(REQUEST, tools=(TOOL,), tool_choice="auto"), {Capability.TOOLS}),
    (change(REQUEST, tools=(TOOL,), tool_choice="required"), {Capability.FORCED_TOOLS}),
    (change(REQUEST, tools=(TOOL,), tool_choice=NamedToolChoice(NamedFunction("f"))), {Capability.FORCED_TOOLS}),
    (change(REQUEST, tools=(TOOL,), tool_choice="none"), set()),
    (change(REQUEST, tool_choice="auto"), set()),
    (change(REQUEST, messages=CALLED), {Capability.FORCED_TOOLS}),
    (change(REQUEST, messages=CALLED, tools=(TOOL,), tool_choice="none"), {Capability.FORCED_TOOLS}),
    (change(REQUEST, messages=CALLED, tools=(TOOL,)), {Capability.TOOLS}),
    (change(REQUEST, response_format=ResponseFormat("text")), set()),
    (change(REQUEST, response_format=ResponseFormat("json_object")), {Capability.JSON_OBJECT}),
    (change(REQUEST, response_format=SCHEMA), {Capability.JSON_SCHEMA}),
    (change(REQUEST, logprobs=True), {Capability.LOGPROBS}),
    (change(REQUEST, sampling=Sampling(n=1)), set()),
    (change(REQUEST, sampling=Sampling(n=2)), {Capability.MULTIPLE_CHOICES}),
    (change(REQUEST, messages=(Message("user", (TEXT,)),)), set()),
    (change(REQUEST, messages=(Message("user", (TEXT, PICTURE)),)), {Capability.IMAGES}),
    (change(REQUEST, messages=(Message("user", (REMOTE,)),)), {Capability.IMAGES, Capability.REMOTE_IMAGES}),
    (
        change(REQUEST, messages=(Message("user", (PICTURE,)), Message("assistant", "ok"), Message("user", (REMOTE,)))),
        {Capability.IMAGES, Capability.REMOTE_IMAGES},
    ),
    (
        change(REQUEST, tools=(TOOL,), response_format=SCHEMA, logprobs=True, sampling=Sampling(n=3)),
        {Capability.TOOLS, Capability.JSON_SCHEMA, Capability.LOGPROBS, Capability.MULTIPLE_CHOICES},
    ),
]


@pytest.mark.parametrize(("request_", "capabilities"), NEEDS)
def test_what_a_request_needs_is_read_off_it(request_: ChatRequest, capabilities: set[Capability]) -> None:
    """Everything without which the answer would be wrong rather than weaker, in any of its turns."""
    assert needs(request_) == capabilities
    assert constrained(request_).needs == capabilities


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "HTTPS://example.com/x",
        "file:///etc/passwd",
        "//example.com/x",
        "DATA:image/png;base64,AAAA",
        " data:image/png;base64,AAAA",
        "",
    ],
)
def test_an_address_that_somebody_would_fetch_never_reaches_an_engine(url: str) -> None:
    """Whatever is not plainly data counts as an address: an engine stands inside our own network."""
    message = Message("user", (ImagePart(ImageUrl(url)),))
    assert Capability.REMOTE_IMAGES in needs(change(REQUEST, messages=(message,)))


def test_every_capability_is_somebodys_need() -> None:
    """A capability that no request could ask for would be a promise nobody keeps."""
    assert set().union(*(found for _, found in NEEDS)) == set(Capability)
