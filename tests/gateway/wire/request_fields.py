"""Every field that a chat request may have, and every kind of turn."""

from typing import Any

from gateway.messages import (
    FunctionCall,
    FunctionSpec,
    ImagePart,
    ImageUrl,
    JsonSchema,
    Message,
    NamedFunction,
    NamedToolChoice,
    RefusalPart,
    ResponseFormat,
    TextPart,
    Tool,
    ToolCall,
)

TOOL = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True},
}
SCHEMA = {"name": "s", "schema": {"type": "object"}, "description": "d", "strict": False}

FIELDS: list[tuple[dict[str, Any], str, Any]] = [
    ({"model": "gpt-5"}, "requested_model", "gpt-5"),
    ({"max_tokens": 7}, "sampling.max_tokens", 7),
    ({"max_completion_tokens": 8}, "sampling.max_tokens", 8),
    ({"max_tokens": 7, "max_completion_tokens": 8}, "sampling.max_tokens", 8),
    ({"temperature": 0}, "sampling.temperature", 0.0),
    ({"temperature": 2}, "sampling.temperature", 2.0),
    ({"top_p": 0.5}, "sampling.top_p", 0.5),
    ({"n": 16}, "sampling.n", 16),
    ({"stop": "END"}, "sampling.stop", ("END",)),
    ({"stop": ["a", "b", "c", "d"]}, "sampling.stop", ("a", "b", "c", "d")),
    ({"stop": []}, "sampling.stop", ()),
    ({"seed": -(2**63)}, "sampling.seed", -(2**63)),
    ({"presence_penalty": -2}, "sampling.presence_penalty", -2.0),
    ({"frequency_penalty": 2}, "sampling.frequency_penalty", 2.0),
    ({"logit_bias": {"50256": -100, "1": 2.5}}, "sampling.logit_bias", {"50256": -100.0, "1": 2.5}),
    ({"logprobs": True}, "logprobs", True),
    ({"logprobs": True, "top_logprobs": 20}, "top_logprobs", 20),
    ({"response_format": {"type": "text"}}, "response_format", ResponseFormat("text")),
    ({"response_format": {"type": "json_object"}}, "response_format", ResponseFormat("json_object")),
    (
        {"response_format": {"type": "json_schema", "json_schema": SCHEMA}},
        "response_format",
        ResponseFormat("json_schema", JsonSchema("s", {"type": "object"}, "d", strict=False)),
    ),
    ({"tools": [TOOL]}, "tools", (Tool(FunctionSpec("f", "d", {"type": "object"}, strict=True)),)),
    ({"tools": [TOOL], "tool_choice": "required"}, "tool_choice", "required"),
    (
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        "tool_choice",
        NamedToolChoice(NamedFunction("f")),
    ),
    ({"parallel_tool_calls": False}, "parallel_tool_calls", False),
    ({"reasoning_effort": "high"}, "reasoning_effort", "high"),
    ({"stream": True}, "stream", True),
    ({"stream": True, "stream_options": {"include_usage": True}}, "include_usage", True),
    ({"user": "u-1"}, "user", "u-1"),
    ({"metadata": {"task": "faq"}}, "hints.task", "faq"),
    ({"messages": [{"role": "user", "content": "x"}]}, "messages", (Message("user", "x"),)),
]
"""Body, where it arrives in a ChatRequest, and as what."""

MESSAGES: list[tuple[dict[str, Any], Message]] = [
    ({"role": "system", "content": "s"}, Message("system", "s")),
    ({"role": "developer", "content": "d", "name": "n"}, Message("developer", "d", name="n")),
    (
        {
            "role": "user",
            "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:x"}}],
        },
        Message("user", (TextPart("a"), ImagePart(ImageUrl("data:x")))),
    ),
    (
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://h/i", "detail": "low"}}]},
        Message("user", (ImagePart(ImageUrl("https://h/i", "low")),)),
    ),
    ({"role": "assistant", "content": None, "refusal": "no"}, Message("assistant", refusal="no")),
    (
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        Message("assistant", (RefusalPart("no"),)),
    ),
    (
        {
            "role": "assistant",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        Message("assistant", tool_calls=(ToolCall("c", FunctionCall("f", "{}")),)),
    ),
    ({"role": "tool", "content": "r", "tool_call_id": "c"}, Message("tool", "r", tool_call_id="c")),
]
