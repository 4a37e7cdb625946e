"""`forebay logs`: one line per request, from the ledger or a file, with filters, and following both."""

import io
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.cli.console import Terminal
from gateway.cli.main import application, run
from gateway.ledger import SqliteLedger
from gateway.outcome import Outcome, OutcomeStatus
from gateway.telemetry.requestlog import line as json_line
from gateway.types import Tier
from tests.architecture.source import ROOT
from tests.cli.commandline import forebay
from tests.e2e.stack import COMMAND, Lines
from tests.gateway.ledger.full import BARE, FULL, numbered
from tests.gateway.nouns import ATTEMPT, OUTCOME, change

ACME = numbered(3)
MID = change(ATTEMPT, tier=Tier.MID, backend="mini", response_model="mini-1", cost_nano=1_500)
OTHER = change(OUTCOME, request_id="o-1", tenant="other", attempts=(MID,), answer=MID, cost_nano=1_500)
EVIL = change(OUTCOME, request_id="evil\x1b[2Jid", requested_model="x\n2025 faked", status=OutcomeStatus.CANCELLED)


def write(home: Path, *outcomes: Outcome) -> None:
    """Add these to the ledger, as a gateway that starts, serves and stops."""
    ledger = SqliteLedger(home / "ledger.sqlite")
    for each in outcomes:
        ledger.record(each)
    ledger.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data folder with a ledger of six requests."""
    folder = tmp_path / "home"
    write(folder, *ACME, OTHER, FULL, BARE)
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The same as a request log, with what else a service prints in between."""
    path = tmp_path / "requests.log"
    lines = [json_line(outcome) for outcome in (*ACME, OTHER, FULL, BARE)]
    lines.insert(1, "2026-11-25 10:00:00 INFO forebay: engine small is up")
    lines[2] = f"forebay-1  | {lines[2]}"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@contextmanager
def following(home: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], Lines]]:
    """The real command, which does not end by itself."""
    process = subprocess.Popen(
        [str(COMMAND), "logs", "--follow", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "FOREBAY_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        try:
            assert process.stdout is not None
            yield process, Lines(process.stdout)
        finally:
            process.kill()


def seen(lines: Lines, request: str) -> str:
    """The line of that request, once it is there."""
    line = lines.wait(lambda line: line.endswith(f" {request}"), 30)
    assert line is not None, lines.all()
    return line


def ids(out: str) -> list[str]:
    """The requests shown, in their order."""
    return [line.rpartition(" ")[2] for line in out.splitlines()]


def test_a_line_tells_what_became_of_a_request(home: Path) -> None:
    """When, how it ended, for whom, by whom, why, tokens, money, time; and the id to look further with."""
    ended = forebay(home, "logs")
    assert (ended.status, ended.err) == (0, "")
    assert ids(ended.out) == ["r-0", "r-1", "r-2", "o-1", "r-77", "r-1"]
    plain = ended.out.splitlines()[3]
    for part in ("200 ok", " other ", "mid/mini (mini-1)", "low_complexity", "10+5 tok", "$0.0000015", "0.75s"):
        assert part in plain
    broken = ended.out.splitlines()[4]
    for part in ("502 interrupted", "upstream_interrupted", "calls=2", "escalated", "asked=gpt-4o-mini", "first 0.6"):
        assert part in broken
    assert "\x1b" not in ended.out


def test_a_file_and_the_ledger_tell_the_same(home: Path, file: Path) -> None:
    """Whichever an operator has; and what a supervisor has put before a line does no harm."""
    of_ledger = forebay(home, "logs").out.splitlines()
    of_file = forebay(home, "logs", file).out.splitlines()
    assert [line for line in of_file if "engine small is up" not in line] == of_ledger
    assert len(of_file) == len(of_ledger) + 1


def test_standard_input_is_a_log_too(home: Path, file: Path) -> None:
    """`forebay serve | forebay logs -`: each line as it comes."""
    with file.open("rb") as content:
        done = subprocess.run(
            [str(COMMAND), "logs", "-", "--tenant", "other"],
            env={**os.environ, "PYTHONPATH": str(ROOT), "FOREBAY_HOME": str(home)},
            stdin=content,
            capture_output=True,
            check=True,
            text=True,
        )
    assert ids(done.stdout) == ["o-1"]


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("-n", "2"), ["r-77", "r-1"]),
        (("-n", "0"), []),
        (("--tenant", "other"), ["o-1"]),
        (("--tier", "mid"), ["o-1", "r-77"]),
        (("--errors",), ["r-77", "r-1"]),
        (("--errors", "--tier", "mid"), ["r-77"]),
        (("--since", "1h"), []),
    ],
)
def test_filters_are_the_same_for_both(home: Path, file: Path, arguments: tuple[str, ...], wanted: list[str]) -> None:
    """By tenant, by tier, by failure, by age, and the last of those."""
    assert ids(forebay(home, "logs", *arguments).out) == wanted
    assert ids(forebay(home, "logs", file, *arguments).out) == wanted


def test_json_is_a_document_per_line(home: Path) -> None:
    """With the names of the request log."""
    lines = [json.loads(line) for line in forebay(home, "logs", "--json").out.splitlines()]
    assert [line["request_id"] for line in lines][-2:] == ["r-77", "r-1"]
    assert (lines[3]["tier"], lines[3]["cost_usd"]) == ("mid", "0.0000015")


