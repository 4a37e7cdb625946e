"""The table of requests that every client asks every kind of backend."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from gateway.types import Capability
from tests.e2e.hearing import Heard
from tests.faults.behaviours import Says, Tool

Fields = dict[str, Any]

CANNOT: Mapping[str, frozenset[Capability]] = MappingProxyType(
    {
        "local": frozenset({Capability.TOOLS, Capability.IMAGES, Capability.REMOTE_IMAGES}),
        "mini": frozenset(),
        "claude": frozenset({Capability.JSON_OBJECT, Capability.LOGPROBS, Capability.MULTIPLE_CHOICES}),
    }
)
"""What each backend of the gateway cannot do, in the order in which they are asked."""


ALL_IS_WELL = Says(text="All is well.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One request, in the words of each API that has words for it.

    The providers play `plays`, and must have `heard` so much of it; `ignored` are the fields that each backend is not
    sent, and the caller is told of, by client and backend. `says` is what the caller must have understood: fields of
    `callers.Said`; of these, a model that says what it will is held to `anyhow`, or makes no sense of a row that is
    `of_the_answer`.
    """

    openai: Fields | None = None
    anthropic: Fields | None = None
    needs: frozenset[Capability] = frozenset()
    too_long: bool = False
    plays: Says = ALL_IS_WELL
    heard: Heard = field(default_factory=dict)
    says: Fields = field(default_factory=dict)
    ignored: Mapping[tuple[str, str], set[str]] = field(default_factory=dict)
    anyhow: Fields = field(default_factory=dict)
    of_the_answer: bool = False

    def fields(self, client: str) -> Fields | None:
        """What this client sends, None where it cannot say it."""
        found = self.anthropic if client == "anthropic" else self.openai
        return None if found is None else {"max_tokens": 8, "messages": [HELLO], **found}

    def refusal(self, backend: str) -> str | None:
        """The code of the error by which this backend is refused for it, None where it can do it."""
        if self.needs & CANNOT[backend]:
            return "capability_no_eligible_backend"
        return "context_length_exceeded" if self.too_long and backend == "local" else None


HELLO = {"role": "user", "content": "Say hello."}
ASKED = [("user", "Say hello.")]
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
LINK = "https://images.example/cat.png"

_WEATHER = {"name": "weather", "description": "The weather of a city.", "parameters": CITY}
_TOOLS = [{"type": "function", "function": _WEATHER}]
_TOOLS_THERE = [{"name": "weather", "description": "The weather of a city.", "input_schema": CITY}]
_PARIS = Tool("weather", '{"city": "Paris"}')
_ROME = Tool("weather", '{"city": "Rome"}')
_CALLED = ("weather", {"city": "Paris"})
_NEEDS_TOOLS = frozenset({Capability.TOOLS})
_OBEYS = frozenset({Capability.FORCED_TOOLS})
_ROOM = {"max_tokens": 60, "temperature": 0}


def _user(*parts: Fields) -> Fields:
    return {"role": "user", "content": list(parts)}


def _tools(openai: Fields, anthropic: Fields, **more: Any) -> Row:
    """A row whose clients offer the tool."""
    heard = {"tools": [_WEATHER], **more.pop("heard", {})}
    return Row(
        openai={"tools": _TOOLS, **openai},
        anthropic={"tools": _TOOLS_THERE, **anthropic},
        heard=heard,
        **{"needs": _NEEDS_TOOLS, **more},
    )


_TEXT = {"type": "text", "text": "What is this?"}
_PNG_HERE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
_PNG_THERE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
_LINK_HERE = {"type": "image_url", "image_url": {"url": LINK}}
_LINK_THERE = {"type": "image", "source": {"type": "url", "url": LINK}}

