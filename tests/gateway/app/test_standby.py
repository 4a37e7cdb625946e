"""A standby as the configuration has it: what it can do, what is said of it, and whose floors it is scored by."""

from pathlib import Path

import pytest

from gateway.app.calibrations import Measured, calibrations, keep
from gateway.app.explanation import StandbyLine, explained
from gateway.app.nouns import backend_specs, everybody, routing_table, standbys
from gateway.cli.summary import summarised
from gateway.confidence import Floors
from gateway.confidence.evidence import Band
from gateway.types import BackendSpec, Capability
from gateway.wire.openai_request import parse_chat
from local_models.catalog import builtin_catalog
from tests.config.files import config_of, edited

SMALL = "smollm2-135m-instruct"
GPU = "kind: attached\n    model: qwen\n    context: 16384\n    capabilities: [tools, logprobs, n]\n    standby: small"
STANDBY = (("kind: attached", GPU), ("kind: llama_cpp", "kind: llama_cpp\n    context: 2048"))
MEASURED = {band: Floors(-3.0, -1.5) for band in Band}


def spec_of(*more: tuple[str, str]) -> BackendSpec:
    """What is known of the standby of the backend `gpu`."""
    found = backend_specs(config_of(edited(*STANDBY, *more)))["gpu"].standby
    assert found is not None
    return found


def test_it_has_its_own_facts_under_the_same_name() -> None:
    """Model, context and capabilities are those of the engine that answers, and it is on this box."""
    found = spec_of()
    assert (found.name, found.engine, found.model) == ("gpu", "small", SMALL)
    assert (found.context, found.on_box, found.region, found.assumed) == (2048, True, "eu-west", True)
    assert Capability.TOOLS not in found.capabilities
    assert found.answerer == ("gpu", "small")
    assert standbys(config_of(edited(*STANDBY))) == {"vllm": "small"}


def test_what_the_backend_may_have_bounds_it_too() -> None:
    """A context that the file gives the backend is a limit for whoever answers; one that is larger is no promise."""
    assert spec_of(("gpu:\n    engine: vllm", "gpu:\n    engine: vllm\n    context: 1000")).context == 1000
    assert spec_of(("gpu:\n    engine: vllm", "gpu:\n    engine: vllm\n    context: 9000")).context == 2048


def test_what_it_says_it_can_do_is_learnt() -> None:
    """Without changing what is known of the engine, or of the standby as a backend of its own that declares it."""
    table = routing_table(config_of(edited(*STANDBY)))
    before = table.specs["gpu"].capabilities
    table.learn("small", frozenset({Capability.TOOLS}))
    assert table.standby("gpu").capabilities == {Capability.TOOLS}
    assert table.specs["local"].capabilities == {Capability.TOOLS}
    assert table.specs["gpu"].capabilities == before


@pytest.mark.parametrize(
    ("more", "because"),
    [("", None), (',"tools": [{"type": "function", "function": {"name": "f"}}]', "cannot do tools")],
)
def test_explain_says_who_would_answer_and_what_for(more: str, because: str | None) -> None:
    """Of each request, whether the standby would do."""
    config = config_of(edited(*STANDBY))
    body = f'{{"model": "gpu", "messages": [{{"role": "user", "content": "Hi"}}]{more}}}'
    (line,) = explained(config, parse_chat(body.encode(), {}, request_id="x"), everybody(config)).candidates
    assert line.standby == StandbyLine(engine="small", model=SMALL, because=because)


def test_check_says_who_stands_by() -> None:
    """Beside the engine."""
    lines = summarised(config_of(edited(*STANDBY))).backends
    assert {line.name: line.via for line in lines}["gpu"] == "engine vllm, else small"


def test_it_is_scored_by_the_floors_of_its_own_model(tmp_path: Path) -> None:
    """Those that were shipped with it, or measured where it is a backend's own engine; never the engine's."""
    config = config_of(edited(*STANDBY))
    keep(tmp_path, "gpu", Measured(model="qwen", measured_at=0.0, answers=9, floors=MEASURED))
    found = calibrations(config, tmp_path)
    assert found["gpu", "vllm"].floors == MEASURED
    entry = builtin_catalog()[SMALL]
    assert found["gpu", "small"].floors == {Band(band): Floors(*pair) for band, pair in entry.confidence_floors.items()}
    keep(tmp_path, "local", Measured(model=SMALL, measured_at=0.0, answers=9, floors=MEASURED))
    assert calibrations(config, tmp_path)["gpu", "small"].floors == MEASURED
