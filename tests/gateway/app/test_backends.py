"""What is known of a backend by what serves it, without its configuration having to say so."""

from functools import partial
from typing import Any

import pytest

from gateway.app import nouns
from gateway.app.backends import Surroundings, connected, nowhere
from gateway.blocks import Conversation, Thinking, Turn
from gateway.config.schema import Config, Engine, Params
from gateway.messages import ChatRequest
from tests.gateway.nouns import REQUEST, change

CONFIG = Config.model_validate(
    {
        "schema_version": 1,
        "engines": {
            "ours": {"kind": "llama_cpp", "model": "smollm2-135m-instruct"},
            "theirs": {"kind": "attached", "model": "m", "urls": ["http://127.0.0.1:1"]},
        },
        "backends": {"ours": {"engine": "ours"}, "theirs": {"engine": "theirs"}},
        "tiers": {"light": ["ours", "theirs"]},
    }
)
TURNS = (Turn("user", "hi"),)
EFFORT = change(REQUEST, reasoning_effort="low")
THEIR_EFFORT = change(EFFORT, conversation=Conversation(messages=TURNS, effort="low"))
BUDGET = change(EFFORT, conversation=Conversation(messages=TURNS, thinking=Thinking("enabled", 1024)))


@pytest.mark.parametrize(
    ("request_", "ignored"),
    [
        (REQUEST, ()),
        (EFFORT, ("reasoning_effort",)),
        (THEIR_EFFORT, ("output_config.effort",)),
        (BUDGET, ("thinking",)),
    ],
)
async def test_our_own_engine_knows_no_effort(request_: ChatRequest, ignored: tuple[str, ...]) -> None:
    """So it is not sent, and the caller is told by the name it has in the caller's API; of others nobody knows."""
    for name, expected in (("ours", ignored), ("theirs", ())):
        backend, client = connected(
            partial(nouns.backend_specs(CONFIG).__getitem__, name), Surroundings(CONFIG, nowhere), None
        )
        assert backend.ignores(request_) == expected
        await client.close()


@pytest.mark.parametrize(
    ("engine", "prioritised"),
    [
        ({"kind": "llama_cpp"}, True),
        ({"kind": "attached", "urls": ["http://127.0.0.1:1"]}, False),
        ({"kind": "vllm", "python": "/opt/vllm/bin/python"}, False),
        ({"kind": "vllm", "python": "/opt/vllm/bin/python", "args": ["--scheduling-policy=fcfs"]}, False),
        ({"kind": "vllm", "python": "/opt/vllm/bin/python", "args": ["--scheduling-policy=priority"]}, True),
        ({"kind": "vllm", "python": "/opt/vllm/bin/python", "args": ["--scheduling_policy", "priority"]}, True),
    ],
)
def test_priorities_are_for_engines_that_go_by_them(engine: dict[str, Any], *, prioritised: bool) -> None:
    """Ours does, and vLLM where it is told to: otherwise it may refuse the field, as others may."""
    assert nouns.profile(Params(), Engine.model_validate({"model": "m", **engine})).prioritised is prioritised
    assert not nouns.profile(Params(), None).prioritised


def test_the_gate_knows_which_engines_serve_the_urgent_first() -> None:
    """Ours. What serves elsewhere is not known, and vLLM's policy orders only whoever has no slot."""
    assert nouns.gate_settings(CONFIG).by_priority == {"ours"}
