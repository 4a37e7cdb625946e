"""Two programs that nobody here wrote, unchanged, against `auto`: LangChain's `ChatOpenAI` and the `llm` command."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field, SecretStr

from tests.e2e.homes import MODEL
from tests.e2e.stack import Stack
from tests.faults.behaviours import Says, Tool
from tests.faults.handle import FaultServer

_LLM = Path(sys.executable).parent / "llm"
EASY = "What are your opening hours?"
CALL = Says(text=None, tools=(Tool("get_weather", '{"city": "Paris", "unit": "c"}'),))
ANSWER = Says(text="It is 18 degrees in Paris.")


@tool
def get_weather(city: str, unit: Literal["c", "f"]) -> str:
    """Current weather in a city."""
    return f"18 {unit} in {city}"


class Weather(BaseModel):
    """Which weather is asked for."""

    city: str = Field(max_length=20)
    unit: Literal["c", "f"]


@pytest.fixture
def chat(apis: Stack) -> ChatOpenAI:
    """LangChain's client, as its manual shows it."""
    return ChatOpenAI(
        model="auto",
        base_url=apis.base_url,
        api_key=SecretStr("none"),
        temperature=0,
        max_completion_tokens=120,
        stream_usage=True,
    )


def joined(pieces: Iterator[BaseMessage]) -> AIMessageChunk:
    """A stream put together, as LangChain does it."""
    whole: Any = None
    count = 0
    for piece in pieces:
        whole = piece if whole is None else whole + piece
        count += 1
    assert count > 1, "it came in one piece"
    assert isinstance(whole, AIMessageChunk)
    return whole


def counted(message: AIMessage) -> tuple[int, int]:
    """Tokens of prompt and answer. What of the prompt came from a cache depends on what was asked before."""
    assert message.usage_metadata is not None
    return message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"]


def test_langchain_is_answered_and_streamed_on_the_box(chat: ChatOpenAI, strict: FaultServer) -> None:
    """An easy question; the stream says what the whole answer says, and usage comes with both."""
    short = chat.model_copy(update={"max_tokens": 8})
    whole, pieces = short.invoke(EASY), joined(short.stream(EASY))
    assert isinstance(whole, AIMessage)
    assert whole.content
    assert pieces.content == whole.content
    assert whole.response_metadata["model_name"] == pieces.response_metadata["model_name"] == MODEL
    assert counted(pieces) == counted(whole)
    assert strict.calls() == ()


def test_langchain_forces_a_call_of_the_small_model(chat: ChatOpenAI, strict: FaultServer) -> None:
    """`tool_choice` stays on the box, whole and streamed, and the tool can be run with what comes."""
    bound = chat.bind_tools([get_weather], tool_choice="get_weather")
    whole, pieces = bound.invoke("Weather in Paris?"), joined(bound.stream("Weather in Paris?"))
    assert isinstance(whole, AIMessage)
    (call,), (streamed,) = whole.tool_calls, pieces.tool_calls
    assert not whole.invalid_tool_calls
    assert not pieces.invalid_tool_calls
    assert (call["name"], call["args"]) == (streamed["name"], streamed["args"])
    assert get_weather.invoke(call["args"]).startswith("18 ")
    assert whole.response_metadata["model_name"] == pieces.response_metadata["model_name"] == MODEL
    assert strict.calls() == ()


def test_langchain_parses_structured_output(chat: ChatOpenAI, strict: FaultServer) -> None:
    """Both of its ways to have an object back: a forced call of the small model, and a schema that goes up a tier."""
    called = chat.with_structured_output(Weather, method="function_calling").invoke("Weather in Paris?")
    assert isinstance(called, Weather)
    assert strict.calls() == ()
    strict.next("gpt", Says(text='{"city": "Paris", "unit": "c"}'))
    written = chat.with_structured_output(Weather, method="json_schema").invoke("Weather in Paris?")
    assert written == Weather(city="Paris", unit="c")
    (call,) = strict.settled("gpt")
    assert json.loads(call.body)["response_format"]["json_schema"]["name"] == "Weather"


