"""Bodies sent to Anthropic's API, whichever words the request came in; the official package's types judge them."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.messages import ChatRequest
from gateway.wire.anthropic_body import message_body, prompt_body
from gateway.wire.anthropic_schema import narrowed
from gateway.wire.anthropic_turns import untold
from tests.faults.message_types import MessageTypes
from tests.gateway.wire import bodies, message_bodies, request_fields, test_message_fields
from tests.gateway.wire.message_bodies import CALL, RESULT, TEXT, THOUGHT, TOOL, assistant, user

BASE64_IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
OPENAI_CALL = {"id": "c:1", "type": "function", "function": {"name": "f", "arguments": '{"q": "x"}'}}
USER = {"role": "user", "content": "hi"}
# Images of other kinds cannot be said at all.
UNSAYABLE = "data:x"


@pytest.fixture(scope="module")
def types() -> MessageTypes:
    """The request types of the official package."""
    return MessageTypes()


def sent(request: ChatRequest, *, stream: bool = False) -> dict[str, Any]:
    """The body of one attempt, as it goes over the line."""
    decoded: dict[str, Any] = json.loads(msgspec.json.encode(message_body(request, "m", 100, stream=stream)))
    return decoded


def of_openai(**fields: Any) -> dict[str, Any]:
    """The body made of an OpenAI request with these fields."""
    return sent(bodies.parsed(fields))


def test_the_least_request_sends_the_least() -> None:
    """A field that the caller did not set is not sent; how long the answer may be has to be."""
    plain = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": [TEXT]}]}
    assert of_openai() == plain
    assert sent(message_bodies.parsed({})) == {**plain, "messages": [USER]}
    assert sent(message_bodies.parsed({}), stream=True)["stream"] is True


TURNS: list[tuple[list[dict[str, Any]], list[dict[str, Any]]]] = [
    ([{"role": "system", "content": "s"}, USER], [user(TEXT)]),
    ([USER, USER], [user(TEXT, TEXT)]),
    ([USER, {"role": "assistant", "content": "hi"}, USER], [user(TEXT), assistant(TEXT), user(TEXT)]),
    ([USER, {"role": "assistant", "content": ""}, USER], [user(TEXT, TEXT)]),
    ([USER, {"role": "assistant", "refusal": "hi"}, USER], [user(TEXT), assistant(TEXT), user(TEXT)]),
    ([{"role": "user", "content": [BASE64_IMAGE]}], [user(message_bodies.IMAGE)]),
    (
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://h/i.png"}}]}],
        [user(message_bodies.LINKED)],
    ),
    (
        [
            {"role": "assistant", "content": None, "tool_calls": [OPENAI_CALL, {**OPENAI_CALL, "id": "c2"}]},
            {"role": "tool", "tool_call_id": "c:1", "content": "four"},
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "hi"}]},
            USER,
        ],
        [
            assistant({**CALL, "id": "c_1"}, {**CALL, "id": "c2"}),
            user({**RESULT, "tool_use_id": "c_1"}, {**RESULT, "tool_use_id": "c2", "content": [TEXT]}, TEXT),
        ],
    ),
    (
        [{"role": "assistant", "content": "hi", "tool_calls": [OPENAI_CALL]}, USER],
        [assistant(TEXT, {**CALL, "id": "c_1"}), user(TEXT)],
    ),
]


@pytest.mark.parametrize(("messages", "turns"), TURNS, ids=str)
def test_turns(messages: list[dict[str, Any]], turns: list[dict[str, Any]]) -> None:
    """Parts become blocks, tool turns in a row one user's turn, and nothing is empty; ids are fit for that API."""
    assert of_openai(messages=messages)["messages"] == turns


