"""An agent as Anthropic's package drives one: its own loop of tools, with what such programs send beside it."""

import json
from typing import Any

import pytest
from anthropic import beta_tool

from tests.e2e.stack import Stack
from tests.faults.behaviours import Says, Tool
from tests.faults.handle import FaultServer

CACHED = {"type": "ephemeral"}
ASKED: dict[str, Any] = {
    "max_tokens": 2000,
    "system": [{"type": "text", "text": "You are an agent.", "cache_control": CACHED}],
    "metadata": {"user_id": "user_" + "a" * 64 + "_account__session_0b5f2c1e"},
    "thinking": {"type": "adaptive"},
    "betas": ["interleaved-thinking-2025-05-14", "context-management-2025-06-27"],
    "extra_body": {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}},
    "extra_headers": {"x-app": "cli"},
}


@beta_tool
def weather(city: str) -> str:
    """The weather of a city.

    Args:
        city: Its name.
    """
    return f"{len(city)} degrees in {city}"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("model", "upstream"), [("claude", "claude"), ("mini", "gpt")])
def test_the_packages_own_loop_comes_to_an_end(
    apis: Stack, strict: FaultServer, model: str, upstream: str, *, stream: bool
) -> None:
    """Both calls of a turn are made, their results go back in one turn, and the last answer is the model's.

    The package would have the server keep the conversation; it hears that nobody does here, and sends it whole.
    """
    strict.next(
        upstream,
        Says(
            text=None,
            reasoning="Let me see.",
            tools=(Tool("weather", '{"city": "Oslo"}'), Tool("weather", '{"city": "Rome"}')),
        ),
        Says(text="Mild."),
    )
    turns: list[Any] = [{"role": "user", "content": "The weather in Oslo and Rome?"}]
    with apis.anthropic() as client:
        if stream:
            final = None
            for opened in client.beta.messages.tool_runner(
                model=model, messages=turns, tools=[weather], stream=True, **ASKED
            ):
                final = opened.get_final_message()
        else:
            final = client.beta.messages.tool_runner(model=model, messages=turns, tools=[weather], **ASKED).until_done()
    assert final is not None
    assert [block.text for block in final.content if block.type == "text"] == ["Mild."]
    calls = strict.settled()
    assert [call.problem for call in calls] == [None, None]
    body = calls[1].body
    assert "4 degrees in Oslo" in body
    assert "4 degrees in Rome" in body
    assert "context_management" not in body
    if model == "claude":
        blocks = json.loads(body)["messages"][1]["content"]
        assert [block["type"] for block in blocks] == ["thinking", "tool_use", "tool_use"]
        assert blocks[0]["signature"] == "signed-by-the-provider"
    else:
        assert "Let me see." not in body
