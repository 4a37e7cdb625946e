"""`retry-after` as backends send it: seconds, milliseconds, a date, or nonsense."""

import email.utils
import math
from collections.abc import Mapping
from datetime import UTC, datetime

MAX_SECONDS = 60.0
"""No backend can shut itself out for longer; what asks for more is asked again after this."""


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds to wait in [0, MAX_SECONDS], or None where the headers say nothing that can be understood."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        seconds = _number(value)
        if seconds is not None:
            return min(MAX_SECONDS, max(0.0, seconds * unit))
    return _until(headers.get("retry-after", ""), now or datetime.now(UTC))


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _until(text: str, now: datetime) -> float | None:
    try:
        when = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return min(MAX_SECONDS, max(0.0, (when - now).total_seconds()))
