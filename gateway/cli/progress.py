"""How far a long command is: a bar where somebody looks, a line now and then where nobody does."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

Unit = Literal["bytes", "items"]

# Without a terminal a phase is reported when it begins, at each tenth, and at its end.
_STEPS = 10


class Report(Protocol):
    """Called as often as its caller likes, with the name of what is going on and how much of it is done."""

    def __call__(self, phase: str, done: int, total: int | None) -> None:
        """`total` None: nobody knows how much there will be."""


@contextmanager
def progress(console: Console, unit: Unit) -> Iterator[Report]:
    """Show the progress that is reported within. A bar that an exception ends is left as it stands."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield _Lines(console, unit)
        return
    with Progress(*_columns(unit), console=console) as bars:
        yield _Bar(bars)


class _Bar:
    """One bar, which begins anew with each phase."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._task: TaskID | None = None
        self._phase = ""

    def __call__(self, phase: str, done: int, total: int | None) -> None:
        if self._task is None or phase != self._phase:
            self._task = self._bars.add_task(phase, total=total)
            self._phase = phase
        self._bars.update(self._task, completed=done, total=total)


class _Lines:
    """Plain lines, few enough for a log."""

    def __init__(self, console: Console, unit: Unit) -> None:
        self._console = console
        self._unit = unit
        self._phase = ""
        self._step = -1

    def __call__(self, phase: str, done: int, total: int | None) -> None:
        step = done * _STEPS // total if total else 0
        if phase == self._phase and step <= self._step:
            return
        self._phase, self._step = phase, step
        self._console.print(f"{phase}{self._amount(done, total)}", soft_wrap=True)

    def _amount(self, done: int, total: int | None) -> str:
        if not total:
            return ""
        if self._unit == "items":
            return f": {done} of {total}"
        return f": {done / 1e6:.1f} of {total / 1e6:.1f} MB"


def _columns(unit: Unit) -> tuple[ProgressColumn, ...]:
    phase = (TextColumn("{task.description}", markup=False), BarColumn())
    if unit == "bytes":
        return (*phase, DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    return (*phase, MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
