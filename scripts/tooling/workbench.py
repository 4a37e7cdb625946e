"""What every part of the set-up works with: places, console, log, and children that must succeed."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from scripts.tooling.advice import advise
from scripts.tooling.command import TAIL_LINES, Log, SetupError
from scripts.tooling.console import Console
from scripts.tooling.places import Places

PIP = ("-m", "pip", "--no-color")

HASHED = ("install", "--require-hashes", "--only-binary", ":all:", "--progress-bar", "off")
"""Only what is pinned by hash, and ready-made: a source package's build would fetch what nobody pinned."""


def unheard(_line: str | None) -> None:
    """Listen to nothing."""


class Workbench:
    """Places, console and log of one run."""

    def __init__(self, places: Places, console: Console) -> None:
        """Nothing is touched before the first child runs."""
        self.places = places
        self.console = console
        self.log = Log(places.log)

    def child(
        self,
        what: str,
        argv: Sequence[str | Path],
        *,
        on_line: Callable[[str | None], None] = unheard,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Run a child that must succeed; `what` completes "Could not …" in the SetupError it may raise."""
        status = self.log.run(argv, env=env or self.places.env, cwd=cwd or self.places.root, on_line=on_line)
        if status != 0:
            raise self.failure(what)

    def failure(self, what: str) -> SetupError:
        """The error for a child that failed, with what it said last and what is known to help."""
        advice = advise("\n".join(self.log.lines()[-TAIL_LINES:]))
        return SetupError(f"Could not {what}.", advice=advice, log=self.log.path, tail=self.log.tail())

    def pins(self, group: str) -> str:
        """The text of a group's requirement file."""
        return self.places.requirements(group).read_text(encoding="utf-8")
