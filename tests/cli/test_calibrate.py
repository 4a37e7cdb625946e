"""`forebay calibrate`: what it measures, what it refuses, and what it writes."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.app.calibration import easy_prompts
from gateway.app.calibrations import CalibrationUnreadable, calibration_file, calibrations
from gateway.confidence import Floors
from gateway.confidence.evidence import Band
from gateway.config.load import load
from tests.architecture.source import ROOT
from tests.cli.calibrating import calibrate, light_only, written
from tests.e2e.configs import LIGHT, PRICES, attached, base, provider
from tests.faults.behaviours import Says
from tests.faults.handle import FaultServer

SHIPPED = Floors(-1.95, -1.1)
"""What comes with the catalog for the model that the fault server plays, in the cold band."""


def test_the_easy_prompts_are_many_and_nobody_elses() -> None:
    """A hundred different ones; none that the judgement of difficulty was learnt from."""
    prompts = easy_prompts()
    assert len(set(prompts)) == len(prompts) == 100
    learnt = "".join(path.read_text() for path in (ROOT / "scripts/difficulty/prompts").iterdir())
    assert not [prompt for prompt in prompts if json.dumps(prompt)[1:-1].lower() in learnt.lower()]


def test_floors_are_measured_and_written(faults: FaultServer, busy_home: Path) -> None:
    """A table with what is in force today, and a file that the gateway reads; the engine gets the backend's profile."""
    faults.always(LIGHT, Says(text="one two three four", logprob=-0.5))
    config = written(busy_home, light_only(faults, params={"defaults": {"temperature": 0.2, "top_p": 0.9}}))
    status, out, err = calibrate(busy_home, "--config", config, "--samples", 50)
    assert status == 0, err
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["local:", f"{LIGHT},", "150", "answers"]
    assert rows[2] == ["cold", "0.2", "50", "-0.50", "-0.50", "-0.50", "-0.50", "-1.95", "-1.10"]
    assert rows[3][:5] == ["warm", "0.7", "50", "-0.50", "-0.50"]
    assert rows[4][:3] == ["hot", "1", "50"]
    assert out.splitlines()[-1].startswith(f"Written to {calibration_file(busy_home, 'local')}; ")
    assert "asking local: 150 of 150" in err

    calibration = calibrations(load(config, {}), busy_home)["local", "small"]
    assert calibration.floors == dict.fromkeys(Band, Floors(-0.5, -0.5))
    bodies = [json.loads(call.body) for call in faults.calls()]
    body = next(body for body in bodies if "logprobs" in body)
    assert (body["logprobs"], body["top_logprobs"], body["top_p"], body["model"]) == (True, 1, 0.9, LIGHT)
    asked = {body["messages"][0]["content"] for body in bodies if "logprobs" in body}
    assert asked == set(easy_prompts()[:50])


def test_as_json_and_without_writing(faults: FaultServer, busy_home: Path) -> None:
    """One document and, with --dry-run, no file."""
    faults.always(LIGHT, Says(text="word " * 30, logprob=-0.7))
    config = written(busy_home, light_only(faults))
    status, out, err = calibrate(busy_home, "--config", config, "--samples", 1, "--json", "--dry-run")
    assert status == 0, err
    assert "one in 50 cannot be seen in 1 answers" in err
    (report,) = json.loads(out)["backends"]
    assert (report["backend"], report["model"], report["answers"]) == ("local", LIGHT, 3)
    assert (report["window_tokens"], report["file"]) == (24, None)
    assert report["bands"][0] == {
        "band": "cold",
        "temperature": 0.0,
        "answers": 1,
        "floors": {"low": -0.7, "usual": -0.7},
        "streamed": {"low": -0.7, "usual": -0.7},
        "today": {"low": SHIPPED.low, "usual": SHIPPED.usual},
    }
    assert not calibration_file(busy_home, "local").exists()


def test_own_prompts_are_asked(faults: FaultServer, busy_home: Path, tmp_path: Path) -> None:
    """One a line, empty lines left out."""
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("Where is my parcel?\n\n  How do I log in?  \n")
    config = written(busy_home, light_only(faults))
    assert calibrate(busy_home, "--config", config, "--prompts", prompts, "--samples", 2).status == 0
    bodies = [json.loads(call.body) for call in faults.calls()]
    asked = {body["messages"][0]["content"] for body in bodies if "logprobs" in body}
    assert asked == {"Where is my parcel?", "How do I log in?"}


def test_floors_of_another_model_are_ignored(faults: FaultServer, busy_home: Path) -> None:
    """They count only for the model they were measured of; then what was shipped is in force again, or nothing."""
    faults.always(LIGHT, Says(logprob=-0.5))
    config = written(busy_home, light_only(faults))
    assert calibrate(busy_home, "--config", config, "--samples", 1).status == 0
    file = calibration_file(busy_home, "local")
    file.write_text(file.read_text().replace(LIGHT, "another-model"))
    assert calibrations(load(config, {}), busy_home)["local", "small"].floors[Band.COLD] == SHIPPED


