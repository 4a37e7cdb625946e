"""Which backends may answer, in which order and why: one table row per decision."""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Reason, RequestError
from gateway.prices import cost
from gateway.routing import RoutingTable, Target, plan, start_tier
from gateway.types import TIERS, Capability, Classification, Complexity, Constraints, Route, Tier
from tests.gateway.nouns import CLASSIFICATION, CONSTRAINTS, PRICE, SLA, SPEC, change

LIGHT, MID, PREMIUM = TIERS
LOW, MEDIUM, HIGH = Complexity.LOW, Complexity.MEDIUM, Complexity.HIGH

BOX = change(SPEC, name="box", on_box=True, engine="small", capabilities=frozenset(), context=4096)
MINI = change(SPEC, name="mini", price=PRICE)
MAXI = change(SPEC, name="maxi", price=PRICE, region="us-east")
BIG = change(SPEC, name="big", price=PRICE, context=200_000)
LONE = change(SPEC, name="lone", region="us-east")
TABLE = RoutingTable(
    {each.name: each for each in (BOX, MINI, MAXI, BIG, LONE)},
    {LIGHT: ("box",), MID: ("mini", "maxi"), PREMIUM: ("big",)},
    {"gpt-4o-mini": "auto", "cheap": "light", "best": "big", "old": "nobody"},
)
"""light: box; mid: mini, then maxi; premium: big; lone stands in no tier."""

AUTO = Target()
LOCAL = change(CONSTRAINTS, local_only=True)
EU = change(CONSTRAINTS, regions=frozenset({"eu-west"}))
US = change(CONSTRAINTS, regions=frozenset({"us-east"}))
TOOLS = change(CONSTRAINTS, needs=frozenset({Capability.TOOLS}))
LONG = change(CONSTRAINTS, tokens_needed=100_000)
UP_TO_MID = change(CONSTRAINTS, sla=change(SLA, max_tier=MID))
UP_TO_LIGHT = change(CONSTRAINTS, sla=change(SLA, default_tier=LIGHT, max_tier=LIGHT))


def work(complexity: Complexity = LOW, start: Tier | None = None, source: str = "detected") -> Classification:
    """A classification that differs in what routing looks at."""
    return change(CLASSIFICATION, complexity=complexity, start=start, task_source=source)


def routed(
    target: Target, constraints: Constraints, classification: Classification, *, fallback: bool = False
) -> Route:
    """The route of an ordinary request."""
    return plan(TABLE, target, constraints, classification, allow_fallback=fallback, max_tokens=None)


def test_what_an_engine_says_it_can_do_counts_unless_the_file_says_otherwise() -> None:
    """Every backend of that engine learns it, and nobody else; a second word replaces the first."""
    assumed = change(BOX, assumed=True)
    specs = (assumed, change(assumed, name="twin"), change(BOX, name="declared"), change(assumed, name="o", engine="o"))
    table = RoutingTable({each.name: each for each in specs}, {LIGHT: ("box",)}, {})
    tools = frozenset({Capability.TOOLS})
    table.learn("small", frozenset(Capability))
    table.learn("small", tools)
    assert {name for name, spec in table.specs.items() if spec.capabilities} == {"box", "twin"}
    assert table.specs["box"].capabilities == table.specs["twin"].capabilities == tools


