"""What a caller asks and what a model answers, in the shape of OpenAI's chat API.

Decoding into these types is the allow-list: a field that has no place here goes nowhere.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Literal

from msgspec import UNSET, Raw, Struct, UnsetType

from gateway.blocks import AnswerBlock, Conversation
from gateway.errors import AnswerError, Code
from gateway.types import BackendSpec, Via

JsonObject = dict[str, Any]


class TextPart(Struct, frozen=True, tag_field="type", tag="text"):
    """A piece of text."""

    text: str


class ImageUrl(Struct, frozen=True, omit_defaults=True):
    """Where an image is: a `data:` URL, or an address that only a provider fetches, never Forebay."""

    url: str
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(Struct, frozen=True, tag_field="type", tag="image_url"):
    """An image."""

    image_url: ImageUrl


class RefusalPart(Struct, frozen=True, tag_field="type", tag="refusal"):
    """An earlier refusal of the assistant's, handed back as history."""

    refusal: str


Part = TextPart | ImagePart | RefusalPart


class FunctionCall(Struct, frozen=True):
    """A tool's name and its arguments, as the JSON text the model wrote."""

    name: str
    arguments: str


class ToolCall(Struct, frozen=True):
    """One call of a tool."""

    id: str
    function: FunctionCall
    type: Literal["function"] = "function"


class Message(Struct, frozen=True, omit_defaults=True):
    """One turn. A tool's result names the call it answers in `tool_call_id`."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | tuple[Part, ...] | None = None
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None

    def text(self) -> str:
        """The readable text of this turn, parts joined by line breaks."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content or () if isinstance(part, TextPart))


def images(messages: Iterable[Message]) -> list[ImageUrl]:
    """Every image of a conversation, in order."""
    return [
        part.image_url
        for message in messages
        if isinstance(message.content, tuple)
        for part in message.content
        if isinstance(part, ImagePart)
    ]


class FunctionSpec(Struct, frozen=True, omit_defaults=True):
    """What a tool is called and takes; `parameters` is a JSON Schema."""

    name: str
    description: str | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None


class Tool(Struct, frozen=True):
    """A tool the model may call."""

    function: FunctionSpec
    type: Literal["function"] = "function"


class NamedFunction(Struct, frozen=True):
    """The name of a tool that must be called."""

    name: str


class NamedToolChoice(Struct, frozen=True):
    """Force one tool."""

    function: NamedFunction
    type: Literal["function"] = "function"


ToolChoice = Literal["none", "auto", "required"] | NamedToolChoice


class JsonSchema(Struct, frozen=True, omit_defaults=True):
    """A named JSON Schema that the answer must satisfy."""

    name: str
    schema: JsonObject | None = None
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(Struct, frozen=True, omit_defaults=True):
    """The structure asked of the answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class Sampling(Struct, frozen=True, omit_defaults=True):
    """How tokens are drawn; None leaves it to the backend. `stop` holds up to four strings.

    `top_k` comes from Anthropic's API; OpenAI's has no such field.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    n: int = 1
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None


class Hints(Struct, frozen=True):
    """What the caller says beside the prompt; never sent on. Hints narrow, they never widen."""

    task: str | None = None
    requires_reasoning: bool | None = None
    region: str | None = None
    session: str | None = None
    local_only: bool = False
    no_escalation: bool = False
    allow_fallback: bool = False


class Request(Struct, frozen=True, kw_only=True):
    """What every request has, whatever it asks for: parsed, bounded, and `created` at this Unix second.

    `ignored` names the body fields that were dropped. `statuses` are the HTTP statuses of errors that the caller's API
    has other ones for.
    """

    id: str
    created: int
    requested_model: str
    stream: bool = False
    user: str | None = None
    hints: Hints = Hints()
    ignored: tuple[str, ...] = ()
    statuses: Mapping[Code, int] = MappingProxyType({})

    def status_of(self, error: AnswerError) -> int:
        """The HTTP status that the caller is told of an error."""
        return self.statuses.get(error.code, error.status)

    def via(self, _spec: BackendSpec) -> Via | None:
        """By which of its routes a backend is asked, where that is not the caller's own choice."""
        return None


