"""Whether an answer has the structure that was asked for: JSON, a JSON Schema, tool calls."""

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.messages import ChatRequest, Choice, JsonObject, NamedToolChoice, Tool, ToolCall
from gateway.wire.json_schema import compile_schema


def structure_holds(request: ChatRequest, choice: Choice) -> bool | None:
    """True or False where a structure was asked for, None where none was.

    An answer cut short by its length is judged like any other: half an object is not valid.
    """
    forced = request.tool_choice == "required" or isinstance(request.tool_choice, NamedToolChoice)
    if choice.tool_calls or forced:
        return _calls_hold(request, choice.tool_calls)
    wanted = request.response_format
    if wanted is None or wanted.type == "text":
        return None
    try:
        value = _parse(choice.text or "")
    except ValueError:
        return False
    if wanted.type == "json_object":
        return isinstance(value, dict)
    schema = wanted.json_schema.schema if wanted.json_schema is not None else None
    return schema is None or _valid(schema, value)


def _calls_hold(request: ChatRequest, calls: Sequence[ToolCall]) -> bool:
    """At least one, and not more than are wanted, of tools that exist, with arguments of their schema."""
    if not calls or request.tool_choice == "none":
        return False
    if request.parallel_tool_calls is False and len(calls) > 1:
        return False
    if isinstance(request.tool_choice, NamedToolChoice):
        name = request.tool_choice.function.name
        if any(call.function.name != name for call in calls):
            return False
    return all(_call_holds(request.tools, call) for call in calls)


def _call_holds(tools: Sequence[Tool], call: ToolCall) -> bool:
    tool = next((tool for tool in tools if tool.function.name == call.function.name), None)
    if tool is None:
        return False
    try:
        arguments = _parse(call.function.arguments or "{}")
    except ValueError:
        return False
    schema = tool.function.parameters
    return isinstance(arguments, dict) and (schema is None or _valid(schema, arguments))


def _parse(text: str) -> Any:
    """Strict JSON, as the clients that receive it will parse it."""
    try:
        return msgspec.json.decode(text.encode())
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError) as error:
        raise ValueError("not JSON") from error


def _valid(schema: JsonObject, value: Any) -> bool:
    """Whether `value` satisfies `schema`. A schema that cannot be read proves nothing against an answer."""
    try:
        return compile_schema(schema).is_valid(value)
    except ValueError:
        return True
