"""One line per request: what happened, never what was said; and nobody waits for its reader."""

import json
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Code
from gateway.outcome import Outcome, OutcomeStatus
from gateway.telemetry import RequestLog
from gateway.telemetry.requestlog import line
from tests.gateway import canaries
from tests.gateway.ledger.full import BARE, FULL, numbered
from tests.gateway.nouns import ATTEMPT, CLASSIFICATION, OUTCOME, change
from tests.gateway.waiting import until

ROOT = Path(__file__).parents[3]
HELD = 10_000
"""How many outcomes wait at most."""

FULL_LINE: dict[str, object] = {
    "time": "2023-11-14T22:13:20.500+00:00",
    "request_id": "r-77",
    "tenant": "acme",
    "key": "ci",
    "class": "pro",
    "requested_model": "gpt-4o-mini",
    "status": "interrupted",
    "http_status": 502,
    "code": "upstream_interrupted",
    "task": "faq",
    "complexity": "medium",
    "tier": "mid",
    "backend": "mini",
    "reason": "low_confidence",
    "response_model": "mid-1.0",
    "attempts": 2,
    "tried": [
        {"backend": "local", "reason": "task_policy", "status": "superseded", "error": "upstream_timeout"},
        {"backend": "mini", "reason": "low_confidence", "status": "interrupted", "error": None},
    ],
    "passed_over": [{"backend": "other", "reason": "no_capacity"}],
    "escalated": True,
    "prompt_tokens": 102,
    "completion_tokens": 52,
    "cost_usd": "0.000003003",
    "confidence": 0.875,
    "latency_ms": 1250.0,
    "ttft_ms": 625.0,
    "decision_us": 300,
    "stream": True,
    "max_output": 512,
    "dropped_turns": 6,
}
"""The line of `FULL`; a key that is added has to be added here."""

BARE_LINE: dict[str, object] = {
    "time": "2023-11-14T22:13:20.000+00:00",
    "request_id": "r-1",
    "tenant": "acme",
    "key": "ci",
    "class": "pro",
    "requested_model": "auto",
    "status": "refused",
    "http_status": 404,
    "attempts": 0,
    "tried": [],
    "passed_over": [],
    "escalated": False,
    "cost_usd": "0.0",
    "latency_ms": 750.0,
    "stream": False,
}
"""The line of `BARE`: what is absent is left out, also where it would be null."""


class Pipe:
    """A log that writes into a pipe, which is read only once somebody says so."""

    def __init__(self) -> None:
        self.source, self.sink = os.pipe()
        self.log = RequestLog(self.sink)
        self._raw = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)

    def read(self) -> None:
        """Begin to read."""
        self._reader.start()

    def close(self) -> list[str]:
        """The requests of all lines, each of which has to be JSON, once all are written and read."""
        self.log.close()
        os.close(self.sink)
        self._reader.join(30)
        os.close(self.source)
        assert self._raw.endswith(b"\n")
        return [json.loads(each)["request_id"] for each in self._raw.splitlines()]

    def _read(self) -> None:
        while data := os.read(self.source, 65536):
            self._raw += data


def told(path: Path, *outcomes: Outcome) -> list[str]:
    """The lines of a log into a file, once it is closed."""
    with path.open("wb") as file:
        log = RequestLog(file.fileno())
        for outcome in outcomes:
            log.record(outcome)
        log.close()
    assert log.dropped == 0
    return path.read_text().splitlines()


def ids(count: int) -> list[str]:
    """The ids of that many outcomes."""
    return [f"r-{number}" for number in range(count)]


def test_a_line_says_what_happened() -> None:
    """Key by key, in this order."""
    assert list(json.loads(line(FULL)).items()) == list(FULL_LINE.items())


def test_what_is_absent_is_left_out() -> None:
    """Of a request that was refused before anything was decided little remains."""
    assert list(json.loads(line(BARE)).items()) == list(BARE_LINE.items())


