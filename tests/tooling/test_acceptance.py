"""`scripts/gpu-acceptance`: how requests are counted, what the report says, and what it does where there is no GPU."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from scripts.acceptance.load import Caller, Ending, Request, asked, figures
from scripts.acceptance.report import document, write
from scripts.acceptance.steps import Outcome, Step
from tests.config.files import ROOT
from tests.faults.behaviours import Behaviour, Says, Status
from tests.faults.handle import FaultServer, fault_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultServer]:
    """What is asked."""
    with fault_server(tmp_path_factory.mktemp("faults")) as running:
        yield running


HERE = {"x-forebay-tier": "light"}


@pytest.mark.parametrize(
    ("behaviour", "ending"),
    [
        (Says(headers=HERE), Ending.ANSWERED),
        (Says(), Ending.SPILLED),
        (Status(status=429), Ending.REFUSED),
        (Status(status=503), Ending.REFUSED),
        (Status(status=500), Ending.FAILED),
        (Says(ends="error", after=2), Ending.BROKEN),
        (Says(ends="close", after=2), Ending.CUT),
    ],
)
def test_every_request_is_counted_by_how_it_ended(server: FaultServer, behaviour: Behaviour, ending: Ending) -> None:
    """A stream that ends without its end is none that was answered."""
    server.reset()
    server.always("auto", behaviour)

    async def once(caller: Caller) -> None:
        await caller.closed(1, 0.0)

    (request,) = asked(f"{server.url}/v1/chat/completions", 8, once)
    assert request.ending is ending, request
    assert (request.first is not None) is (ending not in (Ending.REFUSED, Ending.FAILED))


def test_an_open_load_keeps_its_rate(server: FaultServer) -> None:
    """However long the answers take: none waits for another."""
    server.reset()
    server.always("auto", Says(pause_s=0.05))

    async def work(caller: Caller) -> None:
        await caller.open(40.0, 1.0, seed=3)

    requests = asked(f"{server.url}/v1/chat/completions", 8, work)
    assert 20 <= len(requests) <= 60
    assert sum(later.sent < earlier.ended for earlier, later in pairwise(requests)) > 5


def test_figures_are_of_the_answers_of_this_box() -> None:
    """What went elsewhere is counted, and its times are nobody's."""
    here = [Request(0.0, Ending.ANSWERED, first, 2.0, tokens=10) for first in (0.1, 0.3)]
    found = figures([*here, Request(0.0, Ending.SPILLED, 9.0, 9.0, tokens=99)], 2.0)
    assert (found["offered"], found["answered"], found["spilled"], found["hung"]) == (3, 2, 1, 0)
    assert (found["first_p50_ms"], found["first_p99_ms"]) == (100.0, 300.0)
    assert (found["tokens_per_s"], found["answered_per_s"]) == (10.0, 1.0)


def test_the_report_says_what_failed_and_what_was_skipped(tmp_path: Path) -> None:
    """For people and for programs; JSON has no NaN."""
    load = {**figures([], 1.0), "rate_per_s": 2.5}
    steps = [
        Step("engine start", "it starts", Outcome.PASSED, "", {"start_s": 41.0}, 0.0, 41.0),
        Step("load 0.5×", "all are answered", Outcome.FAILED, "1 hung of 3: a|b", load, 41.0, 53.0),
        Step("GPU hog", "spills", Outcome.SKIPPED, "skipped, because there is no GPU here"),
    ]
    found = document({"model": "tiny", "machine": "box"}, steps, [Request(5.0, ended=6.5)], 5.0)
    write(tmp_path, found)
    page = (tmp_path / "report.md").read_text("utf-8")
    assert "Something is not as promised." in page
    assert "| engine start | it starts | passed | 41 s | start_s 41 |" in page
    assert "| **failed** | 12 s | rate_per_s 2.5; 1 hung of 3: a/b |" in page
    assert "skipped, because there is no GPU here" in page
    read = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert read["timeline"] == [{"ended": 1.5, "ending": "hung", "tokens": 0}]
    assert math.isnan(load["first_p50_ms"])
    assert read["steps"][1]["figures"]["first_p50_ms"] is None
    assert document({}, steps[:1], [], 0.0)["passed"]


def test_without_a_gpu_it_says_so_and_what_can_be_done(tmp_path: Path) -> None:
    """It starts nothing."""
    environ = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "scripts.acceptance"],
        cwd=ROOT,
        env={**environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "there is no GPU to test" in done.stderr
    assert "--cpu" in done.stderr
