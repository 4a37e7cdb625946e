"""What is left of the prompts under way, and who overtakes whom."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.gate.entries import Entry
from gateway.gate.reading import Reading
from gateway.types import Priority

BATCH, USUAL, URGENT = Priority
COURSES: Final = st.lists(
    st.one_of(st.tuples(st.sampled_from(Priority), st.integers(1, 500)), st.integers(0, 40)), max_size=80
)
"""Somebody comes, of this class and with so many tokens; or of those who are there one goes."""


def request(number: int, prompt: int, priority: Priority) -> Entry:
    """One that was sent in this second."""
    return Entry(
        prompt=prompt,
        arrived_at=number,
        sent_at=number,
        foretold_s=1.0,
        foretold_gap_s=0.0,
        first_s=2.0,
        gap_s=None,
        priority=priority,
    )


def reading(*prompts: int) -> tuple[Reading, list[Entry]]:
    """Prompts that were sent one after the other at second 0."""
    found = Reading()
    entries = [request(0, prompt, USUAL) for prompt in prompts]
    for number, entry in enumerate(entries):
        found.add(number, entry)
    return found, entries


def test_what_is_left_shrinks_as_time_passes() -> None:
    """Half goes to who waits longest and half to the shortest; a token of each is left until its first one is there."""
    found, (long, middle, short) = reading(400, 200, 51)
    found.advance(1.0, 100.0, 1.0)
    assert (long.left, middle.left, short.left) == pytest.approx((350, 200, 1))
    found.advance(2.0, 100.0, 1.0)
    assert (long.left, middle.left, short.left) == pytest.approx((300, 150, 1))
    assert found.left == pytest.approx(451)
    found.advance(60.0, 100.0, 1.0)
    assert found.left == pytest.approx(3, abs=0.1)


def test_first_come_first_served_reads_in_order() -> None:
    """An engine that lets nobody overtake."""
    found, (long, short) = reading(400, 51)
    found.advance(1.0, 100.0, 0.0)
    assert (long.left, short.left) == (300, 51)
    found.advance(5.0, 100.0, 0.0)
    assert (long.left, short.left) == pytest.approx((1, 1), abs=0.1)


def test_what_has_its_first_token_is_gone() -> None:
    """However wrong it was what was left of it; without prompts nothing is left."""
    found, _ = reading(400, 50)
    found.advance(1.0, 10.0, 1.0)
    found.drop(0)
    assert found.left == pytest.approx(45)
    found.drop(1)
    assert found.left == 0


def test_a_short_prompt_waits_for_less() -> None:
    """It is read beside the longest waiting one, and after those that are shorter; in order it waits for all."""
    found, _ = reading(400, 300, 40)
    assert found.ahead(50, 1.0, USUAL) == (2 * (50 + 40), [40])
    assert found.ahead(50, 0.0, USUAL) == (790, [400, 300, 40])
    assert found.ahead(50, 0.5, USUAL)[0] == pytest.approx((180 + 790) / 2)
    assert found.ahead(500, 1.0, USUAL) == (1_240, [40, 300, 400])
    assert Reading().ahead(50, 1.0, USUAL) == (50, ())


def test_who_is_longer_is_delayed() -> None:
    """The longest waiting one keeps half of the steps, whoever comes; who is shorter is not overtaken."""
    found, (first, long, short) = reading(100, 300, 40)
    assert [(entry.prompt, tokens) for entry, tokens in found.delays(60, USUAL)] == [(300, 60)]
    assert (found.until(first), found.until(long), found.until(short)) == (200, 440, 80)
    found.drop(2)
    found.drop(1)
    assert [tokens for _, tokens in found.delays(60, USUAL)] == [60]
    assert [tokens for _, tokens in found.delays(600, USUAL)] == [100]
    found.drop(0)
    assert found.delays(60, USUAL) == []


def test_where_the_urgent_are_served_first_only_their_equals_and_betters_count() -> None:
    """For what is before a prompt, for whom it delays, and for what is read meanwhile."""
    found = Reading(by_priority=True)
    entries = {
        priority: request(0, prompt, priority) for prompt, priority in ((400, BATCH), (200, USUAL), (100, URGENT))
    }
    for number, entry in enumerate(entries.values()):
        found.add(number, entry)
    assert [found.ahead(50, 0.0, priority)[0] for priority in (BATCH, USUAL, URGENT)] == [750, 350, 150]
    assert [entry.priority for entry, _ in found.delays(50, USUAL)] == [USUAL]
    assert found.until(entries[USUAL]) == 300
    assert [entry.overtaken for entry in entries.values()] == [True, True, False]
    found.advance(1.0, 50.0, 1.0)
    found.advance(2.0, 149.0, 1.0)
    assert [entry.left for entry in entries.values()] == pytest.approx([400, 100, 1])


@pytest.mark.parametrize("by_priority", [False, True])
@given(course=COURSES)
def test_who_came_and_went_leaves_no_trace(by_priority: bool, course: list[tuple[Priority, int] | int]) -> None:  # noqa: FBT001 - a parameter of the test
    """Whatever has happened, it is as if only those had come who are still there."""
    found, there, overtaken = Reading(by_priority=by_priority), dict[int, Entry](), set[int]()
    for number, event in enumerate(course):
        if isinstance(event, tuple):
            priority, prompt = event
            overtaken |= {each for each, entry in there.items() if by_priority and entry.priority < priority}
            there[number] = request(number, prompt, priority)
            found.add(number, there[number])
        elif there:
            gone = list(there)[event % len(there)]
            found.drop(gone)
            del there[gone]
    anew = Reading(by_priority=by_priority)
    assert {number for number, entry in there.items() if entry.overtaken} == overtaken & there.keys()
    for number, entry in there.items():
        anew.add(number, entry)
    assert found.left == anew.left
    for priority in Priority:
        assert found.ahead(60, 0.5, priority) == anew.ahead(60, 0.5, priority)
        assert found.delays(60, priority) == anew.delays(60, priority)
    assert [found.until(entry) for entry in there.values()] == [anew.until(entry) for entry in there.values()]
