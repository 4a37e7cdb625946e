"""A program that fetches on our behalf, as a process of its own: it is gone when the call returns, however it ends."""

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

_PROGRESS: Final = re.compile(r"Progress (\d+) of (\d+)")


@dataclass(frozen=True, slots=True)
class Ended:
    """Exit status, what it printed besides progress, and what it complained of."""

    status: int
    said: tuple[str, ...]
    complaint: str


def run(
    command: tuple[str, ...],
    environ: Mapping[str, str],
    report: Callable[[int, int | None], None],
) -> Ended:
    """Run it to its end; `report` gets the bytes done and in all of each line `Progress N of M` (pip's raw form)."""
    said = []
    # A file and not a pipe, which would fill while nobody reads it; it goes by itself.
    with tempfile.TemporaryFile(dir=environ.get("TMPDIR")) as complaints:
        child = subprocess.Popen(  # noqa: S603 -- our own interpreter, arguments as a list
            command,
            # A pipe that nobody writes to: its end is how a child that looks for it learns that we are gone.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=dict(environ),
            start_new_session=True,
        )
        with child:
            try:
                assert child.stdout is not None
                for raw in child.stdout:
                    line = raw.decode(errors="replace").strip()
                    if found := _PROGRESS.fullmatch(line):
                        report(int(found[1]), int(found[2]) or None)
                    else:
                        said.append(line)
                status = child.wait()
            finally:
                if child.poll() is None:
                    with suppress(ProcessLookupError):  # it ended in between
                        os.killpg(child.pid, signal.SIGKILL)
        complaints.seek(0)
        return Ended(status, tuple(said), complaints.read().decode(errors="replace"))