class ChatRequest(Request, frozen=True, kw_only=True):
    """A request for an answer in text.

    `logprobs` and `include_usage` say what the *client* wants to see; the gateway may ask backends for more.
    `conversation` is the same in the words of Anthropic's API, where it came in them. `prompt` is a text to be gone
    on with as it stands, for backends that complete texts; `messages` then holds it as one user's turn, for the others.
    """

    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    logprobs: bool = False
    top_logprobs: int = 0
    include_usage: bool = False
    conversation: Conversation | None = None
    prompt: str | None = None

    def via(self, spec: BackendSpec) -> Via | None:
        """A raw prompt goes as it is to whoever takes it so, and as a user's turn to the others."""
        if self.prompt is None:
            return None
        return "completions" if spec.completions else "chat"

    @property
    def prompt_field(self) -> str:
        """The body field that holds the prompt."""
        return "messages" if self.prompt is None else "prompt"

    @property
    def structured(self) -> bool:
        """Whether the answer is held whole: JSON and tool calls are useless in part."""
        tools = bool(self.tools) and self.tool_choice != "none"
        return tools or (self.response_format is not None and self.response_format.type != "text")


class TopLogprob(Struct, frozen=True, omit_defaults=True, gc=False):
    """A token that could have been chosen. `bytes` stays the JSON that came: nobody here reads it."""

    token: str
    logprob: float
    bytes: Raw | UnsetType = UNSET


class TokenLogprob(Struct, frozen=True, gc=False):
    """The chosen token, and the likeliest ones in its place, best first; clients read that list also when empty."""

    token: str
    logprob: float
    bytes: Raw | UnsetType = UNSET
    top_logprobs: tuple[TopLogprob, ...] = ()


class UsageQuality(StrEnum):
    """How a token count was come by. 0 counted is a value; unknown is not 0."""

    EXACT = "exact"
    ESTIMATED = "estimated"
    UNKNOWN = "unknown"


class Usage(Struct, frozen=True):
    """Tokens of one attempt. `cached` and `cache_written` are parts of `prompt`, `reasoning` is part of `completion`.

    `cached` were read from the provider's cache, `cache_written` were put into it.
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    reasoning: int = 0
    quality: UsageQuality = UsageQuality.UNKNOWN
    cache_written: int = 0


class Choice(Struct, frozen=True, kw_only=True):
    """One whole answer. `reasoning` is what a thinking model wrote before it; it is never scored.

    `stop_sequence` is the caller's stop string that ended it, where the backend says so. `blocks` is the answer as
    Anthropic's API has it, where it came from there.
    """

    index: int = 0
    text: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str
    logprobs: tuple[TokenLogprob, ...] | None = None
    stop_sequence: str | None = None
    blocks: tuple[AnswerBlock, ...] | None = None


class Completion(Struct, frozen=True, kw_only=True):
    """A whole answer of one backend. `model` is what the backend says answered.

    For `pause_s` seconds it will take no further call: a limit of its own is used up.
    """

    model: str
    choices: tuple[Choice, ...]
    usage: Usage
    fingerprint: str | None = None
    pause_s: float = 0.0


class ToolCallDelta(Struct, frozen=True, omit_defaults=True):
    """A piece of a tool call; `index` says of which."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str | None = None


class Delta(Struct, frozen=True, kw_only=True, gc=False):
    """A piece of one choice of a streamed answer.

    `block` is the place of its content block, where the backend counts them; `signature` and `redacted` are of the
    thinking block there. `stop_sequence` comes with the finish reason.
    """

    index: int = 0
    text: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    tool_calls: tuple[ToolCallDelta, ...] = ()
    finish_reason: str | None = None
    logprobs: tuple[TokenLogprob, ...] | None = None
    stop_sequence: str | None = None
    block: int | None = None
    signature: str | None = None
    redacted: str | None = None

    @property
    def says_something(self) -> bool:
        """Whether it carries a piece of an answer, and not only a role or the end."""
        return bool(
            self.text
            or self.tool_calls
            or self.reasoning
            or self.refusal
            or self.logprobs
            or self.signature
            or self.redacted
        )
