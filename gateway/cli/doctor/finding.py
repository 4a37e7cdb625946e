"""What an examination says, one thing at a time."""

from enum import StrEnum

from msgspec import Struct


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing, and nothing to do."""
    WARNING = "warning"
    """It works, and will not always, or not as well as it could."""
    BROKEN = "broken"
    """Something that the configuration wants does not work."""


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that was looked at. `check` is a name that programs may rely on; `advice` is what to do."""

    check: str
    level: Level
    what: str
    advice: str | None = None


def ok(check: str, what: str) -> Finding:
    """It is as it should be."""
    return Finding(check=check, level=Level.OK, what=what)


def note(check: str, what: str) -> Finding:
    """It may be as it is."""
    return Finding(check=check, level=Level.NOTE, what=what)


def warning(check: str, what: str, advice: str) -> Finding:
    """It had better be mended."""
    return Finding(check=check, level=Level.WARNING, what=what, advice=advice)


def broken(check: str, what: str, advice: str) -> Finding:
    """It has to be mended."""
    return Finding(check=check, level=Level.BROKEN, what=what, advice=advice)