@pytest.mark.parametrize("streamed", [True, False])
def test_langchain_has_tools_called_by_a_model_that_knows_when(
    chat: ChatOpenAI, strict: FaultServer, *, streamed: bool
) -> None:
    """A free choice goes up a tier; the call comes back, its result goes in, and the answer comes out."""
    strict.next("gpt", CALL, ANSWER)
    bound = chat.bind_tools([get_weather])
    messages: list[BaseMessage] = [HumanMessage("Weather in Paris?")]
    for _ in range(2):
        reply: Any = joined(bound.stream(messages)) if streamed else bound.invoke(messages)
        messages.append(reply)
        messages += [
            ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"]) for call in reply.tool_calls
        ]
    assert [message.type.removesuffix("MessageChunk").lower() for message in messages] == ["human", "ai", "tool", "ai"]
    assert messages[2].content == "18 c in Paris"
    assert messages[3].content == ANSWER.text
    first, second = (json.loads(call.body) for call in strict.settled("gpt"))
    assert first["tools"][0]["function"]["name"] == "get_weather"
    asked, result = second["messages"][1:]
    assert (result["role"], result["content"]) == ("tool", "18 c in Paris")
    assert result["tool_call_id"] == asked["tool_calls"][0]["id"]


class Llm:
    """The `llm` command with a folder of its own, which knows a gateway as its extra model."""

    def __init__(self, folder: Path, stack: Stack) -> None:
        self._folder = folder
        model = {
            "model_id": "forebay",
            "model_name": "auto",
            "api_base": stack.base_url,
            "supports_tools": True,
            "supports_schema": True,
        }
        (folder / "extra-openai-models.yaml").write_text(yaml.safe_dump([model]))

    def __call__(self, prompt: str, *words: str) -> str:
        """What it prints; fails unless it ends well."""
        done = subprocess.run(
            [
                str(Path(sys.executable).parent / "llm"),
                "prompt",
                "-m",
                "forebay",
                "-o",
                "temperature",
                "0",
                *words,
                prompt,
            ],
            env={**os.environ, "LLM_USER_PATH": str(self._folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.removesuffix("\n")


@pytest.fixture
def llm(tmp_path: Path, apis: Stack, strict: FaultServer) -> Llm:
    """The command, set up as its manual says."""
    return Llm(tmp_path, apis)


def test_llm_is_answered_and_streamed_on_the_box(llm: Llm, strict: FaultServer) -> None:
    """It streams unless told not to; both say the same."""
    streamed = llm(EASY, "-o", "max_tokens", "8")
    assert streamed
    assert llm(EASY, "-o", "max_tokens", "8", "--no-stream") == streamed
    assert strict.calls() == ()


@pytest.mark.parametrize("more", [(), ("--no-stream",)], ids=["streamed", "whole"])
def test_llm_runs_its_tools(llm: Llm, strict: FaultServer, more: tuple[str, ...]) -> None:
    """A function of the user's is offered, called, run, and its result answered."""
    strict.next("gpt", CALL, ANSWER)
    source = 'def get_weather(city: str, unit: str) -> str:\n    "Current weather"\n    return f"18 {unit} in {city}"\n'
    assert llm("Weather in Paris?", "--functions", source, *more) == ANSWER.text
    first, second = (json.loads(call.body) for call in strict.settled("gpt"))
    assert first["tools"][0]["function"]["name"] == "get_weather"
    assert second["messages"][-1]["content"] == "18 c in Paris"
    assert bool(first.get("stream")) == bool(second.get("stream")) == (not more)


def test_llm_has_an_object_of_its_schema(llm: Llm, strict: FaultServer) -> None:
    """`--schema` is a JSON schema on the wire."""
    strict.next("gpt", Says(text='{"name": "Rex", "age": 3}'))
    assert json.loads(llm("Invent a dog.", "--schema", "name, age int")) == {"name": "Rex", "age": 3}
    (call,) = strict.settled("gpt")
    schema = json.loads(call.body)["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["age"] == {"type": "integer"}
