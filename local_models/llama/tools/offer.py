"""Which tools a request offers, and what it says about calling them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from local_models.llama import wire
from local_models.llama.errors import Code, RequestError
from local_models.llama.schema import MAX_BYTES, MAX_DEPTH
from local_models.llama.turns import Tool

_LEVELS: Final = 3 * MAX_DEPTH
"""Levels of JSON; a schema inside a schema takes two or three."""


@dataclass(frozen=True, slots=True)
class Offer:
    """The tools that may be called; with `forced` one must be. `parallel`: several calls in one answer are wanted, or
    not, or nothing was said of it.
    """

    tools: tuple[Tool, ...]
    forced: bool = False
    parallel: bool | None = None


def offer_of(request: wire.ChatRequest) -> Offer | None:
    """What a request offers; None when it offers nothing or wants nothing called. Raises RequestError.

    Of a tool that is named to be called the others are not even told of: they could only distract.
    """
    tools = checked(request.tools or ())
    choice = request.tool_choice
    if choice is None or isinstance(choice, str):
        if choice == "required" and not tools:
            raise _refused("tool_choice: required needs tools", "tool_choice")
        if not tools or choice == "none":
            return None
        return Offer(tools, choice == "required", request.parallel_tool_calls)
    named = tuple(tool for tool in tools if tool.name == choice.function.name)
    if not named:
        raise _refused(f"tool_choice names {choice.function.name[:128]!r}, which is not among tools", "tool_choice")
    return Offer(named, forced=True, parallel=False)


def checked(tools: Sequence[wire.Tool]) -> tuple[Tool, ...]:
    """The tools, of names that differ and of bounded schemas. Raises RequestError."""
    names: set[str] = set()
    size = 0
    for place, tool in enumerate(tools):
        function = tool.function
        if function.name in names:
            raise _refused(f"there are two tools called {function.name}", f"tools[{place}].function.name")
        names.add(function.name)
        size += len(bytes(function.parameters))
        if size > MAX_BYTES:
            raise _refused(
                f"the schemas of all tools have more than the limit of {MAX_BYTES:,} bytes",
                "tools",
                "unsupported_schema",
            )
        _check_depth(function.parameters, f"tools[{place}].function.parameters")
    return tuple(map(_tool, tools))


def _tool(tool: wire.Tool) -> Tool:
    function = tool.function
    parameters = bytes(function.parameters)
    return Tool(function.name, function.description, None if parameters in (b"", b"null") else parameters)


def _check_depth(parameters: msgspec.Raw, param: str) -> None:
    """Templates walk through a schema by recursion."""
    try:
        deep = _deeper(msgspec.json.decode(bytes(parameters) or b"null"), _LEVELS)
    except (msgspec.DecodeError, RecursionError):
        deep = True
    if deep:
        raise _refused(f"the schema is nested deeper than the limit of {MAX_DEPTH}", param, "unsupported_schema")


def _deeper(value: object, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_deeper(item, levels - 1) for item in inner)


def _refused(message: str, param: str, code: Code = "invalid_value") -> RequestError:
    return RequestError(400, code, message, param=param)
