"""Whether an answer has the structure that was asked for."""

from typing import Any

import pytest

from gateway.confidence.structure import structure_holds
from gateway.messages import (
    ChatRequest,
    Choice,
    FunctionCall,
    FunctionSpec,
    JsonSchema,
    NamedFunction,
    NamedToolChoice,
    ResponseFormat,
    Tool,
    ToolCall,
)
from tests.gateway.nouns import CHOICE, REQUEST, change

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
OBJECT = change(REQUEST, response_format=ResponseFormat("json_object"))
TEXT = change(REQUEST, response_format=ResponseFormat("text"))
LOOK = Tool(
    FunctionSpec("look", parameters={"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]})
)
TOOLED = change(REQUEST, tools=(LOOK, Tool(FunctionSpec("stop"))))
ALONE = change(TOOLED, parallel_tool_calls=False)
FORCED = change(TOOLED, tool_choice="required")
NAMED = change(TOOLED, tool_choice=NamedToolChoice(NamedFunction("look")))


def of_schema(schema: dict[str, Any] | None) -> ChatRequest:
    """A request for an answer of this schema."""
    return change(REQUEST, response_format=ResponseFormat("json_schema", JsonSchema("s", schema)))


def said(text: str | None) -> Choice:
    """An answer of this text."""
    return change(CHOICE, text=text)


def called(*calls: tuple[str, str], text: str | None = None) -> Choice:
    """An answer that calls these tools with these arguments."""
    made = tuple(ToolCall(f"c{number}", FunctionCall(*call)) for number, call in enumerate(calls))
    return change(CHOICE, text=text, tool_calls=made, finish_reason="tool_calls")


STRICT = of_schema(PERSON)
TABLE: list[tuple[ChatRequest, Choice, bool | None]] = [
    # Nothing was asked for.
    (REQUEST, said("{"), None),
    (TEXT, said("{"), None),
    (REQUEST, said(None), None),
    # Any object.
    (OBJECT, said("{}"), True),
    (OBJECT, said(' {"a": [1, 2]}\n'), True),
    (OBJECT, said("[]"), False),
    (OBJECT, said('"text"'), False),
    (OBJECT, said("12"), False),
    (OBJECT, said("null"), False),
    (OBJECT, said(""), False),
    (OBJECT, said(None), False),
    (OBJECT, said('{"a": 1'), False),
    (OBJECT, said('{"a": 1} and more'), False),
    (OBJECT, said('```json\n{"a": 1}\n```'), False),
    (OBJECT, said("{'a': 1}"), False),
    (OBJECT, said('{"a": NaN}'), False),
    (OBJECT, said('{"a": 1,}'), False),
    (OBJECT, said('{"a": ' * 5000), False),
    # A schema.
    (STRICT, said('{"name": "Ann", "age": 3}'), True),
    (STRICT, said('{"name": "Ann"}'), False),
    (STRICT, said('{"name": "Ann", "age": -1}'), False),
    (STRICT, said('{"name": "Ann", "age": "3"}'), False),
    (STRICT, said('{"name": "Ann", "age": 3, "b": 1}'), False),
    (STRICT, said('{"name": "Ann", "age": 3'), False),
    (STRICT, said("Ann is three."), False),
    (of_schema({"type": "array", "items": {"type": "integer"}}), said("[1, 2]"), True),
    (of_schema({"type": "array", "items": {"type": "integer"}}), said("[1, null]"), False),
    (of_schema({"enum": ["yes", "no"]}), said('"yes"'), True),
    (of_schema({"enum": ["yes", "no"]}), said("yes"), False),
    (of_schema({}), said("7"), True),
    (of_schema(None), said("7"), True),
    (of_schema(None), said("seven"), False),
    (of_schema({"$ref": "#/$defs/a", "$defs": {"a": {"type": "integer"}}}), said("7"), True),
    (of_schema({"$ref": "#/$defs/a", "$defs": {"a": {"type": "integer"}}}), said('"7"'), False),
    (of_schema({"type": "string", "pattern": "^(a+)+$"}), said('"' + "a" * 40 + '!"'), False),
    # Tools that may be called.
    (TOOLED, said("just text"), None),
    (TOOLED, called(("look", '{"at": "it"}')), True),
    (TOOLED, called(("stop", "{}")), True),
    (TOOLED, called(("stop", "")), True),
    (TOOLED, called(("stop", '{"any": 1}')), True),
    (TOOLED, called(("look", '{"at": "it"}'), ("stop", "{}")), True),
    (TOOLED, called(("look", "{}")), False),
    (TOOLED, called(("look", '{"at": 5}')), False),
    (TOOLED, called(("look", '{"at": "it"')), False),
    (TOOLED, called(("look", '["at"]')), False),
    (TOOLED, called(("stop", "5")), False),
    (TOOLED, called(("fly", "{}")), False),
    (TOOLED, called(("Look", '{"at": "it"}')), False),
    (TOOLED, called(("look", '{"at": "it"}'), ("fly", "{}")), False),
    # Tools that must be called.
    (FORCED, said("just text"), False),
    (FORCED, called(("stop", "{}")), True),
    (NAMED, said("just text"), False),
    (NAMED, called(("look", '{"at": "it"}')), True),
    (NAMED, called(("stop", "{}")), False),
    (NAMED, called(("look", '{"at": "it"}'), ("stop", "{}")), False),
    # One call where several are not wanted, and none where none is.
    (ALONE, called(("stop", "{}")), True),
    (ALONE, called(("stop", "{}"), ("stop", "{}")), False),
    (change(TOOLED, parallel_tool_calls=True), called(("stop", "{}"), ("stop", "{}")), True),
    (change(TOOLED, tool_choice="none"), called(("stop", "{}")), False),
    (change(TOOLED, tool_choice="none"), said("just text"), None),
    # Words beside a format are no way out of it.
    (change(STRICT, tools=TOOLED.tools), said("just text"), False),
    (change(STRICT, tools=TOOLED.tools), said('{"name": "Ann", "age": 3}'), True),
    # A call that nobody offered, and a call beside a format.
    (REQUEST, called(("look", "{}")), False),
    (change(STRICT, tools=TOOLED.tools), called(("stop", "{}")), True),
]


@pytest.mark.parametrize(("request_", "choice", "holds"), TABLE, ids=lambda value: str(value)[:50])
def test_an_answer_has_the_structure_or_has_not(request_: ChatRequest, choice: Choice, holds: bool | None) -> None:  # noqa: FBT001 - a column
    """True or False where a structure was asked for, None where none was."""
    assert structure_holds(request_, choice) is holds


@pytest.mark.parametrize("schema", [{"type": "strange"}, {"$ref": "#/nowhere"}, {"pattern": "("}])
def test_a_schema_that_cannot_be_read_proves_nothing(schema: dict[str, Any]) -> None:
    """The edge refuses those; should one come through, no answer is called wrong for it."""
    assert structure_holds(of_schema(schema), said("7")) is True
    assert structure_holds(of_schema(schema), said("no JSON")) is False
