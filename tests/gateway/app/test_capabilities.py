"""What a backend can do: declared in the file, else what its kind usually can until its engine says so itself."""

import pytest

from gateway.app.explanation import explained
from gateway.app.nouns import backend_specs, capable, everybody
from gateway.errors import Reason
from gateway.types import Capability
from gateway.wire.openai_request import parse_chat
from tests.config.files import config_of, edited

FREE, FORCED = Capability.TOOLS, Capability.FORCED_TOOLS
LOCAL, GPU, MINI = ("local:\n    engine: small", "gpu:\n    engine: vllm", "provider: openai")
SMALL = "kind: llama_cpp"
ONLY_N = "capabilities: [n]"
TOOLS = "capabilities: [tools]"


def tools_of(text: str) -> dict[str, tuple[bool, bool, bool]]:
    """Of each backend: calls by itself, calls when told to, and whether that is only assumed."""
    specs = backend_specs(config_of(text))
    return {
        name: (FREE in spec.capabilities, FORCED in spec.capabilities, spec.assumed) for name, spec in specs.items()
    }


def test_kinds_have_what_they_usually_have() -> None:
    """Our own engine calls what it is told to; of somebody's servers nothing is known; providers call tools."""
    assert tools_of(edited()) == {
        "local": (False, True, True),
        "gpu": (False, False, True),
        "mini": (True, True, True),
    }


@pytest.mark.parametrize(
    ("old", "new", "backend", "tools"),
    [
        (LOCAL, f"{LOCAL}\n    {TOOLS}", "local", (True, True, False)),
        (LOCAL, f"{LOCAL}\n    {ONLY_N}", "local", (False, False, False)),
        (SMALL, f"{SMALL}\n    {TOOLS}", "local", (True, True, False)),
        (GPU, f"{GPU}\n    capabilities: [forced_tools]", "gpu", (False, True, False)),
        (MINI, f"{MINI}\n    {ONLY_N}", "mini", (False, False, False)),
    ],
)
def test_what_is_declared_counts(old: str, new: str, backend: str, tools: tuple[bool, bool, bool]) -> None:
    """At the backend or at its engine; who calls by itself also does as it is told."""
    assert tools_of(edited((old, new)))[backend] == tools


def test_words_of_an_engine_are_read_as_capabilities() -> None:
    """Those nobody here knows are nothing."""
    assert capable(("tools", "n", "telepathy")) == {FREE, FORCED, Capability.MULTIPLE_CHOICES}
    assert capable(()) == frozenset()


def routed(choice: str, learnt: dict[str, frozenset[Capability]]) -> tuple[str | None, dict[str, tuple[Reason, str]]]:
    """Who would answer an easy request with tools, and who may not and why."""
    config = config_of(edited())
    body = (
        '{"model": "auto", "messages": [{"role": "user", "content": "Hi"}], "tool_choice": "%s",'
        '"tools": [{"type": "function", "function": {"name": "f"}}]}'
    )
    request = parse_chat((body % choice).encode(), {}, request_id="x")
    found = explained(config, request, everybody(config), learnt)
    return found.backend, {line.backend: (line.reason, line.because) for line in found.excluded}


def test_tools_are_routed_by_capability_and_explained() -> None:
    """A free choice goes up past a model that would not know when to call; a forced one stays on the box."""
    backend, excluded = routed("auto", {})
    assert backend == "mini"
    assert excluded["local"] == (Reason.CAPABILITY, "cannot do tools")
    assert routed("required", {})[0] == "local"
    assert routed("none", {})[0] == "local"


def test_what_engines_at_work_say_decides() -> None:
    """A model whose template knows tools keeps them on the box; one without a template loses what was assumed."""
    assert routed("auto", {"small": frozenset({FREE, FORCED})})[0] == "local"
    assert routed("required", {"small": frozenset({Capability.LOGPROBS})})[0] == "mini"