def test_colours_are_for_terminals(home: Path) -> None:
    """Somebody who looks gets them, unless NO_COLOR is set; a file never does."""

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    for environ, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        out = Screen()
        terminal = Terminal({"FOREBAY_HOME": str(home), "TERM": "xterm", **environ}, out, io.StringIO())
        assert run(application(), terminal, ["logs"]) == 0
        assert ("\x1b[32m" in out.getvalue()) is coloured
    assert "\x1b" not in forebay(home, "logs").out


def test_no_name_commands_the_terminal(tmp_path: Path) -> None:
    """Request ids and model names are a caller's: what they hold of control characters is shown, not sent."""
    write(tmp_path, EVIL)
    out = forebay(tmp_path, "logs").out
    assert "\x1b" not in out
    assert out.count("\n") == 1
    assert "\\u001b[2J" in out
    file = tmp_path / "log"
    file.write_text(f"{json_line(EVIL)}\nnot JSON \x1b[2J\n")
    out = forebay(tmp_path, "logs", file).out
    assert "\x1b" not in out


def test_without_a_ledger_it_is_said(tmp_path: Path) -> None:
    """Exit 0, nothing on standard output, and nothing made."""
    ended = forebay(tmp_path / "new", "logs")
    assert (ended.status, ended.out) == (0, "")
    assert "there is no ledger at" in ended.err
    assert not (tmp_path / "new").exists()


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """Exit 1 with its name."""
    ended = forebay(tmp_path, "logs", tmp_path / "none.log")
    assert (ended.status, ended.err) == (1, f"forebay: cannot read {tmp_path}/none.log: No such file or directory\n")


def test_the_ledger_is_followed_across_gateways(tmp_path: Path) -> None:
    """Before there is one, while a gateway writes, after it was stopped, and when the file was replaced."""
    home = tmp_path / "home"
    with following(home) as (process, lines):
        write(home, *numbered(1))
        seen(lines, "r-0")
        write(home, change(OUTCOME, request_id="second"))
        seen(lines, "second")
        (home / "ledger.sqlite").rename(home / "ledger.old")
        write(home, change(OUTCOME, request_id="of-the-new"))
        seen(lines, "of-the-new")
        assert len(lines.all()) == 3
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_following_shows_what_is_wanted_alone(home: Path) -> None:
    """Filters hold for what comes as well, and -n for what was."""
    with following(home, "-n", "1", "--tenant", "other") as (_, lines):
        seen(lines, "o-1")
        write(home, *numbered(2), change(OTHER, request_id="o-2"))
        seen(lines, "o-2")
        assert ids("\n".join(lines.all())) == ["o-1", "o-2"]


def test_following_does_not_hold_up_the_gateway(home: Path) -> None:
    """The writer waits for nobody: with no patience at all it writes everything."""
    with following(home, "-n", "1") as (_, lines):
        seen(lines, "r-1")
        ledger = SqliteLedger(home / "ledger.sqlite", lock_wait_s=0)
        for outcome in numbered(300):
            ledger.record(outcome)
        ledger.record(change(OUTCOME, request_id="the-last"))
        ledger.close()
        seen(lines, "the-last")
        assert not ledger.failing
        assert len(lines.all()) == 302


def test_a_file_is_followed_through_rotation(home: Path, file: Path) -> None:
    """Renamed and made anew, and cut to nothing in its place: no line is lost, none is shown twice."""

    def add(path: Path, name: str) -> None:
        with path.open("a") as log:
            log.write(json_line(change(OUTCOME, request_id=name)) + "\n")

    with following(home, "-n", "1", str(file)) as (_, lines):
        seen(lines, "r-1")
        add(file, "before")
        seen(lines, "before")
        old = file.rename(file.with_suffix(".1"))
        add(old, "late")  # whoever writes has it open still
        seen(lines, "late")
        add(file, "after")
        seen(lines, "after")
        add(file, "longer")
        seen(lines, "longer")
        os.truncate(file, 0)
        add(file, "short")
        seen(lines, "short")
        assert ids("\n".join(lines.all())) == ["r-1", "before", "late", "after", "longer", "short"]


def test_half_a_line_waits_for_its_end(home: Path, file: Path) -> None:
    """Whoever writes may be in the middle of it."""
    with following(home, "-n", "1", str(file)) as (_, lines), file.open("a") as log:
        seen(lines, "r-1")
        whole = json_line(change(OUTCOME, request_id="slow"))
        log.write(whole[:100])
        log.flush()
        assert lines.wait(lambda line: "slow" in line, 1.0) is None
        log.write(whole[100:] + "\n")
        log.flush()
        seen(lines, "slow")
        assert len(lines.all()) == 2


@pytest.mark.parametrize("form", ["", "--json"])
def test_a_reader_that_has_seen_enough_ends_it(home: Path, form: str) -> None:
    """`forebay logs -f | head -1`: at the next line it ends, and says nothing."""
    pipe = subprocess.Popen(
        ["sh", "-c", f'"$0" logs -f -n 1 {form} | head -n 1', str(COMMAND)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "FOREBAY_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with pipe:
        assert pipe.stdout is not None
        assert pipe.stdout.readline()
        write(home, *numbered(1))
        assert pipe.communicate(timeout=30) == ("", "")
