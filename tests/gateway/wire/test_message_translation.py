"""What came in Anthropic's words, in OpenAI's: for engines and providers that know no others."""

from typing import Any

import pytest

from gateway.messages import (
    FunctionCall,
    FunctionSpec,
    ImagePart,
    ImageUrl,
    Message,
    TextPart,
    Tool,
    ToolCall,
)
from gateway.wire.anthropic_messages import untold
from tests.gateway.wire.message_bodies import (
    CACHED,
    CALL,
    HIDDEN,
    IMAGE,
    LINKED,
    RESULT,
    TEXT,
    THOUGHT,
    TOOL,
    assistant,
    parsed,
    user,
)

PICTURE = ImagePart(ImageUrl("data:image/png;base64,aGk="))
CALLED = ToolCall("toolu_1", FunctionCall("f", '{"q":"x"}'))
SECOND = {**CALL, "id": "toolu_2", "input": {}}
HI = Message("user", "hi")

TURNS: list[tuple[list[dict[str, Any]], tuple[Message, ...]]] = [
    ([{"role": "user", "content": "hi"}], (HI,)),
    ([user(TEXT)], (HI,)),
    ([user(TEXT, {"type": "text", "text": "you"})], (Message("user", (TextPart("hi"), TextPart("you"))),)),
    ([user(IMAGE)], (Message("user", (PICTURE,)),)),
    ([user(LINKED, TEXT)], (Message("user", (ImagePart(ImageUrl("https://h/i.png")), TextPart("hi"))),)),
    ([user(TEXT), assistant(TEXT, TEXT), user(TEXT)], (HI, Message("assistant", "hi\nhi"), HI)),
    ([assistant(THOUGHT, HIDDEN), user(TEXT)], (HI,)),
    ([assistant(THOUGHT, TEXT), user(TEXT)], (Message("assistant", "hi"), HI)),
    ([{"role": "system", "content": [TEXT]}, user(TEXT)], (Message("system", "hi"), HI)),
    (
        [assistant(TEXT, CALL, SECOND), user(RESULT, {**RESULT, "tool_use_id": "toolu_2"}, TEXT)],
        (
            Message("assistant", "hi", tool_calls=(CALLED, ToolCall("toolu_2", FunctionCall("f", "{}")))),
            Message("tool", "four", tool_call_id="toolu_1"),
            Message("tool", "four", tool_call_id="toolu_2"),
            HI,
        ),
    ),
    (
        [assistant(CALL), user({**RESULT, "content": [TEXT, IMAGE, TEXT]}, TEXT)],
        (
            Message("assistant", tool_calls=(CALLED,)),
            Message("tool", "hi\nhi", tool_call_id="toolu_1"),
            Message("user", (PICTURE, TextPart("hi"))),
        ),
    ),
    (
        [assistant(CALL), user({"type": "tool_result", "tool_use_id": "toolu_1"})],
        (Message("assistant", tool_calls=(CALLED,)), Message("tool", "", tool_call_id="toolu_1")),
    ),
    (
        [assistant(CALL), user({**RESULT, "is_error": True})],
        (Message("assistant", tool_calls=(CALLED,)), Message("tool", "Error: four", tool_call_id="toolu_1")),
    ),
    (
        [assistant(CALL), user({**RESULT, "is_error": True, "content": "ERROR 404"})],
        (Message("assistant", tool_calls=(CALLED,)), Message("tool", "ERROR 404", tool_call_id="toolu_1")),
    ),
]
"""Turns there, and here."""


@pytest.mark.parametrize(("turns", "messages"), TURNS, ids=str)
def test_turns(turns: list[dict[str, Any]], messages: tuple[Message, ...]) -> None:
    """Blocks become parts, calls, and turns of tools; what is thought is no part of a conversation there."""
    assert parsed({"messages": turns}).messages == messages


@pytest.mark.parametrize(
    ("system", "text"), [("be brief", "be brief"), ([TEXT, CACHED], "hi\n\nlong"), ("", None), ([], None)]
)
def test_the_system_prompt_comes_first(system: Any, text: str | None) -> None:
    """As one text, or not at all."""
    first = () if text is None else (Message("system", text),)
    assert parsed({"system": system}).messages == (*first, HI)


def test_tools() -> None:
    """Their schema is called `parameters` there."""
    spec = FunctionSpec("f", "d", {"type": "object", "properties": {"q": {"type": "string"}}})
    assert parsed({"tools": [TOOL]}).tools == (Tool(spec),)


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({}, None),
        ({"output_config": {"effort": "low"}}, "low"),
        ({"output_config": {"effort": "medium"}}, "medium"),
        ({"output_config": {"effort": "max"}}, "high"),
        ({"thinking": {"type": "adaptive"}}, None),
        ({"thinking": {"type": "disabled"}}, None),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 8000}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 30_000}}, "high"),
        ({"thinking": {"type": "enabled", "budget_tokens": 30_000}, "output_config": {"effort": "low"}}, "low"),
    ],
    ids=str,
)
def test_how_hard_to_think(fields: dict[str, Any], effort: str | None) -> None:
    """An effort in words that every model knows, or what a budget amounts to."""
    assert parsed({**fields, "max_tokens": 50_000}).reasoning_effort == effort


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({}, set()),
        ({"system": "s", "tools": [TOOL], "messages": [assistant(CALL), user(RESULT)]}, set()),
        ({"cache_control": {"type": "ephemeral"}}, {"cache_control"}),
        ({"system": [CACHED]}, {"cache_control"}),
        ({"messages": [user(CACHED)]}, {"cache_control"}),
        ({"tools": [{**TOOL, "cache_control": {"type": "ephemeral"}}]}, {"cache_control"}),
        ({"messages": [assistant(THOUGHT, TEXT), user(TEXT)]}, {"messages[].content[].thinking"}),
        ({"thinking": {"type": "adaptive"}}, set()),
        ({"thinking": {"type": "disabled"}}, {"thinking"}),
        ({"thinking": {"type": "between_tools"}}, {"thinking"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, set()),
    ],
    ids=str,
)
def test_what_gets_lost_is_told(fields: dict[str, Any], names: set[str]) -> None:
    """Cache marks, thoughts, and that nothing shall be thought."""
    talk = parsed(fields).conversation
    assert talk is not None
    assert set(untold(talk)) == names