START: list[tuple[Tier, Tier, Classification, Tier, Reason]] = [
    (MID, PREMIUM, work(LOW), LIGHT, Reason.LOW_COMPLEXITY),
    (MID, PREMIUM, work(MEDIUM), MID, Reason.MEDIUM_COMPLEXITY),
    (MID, PREMIUM, work(HIGH), PREMIUM, Reason.HIGH_COMPLEXITY),
    (LIGHT, PREMIUM, work(LOW), LIGHT, Reason.LOW_COMPLEXITY),
    (LIGHT, PREMIUM, work(MEDIUM), LIGHT, Reason.MEDIUM_COMPLEXITY),
    (PREMIUM, PREMIUM, work(MEDIUM), PREMIUM, Reason.MEDIUM_COMPLEXITY),
    (PREMIUM, PREMIUM, work(LOW), LIGHT, Reason.LOW_COMPLEXITY),
    # The task table raises the start, and agrees with it.
    (MID, PREMIUM, work(LOW, MID), MID, Reason.TASK_POLICY),
    (MID, PREMIUM, work(LOW, PREMIUM), PREMIUM, Reason.TASK_POLICY),
    (MID, PREMIUM, work(LOW, LIGHT), LIGHT, Reason.TASK_POLICY),
    (MID, PREMIUM, work(MEDIUM, MID), MID, Reason.TASK_POLICY),
    (MID, PREMIUM, work(HIGH, PREMIUM), PREMIUM, Reason.TASK_POLICY),
    # It lowers it only where the caller named the task, and never for hard work.
    (MID, PREMIUM, work(MEDIUM, LIGHT), MID, Reason.MEDIUM_COMPLEXITY),
    (MID, PREMIUM, work(HIGH, LIGHT), PREMIUM, Reason.HIGH_COMPLEXITY),
    (MID, PREMIUM, work(HIGH, MID), PREMIUM, Reason.HIGH_COMPLEXITY),
    (MID, PREMIUM, work(MEDIUM, LIGHT, "hint"), LIGHT, Reason.TASK_POLICY),
    (PREMIUM, PREMIUM, work(MEDIUM, MID, "hint"), MID, Reason.TASK_POLICY),
    (MID, PREMIUM, work(HIGH, LIGHT, "hint"), PREMIUM, Reason.HIGH_COMPLEXITY),
    (MID, PREMIUM, work(HIGH, PREMIUM, "hint"), PREMIUM, Reason.TASK_POLICY),
    (MID, PREMIUM, work(LOW, None, "hint"), LIGHT, Reason.LOW_COMPLEXITY),
    # The class has the last word.
    (MID, MID, work(HIGH), MID, Reason.SLA_CLASS),
    (LIGHT, LIGHT, work(HIGH), LIGHT, Reason.SLA_CLASS),
    (MID, LIGHT, work(MEDIUM), LIGHT, Reason.SLA_CLASS),
    (MID, MID, work(LOW, PREMIUM), MID, Reason.SLA_CLASS),
    (MID, MID, work(MEDIUM), MID, Reason.MEDIUM_COMPLEXITY),
    (MID, LIGHT, work(LOW), LIGHT, Reason.LOW_COMPLEXITY),
]
"""Default tier and highest tier of the class, the work, and where it starts for which reason."""

ROUTES: list[tuple[Target, Constraints, Classification, str, Reason | None]] = [
    # Lowest viable tier first, stronger ones next, weaker ones last, strongest of those first.
    (AUTO, CONSTRAINTS, work(LOW), "box mini maxi big", Reason.LOW_COMPLEXITY),
    (AUTO, CONSTRAINTS, work(MEDIUM), "mini maxi big box", Reason.MEDIUM_COMPLEXITY),
    (AUTO, CONSTRAINTS, work(HIGH), "big mini maxi box", Reason.HIGH_COMPLEXITY),
    (AUTO, CONSTRAINTS, work(LOW, MID), "mini maxi big box", Reason.TASK_POLICY),
    # What shut the first ones out is the reason of the one that is left.
    (AUTO, LOCAL, work(LOW), "box", Reason.LOW_COMPLEXITY),
    (AUTO, LOCAL, work(MEDIUM), "box", Reason.LOCAL_ONLY),
    (AUTO, LOCAL, work(HIGH), "box", Reason.LOCAL_ONLY),
    (AUTO, EU, work(MEDIUM), "mini big box", Reason.MEDIUM_COMPLEXITY),
    (AUTO, US, work(LOW), "maxi", Reason.RESIDENCY),
    (AUTO, US, work(HIGH), "maxi", Reason.RESIDENCY),
    (AUTO, change(CONSTRAINTS, regions=frozenset()), work(LOW), "", None),
    (AUTO, TOOLS, work(LOW), "mini maxi big", Reason.CAPABILITY),
    (AUTO, TOOLS, work(MEDIUM), "mini maxi big", Reason.MEDIUM_COMPLEXITY),
    (AUTO, LONG, work(LOW), "mini maxi big", Reason.CONTEXT_LENGTH),
    (AUTO, change(LONG, tokens_needed=300_000), work(HIGH), "mini maxi", Reason.CONTEXT_LENGTH),
    (AUTO, UP_TO_MID, work(HIGH), "mini maxi box", Reason.SLA_CLASS),
    (AUTO, UP_TO_LIGHT, work(HIGH), "box", Reason.SLA_CLASS),
    (AUTO, UP_TO_LIGHT, work(LOW), "box", Reason.LOW_COMPLEXITY),
    (AUTO, change(UP_TO_LIGHT, needs=TOOLS.needs), work(LOW), "", None),
    (AUTO, change(LOCAL, needs=TOOLS.needs), work(LOW), "", None),
    # A pin is the pin's tier or backend and nothing else.
    (Target(tier=LIGHT), CONSTRAINTS, work(HIGH), "box", Reason.PINNED),
    (Target(tier=MID), CONSTRAINTS, work(LOW), "mini maxi", Reason.PINNED),
    (Target(tier=PREMIUM), CONSTRAINTS, work(LOW), "big", Reason.PINNED),
    (Target(backend="maxi"), CONSTRAINTS, work(LOW), "maxi", Reason.PINNED),
    (Target(backend="lone"), CONSTRAINTS, work(LOW), "lone", Reason.PINNED),
    # Constraints hold for pins as well.
    (Target(tier=MID), EU, work(LOW), "mini", Reason.PINNED),
    (Target(tier=MID), US, work(LOW), "maxi", Reason.RESIDENCY),
    (Target(backend="maxi"), EU, work(LOW), "", None),
    (Target(backend="big"), LOCAL, work(LOW), "", None),
    (Target(backend="box"), TOOLS, work(LOW), "", None),
    (Target(tier=PREMIUM), UP_TO_MID, work(LOW), "", None),
    (Target(backend="lone"), UP_TO_MID, work(LOW), "", None),
]
"""Target, constraints, work; then the candidates in order and the reason of the first."""

