"""A breaker over time: what opens it, how long it stays open, and how it notices that a backend is back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.backends.breaker import Breaker

Step = tuple[float, str, float]
"""At this time, this happens, and a call may then be made in so many seconds."""

HISTORIES: dict[str, list[Step]] = {
    "calls that succeed": [(0, "call", 0), (0, "ok", 0), (1, "call", 0), (1, "ok", 0)],
    "four failures in a row": [(time, "fail", 0) for time in range(4)],
    "five failures in a row": [
        *((time, "fail", 0) for time in range(4)),
        (4, "fail", 15),
        (10, "wait", 9),
        (19, "wait", 0),
    ],
    "a success between them": [*((time, "fail", 0) for time in range(4)), (4, "ok", 0), *((5, "fail", 0),) * 4],
    "half of the last twenty": [
        *((time, "fail" if time % 2 else "ok", 0) for time in range(19)),
        (19, "fail", 15),
    ],
    "less than half of the last twenty": [
        *((time, "fail" if time % 2 else "ok", 0) for time in range(17)),
        *((time, "ok", 0) for time in (17, 18, 19)),
    ],
    "the probe succeeds": [
        *((0, "fail", 0),) * 4,
        (0, "fail", 15),
        (15, "call", 15),
        (16, "ok", 0),
        (16, "call", 0),
        (16, "fail", 0),
    ],
    "only one probe at a time": [
        *((0, "fail", 0),) * 4,
        (0, "fail", 15),
        (15, "wait", 0),
        (15, "call", 15),
        (90, "wait", 15),
    ],
    "probes that fail": [
        *((0, "fail", 0),) * 4,
        (0, "fail", 15),
        (15, "call", 15),
        (15, "fail", 30),
        (45, "call", 30),
        (45, "fail", 60),
        (105, "call", 60),
        (105, "fail", 120),
        (225, "call", 120),
        (225, "fail", 120),
        (345, "call", 120),
        (345, "ok", 0),
        *((345, "fail", 0),) * 4,
        (345, "fail", 15),
    ],
    "a probe that says nothing": [
        *((0, "fail", 0),) * 4,
        (0, "fail", 15),
        (15, "call", 15),
        (16, "none", 0),
        (16, "call", 15),
    ],
    "calls that waited for a slot while it opened": [
        *((0, "fail", 0),) * 4,
        (0, "fail", 15),
        (1, "call", 14),
        (1, "fail", 15),
        *((1, "call", 15), (1, "fail", 15)) * 8,
        (16, "call", 15),
        (16, "ok", 0),
    ],
    "a backend that is started anew": [
        *((0, "fail", 0),) * 4,
        (0, "fail", 15),
        (15, "call", 15),
        (15, "fail", 30),
        (16, "anew", 0),
        *((17, "fail", 0),) * 4,
        (17, "fail", 15),
    ],
    "a backend that names a time": [(0, "told", 7), (3, "wait", 4), (7, "wait", 0), (7, "call", 0), (7, "fail", 0)],
    "a probe that is told to wait": [
        *((0, "fail", 0),) * 4,
        (0, "fail", 15),
        (15, "call", 15),
        (15, "told", 7),
        (22, "wait", 0),
        (22, "call", 15),
    ],
    "a shorter time than the pause": [*((0, "fail", 0),) * 4, (0, "fail", 15), (1, "told", 14)],
    "being told to wait is no failure": [*((time, "told", 7) for time in range(30)), (36, "wait", 0)],
    "what was bad before a good probe is forgotten": [
        *((0, "fail", 0),) * 4,
        (0, "fail", 15),
        (15, "call", 15),
        (15, "ok", 0),
        *((15, "ok", 0),) * 11,
        *((15, "fail", 0),) * 4,
    ],
}


def play(breaker: Breaker, time: float, event: str) -> None:
    """Let it happen."""
    match event:
        case "call":
            breaker.enter(time)
        case "ok":
            breaker.succeeded()
        case "fail":
            breaker.failed(time)
        case "told":
            breaker.told_to_wait(time, 7.0)
        case "none":
            breaker.gave_no_evidence()
        case "anew":
            breaker.forget()


@pytest.mark.parametrize("name", HISTORIES)
def test_when_a_call_may_be_made(name: str) -> None:
    """Step by step through a history, with the seconds until the next call after each."""
    breaker = Breaker()
    for number, (time, event, seconds) in enumerate(HISTORIES[name]):
        play(breaker, time, event)
        assert breaker.open_for(time) == seconds, (number, time, event)


EVENTS = st.lists(st.tuples(st.sampled_from(["call", "ok", "fail", "told", "none"]), st.floats(0, 40)), max_size=60)


@given(EVENTS)
@settings(max_examples=200, deadline=None)
def test_no_history_shuts_a_backend_out_for_good(events: list[tuple[str, float]]) -> None:
    """Calls are only made when they may be; then two minutes of peace always let one through, and success closes it."""
    breaker, now, calling = Breaker(), 0.0, False
    for event, later in events:
        now += later
        if event == "call":
            calling = calling or breaker.open_for(now) == 0
            if calling:
                play(breaker, now, event)
        elif calling or event == "told":
            play(breaker, now, event)
            calling = calling and event == "told"
    if calling:
        breaker.gave_no_evidence()
    now += 120
    assert breaker.open_for(now) == 0
    breaker.enter(now)
    breaker.succeeded()
    assert breaker.open_for(now) == 0
