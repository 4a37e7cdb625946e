"""Where data may go: names match exactly, and narrowing never widens."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.policy.residency import Regions, narrow

REGIONS = Regions(
    {"eu": ("eu-west", "eu-central"), "world": ("eu-west", "us-east"), "none": (), "us-east": ("us-east-1",)}
)
NAMES = st.sampled_from(["eu", "eu-west", "eu-central", "eu-west-2", "us-east", "world", "none", "moon", ""])
LIMITS = st.none() | st.frozensets(NAMES)


@pytest.mark.parametrize(
    ("names", "regions"),
    [
        (("eu",), {"eu-west", "eu-central"}),
        (("eu-west",), {"eu-west"}),
        (("eu-west-2",), {"eu-west-2"}),
        (("eu-",), {"eu-"}),
        (("EU",), {"EU"}),
        (("eu", "moon"), {"eu-west", "eu-central", "moon"}),
        (("eu", "world"), {"eu-west", "eu-central", "us-east"}),
        (("none",), set()),
        (("us-east",), {"us-east-1"}),
        ((), set()),
    ],
)
def test_a_name_stands_for_its_group_or_for_itself(names: tuple[str, ...], regions: set[str]) -> None:
    """A group's members are regions and are not looked up again; no name matches by its beginning."""
    assert REGIONS.expand(names) == regions


@pytest.mark.parametrize(
    ("allowed", "wanted", "both"),
    [
        (None, None, None),
        (None, {"a"}, {"a"}),
        ({"a"}, None, {"a"}),
        ({"a", "b"}, {"b", "c"}, {"b"}),
        ({"a"}, {"b"}, set()),
        (set(), None, set()),
        (set(), {"a"}, set()),
        (None, set(), set()),
    ],
)
def test_both_limits_hold(allowed: set[str] | None, wanted: set[str] | None, both: set[str] | None) -> None:
    """No limit is None; nothing in common is the empty set, which allows nothing."""
    found = narrow(None if allowed is None else frozenset(allowed), None if wanted is None else frozenset(wanted))
    assert found == both


def allows(limit: frozenset[str] | None, region: str) -> bool:
    """Whether data may go to `region`."""
    return limit is None or region in limit


@given(LIMITS, LIMITS, NAMES)
@settings(max_examples=200, deadline=None)
def test_narrowing_never_widens(allowed: frozenset[str] | None, wanted: frozenset[str] | None, region: str) -> None:
    """A region is open afterwards exactly if both limits leave it open."""
    assert allows(narrow(allowed, wanted), region) == (allows(allowed, region) and allows(wanted, region))
