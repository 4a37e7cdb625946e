"""Forecasts from the ledger and what was learnt."""

from typing import Any

import pytest

from gateway.gate.entries import Entry
from gateway.gate.forecast import Ask, forecast, wait_for_slot
from gateway.gate.inflight import InFlight
from gateway.gate.rates import Learnt, Rates

LEARNT = Learnt(rate=200.0, beside=1.0, crowd=1.0)
ASK = Ask(prompt=100, arrived_at=10.0, first_s=2.0, gap_s=0.1)


def sent(at: float, **more: Any) -> Entry:
    """A request of 100 tokens that was foretold its first token in a second."""
    usual: dict[str, Any] = {"prompt": 100, "foretold_s": 1.0, "foretold_gap_s": 0.0}
    return Entry(arrived_at=at, sent_at=at, **{**usual, "first_s": None, "gap_s": None, **more})


def test_prompts_before_it_and_its_own_are_read_at_the_rate() -> None:
    """Half a second each at 200 tokens per second; a request that was read already takes nothing."""
    flight, rates = InFlight(), Rates(LEARNT)
    assert forecast(ASK, flight, rates, 0.0, 10.0).first_s == pytest.approx(0.5)
    for number in range(3):
        flight.send(number, sent(10.0))
    flight.token(0, 10.0)
    found = forecast(ASK, flight, rates, 0.0, 10.0)
    assert found.first_s == pytest.approx(1.5)
    assert found.slot_s == 0


def test_what_has_been_read_meanwhile_is_not_waited_for() -> None:
    """After a quarter of a second half of a prompt that takes half a second is left; when it is a stream, the next one
    takes longer.
    """
    flight, rates = InFlight(), Rates(Learnt(rate=200.0, beside=0.5))
    assert forecast(ASK, flight, rates, 0.0, 10.0).first_s == pytest.approx(0.5)
    flight.reading.advance(10.0, 200.0, 1.0)
    flight.send(0, sent(10.0))
    assert forecast(ASK, flight, rates, 0.0, 10.0).first_s == pytest.approx(1.5)
    flight.reading.advance(10.25, 200.0, 1.0)
    assert forecast(ASK, flight, rates, 0.0, 10.25).first_s == pytest.approx(1.25)


def test_beside_a_crowd_of_streams_a_prompt_takes_longer() -> None:
    """Half a second alone, a second beside one stream, and two beside three."""
    flight, rates = InFlight(), Rates(Learnt(rate=200.0, beside=0.5, crowd=0.25))
    for number, first_s in enumerate((0.5, 1.0, 1.0, 2.0)):
        assert forecast(ASK, flight, rates, 0.0, 10.0).first_s == pytest.approx(first_s)
        flight.send(number, sent(10.0))
        flight.token(number, 10.0)


def test_prompts_before_it_are_streams_by_then() -> None:
    """Three of half a second: the first is read alone, the next two beside one and two streams, and its own beside
    three. One that it overtakes is none by then.
    """
    rates = Rates(Learnt(rate=200.0, beside=0.5, crowd=0.25, overtaken=0.0))
    flight = InFlight()
    for number in range(3):
        flight.send(number, sent(10.0))
    assert forecast(ASK, flight, rates, 0.0, 10.0).reading_s == pytest.approx((0.5, 2.0, 2.0))
    rates = Rates(Learnt(rate=200.0, beside=0.5, crowd=0.25))
    short = Ask(prompt=20, arrived_at=10.0, first_s=3.0, gap_s=None)
    assert forecast(short, flight, rates, 0.0, 10.0).reading_s == pytest.approx((0.2, 0.0, 0.0))


def test_who_was_overtaken_is_not_overdue() -> None:
    """Its first token was foretold for later when others were let in before it."""
    flight, rates = InFlight(), Rates(LEARNT)
    flight.send(0, sent(10.0, later_s=1.0))
    assert forecast(ASK, flight, rates, 0.0, 12.0).delay == 1
    assert forecast(ASK, flight, rates, 0.0, 13.0).delay == pytest.approx(1.5)


def test_without_a_free_slot_it_waits_for_one() -> None:
    """Two slots that are held for two seconds each: one comes free in a second."""
    flight = InFlight()
    for number in range(2):
        flight.send(number, sent(10.0))
        flight.token(number, 10.0)
    slot_s = wait_for_slot(len(flight), 2, 2.0)
    assert slot_s == pytest.approx(1.0)
    assert wait_for_slot(len(flight), 3, 2.0) == 0
    assert forecast(ASK, flight, Rates(LEARNT), slot_s, 10.0).first_s == pytest.approx(1.5)


def test_an_overdue_request_says_that_the_engine_is_slow() -> None:
    """Before any first token tells: three times over its forecast, and the next is likely late as well."""
    flight, rates = InFlight(), Rates(LEARNT)
    flight.send(0, sent(10.0))
    calm = forecast(ASK, flight, rates, 0.0, 10.5)
    slow = forecast(ASK, flight, rates, 0.0, 13.0)
    assert calm.delay == 1
    assert slow.delay == pytest.approx(3)
    assert slow.late > calm.late
    assert calm.late < 0.3


def test_time_that_has_passed_is_gone() -> None:
    """Of two seconds one and a half went by in the queue: half a second is as likely too long as not."""
    late = forecast(ASK, InFlight(), Rates(LEARNT), 0.0, 11.5).late
    assert late == pytest.approx(0.5, abs=0.05)
    assert forecast(ASK, InFlight(), Rates(LEARNT), 0.0, 10.0).late < 0.05


def test_a_stream_more_makes_all_of_them_slower() -> None:
    """From one stream to two the gap grows by the stream's part of a step; an objective just above it is in doubt."""
    flight = InFlight()
    flight.send(0, sent(0.0))
    for step in range(50):
        flight.token(0, step * 0.09)
    ask = Ask(prompt=1, arrived_at=4.41, first_s=2.0, gap_s=0.1)
    found = forecast(ask, flight, Rates(LEARNT), 0.0, 4.41)
    assert found.gap_s == pytest.approx(0.09 * 6 / 5, rel=0.05)
    assert found.slow > 0.5
    assert found.late < 0.1


def test_who_was_promised_nothing_is_never_late() -> None:
    """A class without objectives."""
    ask = Ask(prompt=10_000, arrived_at=0.0, first_s=None, gap_s=None)
    assert forecast(ask, InFlight(), Rates(LEARNT), 0.0, 100.0).late == 0


def test_nothing_to_read_takes_a_moment_too() -> None:
    """An empty prompt has a forecast that observations can be compared with."""
    ask = Ask(prompt=0, arrived_at=0.0, first_s=2.0, gap_s=None)
    assert forecast(ask, InFlight(), Rates(LEARNT), 0.0, 0.0).first_s == 0.001
