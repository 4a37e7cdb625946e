"""Moments as people write them: `7d`, `today`, `2026-11-25`, `2026-11-25T14:30`. Days are days of UTC."""

import re
from datetime import UTC, datetime, timedelta

import typer

_AGO = re.compile(r"(\d{1,6})\s*([smhdw])")
_UNITS = (("s", 1), ("m", 60), ("h", 3600), ("d", 86_400), ("w", 604_800))


def moment(text: str, now: float, option: str) -> float:
    """Unix seconds. Raises typer.BadParameter, which names what is understood."""
    found = _AGO.fullmatch(text.strip())
    if found is not None:
        return now - int(found[1]) * dict(_UNITS)[found[2]]
    if text in ("today", "yesterday"):
        day = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return (day - timedelta(days=text == "yesterday")).timestamp()
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(
            f"{text!r}: expected an age such as 90m, 24h or 7d, a date such as 2026-11-25 (of UTC), "
            "a time such as 2026-11-25T14:30+01:00, today or yesterday",
            param_hint=option,
        ) from error