def test_times_are_utc() -> None:
    """Wherever the process believes to be."""
    with_zone = subprocess.run(
        [sys.executable, "-c", "from tests.gateway.telemetry.test_requestlog import *; print(line(FULL))"],
        cwd=ROOT,
        env={**os.environ, "TZ": "Asia/Kolkata"},
        capture_output=True,
        check=True,
    )
    assert json.loads(with_zone.stdout)["time"] == "2023-11-14T22:13:20.500+00:00"


@pytest.mark.parametrize(
    ("nano", "dollars"), [(0, "0.0"), (1, "0.000000001"), (1_500_000_000, "1.5"), (2**62, "4611686018.427387904")]
)
def test_money_is_written_to_the_last_nano_dollar(nano: int, dollars: str) -> None:
    """As decimal text, which no reader rounds."""
    assert json.loads(line(change(OUTCOME, cost_nano=nano)))["cost_usd"] == dollars


@pytest.mark.parametrize("status", OutcomeStatus)
def test_every_way_to_end_has_its_word(status: OutcomeStatus) -> None:
    """That of the ledger."""
    assert json.loads(line(change(OUTCOME, status=status)))["status"] == status.value


NAMES = st.text(max_size=200)


@settings(max_examples=300, deadline=None)
@given(NAMES, NAMES, NAMES, NAMES)
def test_whatever_is_in_a_name_a_line_is_one_line(request_id: str, model: str, response_model: str, task: str) -> None:
    """Plain ASCII, without anything that could end a line or command a terminal; read back it is the name again."""
    answer = change(ATTEMPT, response_model=response_model)
    outcome = change(
        OUTCOME,
        request_id=request_id,
        requested_model=model,
        answer=answer,
        classification=change(CLASSIFICATION, task=task),
    )
    text = line(outcome)
    assert all(" " <= character <= "~" for character in text)
    found = json.loads(text)
    assert (found["request_id"], found["requested_model"], found["task"]) == (request_id, model, task)
    assert found["response_model"] == response_model


FORGERIES = (
    'x"}\n{"request_id": "forged"}',
    "x\r\nforged",
    "x\x1b[2Jgone",
    "x\x9b2Jgone",
    "x\x7f\x7f",
    "x\u2028y\u2029z\x85",
    "x\u202edesrever",
    "x\x00y",
    "x\ud83d",
)


@pytest.mark.parametrize("name", FORGERIES[:-1], ids=ascii)
def test_nobody_forges_a_line(tmp_path: Path, name: str) -> None:
    """Line ends of every kind, terminal commands, a change of direction, NUL: each stays inside its name."""
    (text,) = told(tmp_path / "log", change(OUTCOME, requested_model=name))
    assert text.isprintable()
    assert json.loads(text)["requested_model"] == name


def test_names_are_cut() -> None:
    """Those that callers and backends make up; the rest is the operator's, or has an end of its own."""
    long = "n" * 100_000
    answer = change(ATTEMPT, response_model=long)
    found = json.loads(line(change(OUTCOME, requested_model=long, answer=answer)))
    assert (found["requested_model"], found["response_model"]) == ("n" * 200, "n" * 200)


def test_what_was_said_is_in_no_line() -> None:
    """No text of a prompt, a tool or a schema, no user, no session: only the names that say what was asked for."""
    raw = line(canaries.outcome()).encode()
    assert canaries.leaked(raw) == set()
    assert canaries.named(raw) == {"id", "requested_model", "task"}


def test_lines_are_written_soon_and_in_order(tmp_path: Path) -> None:
    """Without anybody closing the log."""
    path = tmp_path / "log"
    with path.open("wb") as file:
        log = RequestLog(file.fileno())
        for outcome in numbered(2500):
            log.record(outcome)
        until(lambda: path.read_bytes().count(b"\n") == 2500, "all written")
        log.close()
    assert [json.loads(text)["request_id"] for text in path.read_text().splitlines()] == ids(2500)


