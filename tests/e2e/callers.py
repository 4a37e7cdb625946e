"""The official clients of both APIs, and what either of them makes of an answer, in the same words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import anthropic
import msgspec
import openai
from anthropic.types import Message
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from tests.e2e.stack import Stack

_ENDED = {"end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls", "refusal": "content_filter"}.items()


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An answer. `ended` is OpenAI's finish reason, or `stop_sequence` where the API can tell that one stood there.

    `calls` are names and arguments of tools; `usage` are tokens of the prompt, of the answer, and of the cache.
    """

    model: str
    text: str
    ended: str
    calls: tuple[tuple[str, dict[str, Any]], ...]
    thought: str
    usage: tuple[int, int, int]
    headers: Mapping[str, str]
    forebay: dict[str, Any]
    logprobs: int = 0
    choices: int = 1

    @property
    def ignored(self) -> set[str]:
        """The fields that the caller is told were not sent on."""
        return set(filter(None, self.headers.get("x-forebay-ignored", "").split(", ")))


@dataclass(frozen=True, slots=True)
class Refused:
    """An error, which the client has raised as one of its own; of status 200 where it ended a stream."""

    status: int
    code: str
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, in the fields of the client's API, and how."""

    model: str
    fields: dict[str, Any]
    stream: bool
    headers: Mapping[str, str]


class OpenAICaller:
    """OpenAI's package."""

    def __init__(self, stack: Stack) -> None:
        self._client = stack.openai()

    def ask(self, question: Question) -> Said | Refused:
        """What comes of a question."""
        asked = {"model": question.model, **question.fields, "stream": question.stream}
        asked["extra_headers"] = dict(question.headers)
        if question.stream:
            asked["stream_options"] = {"include_usage": True}
        try:
            raw: Any = self._client.chat.completions.with_raw_response.create(**asked)
            if not question.stream:
                completion: ChatCompletion = raw.parse()
                return _of_openai(completion, raw.headers, _forebay(completion))
            state = ChatCompletionStreamState[None]()
            forebay: dict[str, Any] = {}
            for chunk in raw.parse():
                state.handle_chunk(chunk)
                forebay |= _forebay(chunk)
            return _of_openai(state.current_completion_snapshot, raw.headers, forebay)
        except openai.APIStatusError as error:
            return Refused(error.status_code, str(error.code), error.response.headers)
        except openai.APIError as error:
            return Refused(200, str(error.code))

    def close(self) -> None:
        """Hang up."""
        self._client.close()


class AnthropicCaller:
    """Anthropic's package, which knows no more of the fields that its newest models refuse."""

    def __init__(self, stack: Stack) -> None:
        self._client = stack.anthropic()

    def ask(self, question: Question) -> Said | Refused:
        """What comes of a question."""
        fields = question.fields
        older = {name: fields[name] for name in ("temperature", "top_p", "top_k") if name in fields}
        asked: dict[str, Any] = {name: fields[name] for name in fields.keys() - older.keys()}
        asked |= {"model": question.model, "extra_body": older, "extra_headers": dict(question.headers)}
        try:
            if not question.stream:
                raw = self._client.messages.with_raw_response.create(**asked)
                message: Message = raw.parse()
                return _of_anthropic(message, dict(raw.headers), _forebay(message))
            with self._client.messages.stream(**asked) as opened:
                (forebay,) = [_forebay(event) for event in opened if event.type == "message_delta"]
                return _of_anthropic(opened.get_final_message(), dict(opened.response.headers), forebay)
        except anthropic.APIStatusError as error:
            body: Any = error.body
            return Refused(error.status_code, body["error"]["details"]["error_code"], dict(error.response.headers))

    def close(self) -> None:
        """Hang up."""
        self._client.close()


Caller = OpenAICaller | AnthropicCaller
CALLERS: Mapping[str, Callable[[Stack], Caller]] = MappingProxyType(
    {"openai": OpenAICaller, "anthropic": AnthropicCaller}
)


def _forebay(found: BaseModel) -> dict[str, Any]:
    return (found.model_extra or {}).get("forebay") or {}


def _of_openai(found: ChatCompletion, headers: Mapping[str, str], forebay: dict[str, Any]) -> Said:
    choice = found.choices[0]
    usage = found.usage
    assert usage is not None
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0
    return Said(
        model=found.model,
        text=choice.message.content or choice.message.refusal or "",
        ended=choice.finish_reason,
        calls=tuple(
            (call.function.name, msgspec.json.decode(call.function.arguments))
            for call in choice.message.tool_calls or ()
            if call.type == "function"
        ),
        thought=(choice.message.model_extra or {}).get("reasoning_content") or "",
        usage=(usage.prompt_tokens, usage.completion_tokens, cached or 0),
        headers=headers,
        forebay=forebay,
        logprobs=len(choice.logprobs.content or ()) if choice.logprobs else 0,
        choices=len(found.choices),
    )


def _of_anthropic(found: Message, headers: Mapping[str, str], forebay: dict[str, Any]) -> Said:
    reason: str = found.stop_reason or ""
    cached = found.usage.cache_read_input_tokens or 0
    if reason == "stop_sequence":
        reason += f":{found.stop_sequence}"
    return Said(
        model=found.model,
        text="".join(block.text for block in found.content if block.type == "text"),
        ended=dict(_ENDED).get(reason, reason),
        calls=tuple((block.name, dict(block.input)) for block in found.content if block.type == "tool_use"),
        thought="".join(block.thinking for block in found.content if block.type == "thinking"),
        usage=(found.usage.input_tokens + cached, found.usage.output_tokens, cached),
        headers=headers,
        forebay=forebay,
    )
