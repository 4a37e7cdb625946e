"""What every attempt must obey: which backend a request may not use, and why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Reason
from gateway.types import TIERS, BackendSpec, Capability, Constraints, Tier
from tests.gateway.nouns import CONSTRAINTS, SLA, SPEC, change

HERE = change(SPEC, on_box=True)
BARE = change(SPEC, capabilities=frozenset())
TOOLS = frozenset({Capability.TOOLS})

TABLE: list[tuple[Constraints, BackendSpec, Tier, Reason | None]] = [
    (CONSTRAINTS, SPEC, Tier.LIGHT, None),
    (CONSTRAINTS, SPEC, Tier.PREMIUM, None),
    (change(CONSTRAINTS, local_only=True), SPEC, Tier.LIGHT, Reason.LOCAL_ONLY),
    (change(CONSTRAINTS, local_only=True), HERE, Tier.PREMIUM, None),
    (change(CONSTRAINTS, regions=frozenset({"eu-west"})), SPEC, Tier.LIGHT, None),
    (change(CONSTRAINTS, regions=frozenset({"eu-west-2"})), SPEC, Tier.LIGHT, Reason.RESIDENCY),
    (change(CONSTRAINTS, regions=frozenset({"eu"})), SPEC, Tier.LIGHT, Reason.RESIDENCY),
    (change(CONSTRAINTS, regions=frozenset()), HERE, Tier.LIGHT, Reason.RESIDENCY),
    (change(CONSTRAINTS, regions=frozenset({"us-east"})), HERE, Tier.LIGHT, Reason.RESIDENCY),
    (change(CONSTRAINTS, sla=change(SLA, max_tier=Tier.LIGHT)), SPEC, Tier.LIGHT, None),
    (change(CONSTRAINTS, sla=change(SLA, max_tier=Tier.LIGHT)), SPEC, Tier.MID, Reason.SLA_CLASS),
    (change(CONSTRAINTS, sla=change(SLA, max_tier=Tier.MID)), SPEC, Tier.MID, None),
    (change(CONSTRAINTS, sla=change(SLA, max_tier=Tier.MID)), SPEC, Tier.PREMIUM, Reason.SLA_CLASS),
    (change(CONSTRAINTS, needs=TOOLS), SPEC, Tier.LIGHT, None),
    (change(CONSTRAINTS, needs=TOOLS), BARE, Tier.LIGHT, Reason.CAPABILITY),
    (change(CONSTRAINTS, needs=TOOLS), change(SPEC, capabilities=TOOLS), Tier.LIGHT, None),
    (
        change(CONSTRAINTS, needs=TOOLS | {Capability.IMAGES}),
        change(SPEC, capabilities=TOOLS),
        Tier.LIGHT,
        Reason.CAPABILITY,
    ),
    (change(CONSTRAINTS, tokens_needed=4096), change(SPEC, context=4096), Tier.LIGHT, None),
    (change(CONSTRAINTS, tokens_needed=4097), change(SPEC, context=4096), Tier.LIGHT, Reason.CONTEXT_LENGTH),
    (change(CONSTRAINTS, tokens_needed=10**9), SPEC, Tier.LIGHT, None),
]
"""Constraints, backend, its tier, and what forbids it."""

ORDER: list[Reason] = [
    Reason.LOCAL_ONLY,
    Reason.RESIDENCY,
    Reason.SLA_CLASS,
    Reason.CAPABILITY,
    Reason.CONTEXT_LENGTH,
]


@pytest.mark.parametrize(("constraints", "spec", "tier", "reason"), TABLE)
def test_a_backend_may_answer_or_not(
    constraints: Constraints, spec: BackendSpec, tier: Tier, reason: Reason | None
) -> None:
    """Place, class, capabilities and context, each on its own; region names match exactly."""
    assert constraints.forbids(spec, tier) is reason


@given(st.sets(st.sampled_from(ORDER)))
def test_of_several_reasons_the_widest_is_told(kinds: set[Reason]) -> None:
    """Where data may go comes before what the class allows, and that before what the backend can do."""
    wrong = change(SPEC, context=50, capabilities=frozenset())
    constraints = change(
        CONSTRAINTS,
        local_only=Reason.LOCAL_ONLY in kinds,
        regions=frozenset({"mars"}) if Reason.RESIDENCY in kinds else None,
        sla=change(SLA, max_tier=Tier.MID if Reason.SLA_CLASS in kinds else Tier.PREMIUM),
        needs=TOOLS if Reason.CAPABILITY in kinds else frozenset(),
        tokens_needed=51 if Reason.CONTEXT_LENGTH in kinds else 50,
    )
    assert constraints.forbids(wrong, Tier.PREMIUM) is next((kind for kind in ORDER if kind in kinds), None)


def test_tiers_have_an_order() -> None:
    """From the cheapest to the strongest, and beside them only vectors, from which nobody is shut out."""
    assert [tier.rank for tier in TIERS] == [0, 1, 2]
    assert {*TIERS, Tier.VECTORS} == set(Tier)
    assert Tier.VECTORS.rank == min(tier.rank for tier in TIERS)