FALLBACKS: list[tuple[Target, Constraints, str, Reason]] = [
    (Target(backend="maxi"), CONSTRAINTS, "maxi mini big box", Reason.PINNED),
    (Target(backend="maxi"), EU, "mini big box", Reason.RESIDENCY),
    (Target(backend="box"), CONSTRAINTS, "box mini maxi big", Reason.PINNED),
    (Target(backend="lone"), CONSTRAINTS, "lone big mini maxi box", Reason.PINNED),
    (Target(backend="lone"), EU, "big mini box", Reason.RESIDENCY),
    (Target(tier=PREMIUM), CONSTRAINTS, "big mini maxi box", Reason.PINNED),
    (Target(tier=MID), TOOLS, "mini maxi big", Reason.PINNED),
    (Target(tier=LIGHT), TOOLS, "mini maxi big", Reason.CAPABILITY),
]


@pytest.mark.parametrize(("default", "highest", "classification", "tier", "reason"), START)
def test_where_work_starts(
    default: Tier, highest: Tier, classification: Classification, tier: Tier, reason: Reason
) -> None:
    """Complexity, then the task table, then the class."""
    assert start_tier(default, highest, classification) == (tier, reason)


@pytest.mark.parametrize(("target", "constraints", "classification", "names", "reason"), ROUTES)
def test_who_may_answer_in_which_order_and_why(
    target: Target, constraints: Constraints, classification: Classification, names: str, reason: Reason | None
) -> None:
    """Candidates are those that no constraint forbids; the first has the reason that led to it."""
    route = routed(target, constraints, classification)
    assert [candidate.backend for candidate in route.candidates] == names.split()
    assert (route.candidates[0].reason if route.candidates else None) is reason
    assert route.pinned == (target != AUTO)


@pytest.mark.parametrize(("target", "constraints", "names", "reason"), FALLBACKS)
def test_a_pin_may_be_left_where_the_caller_allows_it(
    target: Target, constraints: Constraints, names: str, reason: Reason
) -> None:
    """Its own backends come first, then everything from its tier up, then what is weaker."""
    route = routed(target, constraints, work(), fallback=True)
    assert [candidate.backend for candidate in route.candidates] == names.split()
    assert route.candidates[0].reason is reason


def test_who_may_not_answer_is_said_with_the_reason() -> None:
    """Each excluded backend, in the order it would have been tried, with its tier."""
    route = routed(AUTO, change(EU, needs=TOOLS.needs), work(MEDIUM))
    assert [(each.backend, each.tier, each.reason) for each in route.excluded] == [
        ("maxi", MID, Reason.RESIDENCY),
        ("box", LIGHT, Reason.CAPABILITY),
    ]


def test_a_weaker_tier_that_is_all_there_is_says_so() -> None:
    """Without a tier to start in and with nothing excluded, the reason is that there is nothing stronger."""
    small = RoutingTable({"box": BOX}, {LIGHT: ("box",)}, {})
    route = plan(small, AUTO, CONSTRAINTS, work(HIGH), allow_fallback=False, max_tokens=None)
    assert [(each.backend, each.reason) for each in route.candidates] == [("box", Reason.NO_STRONGER_TIER)]


def test_a_tier_without_backends_is_passed_over() -> None:
    """Work that starts there goes to the next stronger one, for the reason that it had."""
    table = RoutingTable({"box": BOX, "big": BIG}, {LIGHT: ("box",), PREMIUM: ("big",)}, {})
    route = plan(table, AUTO, CONSTRAINTS, work(MEDIUM), allow_fallback=False, max_tokens=None)
    first = route.candidates[0]
    assert (first.backend, first.reason) == ("big", Reason.MEDIUM_COMPLEXITY)


@pytest.mark.parametrize(("max_tokens", "written"), [(None, 100), (30, 30), (100, 100), (4000, 100)])
def test_expected_cost_is_prompt_and_expected_answer(max_tokens: int | None, written: int) -> None:
    """At the backend's price; no more is expected to be written than the caller lets it."""
    route = plan(TABLE, AUTO, CONSTRAINTS, work(LOW), allow_fallback=False, max_tokens=max_tokens)
    expected = cost(PRICE, CLASSIFICATION.prompt.tokens, written)
    assert [each.cost_nano for each in route.candidates] == [0, expected, expected, expected]


