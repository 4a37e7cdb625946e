"""The escalation rate over the last requests, and when it brakes."""

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.throttle import EscalationThrottle


def fed(throttle: EscalationThrottle, escalated: list[bool]) -> EscalationThrottle:
    """The throttle after these requests."""
    for each in escalated:
        throttle.record(escalated=each)
    return throttle


def test_nothing_is_known_before_the_first_request() -> None:
    """The rate is 0, and nobody is braked."""
    throttle = EscalationThrottle(0.35, 1)
    assert throttle.rate == 0.0
    assert not throttle.braking


@pytest.mark.parametrize(
    ("escalated", "others", "braking"),
    [(199, 0, False), (200, 0, True), (70, 130, False), (71, 129, True), (0, 500, False), (36, 64, False)],
)
def test_it_brakes_above_the_rate_and_not_before_it_has_seen_enough(escalated: int, others: int, braking: bool) -> None:  # noqa: FBT001 - the table's column
    """35 % itself is not above; fewer than 200 requests prove nothing."""
    throttle = fed(EscalationThrottle(0.35, 200), [True] * escalated + [False] * others)
    assert throttle.braking is braking
    assert throttle.rate == escalated / (escalated + others)


def test_it_lets_go_when_the_rate_has_fallen() -> None:
    """Only the last thousand requests count: a bad hour is forgotten."""
    throttle = fed(EscalationThrottle(0.35, 200), [True] * 1000)
    seen = [(throttle.rate, throttle.braking)]
    for calm in (650, 350):
        fed(throttle, [False] * calm)
        seen.append((throttle.rate, throttle.braking))
    assert seen == [(1.0, True), (0.35, False), (0.0, False)]


def test_a_longer_proof_than_the_window_is_still_possible() -> None:
    """With `after` above a thousand the window grows with it, else it could never brake."""
    throttle = EscalationThrottle(0.35, 1500)
    assert [fed(throttle, [True] * count).braking for count in (1499, 1)] == [False, True]


@given(st.lists(st.booleans(), max_size=40), st.integers(0, 1050))
@settings(max_examples=60, deadline=None)
def test_the_rate_is_that_of_the_last_thousand(requests: list[bool], before: int) -> None:
    """Counting along gives what counting anew would give."""
    history = [index % 3 == 0 for index in range(before)] + requests
    window = deque(history, maxlen=1000)
    expected = sum(window) / len(window) if window else 0.0
    assert fed(EscalationThrottle(0.35, 1), history).rate == expected
