"""The ledger of what is under way."""

import pytest
from msgspec import structs

from gateway.gate.entries import Entry
from gateway.gate.inflight import InFlight
from gateway.types import Priority


def entry(prompt: int = 100, sent_at: float = 0.0) -> Entry:
    """A request with an objective of 2 s and 0.1 s."""
    return Entry(
        prompt=prompt,
        arrived_at=sent_at,
        sent_at=sent_at,
        foretold_s=1.0,
        foretold_gap_s=0.05,
        first_s=2.0,
        gap_s=0.1,
    )


def test_the_ledger_sums_to_nothing_when_all_is_over() -> None:
    """Prompts count until their first token, requests until their end, however they end."""
    flight = InFlight()
    for number in range(3):
        flight.send(number, entry(sent_at=float(number)))
    assert (len(flight), flight.running, flight.backlog) == (3, 0, 300)
    assert [flight.oldest and flight.oldest.sent_at] == [0]
    flight.token(0, 3.0)
    assert (flight.running, flight.backlog) == (1, 200)
    assert [flight.oldest and flight.oldest.sent_at] == [1]
    for number in range(3):
        flight.end(number, 4.0)
    assert flight.oldest is None
    assert (len(flight), flight.running, flight.backlog) == (0, 0, 0)


def test_the_gap_is_that_of_now() -> None:
    """Two streams at ten tokens a second have a gap of 0.1 s; when they slow down it follows within two seconds."""
    flight = InFlight()
    assert flight.gap(0.0) == 0
    for number in range(2):
        flight.send(number, entry())
        flight.token(number, 0.0)
    now = 0.0
    for _ in range(30):
        now += 0.1
        flight.token(0, now)
        flight.token(1, now)
    assert flight.gap(now) == pytest.approx(0.1, rel=0.1)
    for _ in range(7):
        now += 0.3
        flight.token(0, now)
        flight.token(1, now)
    assert flight.gap(now) > 0.23
    silent = flight.gap(now + 3.0)
    assert silent > 1.0, "no token is news too"


def test_the_gap_beside_more_is_longer() -> None:
    """Two streams at ten tokens a second: with a third a step takes a sixth more, for by itself it takes four."""
    flight = InFlight()
    for number in range(2):
        flight.send(number, entry())
        flight.token(number, 0.0)
    for step in range(1, 30):
        flight.token(0, 0.1 * step)
        flight.token(1, 0.1 * step)
    assert flight.gap(2.9, more=1) == pytest.approx(flight.gap(2.9) * 7 / 6)
    assert flight.gap(2.9, more=1) == pytest.approx(0.117, rel=0.1)


def test_a_broken_promise_is_seen_as_soon_as_it_is_broken() -> None:
    """The first token by its time, the tokens by their mean."""
    one = entry(sent_at=1.0)
    assert not one.missed(3.0)
    assert one.missed(3.1), "no token yet, and its time is over"
    one.first_at, one.tokens = 2.0, 1
    assert not one.missed(9.0)
    one.tokens = 11
    assert one.gap(3.0) == pytest.approx(0.1)
    assert not one.missed(3.0)
    assert one.missed(3.1)


def test_a_standstill_leaves_no_trace_in_the_gap() -> None:
    """After ten seconds without a token nothing is known of the gap, and those who were there tell nothing."""
    flight = InFlight()
    flight.send(0, entry())
    for at in (0.0, 0.1, 0.2, 0.3):
        flight.token(0, at)
    assert flight.gap(10.3) > 0
    flight.token(0, 10.3)
    flight.disturb()
    assert flight.gap(10.3) == 0
    assert not flight.end(0, 10.4).telling


@pytest.mark.parametrize(
    ("by_priority", "priority", "oldest", "beside"),
    [
        (False, Priority.INTERACTIVE, 0.0, True),
        (True, Priority.INTERACTIVE, None, False),
        (True, Priority.NORMAL, 1.0, True),
        (True, Priority.BATCH, 0.0, True),
    ],
)
def test_where_who_is_urgent_goes_first_only_as_urgent_ones_stand_before_him(
    *, by_priority: bool, priority: Priority, oldest: float | None, beside: bool
) -> None:
    """Neither are others waited for, nor is anything done beside them."""
    flight = InFlight(by_priority=by_priority)
    for number, each in enumerate((Priority.BATCH, Priority.NORMAL)):
        flight.send(number, structs.replace(entry(sent_at=float(number)), priority=each))
    found = flight.before(priority)
    assert (None if found is None else found.sent_at, flight.beside(priority)) == (oldest, beside)
    for number in range(2):
        flight.end(number, 4.0)
    assert (flight.before(priority), flight.beside(priority)) == (None, False)
