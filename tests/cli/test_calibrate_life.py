"""`forebay calibrate` beside a gateway at work, interrupted, and on the real engine."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.app.calibrations import calibration_file, calibrations
from gateway.confidence import Floors
from gateway.confidence.evidence import Band
from gateway.config.load import load
from tests.architecture.source import ROOT
from tests.cli.calibrating import calibrate, light_only, nothing_runs, written
from tests.e2e.configs import LIGHT, attached, base
from tests.e2e.homes import install_model, processes_of
from tests.e2e.stack import COMMAND, start
from tests.faults.behaviours import Says
from tests.faults.handle import FaultServer

PATIENCE_S = 60.0


def test_a_gateway_takes_new_floors_up_when_it_starts(faults: FaultServer, busy_home: Path) -> None:
    """The same answer has another confidence after the restart, and only then."""
    faults.always(LIGHT, Says(logprob=-0.5))
    config = light_only(faults)
    scores = []
    for _ in range(2):
        stack = start(busy_home, config).listening().ready("light")
        try:
            scores.append(float(stack.chat().headers["x-forebay-confidence"]))
            assert calibrate(busy_home, "--config", busy_home / "forebay.yaml", "--samples", 1).status == 0
            scores.append(float(stack.chat().headers["x-forebay-confidence"]))
        finally:
            assert stack.close() == 0
    before, unchanged, after, unchanged_again = scores
    assert before == unchanged > 0.8
    # At the low floor, which is the usual value as well: every answer was the same.
    assert after == unchanged_again == 0.5


def test_a_gateway_at_work_keeps_its_engines_and_half_of_the_slots(faults: FaultServer, busy_home: Path) -> None:
    """Its own engines are asked, two of four at a time; another configuration is refused instead of stopping them."""
    faults.always(LIGHT, Says(logprob=-0.5, pause_s=0.05))
    stack = start(busy_home, light_only(faults)).listening().ready("light")
    try:
        faults.reset()
        faults.always(LIGHT, Says(logprob=-0.5, pause_s=0.05))
        assert calibrate(busy_home, "--config", busy_home / "forebay.yaml", "--samples", 4).status == 0
        calls = faults.settled(LIGHT)
        overlaps = [
            sum(other.arrived_at <= call.arrived_at < (other.ended_at or 0.0) for other in calls) for call in calls
        ]
        assert max(overlaps) == 2
        engines, backends = {"big": attached(faults)}, {"local": {"engine": "big"}}
        other = written(busy_home, {**light_only(faults), "engines": engines, "backends": backends})
        status, out, err = calibrate(busy_home, "--config", other, "--samples", 1)
        assert (status, out) == (1, "")
        assert f"engines of another configuration run under {busy_home}: small ({LIGHT}); but no big ({LIGHT})" in err
        assert stack.chat().headers["x-forebay-backend"] == "local"
    finally:
        assert stack.close() == 0


@contextmanager
def at_work(home: Path, config: Path) -> Iterator[subprocess.Popen[str]]:
    """The real command."""
    process = subprocess.Popen(
        [str(COMMAND), "calibrate", "--config", str(config)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "FOREBAY_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_an_interrupted_measurement_leaves_the_old_floors(
    faults: FaultServer, busy_home: Path, number: signal.Signals, code: int
) -> None:
    """In the middle of the answers: the file is what it was, and the engine host ends."""
    faults.always(LIGHT, Says(logprob=-0.5))
    config = written(busy_home, light_only(faults))
    assert calibrate(busy_home, "--config", config, "--samples", 1).status == 0
    folder = calibration_file(busy_home, "local").parent
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    faults.reset()
    faults.next(LIGHT, *(Says(logprob=-3.0),) * 9)
    faults.always(LIGHT, Says(logprob=-3.0, hold="for good"))
    with at_work(busy_home, config) as process:
        faults.wait("held", least=1, timeout=PATIENCE_S)
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (code, "")
    if number is not signal.SIGKILL:
        assert err.splitlines()[-1] == "forebay: interrupted: the floors are what they were"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    if number is signal.SIGKILL:
        for left in processes_of(busy_home):  # the host waits half a minute for somebody to come back
            left.terminate()


def test_the_real_engine_is_measured(busy_home: Path, model_path: Path) -> None:
    """It runs meanwhile and no longer, and the floors make sense."""
    install_model(busy_home, model_path)
    defaults = {"max_tokens": 40, "temperature": 0.2, "top_p": 0.9, "frequency_penalty": 0.4}
    values = base(
        engines={"small": {"kind": "llama_cpp", "model": LIGHT, "parallel": 3, "context": 512}},
        backends={"local": {"engine": "small", "params": {"defaults": defaults}}},
        tiers={"light": ["local"]},
    )
    config = written(busy_home, values)
    ended = calibrate(busy_home, "--config", config, "--samples", 3, "--json")
    assert ended.status == 0, ended.err
    (report,) = ended.document["backends"]
    assert (report["backend"], report["model"], report["answers"]) == ("local", LIGHT, 9)
    assert [(each["band"], each["temperature"]) for each in report["bands"]] == [
        ("cold", 0.2),
        ("warm", 0.7),
        ("hot", 1),
    ]
    for each in report["bands"]:
        assert -6.0 < each["floors"]["low"] <= each["floors"]["usual"] < -0.2
        assert -6.0 < each["streamed"]["low"] <= each["streamed"]["usual"] < -0.1
    calibration = calibrations(load(config, {}), busy_home)["local", "small"]
    assert calibration.default_temperature == 0.2
    assert calibration.floors[Band.WARM] == Floors(**report["bands"][1]["floors"])
    nothing_runs(busy_home)
