"""An engine that starts, stands still, gets on, and falls silent."""

import pytest

from gateway.gate.health import Health


def up(slots: int = 8) -> Health:
    """An engine that has been ready for long, at second 100."""
    health = Health(slots)
    health.heard(0.0, ready=True)
    health.heard(100.0, ready=True)
    return health


def test_a_return_is_gentle() -> None:
    """One request, and twice as many every second, until all slots are in use; who was met well has them at once."""
    health = Health(8)
    assert health.ceiling(0, 0.0, 0.0) == 0, "nothing was heard of it"
    health.heard(1.0, ready=False)
    health.heard(2.0, ready=True)
    assert health.ceiling(0, 0.0, 2.0) == 8
    health.heard(9.0, ready=False)
    health.heard(10.0, ready=True)
    assert [health.ceiling(0, 0.0, 10.0 + second) for second in (0, 0.9, 1, 2, 3, 4)] == [1, 1, 2, 4, 8, 8]
    health.heard(12.0, ready=False)
    assert health.ceiling(0, 0.0, 12.0) == 0
    health.heard(13.0, ready=True)
    assert health.ceiling(0, 0.0, 13.0) == 1


def test_an_engine_that_stands_still_is_fenced_within_a_second_and_a_half() -> None:
    """Streams without a token for a second; and its first token lets half of the slots in, then all."""
    health = up()
    health.sent(100.0, 0)
    health.progressed(100.1)
    assert health.ceiling(1, 0.0, 101.0) == 8
    assert health.ceiling(1, 0.0, 101.2) == 0
    assert health.fenced
    health.heard(102.0, ready=True)
    assert health.ceiling(1, 0.0, 104.0) == 0, "that it answers its health check is no progress"
    health.progressed(104.0)
    assert [health.ceiling(1, 0.0, at) for at in (104.0, 104.9, 105.0)] == [4, 4, 8]


def test_a_long_prompt_is_no_standstill() -> None:
    """While prompts of two seconds are read, six may pass without a token."""
    health = up()
    health.sent(100.0, 0)
    assert health.ceiling(1, 2.0, 103.0) == 8
    health.heard(104.0, ready=True)
    assert health.ceiling(1, 2.0, 105.9) == 8
    assert health.ceiling(1, 2.0, 106.1) == 0


def test_a_fence_round_an_empty_engine_opens_for_one_at_a_time() -> None:
    """Nothing is under way that could show progress: one goes first, every two seconds."""
    health = up()
    health.sent(100.0, 0)
    assert health.ceiling(1, 0.0, 102.5) == 0
    assert health.ceiling(0, 0.0, 102.6) == 1
    health.sent(102.6, 0)
    assert health.ceiling(1, 0.0, 102.7) == 0
    assert health.ceiling(0, 0.0, 103.0) == 0, "the last one was given up; not every second"
    assert health.ceiling(0, 0.0, 104.7) == 1


@pytest.mark.parametrize(("age", "most"), [(1.0, 8), (5.0, 8), (5.1, 4), (15.0, 4), (15.1, 0)])
def test_silence_takes_trust_away_by_degrees(age: float, most: int) -> None:
    """All for five seconds, half for ten more, then none; a word gives all of it back."""
    health = up()
    assert health.ceiling(0, 0.0, 100.0 + age) == most
    health.heard(120.0, ready=True)
    assert health.ceiling(0, 0.0, 120.0) == 8


def test_what_could_not_be_heard_is_no_silence() -> None:
    """This process stood still for 35 seconds: neither its streams nor those who watch it had the word meanwhile."""
    health = up()
    health.sent(100.0, 0)
    health.progressed(100.1)
    health.excuse(35.0, 135.5)
    assert health.ceiling(1, 0.0, 135.9) == 8
    assert health.ceiling(1, 0.0, 136.2) == 0, "it has not said anything since, either"


def test_what_was_heard_before_the_excuse_is_not_put_off() -> None:
    """A token that was read and news that came before anybody noticed the standstill give no credit for later."""
    health = up()
    health.sent(100.0, 0)
    health.heard(135.0, ready=True)
    health.progressed(135.0)
    health.excuse(35.0, 135.1)
    assert health.ceiling(1, 0.0, 136.0) == 8
    assert health.ceiling(1, 0.0, 136.2) == 0


def test_who_was_down_since_and_is_back_is_no_more_fenced() -> None:
    """Whoever watches it has had a token of it, or had it begun anew; it is let in gently all the same."""
    health = up()
    health.sent(100.0, 0)
    assert health.ceiling(1, 0.0, 102.5) == 0
    health.heard(104.0, ready=False)
    assert health.fenced
    health.heard(120.0, ready=True)
    assert (health.fenced, health.ceiling(0, 0.0, 120.0)) == (False, 1)


def test_a_standstill_stays_in_doubt_for_a_minute() -> None:
    """Or until a token comes."""
    health = up()
    health.sent(100.0, 0)
    assert not health.in_doubt(102.5)
    health.fence()
    assert [health.in_doubt(at) for at in (102.5, 159.0, 161.0)] == [True, True, False]
    health.progressed(110.0)
    assert not health.in_doubt(110.0)