def test_system_and_developer_turns_are_the_system_prompt() -> None:
    """All of them, in their order, wherever they stood."""
    messages = [{"role": role, "content": role} for role in ("system", "developer", "user", "system")]
    body = of_openai(messages=messages)
    assert [block["text"] for block in body["system"]] == ["system", "developer", "system"]
    assert body["messages"] == [user({"type": "text", "text": "user"})]


FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"q": {}}}, "strict": True}
TOOLS = [{"type": "function", "function": FUNCTION}]

CHOICES: list[tuple[dict[str, Any], dict[str, Any] | None]] = [
    ({}, None),
    ({"tool_choice": "auto"}, {"type": "auto"}),
    ({"tool_choice": "none"}, {"type": "none"}),
    ({"tool_choice": "required"}, {"type": "any"}),
    ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, {"type": "tool", "name": "f"}),
    ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
    ({"parallel_tool_calls": True}, None),
    ({"parallel_tool_calls": False, "tool_choice": "required"}, {"type": "any", "disable_parallel_tool_use": True}),
    ({"parallel_tool_calls": False, "tool_choice": "none"}, {"type": "none"}),
]


@pytest.mark.parametrize(("fields", "choice"), CHOICES, ids=str)
def test_tools_and_the_choice_among_them(fields: dict[str, Any], choice: dict[str, Any] | None) -> None:
    """With the words that API has for it."""
    body = of_openai(tools=TOOLS, **fields)
    schema = {"type": "object", "properties": {"q": {}}}
    assert body["tools"] == [{"name": "f", "description": "d", "input_schema": schema, "strict": True}]
    assert body.get("tool_choice") == choice
    bare = of_openai(tools=[{"type": "function", "function": {"name": "g"}}])["tools"]
    assert bare == [{"name": "g", "input_schema": {"type": "object", "properties": {}}}]


SAMPLING: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"temperature": 0.5}, {"temperature": 0.5}),
    ({"temperature": 2}, {"temperature": 1}),
    ({"top_p": 0.5}, {"top_p": 0.5}),
    ({"stop": ["a", "b"]}, {"stop_sequences": ["a", "b"]}),
    ({"user": "u"}, {"metadata": {"user_id": "u"}}),
    ({"reasoning_effort": "minimal"}, {"output_config": {"effort": "low"}}),
    ({"reasoning_effort": "xhigh"}, {"output_config": {"effort": "xhigh"}}),
    ({"reasoning_effort": "odd"}, {}),
    ({"seed": 7, "presence_penalty": 1, "frequency_penalty": 1, "logit_bias": {"1": 1}}, {}),
    ({"response_format": {"type": "text"}}, {}),
]


@pytest.mark.parametrize(("fields", "added"), SAMPLING, ids=str)
def test_how_to_answer(fields: dict[str, Any], added: dict[str, Any]) -> None:
    """What has a word there is said by it; what has none is left out."""
    assert of_openai(**fields) == of_openai() | added


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({}, []),
        ({"temperature": 1, "top_p": 1, "stop": "x", "reasoning_effort": "none"}, []),
        ({"temperature": 1.5}, ["temperature"]),
        ({"seed": 0}, ["seed"]),
        ({"presence_penalty": 0, "frequency_penalty": 0}, ["frequency_penalty", "presence_penalty"]),
        ({"logit_bias": {"1": 1}}, ["logit_bias"]),
        ({"reasoning_effort": "odd"}, ["reasoning_effort"]),
        ({"messages": [{**USER, "name": "ada"}]}, ["messages[].name"]),
    ],
    ids=str,
)
def test_what_is_left_out_or_changed_is_told(fields: dict[str, Any], names: list[str]) -> None:
    """And nothing else is."""
    assert sorted(set(untold(bodies.parsed(fields)))) == names
    assert set(untold(message_bodies.parsed({}))) == set()


