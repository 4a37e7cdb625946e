"""What the person sees: a line per step with its time, and on a terminal a live line while a step runs."""

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

HEARTBEAT_S = 30.0
"""Without a terminal a running step is reported this often: silence would look like a hang."""
REDRAW_S = 0.2
WIDTH = 54

COUNTED = re.compile(r"^\s*\[(\d+)/(\d+)\]")

GREEN, RED, YELLOW, DIM, PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[2m", "\x1b[0m"


def elapsed(seconds: float) -> str:
    """`0.4 s` under a minute, `4:07` from there on."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def counted_share(line: str) -> float | None:
    """The share that a line of ninja's or of a model pull (`[12/250] …`) says is done; None for other lines."""
    found = COUNTED.match(line)
    if found is None or int(found[2]) == 0:
        return None
    return min(int(found[1]) / int(found[2]), 1.0)


class Step:
    """One running step. `progress` may be called as often as its caller likes; it draws seldom."""

    def __init__(self, console: "Console", title: str) -> None:
        """`title` names the step in every line about it."""
        self.title = title
        self._console = console
        self._started = console.clock()
        self._drawn = self._started
        self.failed = False

    @property
    def seconds(self) -> float:
        """Seconds since the step began."""
        return self._console.clock() - self._started

    def fail(self) -> None:
        """Have the step end as FAILED although no exception ends it."""
        self.failed = True

    def progress(self, share: float | None) -> None:
        """Report life; `share` in [0, 1] is the part that is done, None when nobody can tell."""
        pause = REDRAW_S if self._console.live else HEARTBEAT_S
        if self._console.clock() - self._drawn < pause:
            return
        self._drawn = self._console.clock()
        percent = "" if share is None else f"{share:.0%}"
        self._console.running(self.title, percent, elapsed(self.seconds))


class Console:
    """Writes steps, notes and failures to one stream."""

    def __init__(self, out: TextIO, *, live: bool, colour: bool, clock: Callable[[], float] = time.monotonic) -> None:
        """`live` allows a line that is redrawn, `colour` escape codes; `clock` gives seconds."""
        self.live = live
        self.clock = clock
        self._out = out
        self._colour = colour

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """One step: its line appears when it ends, with `ok` or `FAILED`, and the time it took."""
        step = Step(self, title)
        if self.live:
            self.running(title, "", "")
        try:
            yield step
        except BaseException:
            step.fail()
            raise
        finally:
            mark, colour = ("FAILED", RED) if step.failed else ("ok", GREEN)
            self._line(mark, colour, title, elapsed(step.seconds))

    def running(self, title: str, percent: str, taken: str) -> None:
        """Draw the live line, or without a terminal write a line of its own."""
        text = f"  {'..':<7}{title:<{WIDTH}} {percent:>4} {taken:>7}"
        if self.live:
            # A line that wraps cannot be redrawn.
            self._out.write(f"\r\x1b[K{text[: shutil.get_terminal_size().columns - 1]}")
            self._out.flush()
        else:
            self.say(text)

    def say(self, text: str) -> None:
        """Write one line as it is."""
        self._out.write(f"{self._clear()}{text}\n")
        self._out.flush()

    def warn(self, text: str) -> None:
        """Write a line that somebody should read before going on."""
        self.say(self._paint(YELLOW, f"  note   {text}"))

    def fail(self, text: str) -> None:
        """Write why nothing more will happen."""
        self.say(self._paint(RED, text))

    def quote(self, lines: tuple[str, ...]) -> None:
        """Write lines of a log, set off from what this program says itself."""
        for line in lines:
            self.say(self._paint(DIM, f"  | {line}"))

    def _line(self, mark: str, colour: str, title: str, taken: str) -> None:
        self.say(f"  {self._paint(colour, f'{mark:<7}')}{title:<{WIDTH}}      {taken:>7}")

    def _clear(self) -> str:
        return "\r\x1b[K" if self.live else ""

    def _paint(self, colour: str, text: str) -> str:
        return f"{colour}{text}{PLAIN}" if self._colour else text


def terminal_console(out: TextIO) -> Console:
    """The console for a stream: live and coloured only on a terminal that can do it (https://no-color.org)."""
    able = out.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    return Console(out, live=able, colour=able and not os.environ.get("NO_COLOR"))
