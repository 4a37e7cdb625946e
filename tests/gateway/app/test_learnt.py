"""What gates have learnt, from one life of a gateway to the next."""

import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.app.learnt import Memory, key_of
from gateway.config.schema import Config, Engine
from gateway.gate import Gate, GateSettings, Learnt

SETTINGS = GateSettings(max_wait_s=1.0, max_wait_alone_s=1.0, max_waiting=1)
FAST = Learnt(rate=800.0, reach=4_000.0, first=(0.9, 1.1), gap=(1.0,))


def config(**engine: Any) -> Config:
    """A file with one engine."""
    tree = {
        "schema_version": 1,
        "engines": {"small": {"kind": "llama_cpp", "model": "smollm2-135m-instruct", **engine}},
        "backends": {"local": {"engine": "small"}},
        "tiers": {"light": ["local"]},
    }
    return Config.model_validate_json(msgspec.json.encode(tree), strict=True)


def life(home: Path, learns: Learnt | None = None, **engine: Any) -> dict[str, Learnt]:
    """What a gateway knows when it begins; at its end it has learnt this."""
    gate = Gate({"small": 4}, SETTINGS)
    memory = Memory(config(**engine), home, gate)
    memory.recall()
    known = gate.learnt()
    if learns is not None:
        gate.recall("small", learns)
    memory.write()
    return known


def test_learned_rates_survive_a_restart(tmp_path: Path) -> None:
    """Of the same model, on the same hardware, run in the same way; nothing is known of another until it is learnt."""
    assert life(tmp_path, FAST) == {}
    assert life(tmp_path)["small"] == FAST
    assert life(tmp_path, Learnt(rate=90.0, reach=100.0), parallel=2) == {}
    assert life(tmp_path, parallel=2)["small"].rate == 90.0
    assert life(tmp_path)["small"] == FAST


def test_an_engine_that_was_never_at_work_leaves_nothing(tmp_path: Path) -> None:
    """A guess is not to be taken for knowledge next time."""
    life(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"[]", b'{"a": {"rate": "fast"}}', b"\xff"])
def test_a_file_that_makes_no_sense_is_no_loss(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said, all is learnt anew, and the file is replaced."""
    (tmp_path / "gate.json").write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert life(tmp_path, FAST) == {}
    assert "learns anew" in caplog.text
    assert life(tmp_path)["small"] == FAST


def test_a_home_that_cannot_be_written_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The gateway ends as usual, and says so."""
    with caplog.at_level(logging.WARNING):
        life(tmp_path / "gone", FAST)
    assert "cannot be written" in caplog.text


def test_rates_belong_to_model_hardware_and_version(tmp_path: Path) -> None:
    """Each of them makes another key, and the same gives the same."""
    library = tmp_path / "lib/python3.12/site-packages"
    (library / "vllm-0.32.0.dist-info").mkdir(parents=True)
    engine = Engine(kind="vllm", model="m", python=str(tmp_path / "bin/python"))
    one = key_of(engine, lambda: "an H200")
    assert key_of(engine, lambda: "an H200") == one
    others = {key_of(engine, lambda: "an H100"), key_of(engine.model_copy(update={"model": "n"}), lambda: "an H200")}
    (library / "vllm-0.32.0.dist-info").rename(library / "vllm-0.33.0.dist-info")
    others.add(key_of(engine, lambda: "an H200"))
    assert len(others - {one}) == 3
