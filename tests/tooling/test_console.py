"""The person sees each step with its time, life while it runs, and colour only where it belongs."""

from io import StringIO

import pytest

from scripts.tooling.console import GREEN, HEARTBEAT_S, Console, counted_share, elapsed, terminal_console


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1:00"), (247.9, "4:07"), (3725, "62:05")]
)
def test_times_read_as_people_say_them(seconds: float, text: str) -> None:
    """Seconds under a minute, minutes and seconds above."""
    assert elapsed(seconds) == text


def test_a_log_shows_life_and_the_end() -> None:
    """Without a terminal a long step reports now and then, with its share, and ends with its time."""
    out, clock = StringIO(), Clock()
    console = Console(out, live=False, colour=False, clock=clock)
    with console.step("Compile") as step:
        step.progress(0.1)
        clock.now = HEARTBEAT_S + 1
        step.progress(0.5)
        step.progress(0.6)
        clock.now = 247
    lines = out.getvalue().splitlines()
    assert [line.split() for line in lines] == [["..", "Compile", "50%", "31.0", "s"], ["ok", "Compile", "4:07"]]
    assert "\x1b" not in out.getvalue()
    assert "\r" not in out.getvalue()


def test_a_terminal_redraws_one_line() -> None:
    """On a terminal the running line is replaced by the finished one, in colour."""
    out, clock = StringIO(), Clock()
    console = Console(out, live=True, colour=True, clock=clock)
    with console.step("Compile") as step:
        clock.now = 1
        step.progress(0.25)
    assert "25%" in out.getvalue()
    assert out.getvalue().count("\n") == 1
    assert GREEN in out.getvalue().rpartition("\r")[2]


def test_a_failed_step_says_so() -> None:
    """Whether an exception or a verdict ended it, the line reads FAILED."""
    out = StringIO()
    console = Console(out, live=False, colour=False)
    with pytest.raises(OSError, match="gone"), console.step("One"):
        raise OSError("gone")
    with console.step("Two") as step:
        step.fail()
    assert [line.split()[:2] for line in out.getvalue().splitlines()] == [["FAILED", "One"], ["FAILED", "Two"]]


def test_a_pipe_gets_no_escape_codes() -> None:
    """Only a terminal is drawn on."""
    console = terminal_console(StringIO())
    assert not console.live


@pytest.mark.parametrize(
    ("line", "share"),
    [
        ("  [35/140] /usr/bin/g++ -c x.cpp", 0.25),
        ("[140/140] Linking", 1.0),
        ("Collecting cmake", None),
        ("[0/0] x", None),
    ],
)
def test_counted_lines_tell_how_far_it_is(line: str, share: float | None) -> None:
    """The counter of a build or of a pull becomes a share; other lines say nothing."""
    assert counted_share(line) == share