def test_close_writes_what_is_left(tmp_path: Path) -> None:
    """And leaves the descriptor open: it belongs to somebody else."""
    path = tmp_path / "log"
    with path.open("wb") as file:
        log = RequestLog(file.fileno())
        for outcome in numbered(3000):
            log.record(outcome)
        log.close()
        assert path.read_bytes().count(b"\n") == 3000
        file.write(b"still open")


def test_a_reader_who_does_not_read_holds_nobody_up() -> None:
    """`record` returns at once; some outcomes wait, the others are dropped and counted; those that wait come whole."""
    pipe = Pipe()
    outcomes = numbered(3 * HELD)
    slowest = 0.0
    for outcome in outcomes:
        before = time.perf_counter()
        pipe.log.record(outcome)
        slowest = max(slowest, time.perf_counter() - before)
    assert slowest < 1.0
    assert 2 * HELD - 5000 <= pipe.log.dropped <= 2 * HELD
    accepted = 3 * HELD - pipe.log.dropped
    pipe.read()
    assert pipe.close() == ids(accepted)
    assert pipe.log.dropped == 3 * HELD - accepted


def test_a_reader_who_is_slow_gets_every_line() -> None:
    """The log waits for it, and goes on."""
    pipe = Pipe()
    for outcome in numbered(1000):
        pipe.log.record(outcome)
    pipe.read()
    assert pipe.close() == ids(1000)
    assert pipe.log.dropped == 0


def test_a_pipe_that_does_not_block_gets_every_line() -> None:
    """Whoever shares it may have made it so, as some parents do with the output of their children."""
    pipe = Pipe()
    os.set_blocking(pipe.sink, False)
    for outcome in numbered(3000):
        pipe.log.record(outcome)
    until(lambda: not select.select([], [pipe.sink], [], 0)[1], "the pipe is full")
    pipe.read()
    assert pipe.close() == ids(3000)
    assert pipe.log.dropped == 0


def test_close_gives_a_reader_up() -> None:
    """After some patience; what it did not take counts as dropped."""
    pipe = Pipe()
    for outcome in numbered(5000):
        pipe.log.record(outcome)
    before = time.perf_counter()
    pipe.log.close(patience_s=0.05)
    assert time.perf_counter() - before < 10
    assert pipe.log.dropped == 5000
    pipe.read()
    pipe.close()


def test_a_process_ends_although_nobody_reads() -> None:
    """A log that is stuck in a pipe does not keep the interpreter from ending."""
    # Unbuffered, the streams of Python have no lock that could be held, and this test could not fail.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.gateway.telemetry.unread"],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            assert process.wait(30) == 0
            assert process.stderr is not None
            assert process.stderr.read() == b"True\n"
        finally:
            process.kill()


def test_when_the_reader_has_gone_lines_are_dropped_and_counted() -> None:
    """Nothing is raised, and every line that could not be written is in the count."""
    source, sink = os.pipe()
    os.close(source)
    log = RequestLog(sink)
    for outcome in numbered(10):
        log.record(outcome)
    until(lambda: log.dropped == 10, "counted")
    log.record(OUTCOME)
    log.close()
    os.close(sink)
    assert log.dropped == 11


def test_a_closed_descriptor_is_a_reader_that_has_gone(tmp_path: Path) -> None:
    """It is no error either."""
    with (tmp_path / "log").open("wb") as file:
        log = RequestLog(file.fileno())
    for outcome in numbered(10):
        log.record(outcome)
    log.close()
    assert log.dropped == 10


def test_what_is_no_text_is_dropped_and_counted(tmp_path: Path) -> None:
    """Half a character has no place in JSON, and must not come again and again."""
    path = tmp_path / "log"
    with path.open("wb") as file:
        log = RequestLog(file.fileno())
        log.record(change(OUTCOME, requested_model=FORGERIES[-1]))
        until(lambda: log.dropped == 1, "counted")
        log.record(change(OUTCOME, code=Code.INTERNAL_ERROR))
        log.close()
    (text,) = path.read_text().splitlines()
    assert json.loads(text)["code"] == "internal_error"
