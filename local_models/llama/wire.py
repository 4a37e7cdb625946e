"""Request bodies as they come in. Types and ranges are checked while decoding; unknown fields are ignored."""

import re
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from local_models.llama.errors import RequestError

Temperature = Annotated[float, Meta(ge=0.0, le=2.0)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Penalty = Annotated[float, Meta(ge=-2.0, le=2.0)]
TokenLimit = Annotated[int, Meta(ge=1, le=1_000_000)]
Choices = Annotated[int, Meta(ge=1, le=8)]
TopLogprobs = Annotated[int, Meta(ge=0, le=20)]
TopK = Annotated[int, Meta(ge=-1, le=1_000_000)]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Priority = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
"""As in vLLM: lower goes first."""
StopText = Annotated[str, Meta(min_length=1, max_length=1_000)]
StopTexts = Annotated[list[StopText], Meta(max_length=16)]
ToolName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,128}$")]
"""OpenAI's letters and digits, and what names have between their parts elsewhere."""
Bias = dict[str, Annotated[float, Meta(ge=-100.0, le=100.0)]]


class TextPart(msgspec.Struct, tag="text", tag_field="type"):
    """One part of a message's content. Images and audio are not for this engine."""

    text: str


class CalledFunction(msgspec.Struct):
    """The tool that was called, and its arguments as JSON text."""

    name: ToolName
    arguments: str = ""


class ToolCall(msgspec.Struct):
    """A call that the assistant made earlier."""

    function: CalledFunction
    id: str = ""
    type: Literal["function"] = "function"


class Message(msgspec.Struct):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


class Function(msgspec.Struct):
    """What a tool is called, is for and takes; the schema stays text until its size is known."""

    name: ToolName
    description: str | None = None
    parameters: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)


class Tool(msgspec.Struct):
    """A tool the model may call."""

    function: Function
    type: Literal["function"] = "function"


class NamedFunction(msgspec.Struct):
    """The name of a tool."""

    name: str


class NamedChoice(msgspec.Struct):
    """The one tool that must be called."""

    function: NamedFunction
    type: Literal["function"] = "function"


ToolChoice = Literal["none", "auto", "required"] | NamedChoice
Tools = Annotated[list[Tool], Meta(max_length=128)]


class JsonSchema(msgspec.Struct):
    """`response_format.json_schema`; the schema stays text until its size is known."""

    schema: msgspec.Raw


class ResponseFormat(msgspec.Struct):
    """What the answer must look like."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(msgspec.Struct):
    """`stream_options`."""

    include_usage: bool | None = None


class Request(msgspec.Struct):
    """The fields that both endpoints have. Null means the same as absent."""

    model: str | None = None
    max_tokens: TokenLimit | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    top_k: TopK | None = None
    min_p: Share | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: Bias | None = None
    seed: Seed | None = None
    stop: StopText | StopTexts | None = None
    n: Choices | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    priority: Priority | None = None


class ChatRequest(Request, kw_only=True):
    """Body of `/v1/chat/completions`."""

    messages: Annotated[list[Message], Meta(min_length=1)]
    max_completion_tokens: TokenLimit | None = None
    logprobs: bool | None = None
    top_logprobs: TopLogprobs | None = None
    tools: Tools | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    functions: list[msgspec.Raw] | None = None


class TokenizeRequest(msgspec.Struct):
    """Body of `/tokenize`: either `prompt` or `messages`."""

    model: str | None = None
    prompt: str | None = None
    messages: Annotated[list[Message], Meta(min_length=1)] | None = None
    tools: Tools | None = None
    add_special_tokens: bool | None = None
    add_generation_prompt: bool | None = None


class CompletionRequest(Request, kw_only=True):
    """Body of `/v1/completions`."""

    prompt: str
    logprobs: TopLogprobs | None = None
    echo: bool | None = None
    suffix: str | None = None
    best_of: int | None = None


Body = TypeVar("Body")

_PATH: Final = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`$")
_MISSING: Final = re.compile(r"missing required field `([^`]+)`")


class Decoders:
    """JSON decoders for the bodies."""

    def __init__(self) -> None:
        self._chat = msgspec.json.Decoder(ChatRequest)
        self._completion = msgspec.json.Decoder(CompletionRequest)
        self._tokenize = msgspec.json.Decoder(TokenizeRequest)

    def chat(self, body: bytes) -> ChatRequest:
        """Raises RequestError (400) naming the field."""
        return decode(self._chat, body)

    def completion(self, body: bytes) -> CompletionRequest:
        """Raises RequestError (400) naming the field."""
        return decode(self._completion, body)

    def tokenize(self, body: bytes) -> TokenizeRequest:
        """Raises RequestError (400) naming the field."""
        return decode(self._tokenize, body)


def decode(decoder: msgspec.json.Decoder[Body], body: bytes) -> Body:
    """A body. Raises RequestError (400) naming the field."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _explained(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise RequestError(400, "invalid_json", f"the body is not valid JSON: {why}", param="body") from None


def _explained(text: str) -> RequestError:
    """msgspec's message, with the path it ends in as `param`."""
    found, missing = _PATH.search(text), _MISSING.search(text)
    path = found[1].replace("[...]", "") if found else ""
    if missing:
        path = f"{path}.{missing[1]}" if path else missing[1]
    what = text[: found.start()] if found else text
    return RequestError(400, "invalid_value", f"{what} ({path or 'body'})", param=path or "body")