def test_a_file_that_is_none_is_mended(faults: FaultServer, busy_home: Path) -> None:
    """The gateway refuses to start on it and names this command, which must not fail on it itself."""
    faults.always(LIGHT, Says(logprob=-0.5))
    config = written(busy_home, light_only(faults))
    file = calibration_file(busy_home, "local")
    file.parent.mkdir()
    file.write_text("{")
    with pytest.raises(CalibrationUnreadable, match="run `forebay calibrate` again"):
        calibrations(load(config, {}), busy_home)
    ended = calibrate(busy_home, "--config", config, "--samples", 1, "--json")
    assert ended.status == 0, ended.err
    assert ended.document["backends"][0]["bands"][0]["today"] is None
    assert calibrations(load(config, {}), busy_home)["local", "small"].floors[Band.COLD] == Floors(-0.5, -0.5)


@pytest.mark.parametrize(
    ("engine", "backend", "complaint"),
    [
        ({"capabilities": ["json_object"]}, {}, "backend local gives no log-probabilities, by its `capabilities`"),
        ({}, {"capabilities": []}, "backend local gives no log-probabilities, by its `capabilities`"),
        ({"model": None}, {}, "its engine small names no model"),
    ],
)
def test_a_backend_that_cannot_be_measured_is_refused(
    faults: FaultServer, busy_home: Path, engine: dict[str, Any], backend: dict[str, Any], complaint: str
) -> None:
    """Before anything runs, asked for by name or not; exit 1 and a line with the reason."""
    values = {key: value for key, value in {**attached(faults), **engine}.items() if value is not None}
    config = written(busy_home, {**light_only(faults, **backend), "engines": {"small": values}})
    status, out, err = calibrate(busy_home, "--config", config, "--backend", "local")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("forebay: backend local")
    assert complaint in err
    status, out, err = calibrate(busy_home, "--config", config)
    assert (status, out) == (1, "")
    assert "left out: backend local" in err
    assert "no backend of this configuration can be measured" in err
    assert not (busy_home / "run").exists()


def test_logprobs_that_do_not_come_are_found_out(faults: FaultServer, busy_home: Path) -> None:
    """Whatever the configuration promises: refused with what to change, and the floors stay what they were."""
    faults.always(LIGHT, Says(logprob=-0.5))
    config = written(busy_home, light_only(faults))
    assert calibrate(busy_home, "--config", config, "--samples", 1).status == 0
    before = calibration_file(busy_home, "local").read_bytes()
    faults.always(LIGHT, Says(logprob=None))
    status, out, err = calibrate(busy_home, "--config", config)
    assert (status, out) == (1, "")
    assert "backend local was asked for log-probabilities and gave none: take logprobs out" in err
    assert calibration_file(busy_home, "local").read_bytes() == before


def test_a_provider_is_measured_when_it_is_named(faults: FaultServer, busy_home: Path) -> None:
    """Not by itself, because it costs money: then the configuration has nothing to measure."""
    faults.always("mid", Says(logprob=-0.5))
    config = written(
        busy_home, base(backends={"mini": provider(faults, "mid", price=PRICES["mid"])}, tiers={"mid": ["mini"]})
    )
    assert calibrate(busy_home, "--config", config).status == 1
    assert faults.calls("mid") == ()
    assert calibrate(busy_home, "--config", config, "--backend", "mini", "--samples", 2).status == 0
    assert calibrations(load(config, {}), busy_home)["mini", None].floors[Band.HOT] == Floors(-0.5, -0.5)


def test_vectors_are_not_measured(faults: FaultServer, busy_home: Path) -> None:
    """Nobody scores them."""
    engines = {"small": attached(faults, runner="pooling")}
    config = written(busy_home, base(engines=engines, backends={"local": {"engine": "small"}}, tiers={}))
    status, out, err = calibrate(busy_home, "--config", config, "--backend", "local")
    assert (status, out) == (1, "")
    assert "backend local gives vectors" in err


def test_a_backend_that_nobody_knows_exits_with_2(busy_home: Path) -> None:
    """One line with the nearest, and all there are."""
    status, out, err = calibrate(busy_home, "--backend", "locl")
    assert (status, out) == (2, "")
    assert err == "forebay: no backend is called 'locl': did you mean 'local'? There are: local\n"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "No such file"),
        (b"\n \n", "one prompt a line"),
        (b"\xff\xfe\xff", "no UTF-8 text"),
        (b"x" * 1_100_000, "1 MiB"),
    ],
)
def test_prompts_that_are_none_are_refused(
    busy_home: Path, tmp_path: Path, content: bytes | None, complaint: str
) -> None:
    """Exit 1 and one line that names the file."""
    file = tmp_path / "prompts.txt"
    if content is not None:
        file.write_bytes(content)
    status, out, err = calibrate(busy_home, "--prompts", file)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"forebay: {file}: ")
    assert complaint in err


def test_a_model_that_is_not_here_says_how_to_get_it(busy_home: Path) -> None:
    """The error of serve: which command to run."""
    status, out, err = calibrate(busy_home, "--samples", 50)
    assert (status, out) == (1, "")
    assert err.splitlines()[-1].startswith(f"forebay: model {LIGHT} is not on this box yet: run `forebay models pull")
