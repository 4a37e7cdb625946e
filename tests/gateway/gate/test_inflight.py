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


def test_streams_are_those_that_are_served_with_it() -> None:
    """Prompts that are read are none, nor are streams that an engine has wait for who is urgent."""
    for by_priority in (False, True):
        flight = InFlight(by_priority=by_priority)
        for number in range(4):
            flight.send(number, entry())
        assert flight.streams(Priority.NORMAL) == 0
        for number in range(3):
            flight.token(number, 0.1)
        assert flight.streams(Priority.BATCH) == flight.streams(Priority.NORMAL) == 3
        assert flight.streams(Priority.INTERACTIVE) == (0 if by_priority else 3)
        flight.end(0, 0.2)
        assert flight.streams(Priority.NORMAL) == 2


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


def test_a_client_who_takes_nothing_says_nothing_of_the_gap() -> None:
    """Three of four at ten tokens a second, and one whose client is slow: 0.1 s. Of that one alone nothing is known,
    until its next token is waited for again.
    """
    flight, now = InFlight(), 0.0
    entries = [entry() for _ in range(4)]
    for number, each in enumerate(entries):
        flight.send(number, each)
        flight.token(number, 0.0)
    flight.rest(entries[3], 0.0)
    for _ in range(30):
        now += 0.1
        for number in range(3):
            flight.token(number, now)
            flight.rest(entries[number], now)
            flight.listen(entries[number], now + 0.001)
    assert flight.gap(now) == pytest.approx(0.1, rel=0.1)
    for number in range(3):
        flight.end(number, now)
    now += 30.0
    assert flight.gap(now) == 0
    flight.listen(entries[3], now)
    assert flight.gap(now + 5.0) > 1
    flight.rest(entries[3], now + 5.0)
    flight.end(3, now + 5.0)
    flight.send(4, entry(sent_at=now + 5.0))
    flight.token(4, now + 5.0)
    assert flight.gap(now + 8.0) > 1, "who is over rests no more"


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
    assert not one.late(3.0)
    assert one.late(3.1), "no token yet, and its time is over"
    one.first_at, one.tokens = 2.0, 1
    assert not one.late(9.0)
    assert not one.slow(9.0)
    one.tokens = 11
    assert one.gap(3.0) == pytest.approx(0.1)
    assert not one.slow(3.0)
    assert one.slow(3.1)


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
    ("by_priority", "priority", "oldest"),
    [
        (False, Priority.INTERACTIVE, 0.0),
        (True, Priority.INTERACTIVE, None),
        (True, Priority.NORMAL, 1.0),
        (True, Priority.BATCH, 0.0),
    ],
)
def test_where_who_is_urgent_goes_first_only_as_urgent_ones_stand_before_him(
    *, by_priority: bool, priority: Priority, oldest: float | None
) -> None:
    """Others are not waited for."""
    flight = InFlight(by_priority=by_priority)
    for number, each in enumerate((Priority.BATCH, Priority.NORMAL)):
        flight.send(number, structs.replace(entry(sent_at=float(number)), priority=each))
    found = flight.before(priority)
    assert (None if found is None else found.sent_at) == oldest
    for number in range(2):
        flight.end(number, 4.0)
    assert flight.before(priority) is None


@pytest.mark.parametrize(
    ("priority", "more", "gap_s"),
    [
        (None, 0, 0.1),
        (Priority.INTERACTIVE, 1, 0.1 * 6 / 5),
        (Priority.NORMAL, 1, 0.1 * 6 / 5),
        (Priority.BATCH, 1, 0.1 * 8 / 5),  # when they are served, the three and it
    ],
)
def test_the_gap_is_that_of_those_who_do_not_pause(priority: Priority | None, more: int, gap_s: float) -> None:
    """Three streams of batch work have a token now and then beside an urgent one, of ten tokens a second."""
    flight = InFlight(by_priority=True)
    classes = (Priority.INTERACTIVE, *3 * (Priority.BATCH,))
    for number, each in enumerate(classes):
        flight.send(number, structs.replace(entry(), priority=each))
        flight.token(number, 0.0)
    for step in range(1, 40):
        flight.token(0, 0.1 * step)
        if step % 13 == 0:
            flight.token(step // 13, 0.1 * step)
    assert flight.running == 4
    assert flight.gap(3.9, more, priority) == pytest.approx(gap_s, rel=0.1)


def test_alone_those_who_pause_have_a_gap_like_others() -> None:
    """Two of batch work at ten tokens a second, before the urgent one came and after it has gone."""
    flight = InFlight(by_priority=True)
    batch = structs.replace(entry(), priority=Priority.BATCH)
    for number in range(2):
        flight.send(number, structs.replace(batch))
        flight.token(number, 0.0)

    def go_on(began: float) -> float:
        for step in range(1, 40):
            for number in range(2):
                flight.token(number, began + 0.1 * step)
        return flight.gap(began + 3.9, 1, Priority.BATCH)

    assert go_on(0.0) == pytest.approx(0.1 * 7 / 6, rel=0.1)
    flight.send(2, structs.replace(entry(), priority=Priority.INTERACTIVE))
    flight.token(2, 4.0)
    flight.token(2, 9.0)
    flight.end(2, 9.0)
    assert go_on(9.0) == pytest.approx(0.1 * 7 / 6, rel=0.1)


def speed_after(flight: InFlight, gaps: list[float], streams: int = 2, first: int = 0) -> float:
    """So many streams whose tokens come with these times between them; their number and times go on from `first`."""
    now = 1000.0 * first
    for number in range(first, first + streams):
        flight.send(number, entry(sent_at=now))
        flight.token(number, now)
    for gap in gaps:
        now += gap
        for number in range(first, first + streams):
            flight.listen(flight.token(number, now), now)
    for number in range(first, first + streams):
        flight.end(number, now)
    return flight.cadence.speed


def test_streams_tell_how_fast_the_engine_is() -> None:
    """Half as fast from one token to the next: within twenty of them most of that is known."""
    flight = InFlight()
    assert speed_after(flight, [0.03] * 50) == 1
    assert speed_after(flight, [0.06] * 20, first=10) < 0.65
    assert speed_after(flight, [0.03] * 40, first=20) > 0.85


def test_what_has_another_reason_tells_nothing_of_the_speed() -> None:
    """A prompt that is read meanwhile, a client that does not listen, a stream more, an engine that stood still."""
    flight = InFlight()
    speed_after(flight, [0.03] * 50)
    flight.send(5, entry(sent_at=9_000.0))
    assert speed_after(flight, [0.09] * 50, first=10) == 1
    flight.end(5, 19_000.0)
    assert speed_after(flight, [0.09] * 9, streams=5, first=20) == 1
    for number, late in enumerate((0.0, 0.08)):
        flight.send(number, entry(sent_at=30_000.0))
        one, now = flight.token(number, 30_000.0), 30_000.0
        for _ in range(30):
            flight.rest(one, now)
            flight.listen(one, now + late)
            now += 0.03 + late
            flight.token(number, now)
        flight.end(number, now)
        assert flight.cadence.speed == pytest.approx(1)
    flight.send(2, entry(sent_at=40_000.0))
    flight.token(2, 40_000.0)
    flight.disturb()
    for place in range(1, 30):
        flight.token(2, 40_000.0 + place * 0.5)
    assert flight.cadence.speed == pytest.approx(1)
