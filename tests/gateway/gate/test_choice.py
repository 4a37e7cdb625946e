"""Money and lateness, request by request."""

import pytest

from gateway.gate.choice import LATENESS, Elsewhere, Ruling, choose
from gateway.gate.forecast import Forecast
from gateway.gate.strictness import Strictness


def seen(late: float, slot_s: float = 0.0) -> Forecast:
    """A forecast of which only the chance and the slot matter."""
    return Forecast(first_s=1.0, gap_s=0.05, slot_s=slot_s, delay=1.0, late=late)


def outcome(
    late: float,
    elsewhere: Elsewhere | None,
    *,
    slot_s: float = 0.0,
    free: bool = True,
    patience_s: float = 0.5,
    strictness: float = 1.0,
    probe: bool = False,
) -> Ruling:
    """What is chosen."""
    forecast, strict = seen(late, slot_s), Strictness(strictness)
    return choose(forecast, elsewhere, strictness=strict, free=free, patience_s=patience_s, probe=probe).outcome


@pytest.mark.parametrize("cost", [0, 1_000, 5_000_000])
def test_the_chance_decides_and_not_the_length(cost: int) -> None:
    """A risk of one in `LATENESS` is taken, a greater one is not, whatever the request costs elsewhere."""
    limit = 1 / LATENESS
    assert outcome(limit, Elsewhere(cost)) is Ruling.ADMIT
    assert outcome(limit + 0.01, Elsewhere(cost)) is Ruling.SPILL


def test_a_cloud_that_is_late_too_is_worth_less() -> None:
    """Who would miss its objective there as well stays."""
    assert outcome(0.4, Elsewhere(1_000, late=0.2)) is Ruling.SPILL
    assert outcome(0.3, Elsewhere(1_000, late=0.2)) is Ruling.ADMIT


def test_strictness_weighs_the_chances() -> None:
    """What broke more promises than it should is believed less."""
    assert outcome(0.1, Elsewhere(1_000)) is Ruling.ADMIT
    assert outcome(0.1, Elsewhere(1_000), strictness=2.0) is Ruling.SPILL


@pytest.mark.parametrize(("strictness", "expected"), [(1.0, Ruling.SPILL), (0.5, Ruling.ADMIT)])
def test_slow_tokens_are_weighed_by_themselves(strictness: float, expected: Ruling) -> None:
    """However strict first tokens have made the gate."""
    slow = Forecast(first_s=0.1, gap_s=0.09, slot_s=0.0, delay=1.0, late=0.0, slow=0.2)
    strict = Strictness(3.0, strictness)
    found = choose(slow, Elsewhere(1_000), strictness=strict, free=True, patience_s=0.0, probe=False)
    assert found.outcome is expected


def test_waiting_is_for_those_who_will_be_in_time() -> None:
    """A slot that comes free within its patience is waited for; one that does not is not, nor for a late answer."""
    cloud = Elsewhere(1_000)
    assert outcome(0.05, cloud, free=False, slot_s=0.4) is Ruling.WAIT
    assert outcome(0.05, cloud, free=False, slot_s=0.6) is Ruling.SPILL
    assert outcome(0.5, cloud, free=False, slot_s=0.4) is Ruling.SPILL
    assert outcome(0.05, cloud, free=False, slot_s=0.4, patience_s=-0.1) is Ruling.SPILL


def test_nobody_else_may_answer() -> None:
    """It stays on the box, late or not; waits as long as it may, and is refused with the time of a slot then."""
    assert outcome(0.9, None) is Ruling.ADMIT
    assert outcome(0.9, None, free=False, slot_s=3.0) is Ruling.WAIT
    refused = choose(seen(0.9, 3.0), None, strictness=Strictness(), free=False, patience_s=0.0, probe=False)
    assert (refused.outcome, refused.retry_after_s, refused.elsewhere_nano) == (Ruling.REFUSE, 3.0, None)


def test_a_probe_goes_in_where_there_is_room() -> None:
    """Once in a while one is let in against the forecast, but not beyond the slots."""
    assert outcome(0.4, Elsewhere(1_000), probe=True) is Ruling.ADMIT
    assert outcome(0.4, Elsewhere(1_000), probe=True, free=False) is Ruling.SPILL


def test_the_harm_that_it_does_to_others_counts() -> None:
    """What they lose is paid like its own lateness: it waits until they are out of its way, or goes elsewhere."""
    harmful = Forecast(first_s=1.0, gap_s=0.05, slot_s=0.0, delay=1.0, late=0.0, harm_nano=300.0)
    for patience_s, strictness, expected in (
        (0.5, 1.0, Ruling.WAIT),
        (0.0, 1.0, Ruling.SPILL),
        (0.0, 0.3, Ruling.ADMIT),
    ):
        strict = Strictness(strictness)
        found = choose(harmful, Elsewhere(1_000), strictness=strict, free=True, patience_s=patience_s, probe=False)
        assert found.outcome is expected
