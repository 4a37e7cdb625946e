"""OpenAI's answer objects and error object, as vLLM fills them, and how they stand in a stream of events.

As vLLM has it, a choice also says under `stop_reason` which stop string ended it, null when none did; in a stream only
the chunk with the finish reason has that field.
"""

from typing import Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from local_models.llama.errors import RequestError
from local_models.llama.jobs import Finish


class CachedTokens(Struct):
    """`usage.prompt_tokens_details`."""

    cached_tokens: int


class Usage(Struct):
    """Tokens of one request; `completion_tokens` counts the end-of-text tokens too, as they cost a step each."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens


class TopLogprob(Struct):
    """One likely token."""

    token: str
    logprob: float
    bytes: list[int]


class ChatLogprob(Struct):
    """One generated token of a chat answer."""

    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[TopLogprob]


class ChatLogprobs(Struct):
    """`choices[].logprobs` of chat."""

    content: list[ChatLogprob]
    refusal: None = None


class TextLogprobs(Struct):
    """`choices[].logprobs` of completions."""

    text_offset: list[int]
    token_logprobs: list[float]
    tokens: list[str]
    top_logprobs: list[dict[str, float]]


class CalledFunction(Struct):
    """A tool's name and its arguments, as JSON text."""

    name: str
    arguments: str


class ToolCall(Struct):
    """One call of a tool."""

    id: str
    function: CalledFunction
    type: Literal["function"] = "function"


class AssistantMessage(Struct):
    """The answer of a chat choice. One that is nothing but calls has no content."""

    role: Literal["assistant"]
    content: str | None
    refusal: None = None
    tool_calls: list[ToolCall] | UnsetType = UNSET


class FunctionDelta(Struct):
    """A piece of a call's function."""

    name: str | UnsetType = UNSET
    arguments: str | UnsetType = UNSET


class ToolCallDelta(Struct):
    """A piece of call number `index`; id, type and name come with its first one."""

    index: int
    function: FunctionDelta
    id: str | UnsetType = UNSET
    type: Literal["function"] | UnsetType = UNSET


class ChatDelta(Struct):
    """What a chat chunk adds."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType = UNSET
    tool_calls: list[ToolCallDelta] | UnsetType = UNSET


ChatFinish = Finish | Literal["tool_calls"]


class ChatChoice(Struct):
    """A whole chat choice."""

    index: int
    message: AssistantMessage
    logprobs: ChatLogprobs | None
    finish_reason: ChatFinish
    stop_reason: str | None


class ChatChunkChoice(Struct):
    """A choice in a chat chunk."""

    index: int
    delta: ChatDelta
    logprobs: ChatLogprobs | None
    finish_reason: ChatFinish | None
    stop_reason: str | UnsetType | None = UNSET


class TextChoice(Struct):
    """A choice of a completion, whole or in a chunk."""

    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: Finish | None
    stop_reason: str | UnsetType | None = UNSET


class Answer(Struct):
    """The envelope all four kinds share."""

    id: str
    object: str
    created: int
    model: str
    choices: list[ChatChoice] | list[ChatChunkChoice] | list[TextChoice]
    usage: Usage | UnsetType | None = UNSET


class Tokens(Struct):
    """The answer of `/tokenize`."""

    count: int
    max_model_len: int
    tokens: list[int]


class ErrorBody(Struct):
    """OpenAI's error object."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorEnvelope(Struct):
    """A response that is an error."""

    error: ErrorBody


def usage_of(prompt: int, generated: int, cached: int = 0) -> Usage:
    """The usage of a request."""
    return Usage(prompt, generated, prompt + generated, CachedTokens(cached))


def error_json(error: RequestError) -> bytes:
    """An error in OpenAI's shape."""
    return msgspec.json.encode(ErrorEnvelope(ErrorBody(error.message, error.kind, error.param, error.code)))


def event(data: bytes) -> bytes:
    """One server-sent event."""
    return b"data: " + data + b"\n\n"


DONE: Final = b"data: [DONE]\n\n"
