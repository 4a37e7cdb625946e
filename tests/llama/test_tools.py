"""Tools over HTTP, on the real model: what is forced is always called well, what is free may be, and both are read."""

import json
from typing import Any

import openai
import pytest

from tests.llama.engine_process import NAME, EngineProcess
from tests.llama.validity import valid

CHAT = "/v1/chat/completions"
QUESTION = "What is the weather in Paris, and what is 2 plus 3?"


def tool(name: str, description: str, **properties: Any) -> dict[str, Any]:
    """A tool all of whose arguments are required."""
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


WEATHER = tool(
    "get_weather", "Current weather in a city", city={"type": "string", "maxLength": 20}, unit={"enum": ["c", "f"]}
)
ADD = tool("add", "Adds two integers", a={"type": "integer", "minimum": 0, "maximum": 99}, b={"enum": [1, 2, 3]})
TOOLS = [WEATHER, ADD]
SCHEMAS = {each["function"]["name"]: each["function"]["parameters"] for each in TOOLS}


def named(name: str) -> dict[str, Any]:
    """A tool_choice."""
    return {"type": "function", "function": {"name": name}}


def check(choice: dict[str, Any]) -> list[str]:
    """The names of a choice's calls; fails where one is not what its tool takes."""
    message = choice["message"]
    assert (message["content"], choice["finish_reason"]) == (None, "tool_calls")
    for call in message["tool_calls"]:
        assert call["type"] == "function"
        assert call["id"].startswith("call_")
        schema = SCHEMAS[call["function"]["name"]]
        assert valid(json.loads(call["function"]["arguments"]), schema, schema)
    assert len({call["id"] for call in message["tool_calls"]}) == len(message["tool_calls"])
    return [call["function"]["name"] for call in message["tool_calls"]]


def earlier(*cities: str, unit: str = "c") -> list[dict[str, Any]]:
    """Turns in which the assistant has called for the weather of these cities."""
    turns: list[dict[str, Any]] = []
    for place, city in enumerate(cities):
        function = {"name": "get_weather", "arguments": json.dumps({"city": city, "unit": unit})}
        turns += [
            {"role": "user", "content": f"Weather in {city}?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": f"c{place}", "type": "function", "function": function}],
            },
        ]
    return turns


@pytest.mark.parametrize("temperature", [0, 1])
@pytest.mark.parametrize("choice", ["required", named("add"), named("get_weather")], ids=["required", "add", "weather"])
def test_a_forced_call_is_made_and_valid(engine: EngineProcess, choice: Any, temperature: float) -> None:
    """Four answers, each with one call that parses and satisfies its schema; a named tool and no other."""
    answer = engine.chat(
        QUESTION, tools=TOOLS, tool_choice=choice, temperature=temperature, n=4, max_tokens=150, seed=7
    )
    for each in answer["choices"]:
        (name,) = check(each)
        assert choice == "required" or name == choice["function"]["name"]


def test_several_calls_only_where_they_are_wanted(engine: EngineProcess) -> None:
    """With `parallel_tool_calls` up to four, without it one."""
    more = {"tools": TOOLS, "tool_choice": "required", "temperature": 1, "seed": 1, "n": 2, "max_tokens": 300}
    counts = {
        wish: [len(check(each)) for each in engine.chat(QUESTION, parallel_tool_calls=wish, **more)["choices"]]
        for wish in (True, False)
    }
    assert max(counts[True]) > 1
    assert max(counts[True]) <= 4
    assert counts[False] == [1, 1]


def test_stop_strings_do_not_cut_a_forced_call(engine: EngineProcess) -> None:
    """Arguments may hold any text, and half a call is of no use."""
    answer = engine.chat(QUESTION, tools=TOOLS, tool_choice="required", stop=["{", '"', "name"], max_tokens=150)
    assert len(check(answer["choices"][0])) == 1