_RESULTS_HERE = [
    HELLO,
    {
        "role": "assistant",
        "content": "I will look.",
        "tool_calls": [
            {
                "id": f"call_{n}",
                "type": "function",
                "function": {"name": "weather", "arguments": f'{{"city":"{city}"}}'},
            }
            for n, city in enumerate(("Oslo", "Bern"))
        ],
    },
    {"role": "tool", "tool_call_id": "call_0", "content": "4 degrees"},
    {"role": "tool", "tool_call_id": "call_1", "content": "Error: no such city"},
]
_RESULTS_THERE = [
    HELLO,
    {
        "role": "assistant",
        "content": [
            {"type": "text", "text": "I will look."},
            {"type": "tool_use", "id": "call_0", "name": "weather", "input": {"city": "Oslo"}},
            {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Bern"}},
        ],
    },
    _user(
        {"type": "tool_result", "tool_use_id": "call_0", "content": "4 degrees"},
        {"type": "tool_result", "tool_use_id": "call_1", "content": "Error: no such city"},
    ),
]
_LONG = {"role": "user", "content": "word " * 3_000}

ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "plain": Row(openai={}, anthropic={}, heard={"turns": ASKED, "limit": 8}, says={"text": "All is well."}),
        "system": Row(
            openai={"messages": [{"role": "system", "content": "Be brief."}, HELLO]},
            anthropic={"system": "Be brief."},
            heard={"system": "Be brief.", "turns": ASKED},
        ),
        "developer": Row(
            openai={
                "messages": [
                    {"role": "system", "content": "Be brief."},
                    {"role": "developer", "content": "Be kind."},
                    HELLO,
                ]
            },
            anthropic={"system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]},
            heard={"system": "Be brief.\n\nBe kind.", "turns": ASKED},
        ),
        "conversation": Row(
            openai={"messages": [HELLO, {"role": "assistant", "content": "Hello."}, HELLO]},
            anthropic={"messages": [HELLO, {"role": "assistant", "content": "Hello."}, HELLO]},
            heard={"turns": [*ASKED, ("assistant", "Hello."), *ASKED]},
        ),
        "tools": _tools({}, {}, says={"text": "All is well.", "ended": "stop"}),
        "a tool is called": _tools(
            {"tool_choice": "auto"},
            {"tool_choice": {"type": "auto"}},
            plays=Says(text=None, tools=(_PARIS,)),
            heard={"choice": "auto"},
            says={"calls": (_CALLED,), "ended": "tool_calls", "text": ""},
        ),
        "a call is demanded": _tools(
            {"tool_choice": "required", **_ROOM},
            {"tool_choice": {"type": "any"}, **_ROOM},
            needs=_OBEYS,
            anyhow={"ended": "tool_calls"},
            plays=Says(text=None, tools=(_PARIS,)),
            heard={"choice": "required"},
            says={"calls": (_CALLED,), "ended": "tool_calls"},
        ),
        "this call is demanded": _tools(
            {"tool_choice": {"type": "function", "function": {"name": "weather"}}, **_ROOM},
            {"tool_choice": {"type": "tool", "name": "weather"}, **_ROOM},
            needs=_OBEYS,
            anyhow={"ended": "tool_calls"},
            plays=Says(text=None, tools=(_PARIS,)),
            heard={"choice": "weather"},
            says={"calls": (_CALLED,), "ended": "tool_calls"},
        ),
        "no call is wanted": _tools(
            {"tool_choice": "none"},
            {"tool_choice": {"type": "none"}},
            needs=frozenset(),
            heard={"choice": "none"},
            says={"calls": ()},
            anyhow={"calls": ()},
        ),
        "parallel calls": _tools(
            {},
            {},
            plays=Says(text=None, tools=(_PARIS, _ROME)),
            says={"calls": (_CALLED, ("weather", {"city": "Rome"})), "ended": "tool_calls"},
        ),
        "one call at a time": _tools(
            {"parallel_tool_calls": False, "tool_choice": "auto"},
            {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
            plays=Says(text=None, tools=(_PARIS,)),
            heard={"parallel": False, "choice": "auto"},
            says={"calls": (_CALLED,)},
        ),
        "results of tools": _tools(
            {"messages": _RESULTS_HERE},
            {"messages": _RESULTS_THERE},
            heard={
                "turns": [*ASKED, ("assistant", "I will look.")],
                "calls": [("call_0", "weather", {"city": "Oslo"}), ("call_1", "weather", {"city": "Bern"})],
                "results": [("call_0", "4 degrees"), ("call_1", "Error: no such city")],
            },
        ),
        "an image": Row(
            openai={"messages": [_user(_TEXT, _PNG_HERE)]},
            anthropic={"messages": [_user(_TEXT, _PNG_THERE)]},
            needs=frozenset({Capability.IMAGES}),
            heard={"turns": [("user", "What is this?")], "images": [f"data:image/png;base64,{PNG}"]},
        ),
        "an image elsewhere": Row(
            openai={"messages": [_user(_TEXT, _LINK_HERE)]},
            anthropic={"messages": [_user(_TEXT, _LINK_THERE)]},
            needs=frozenset({Capability.IMAGES, Capability.REMOTE_IMAGES}),
            heard={"images": [LINK]},
        ),
        "a JSON schema": Row(
            openai={
                "max_tokens": 60,
                "temperature": 0,
                "response_format": {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY}},
            },
            anthropic={
                "max_tokens": 60,
                "temperature": 0,
                "output_config": {"format": {"type": "json_schema", "schema": CITY}},
            },
            plays=Says(text='{"city": "Paris"}'),
            heard={"schema": CITY},
        ),
        "a JSON object": Row(
            openai={"max_tokens": 20, "response_format": {"type": "json_object"}},
            needs=frozenset({Capability.JSON_OBJECT}),
            plays=Says(text='{"city": "Paris"}'),
        ),
        "stop": Row(
            openai={"stop": ["END", "FIN"]},
            anthropic={"stop_sequences": ["END", "FIN"]},
            heard={"stop": ["END", "FIN"]},
        ),
        "the limit is reached": Row(
            openai={"max_tokens": 2},
            anthropic={"max_tokens": 2},
            plays=Says(text="All is", finish_reason="length"),
            heard={"limit": 2},
            says={"ended": "length"},
            anyhow={"ended": "length"},
        ),
        "the filter": Row(
            openai={},
            anthropic={},
            plays=Says(text="I", finish_reason="content_filter"),
            says={"ended": "content_filter"},
            of_the_answer=True,
        ),
        "thought": Row(
            openai={},
            anthropic={},
            plays=Says(reasoning="Let me see."),
            says={"thought": "Let me see.", "text": "All is well."},
            of_the_answer=True,
        ),
        "the cache": Row(
            openai={},
            anthropic={},
            plays=Says(prompt_tokens=1000, cached_tokens=900, completion_tokens=7),
            says={"usage": (1000, 7, 900)},
            of_the_answer=True,
        ),
        "logprobs": Row(
            openai={"logprobs": True, "top_logprobs": 2},
            needs=frozenset({Capability.LOGPROBS}),
            says={"logprobs": 3},
        ),
        "several choices": Row(
            openai={"n": 2},
            needs=frozenset({Capability.MULTIPLE_CHOICES}),
            heard={"n": 2},
            says={"choices": 2},
            anyhow={"choices": 2},
        ),
        "long input": Row(
            openai={"messages": [_LONG]},
            anthropic={"messages": [_LONG]},
            too_long=True,
            heard={"turns": [("user", _LONG["content"])]},
        ),
        "sampling of one": Row(
            openai={"seed": 7, "temperature": 1.5, "top_p": 0.9, "presence_penalty": 0.5, "frequency_penalty": 0.5},
            heard={"top_p": 0.9},
            ignored={("openai", "claude"): {"seed", "temperature", "presence_penalty", "frequency_penalty"}},
        ),
        "sampling of the other": Row(
            anthropic={"temperature": 0.5, "top_p": 0.9, "top_k": 5},
            heard={"temperature": 0.5, "top_p": 0.9},
            ignored={("anthropic", "mini"): {"top_k"}},
        ),
        "effort": Row(
            openai={"reasoning_effort": "low"},
            anthropic={"output_config": {"effort": "low"}},
            heard={"effort": "low"},
            ignored={("openai", "local"): {"reasoning_effort"}, ("anthropic", "local"): {"output_config.effort"}},
        ),
        "a budget of thought": Row(
            # A budget is at least 1,024 and less than the limit: only a vowel ends a real model's answer early.
            anthropic={
                "max_tokens": 1100,
                "thinking": {"type": "enabled", "budget_tokens": 1024},
                "stop_sequences": ["a", "e", "i", "o"],
            },
            ignored={("anthropic", "local"): {"thinking"}},
        ),
        "a user": Row(openai={"user": "u-1"}, anthropic={"metadata": {"user_id": "u-1"}}, heard={"user": "u-1"}),
        "marks for the cache": Row(
            anthropic={"system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]},
            heard={"system": "Be brief."},
            ignored={("anthropic", "mini"): {"cache_control"}, ("anthropic", "local"): {"cache_control"}},
        ),
    }
)