def test_what_came_in_those_words_goes_as_it_came() -> None:
    """Signatures, cache marks, failures and system turns survive."""
    fields = {
        "system": [message_bodies.CACHED],
        "messages": [
            assistant(THOUGHT, message_bodies.HIDDEN, CALL),
            user({**RESULT, "is_error": True}, message_bodies.CACHED),
            {"role": "system", "content": [TEXT]},
            user(message_bodies.IMAGE),
        ],
        "tools": [{**TOOL, "cache_control": {"type": "ephemeral"}}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "thinking": {"type": "enabled", "budget_tokens": 1024, "display": "omitted"},
        "output_config": {"effort": "max", "format": {"type": "json_schema", "schema": {"type": "string"}}},
        "cache_control": {"type": "ephemeral", "ttl": "1h"},
        "top_k": 7,
        "temperature": 1,
        "stop_sequences": ["x"],
        "metadata": {"user_id": "u", "task": "faq"},
    }
    body = sent(message_bodies.parsed(fields))
    assert body == {**fields, "model": "m", "max_tokens": 100, "metadata": {"user_id": "u"}}


def test_a_budget_of_thought_is_no_effort_as_well() -> None:
    """The budget is said by itself; the effort that it amounts to is for others."""
    body = sent(message_bodies.parsed({"thinking": {"type": "enabled", "budget_tokens": 1024}}))
    assert "output_config" not in body


def test_what_others_have_put_in_is_taken_out() -> None:
    """A thought that no provider vouches for, empty texts, and ids with characters that are refused there."""
    odd = {**CALL, "id": "functions.f:0"}
    turns = [
        assistant({**THOUGHT, "signature": ""}),
        assistant({**THOUGHT, "signature": ""}, {"type": "text", "text": ""}, odd),
        user({**RESULT, "tool_use_id": "functions.f:0"}),
    ]
    assert sent(message_bodies.parsed({"messages": turns}))["messages"] == [
        assistant({**CALL, "id": "functions_f_0"}),
        user({**RESULT, "tool_use_id": "functions_f_0"}),
    ]


def test_arguments_that_are_no_object_keep_their_text() -> None:
    """History must not be lost for it, and that API takes objects alone."""
    for text, kept in (("", {}), ("[1]", {"INVALID_JSON": "[1]"}), ('{"a"', {"INVALID_JSON": '{"a"'})):
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": text}}
        body = of_openai(messages=[{"role": "assistant", "tool_calls": [call]}, USER])
        assert body["messages"][0]["content"][0]["input"] == kept


@pytest.mark.parametrize("url", ["data:image/tiff;base64,aGk=", "data:image/png,raw", "data:text/html;base64,aGk="])
def test_an_image_that_cannot_be_said(url: str) -> None:
    """Is an error of the body and not a body without it."""
    message = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}
    with pytest.raises(ValueError, match="JPEG, PNG"):
        of_openai(messages=[message])


NARROWED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"type": "string"}, {"type": "string"}),
    ({"type": "integer", "minimum": 1}, {"type": "integer", "description": "(minimum: 1)"}),
    (
        {"type": "string", "description": "a name", "minLength": 1, "maxLength": 9},
        {"type": "string", "description": "a name (minLength: 1, maxLength: 9)"},
    ),
    ({"type": "object"}, {"type": "object"}),
    (
        {"type": "object", "properties": {"a": {"type": "object", "properties": {"minimum": {"type": "string"}}}}},
        {
            "type": "object",
            "properties": {
                "a": {
                    "type": "object",
                    "properties": {"minimum": {"type": "string"}},
                    "additionalProperties": False,
                }
            },
            "additionalProperties": False,
        },
    ),
    (
        {"type": "object", "properties": {"a": {}}, "additionalProperties": True},
        {"type": "object", "properties": {"a": {}}, "additionalProperties": True},
    ),
    (
        {"anyOf": [{"type": "array", "items": {"maximum": 3}, "minItems": 2}], "$defs": {"x": {"multipleOf": 2}}},
        {
            "anyOf": [{"type": "array", "items": {"description": "(maximum: 3)"}, "description": "(minItems: 2)"}],
            "$defs": {"x": {"description": "(multipleOf: 2)"}},
        },
    ),
    ({"enum": [{"minimum": 1}]}, {"enum": [{"minimum": 1}]}),
]


