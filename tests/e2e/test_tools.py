"""Tools through a gateway whose light tier is a real model that knows none: forced on the box, free above it."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.configs import PRICES, TO_LIGHT, one_engine, provider
from tests.e2e.events import Events
from tests.e2e.homes import MODEL
from tests.e2e.stack import COMMAND, Stack, running
from tests.faults.behaviours import Says, Tool
from tests.faults.handle import FaultServer
from tests.llama.tool_templates import QWEN
from tests.retemplate import retemplated

PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}, "unit": {"enum": ["c", "f"]}},
    "required": ["city", "unit"],
    "additionalProperties": False,
}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}]
FORCED: dict[str, Any] = {"tools": TOOLS, "tool_choice": "required", "max_tokens": 100}
QUESTION = "What is the weather in Paris?"
GOOD = Tool("get_weather", '{"city": "Paris", "unit": "c"}')


def backends(stack: Stack) -> dict[str, list[str]]:
    """What `/v1/models` says that each backend can do."""
    listed = stack.http.get(f"{stack.base_url}/models").json()["data"]
    return {one["id"]: one["forebay"]["capabilities"] for one in listed if one["forebay"]["kind"] == "backend"}


def called(read: Events) -> list[dict[str, Any]]:
    """The pieces of calls in a stream."""
    choices = [choice for event in read.events for choice in event["choices"]]
    return [piece for choice in choices for piece in choice["delta"].get("tool_calls", ())]


def explained(stack: Stack, choice: str) -> dict[str, Any]:
    """What `forebay explain` says of a request with tools, beside the running gateway."""
    words: list[str | Path] = [
        "explain",
        QUESTION,
        "--config",
        stack.home / "forebay.yaml",
        "--task",
        "faq",
        "--tools",
        choice,
        "--json",
    ]
    done = subprocess.run(
        [COMMAND, *words],
        env={**os.environ, "FOREBAY_HOME": str(stack.home), "BIG_KEY": "x"},
        capture_output=True,
        timeout=60,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_what_an_engine_can_do_is_asked_of_it(real: Stack, apis: Stack) -> None:
    """Of our own, and of one that is only attached: forced calls, no free ones; nobody has declared that."""
    for stack in (real, apis):
        assert backends(stack)["local"] == ["forced_tools", "json_object", "json_schema", "logprobs", "n"]
    assert {"tools", "forced_tools"} <= set(backends(apis)["mini"])


@pytest.mark.parametrize("temperature", [0, 1])
def test_a_forced_call_is_answered_on_the_box(real: Stack, faults: FaultServer, temperature: float) -> None:
    """The small model makes it, and it satisfies its schema, whole and streamed."""
    answer = real.chat(text=QUESTION, headers=TO_LIGHT, temperature=temperature, **FORCED)
    assert (answer.status_code, answer.headers["x-forebay-backend"]) == (200, "local")
    (choice,) = answer.json()["choices"]
    (call,) = choice["message"]["tool_calls"]
    assert (choice["finish_reason"], call["function"]["name"]) == ("tool_calls", "get_weather")
    read = real.events(text=QUESTION, headers=TO_LIGHT, temperature=temperature, **FORCED)
    pieces = called(read)
    assert pieces[0]["id"]
    assert (pieces[0]["type"], pieces[0]["function"]["name"]) == ("function", "get_weather")
    streamed = "".join(piece["function"].get("arguments", "") for piece in pieces)
    for arguments in (call["function"]["arguments"], streamed):
        found = json.loads(arguments)
        assert set(found) == {"city", "unit"}
        assert found["unit"] in ("c", "f")
        assert len(found["city"]) <= 20
    assert faults.calls() == ()


def test_a_free_choice_goes_up_by_capability(apis: Stack, strict: FaultServer) -> None:
    """The reason is said; pinned to the box, it is refused in so many words."""
    strict.next("gpt", Says(text=None, tools=(GOOD,)))
    answer = apis.chat(text=QUESTION, headers=TO_LIGHT, tools=TOOLS)
    assert (answer.headers["x-forebay-backend"], answer.headers["x-forebay-reason"]) == ("mini", "capability")
    (call,) = answer.json()["choices"][0]["message"]["tool_calls"]
    assert call["function"]["arguments"] == GOOD.arguments
    refused = apis.chat("local", text=QUESTION, tools=TOOLS)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "capability_no_eligible_backend")
    assert "tools" in refused.json()["error"]["message"]


def test_no_choice_at_all_stays_on_the_box(apis: Stack, strict: FaultServer) -> None:
    """`tool_choice: none` needs nobody who can call.

    Not sampled: at temperature 1 some answers of the small model are too doubtful to be kept, and go up for that.
    """
    answer = apis.chat(text=QUESTION, headers=TO_LIGHT, tools=TOOLS, tool_choice="none", max_tokens=8, temperature=0)
    assert answer.headers["x-forebay-backend"] == "local"
    assert strict.calls() == ()


@pytest.mark.parametrize(
    "bad",
    [
        (Tool("get_weather", '{"city": "Paris", "unit": "kelvin"}'),),
        (Tool("get_weather", '{"city": "Paris"'),),
        (Tool("launch", "{}"),),
        (GOOD, GOOD),
    ],
    ids=["schema", "cut", "unknown", "two"],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_bad_call_goes_to_a_stronger_tier(
    apis: Stack, strict: FaultServer, bad: tuple[Tool, ...], *, stream: bool
) -> None:
    """Before a byte goes out: arguments that do not fit, tools that do not exist, two calls where one is allowed."""
    strict.next("gpt", Says(text=None, tools=bad))
    strict.next("claude", Says(text=None, tools=(GOOD,)))
    body: dict[str, Any] = {"tools": TOOLS, "parallel_tool_calls": False}
    if stream:
        read = apis.events(text=QUESTION, headers=TO_LIGHT, **body)
        arguments = "".join(piece["function"].get("arguments") or "" for piece in called(read))
        reason = (read.forebay or {})["reason"]
    else:
        answer = apis.chat(text=QUESTION, headers=TO_LIGHT, **body)
        (call,) = answer.json()["choices"][0]["message"]["tool_calls"]
        arguments, reason = call["function"]["arguments"], answer.headers["x-forebay-reason"]
    assert json.loads(arguments) == json.loads(GOOD.arguments)
    assert reason == "invalid_structure"


def test_anthropics_client_forces_a_call_of_the_small_model(apis: Stack, strict: FaultServer) -> None:
    """The same through the other API."""
    with apis.anthropic() as client:
        answer = client.messages.create(
            model="auto",
            max_tokens=100,
            messages=[{"role": "user", "content": QUESTION}],
            tools=[{"name": "get_weather", "input_schema": PARAMETERS}],
            tool_choice={"type": "tool", "name": "get_weather"},
            extra_headers=TO_LIGHT,
        )
    assert (answer.model, answer.stop_reason) == (MODEL, "tool_use")
    (block,) = answer.content
    assert block.type == "tool_use"
    assert set(block.input) == {"city", "unit"}
    assert strict.calls() == ()


def test_explain_asks_the_engines_that_are_at_work(apis: Stack) -> None:
    """An attached engine is not thought to call anything until it has said so."""
    assert explained(apis, "required")["backend"] == "local"
    free = explained(apis, "auto")
    assert free["backend"] == "mini"
    assert {"backend": "local", "tier": "light", "reason": "capability", "because": "cannot do tools"} in free[
        "excluded"
    ]


@pytest.fixture
def native(strict: FaultServer, model_path: Path, tmp_path: Path) -> Iterator[Stack]:
    """A gateway whose light tier is a model with a template that knows tools."""
    path = retemplated(model_path, tmp_path / "native.gguf", template=QWEN)
    config = one_engine(str(path))
    config["backends"]["mini"] = provider(strict, "gpt", price=PRICES["mid"])
    config["tiers"]["mid"] = ["mini"]
    with running(config) as stack:
        yield stack.ready("light", "mid")


def test_a_model_that_knows_tools_is_given_a_free_choice(native: Stack, strict: FaultServer) -> None:
    """Nobody has declared it: its engine has read it off the template. Its call comes back like any other."""
    assert "tools" in backends(native)["local"]
    turns: list[dict[str, Any]] = []
    for place, city in enumerate(("Rome", "Oslo", "Bern")):
        function = {"name": "get_weather", "arguments": json.dumps({"city": city, "unit": "c"})}
        call = {"id": f"c{place}", "type": "function", "function": function}
        turns += [{"role": "user", "content": f"Weather in {city}?"}, {"role": "assistant", "tool_calls": [call]}]
    # By imitation, which is all that these weights can.
    turns.append({"role": "user", "content": "Weather in Paris?"})
    answer = native.chat(headers=TO_LIGHT, messages=turns, tools=TOOLS, temperature=0, max_tokens=80)
    assert answer.headers["x-forebay-backend"] == "local"
    (called_for,) = answer.json()["choices"][0]["message"]["tool_calls"]
    assert json.loads(called_for["function"]["arguments"]) == {"city": "Paris", "unit": "c"}
    assert strict.calls() == ()
