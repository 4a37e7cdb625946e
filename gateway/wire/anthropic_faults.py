"""What the errors of Anthropic's API mean, and what its headers say of the limits that calls are held to."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from gateway.errors import Reason
from gateway.wire.upstream import Fault

_TOO_LONG = re.compile(r"prompt is too long|context (?:window|limit|length)|too many tokens", re.IGNORECASE)
_FILTERED = re.compile(r"content filtering|content policy", re.IGNORECASE)
# Status 400 as well, though no request could be put differently to be taken.
_UNPAID = re.compile(r"credit balance|usage limits|spend(?:ing)? limit", re.IGNORECASE)
_AT = re.compile(r"([a-z_]+(?:\.[A-Za-z0-9_]+)*): ")
_LIMITS = ("requests", "tokens", "input-tokens", "output-tokens")


class _ErrorDetails(Struct):
    error_code: str | None = None


class _ErrorBody(Struct):
    type: str | None = None
    message: str | None = None
    details: _ErrorDetails | None = None


class _Error(Struct):
    error: _ErrorBody


_error_decoder = msgspec.json.Decoder(_Error)


def read_fault(status: int, raw: bytes) -> Fault:
    """What an error status with this body means."""
    try:
        error = _error_decoder.decode(raw).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        error = _ErrorBody()
    message = error.message or ""
    at = _AT.match(message)
    return Fault(
        _reason(status, error, message),
        (error.details and error.details.error_code) or error.type,
        None if at is None else at[1],
        callers=False if _UNPAID.search(message) else None,
    )


def used_up_s(headers: Mapping[str, str], now: datetime) -> float:
    """Seconds until the last of those limits is renewed of which nothing remains; 0 where some of each does."""
    used_up = (
        headers.get(f"anthropic-ratelimit-{limit}-reset", "")
        for limit in _LIMITS
        if headers.get(f"anthropic-ratelimit-{limit}-remaining") == "0"
    )
    return max((_until(reset, now) for reset in used_up), default=0.0)


def _reason(status: int, error: _ErrorBody, message: str) -> Reason:
    """Why the next backend is tried."""
    if status == 429:
        return Reason.RATE_LIMIT
    if error.type == "request_too_large" or (status in (400, 413) and _TOO_LONG.search(message)):
        return Reason.CONTEXT_LENGTH
    if status == 400 and _FILTERED.search(message):
        return Reason.CONTENT_FILTER
    if error.type == "timeout_error" or status in (408, 504):
        return Reason.UPSTREAM_TIMEOUT
    return Reason.UPSTREAM_ERROR


def _until(reset: str, now: datetime) -> float:
    """Seconds until a time in RFC 3339; 0 where it is none, or past."""
    try:
        when = datetime.fromisoformat(reset)
    except ValueError:
        return 0.0
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - now).total_seconds())