@pytest.mark.parametrize(("schema", "expected"), NARROWED, ids=str)
def test_a_schema_is_closed_and_its_limits_are_told_in_words(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    """That API refuses open objects and limits on values; the answer is held to the caller's schema all the same."""
    before = json.dumps(schema)
    assert narrowed(schema) == expected
    assert json.dumps(schema) == before
    wanted = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    assert of_openai(response_format=wanted)["output_config"]["format"] == {"type": "json_schema", "schema": expected}


OPENAI_FIELDS = [fields for fields, _, _ in request_fields.FIELDS]
OPENAI_TURNS = [message for message, _ in request_fields.MESSAGES if UNSAYABLE not in json.dumps(message)]
ANTHROPIC_FIELDS = [fields for fields, _, _ in test_message_fields.FIELDS]
ANTHROPIC_TURNS = [turns for turns, _ in test_message_fields.BLOCKS] + [
    [assistant(CALL), user(result)] for result, _ in test_message_fields.RESULTS
]


@given(st.lists(st.sampled_from(OPENAI_FIELDS), max_size=6), st.lists(st.sampled_from(OPENAI_TURNS), max_size=4))
@settings(max_examples=150, deadline=None)
def test_whatever_openais_clients_ask_is_asked_in_the_packages_types(
    types: MessageTypes, chosen: list[dict[str, Any]], turns: list[dict[str, Any]]
) -> None:
    """Every mixture of fields and turns makes a body that the official client could have sent."""
    fields: dict[str, Any] = {"tools": request_fields.FIELDS[20][0].get("tools", TOOLS)}
    for each in chosen:
        fields |= each
    fields |= {"messages": [*turns, USER], "logprobs": True}
    request = bodies.parsed(fields)
    assert types.problem(sent(request, stream=request.stream)) is None
    assert types.problem(json.loads(msgspec.json.encode(prompt_body(request, "m"))), count=True) is None


@given(st.lists(st.sampled_from(ANTHROPIC_FIELDS), max_size=6), st.lists(st.sampled_from(ANTHROPIC_TURNS), max_size=3))
@settings(max_examples=150, deadline=None)
def test_whatever_anthropics_clients_ask_is_asked_in_the_packages_types(
    types: MessageTypes, chosen: list[dict[str, Any]], turns: list[list[dict[str, Any]]]
) -> None:
    """The same for what came in those words."""
    fields: dict[str, Any] = {"tools": [TOOL]}
    for each in chosen:
        fields |= each
    if turns:
        fields["messages"] = [turn for each in turns for turn in each]
    request = message_bodies.parsed({**fields, "max_tokens": 5000})
    assert types.problem(sent(request, stream=request.stream)) is None
    assert types.problem(json.loads(msgspec.json.encode(prompt_body(request, "m"))), count=True) is None


def test_the_types_find_what_is_wrong(types: MessageTypes) -> None:
    """A judge who lets everything pass proves nothing."""
    good = sent(message_bodies.parsed({"tools": [TOOL], "system": [TEXT]}))
    assert types.problem(good) is None
    for bad in (
        {**good, "seed": 1},
        {**good, "max_tokens": "many"},
        {**good, "system": [{"type": "text"}]},
        {**good, "messages": [{"role": "tool", "content": "x"}]},
        {**good, "messages": [user({**TEXT, "name": "x"})]},
        {**good, "messages": [user({"type": "image_url"})]},
        {**good, "tools": [{**TOOL, "parameters": {}}]},
        {**good, "tool_choice": "auto"},
        {name: value for name, value in good.items() if name != "max_tokens"},
    ):
        assert types.problem(bad) is not None, bad
