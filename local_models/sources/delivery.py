"""What a source is asked, and how it answers."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from msgspec import Struct


class PullPhase(StrEnum):
    """What a pull is doing."""

    WAITING = "waiting"
    """Another pull of the same model is at work."""
    DOWNLOADING = "downloading"
    UNPACKING = "unpacking"
    """Writing the model's file."""
    CHECKING = "checking"
    """Computing its sum."""


Progress = Callable[[int, int | None, PullPhase], None]
"""Called with bytes done and in all (None while unknown) of the present phase, and that phase."""


class OfferedFile(Struct, frozen=True, kw_only=True):
    """One file as its source promises it; None is what only the file itself will tell."""

    source: str
    """The address of this very file, which will never mean another."""
    sha256: str | None = None
    bytes: int | None = None


class Offer(Struct, frozen=True, kw_only=True):
    """What an address stands for at this moment."""

    files: tuple[OfferedFile, ...]
    """At least one; an engine is pointed at the first."""
    licence: str = ""
    """As its publisher calls it; empty where nobody says."""
    revision: str = ""
    """The commit that a branch or tag stands for."""


class Delivery(Struct, frozen=True, kw_only=True):
    """One file to be brought."""

    target: Path
    """To be written."""
    scratch: Path
    """An empty folder, thrown away afterwards."""
    kept: Path
    """A folder that outlives an interrupted pull, for a source that can go on where it stopped."""
    bytes: int | None
    """How many there will be. More than that are not to be written: the caller finds out by the size."""
    environ: Mapping[str, str]
    progress: Progress


class Source(Protocol):
    """One model at the place it comes from."""

    def offer(self, environ: Mapping[str, str]) -> Offer:
        """What there is. May ask over the network. Raises SourceFailed with one line that says what to do."""
        ...

    def room(self, size: int) -> int:
        """Bytes of disk that are taken at most while a file of this size is brought."""
        ...

    def deliver(self, delivery: Delivery) -> None:
        """Bring its one file. Raises SourceFailed."""
        ...