NAMES: list[tuple[str, Target]] = [
    ("auto", AUTO),
    ("light", Target(tier=LIGHT)),
    ("premium", Target(tier=PREMIUM)),
    ("mini", Target(backend="mini")),
    ("lone", Target(backend="lone")),
    ("gpt-4o-mini", AUTO),
    ("cheap", Target(tier=LIGHT)),
    ("best", Target(backend="big")),
]


@pytest.mark.parametrize(("name", "target"), NAMES)
def test_what_a_name_stands_for(name: str, target: Target) -> None:
    """`auto`, tiers, backends, and aliases of any of them."""
    assert TABLE.resolve(name) == target


@pytest.mark.parametrize("name", ["gpt-5", "", "AUTO", "Light", "box ", "old", "*", "mid\n", "x" * 256])
def test_an_unknown_name_is_a_404_that_lists_what_exists(name: str) -> None:
    """Names match exactly; an alias of nothing is unknown too."""
    with pytest.raises(RequestError) as caught:
        TABLE.resolve(name)
    error = caught.value
    assert (error.status, error.code, error.param) == (404, "model_not_found", "model")
    assert all(known in error.message for known in ("auto", "light", "mid", "premium", "box", "lone", "gpt-4o-mini"))


def with_aliases(aliases: Mapping[str, str], tiers: Mapping[Tier, tuple[str, ...]]) -> RoutingTable:
    """The same backends by other names."""
    return RoutingTable(TABLE.specs, tiers, aliases)


def test_any_name_may_stand_for_one() -> None:
    """`*` takes every name that nothing else knows; known names keep their meaning; it is no name to list."""
    table = with_aliases({"*": "auto", "cheap": "light"}, TABLE.tiers)
    assert table.resolve("gpt-99") == table.resolve("") == AUTO
    assert table.resolve("cheap") == Target(tier=LIGHT)
    assert table.resolve("big") == Target(backend="big")
    assert "*" not in table.names()


def test_a_tier_without_backends_is_no_name() -> None:
    """Asking for it is a 404, unless an alias of that name says otherwise."""
    table = with_aliases({}, {LIGHT: ("box",)})
    assert table.names() == ("auto", "light", "box", "mini", "maxi", "big", "lone")
    with pytest.raises(RequestError):
        table.resolve("mid")
    assert with_aliases({"mid": "big"}, {LIGHT: ("box",)}).resolve("mid") == Target(backend="big")


def test_a_backend_in_no_tier_counts_as_the_strongest() -> None:
    """A class that may not use premium may not use what nobody has classed."""
    assert [TABLE.tier_of(name) for name in ("box", "maxi", "big", "lone")] == [LIGHT, MID, PREMIUM, PREMIUM]


CONSTRAINT_CASES = st.builds(
    lambda regions, local, needs, tokens, top: change(
        CONSTRAINTS,
        regions=regions,
        local_only=local,
        needs=needs,
        tokens_needed=tokens,
        sla=change(SLA, max_tier=top, default_tier=min(top, MID, key=lambda tier: tier.rank)),
    ),
    st.none() | st.frozensets(st.sampled_from(["eu-west", "us-east", "eu"])),
    st.booleans(),
    st.frozensets(st.sampled_from(list(Capability)), max_size=2),
    st.sampled_from([10, 4096, 4097, 200_000, 200_001]),
    st.sampled_from(TIERS),
)
WORK_CASES = st.builds(
    work, st.sampled_from(list(Complexity)), st.none() | st.sampled_from(TIERS), st.sampled_from(["hint", "detected"])
)
TARGETS = st.sampled_from([target for _, target in NAMES] + [Target(tier=MID), Target(backend="maxi")])


@given(TARGETS, CONSTRAINT_CASES, WORK_CASES, st.booleans())
@settings(max_examples=300, deadline=None)
def test_no_route_leads_to_a_forbidden_backend(
    target: Target,
    constraints: Constraints,
    classification: Classification,
    fallback: bool,  # noqa: FBT001 - drawn
) -> None:
    """Whatever is asked: each backend stands on one list once, and on the first only if nothing forbids it."""
    route = routed(target, constraints, classification, fallback=fallback)
    listed = [each.backend for each in route.candidates] + [each.backend for each in route.excluded]
    assert len(listed) == len(set(listed))
    for candidate in route.candidates:
        assert constraints.forbids(TABLE.specs[candidate.backend], candidate.tier) is None
        assert candidate.tier is TABLE.tier_of(candidate.backend)
    for exclusion in route.excluded:
        assert constraints.forbids(TABLE.specs[exclusion.backend], exclusion.tier) is exclusion.reason
    if target == AUTO:
        assert set(listed) == {"box", "mini", "maxi", "big"}
