"""`retry-after` as backends send it: seconds, milliseconds, a date, or nonsense."""

from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.backends.retry_after import MAX_SECONDS, retry_after

NOW = datetime(2025, 3, 1, 12, 0, 0, tzinfo=UTC)

TABLE: list[tuple[dict[str, str], float | None]] = [
    ({}, None),
    ({"retry-after": "7"}, 7.0),
    ({"retry-after": " 7 "}, 7.0),
    ({"retry-after": "1.5"}, 1.5),
    ({"retry-after": "0"}, 0.0),
    ({"retry-after": "-5"}, 0.0),
    ({"retry-after": "60"}, 60.0),
    ({"retry-after": "86400"}, MAX_SECONDS),
    ({"retry-after": "9" * 300}, MAX_SECONDS),
    ({"retry-after-ms": "250"}, 0.25),
    ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
    ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
    ({"retry-after-ms": "soon"}, None),
    ({"retry-after-ms": "-1"}, 0.0),
    ({"retry-after-ms": "1e9"}, MAX_SECONDS),
    ({"retry-after": "Sat, 01 Mar 2025 12:00:30 GMT"}, 30.0),
    ({"retry-after": "Sat, 01 Mar 2025 13:00:30 +0100"}, 30.0),
    ({"retry-after": "Sat, 01 Mar 2025 12:00:30 -0000"}, 30.0),
    ({"retry-after": "Sat, 01 Mar 2025 11:00:00 GMT"}, 0.0),
    ({"retry-after": "Sun, 02 Mar 2025 12:00:00 GMT"}, MAX_SECONDS),
    ({"retry-after": "Sat, 01 Mar 99999 12:00:00 GMT"}, None),
    ({"retry-after": "Sat, 01 Mar 0001 00:00:00 +2359"}, 0.0),
    ({"retry-after": "Sat, 01 Mar 2025 12:00:00 +99999999999"}, None),
    ({"retry-after": ""}, None),
    ({"retry-after": "soon"}, None),
    ({"retry-after": "nan"}, None),
    ({"retry-after": "-nan"}, None),
    ({"retry-after": "7 seconds"}, None),
    ({"retry-after": "2025-03-01T12:00:30Z"}, None),
]


@pytest.mark.parametrize(("headers", "seconds"), TABLE, ids=lambda value: str(value)[:60])
def test_every_form_is_read_or_not_understood(headers: dict[str, str], seconds: float | None) -> None:
    """Never negative, never above the maximum, and nonsense is nothing."""
    assert retry_after(headers, NOW) == seconds


@pytest.mark.parametrize("text", ["inf", "infinity", "-inf", "1e999"])
def test_for_ever_is_not_understood_or_bounded(text: str) -> None:
    """No backend can shut itself out for longer than the maximum."""
    assert retry_after({"retry-after": text}, NOW) in (None, MAX_SECONDS)


ODD = st.text(max_size=40) | st.from_regex(r"[A-Z][a-z]{2}, \d{1,5} [A-Z][a-z]{2} \d{1,6} \d+:\d+:\d+ [+-]?\w*")


@given(name=st.sampled_from(["retry-after", "retry-after-ms"]), text=ODD)
@example(name="retry-after", text="Mon, 00 Jan 0000 00:00:00 GMT")
@example(name="retry-after-ms", text="1" * 5000)
@settings(max_examples=300, deadline=None)
def test_no_header_raises(name: str, text: str) -> None:
    """Whatever a backend sends: seconds within bounds, or nothing."""
    found = retry_after({name: text}, NOW)
    assert found is None or 0 <= found <= MAX_SECONDS


def test_without_a_time_it_is_now() -> None:
    """A date is read against the clock."""
    assert retry_after({"retry-after": "Sat, 01 Mar 2025 12:00:30 GMT"}) == 0.0
