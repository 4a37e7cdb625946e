"""Tools for models whose chat template knows none: how they are told of them, and how calls and results stand in the
history.

The tools stand at the end of the system turn (of the first user turn where a template takes no system turn), one JSON
object a line, the form in which Hermes models saw them in training:

    <tools>
    {"name": "get_weather", "description": "…", "parameters": {…JSON schema…}}
    </tools>

A call is written as `hermes` writes it, in the history as in the answer:

    <tool_call>
    {"name": "get_weather", "arguments": {"city": "Paris"}}
    </tool_call>

What a tool gave back comes as a user's turn, since templates like these know no other that the model answers to.
Results that follow one another share a turn, and so does what the user says right after them, for templates that want
turns to alternate:

    <tool_response>
    18 degrees, sunny
    </tool_response>
"""

import json
from collections.abc import Sequence
from typing import Final

import msgspec

from local_models.llama.tools.hermes import HERMES
from local_models.llama.turns import Tool, Turn

_EXAMPLE: Final = '<tool_call>\n{"name": "tool-name", "arguments": {"argument": "value"}}\n</tool_call>'
_INTRODUCTION: Final = (
    "You have tools. Each line here describes one, with the JSON schema of its arguments:\n"
    "<tools>\n{tools}\n</tools>\n"
    "To use a tool, answer with its name and its arguments in this form and nothing else:\n"
    "{example}\n"
    "Its result then comes between <tool_response> and </tool_response>. Without need of a tool, answer in plain words."
)


def told(turns: Sequence[Turn], tools: Sequence[Tool], *, takes_system: bool) -> tuple[Turn, ...]:
    """The conversation in turns of plain text, and in it what the tools are."""
    plain = _plain(turns)
    if not tools:
        return plain
    lines = "\n".join(json.dumps(described(tool), ensure_ascii=False) for tool in tools)
    introduction = _INTRODUCTION.format(tools=lines, example=_EXAMPLE)
    role = "system" if takes_system else "user"
    first, *rest = plain
    if first.role != role:
        return (Turn(role, introduction), *plain)
    parts = (first.content, introduction) if takes_system else (introduction, first.content)
    return (Turn(role, "\n\n".join(part for part in parts if part)), *rest)


def described(tool: Tool) -> dict[str, object]:
    """A tool as JSON has it; `parameters` is there also when there are none."""
    schema: object = msgspec.json.decode(tool.parameters) if tool.parameters else None
    description = {} if tool.description is None else {"description": tool.description}
    return {"name": tool.name, **description, "parameters": schema or {"type": "object", "properties": {}}}


def _plain(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    plain: list[Turn] = []
    after_result = False
    for turn in turns:
        is_result = turn.role == "tool"
        said = _text(turn)
        role = "user" if is_result else turn.role
        if after_result and role == "user":
            joint = "\n" if is_result else "\n\n"
            plain[-1] = Turn(role, f"{plain[-1].content}{joint}{said}")
        else:
            plain.append(Turn(role, said))
        after_result = is_result
    return tuple(plain)


def _text(turn: Turn) -> str:
    if turn.role == "tool":
        return f"<tool_response>\n{turn.content}\n</tool_response>"
    if not turn.calls:
        return turn.content
    calls = HERMES.written(turn.calls)
    return f"{turn.content}\n{calls}" if turn.content else calls