def test_a_free_answer_may_be_words(engine: EngineProcess) -> None:
    """This model does not call by itself; it is told of the tools, and says what it says, streamed or not."""
    answer = engine.chat(QUESTION, tools=TOOLS)
    (choice,) = answer["choices"]
    assert "tool_calls" not in choice["message"]
    assert choice["message"]["content"]
    told = answer["usage"]["prompt_tokens"]
    plain = [
        engine.chat(QUESTION, **more)["usage"]["prompt_tokens"]
        for more in ({}, {"tools": TOOLS, "tool_choice": "none"})
    ]
    assert plain[0] == plain[1] < told
    question = [{"role": "user", "content": QUESTION}]
    pieces = engine.stream(messages=question, tools=TOOLS, temperature=0, max_tokens=16)[:-1]
    said = [piece["choices"][0]["delta"].get("content", "") for piece in pieces]
    assert "".join(said) == choice["message"]["content"]
    assert len(said) > 8


@pytest.mark.parametrize("stop", [None, ["Paris"]])
def test_a_free_call_is_written_under_its_schema(engine: EngineProcess, stop: list[str] | None) -> None:
    """The examples in the history say unit k, which the schema does not know: the grammar has the last word. A stop
    string that the arguments hold does not cut them.
    """
    turns = [*earlier("Rome", "Oslo", "Bern", unit="k"), {"role": "user", "content": "Weather in Paris?"}]
    answer = engine.chat(messages=turns, tools=[WEATHER], max_tokens=60, stop=stop)
    assert check(answer["choices"][0]) == ["get_weather"]
    arguments = json.loads(answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"])
    assert arguments["city"] == "Paris"


def test_a_stream_says_what_the_whole_answer_says(engine: EngineProcess) -> None:
    """OpenAI's deltas: id, type and name with a call's first piece, then its arguments, then the finish reason."""
    body: dict[str, Any] = {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": True, "max_tokens": 90}
    whole = engine.chat(QUESTION, **body)["choices"][0]
    events = engine.stream(messages=[{"role": "user", "content": QUESTION}], temperature=0, **body)
    assert events.pop() == "[DONE]"
    calls: dict[int, dict[str, Any]] = {}
    for event in events:
        (choice,) = event["choices"]
        assert not choice["delta"].get("content")
        for piece in choice["delta"].get("tool_calls", []):
            if piece["index"] not in calls:
                assert piece["type"] == "function"
                calls[piece["index"]] = {"id": piece["id"], "name": piece["function"]["name"], "arguments": ""}
            calls[piece["index"]]["arguments"] += piece["function"].get("arguments", "")
    assert events[-1]["choices"][0]["finish_reason"] == whole["finish_reason"]
    expected = [call["function"] for call in whole["message"]["tool_calls"]]
    assert [{"name": call["name"], "arguments": call["arguments"]} for call in calls.values()] == expected
    assert len(events) > 10, "arguments arrive piece by piece"


def test_a_call_that_is_cut_short_says_so(engine: EngineProcess) -> None:
    """Finish reason length, and nothing made up."""
    answer = engine.chat(QUESTION, tools=TOOLS, tool_choice=named("add"), max_tokens=14)
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == "length"
    for call in choice["message"].get("tool_calls", []):
        with pytest.raises(ValueError, match="line 1"):
            json.loads(call["function"]["arguments"])


def test_the_official_client_reads_calls_and_hands_results_back(engine: EngineProcess) -> None:
    """One round with the openai package: call, result, answer."""
    client: Any = openai.OpenAI(base_url=f"{engine.url}/v1", api_key="none", max_retries=0)
    messages: list[Any] = [{"role": "user", "content": "Weather in Paris?"}]
    first = client.chat.completions.create(
        model=NAME, messages=messages, tools=TOOLS, tool_choice=named("get_weather"), temperature=0, max_tokens=100
    )
    message = first.choices[0].message
    messages += [message, {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "18 degrees"}]
    second = client.chat.completions.create(model=NAME, messages=messages, tools=TOOLS, temperature=0, max_tokens=20)
    assert second.choices[0].message.content
    assert second.usage.prompt_tokens > first.usage.prompt_tokens
    client.close()


def test_calls_or_json_where_both_are_asked_for(engine: EngineProcess) -> None:
    """With a response format a free answer is a call or JSON of that format, never words."""
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": {**schema, "additionalProperties": False}}}
    answer = engine.chat(QUESTION, tools=TOOLS, response_format=wanted, temperature=1, seed=2, n=3, max_tokens=100)
    for choice in answer["choices"]:
        if choice["message"].get("tool_calls"):
            check(choice)
        else:
            assert set(json.loads(choice["message"]["content"])) == {"ok"}


def test_logprobs_come_with_calls(engine: EngineProcess) -> None:
    """What a gateway scores is there for calls too, as many as tokens were written."""
    answer = engine.chat(QUESTION, tools=TOOLS, tool_choice=named("add"), logprobs=True, top_logprobs=1, max_tokens=100)
    content = answer["choices"][0]["logprobs"]["content"]
    assert len(content) == answer["usage"]["completion_tokens"] - 1, "all but the end"
    assert "".join(token["token"] for token in content).startswith("<tool_call>")


def test_tokenize_counts_tools_as_a_chat_is_charged(engine: EngineProcess) -> None:
    """The same prompt, tools and earlier calls included."""
    turns = [*earlier("Rome"), {"role": "tool", "tool_call_id": "c0", "content": "18"}]
    charged = engine.chat(messages=turns, tools=TOOLS, max_tokens=1)["usage"]["prompt_tokens"]
    assert engine.post("/tokenize", messages=turns, tools=TOOLS).json()["count"] == charged


def test_the_engine_says_what_it_can(engine: EngineProcess) -> None:
    """Forced calls with any model; free ones only with one whose own template knows tools, which this one does not."""
    (model,) = engine.http.get("/v1/models").json()["data"]
    assert model["capabilities"] == ["json_object", "json_schema", "logprobs", "n", "forced_tools"]


ODD = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}
DEEP: Any = {"type": "object"}
for _ in range(60):
    DEEP = {"type": "object", "properties": {"a": DEEP}}


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"tools": [{"type": "function"}]}, "tools[0].function", "invalid_value"),
        ({"tools": [{"type": "custom", "function": {"name": "f"}}]}, "tools[0].type", "invalid_value"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name", "invalid_value"),
        ({"tools": [WEATHER, WEATHER]}, "tools[1].function.name", "invalid_value"),
        ({"tools": [WEATHER] * 129}, "tools", "invalid_value"),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        ({"tools": TOOLS, "tool_choice": "sometimes"}, "tool_choice", "invalid_value"),
        ({"tools": TOOLS, "tool_choice": named("rm")}, "tool_choice", "invalid_value"),
        ({"tools": [tool("f", "", a=ODD)], "tool_choice": "required"}, "tools", "unsupported_schema"),
        ({"tools": [tool("f", "", a=DEEP)]}, "tools[0].function.parameters", "unsupported_schema"),
        ({"tools": [tool("f", "", a={"enum": ["x" * 70_000]})]}, "tools", "unsupported_schema"),
    ],
)
def test_faults_are_named(engine: EngineProcess, body: dict[str, Any], param: str, code: str) -> None:
    """A 400 that says where, before anything is generated."""
    response = engine.post(CHAT, messages=[{"role": "user", "content": "x"}], max_tokens=1, **body)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, code, param), error


def test_a_free_call_takes_what_no_grammar_can_enforce(engine: EngineProcess) -> None:
    """Such a tool is offered all the same: a free answer may be right, and the gateway checks it."""
    assert engine.chat("Hi", tools=[tool("f", "", a=ODD)], max_tokens=4)["choices"][0]["message"]["content"]
