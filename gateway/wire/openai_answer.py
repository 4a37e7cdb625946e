"""OpenAI's chat API as a caller sees it: answers, stream chunks, errors, and the `forebay` object on them."""

from collections.abc import Sequence

import msgspec
from msgspec import UNSET, Struct, UnsetType

from gateway.errors import AnswerError, Code
from gateway.messages import Choice, Completion, Delta, TokenLogprob, ToolCall, Usage
from gateway.outcome import Forebay
from gateway.wire.sse import DONE, encode_event


class _Logprobs(Struct):
    content: tuple[TokenLogprob, ...] | None
    refusal: None = None


class _Message(Struct):
    role: str
    content: str | None
    refusal: str | None = None
    reasoning_content: str | UnsetType = UNSET
    tool_calls: tuple[ToolCall, ...] | UnsetType = UNSET


class _Choice(Struct):
    index: int
    message: _Message
    logprobs: _Logprobs | None
    finish_reason: str


class _PromptDetails(Struct):
    cached_tokens: int


class _CompletionDetails(Struct):
    reasoning_tokens: int


class UsageBody(Struct):
    """Tokens as a caller is told them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: _PromptDetails
    completion_tokens_details: _CompletionDetails


class _Completion(Struct):
    id: str
    object: str
    created: int
    model: str
    choices: tuple[_Choice, ...]
    usage: UsageBody
    system_fingerprint: str | None
    forebay: Forebay


class _FunctionDelta(Struct, omit_defaults=True):
    name: str | None = None
    arguments: str | None = None


class _ToolCallDelta(Struct, omit_defaults=True):
    index: int
    id: str | None = None
    type: str | None = None
    function: _FunctionDelta | None = None


class _Delta(Struct, omit_defaults=True):
    role: str | None = None
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: tuple[_ToolCallDelta, ...] | None = None


class _ChunkChoice(Struct):
    index: int
    delta: _Delta
    logprobs: _Logprobs | None = None
    finish_reason: str | None = None


class _Chunk(Struct):
    id: str
    object: str
    created: int
    model: str
    choices: tuple[_ChunkChoice, ...]
    usage: UsageBody | UnsetType | None = UNSET
    forebay: Forebay | UnsetType = UNSET


class _ErrorBody(Struct):
    message: str
    type: str
    param: str | None
    code: str


class _Error(Struct):
    error: _ErrorBody
    forebay: Forebay | UnsetType = UNSET


_encode = msgspec.json.Encoder().encode
_DONE_EVENT = encode_event(DONE)


class AnswerEncoder:
    """Writes one answer, whole or in chunks.

    `top_logprobs` is what the caller wants to see, None nothing; `n` is how many choices there are to be.
    """

    def __init__(
        self,
        request_id: str,
        created: int,
        model: str,
        top_logprobs: int | None,
        *,
        n: int = 1,
        include_usage: bool = False,
    ) -> None:
        self._n = n
        self._include_usage = include_usage
        self._id = f"chatcmpl-{request_id}"
        self._created = created
        self._model = model
        self._top = top_logprobs
        self._around_text: tuple[bytes, bytes] | None = None

    def whole(self, completion: Completion, usage: Usage, forebay: Forebay) -> bytes:
        """A body of object chat.completion."""
        return _encode(
            _Completion(
                id=self._id,
                object="chat.completion",
                created=self._created,
                model=self._model,
                choices=tuple(self._choice(choice) for choice in completion.choices),
                usage=usage_body(usage),
                system_fingerprint=completion.fingerprint,
                forebay=forebay,
            )
        )

    def opening(self, _usage: Usage) -> bytes:
        """The first event: who speaks."""
        choices = tuple(_ChunkChoice(index, _Delta(role="assistant", content="")) for index in range(self._n))
        return self._event(choices)

    def piece(self, delta: Delta) -> bytes:
        """One event for one piece of one choice."""
        if not self._is_text_alone(delta):
            return self._event((self._chunk_choice(delta),))
        if self._around_text is None:
            before, _, after = self._event((_ChunkChoice(0, _Delta(content="")),)).rpartition(b'""')
            self._around_text = before, after
        before, after = self._around_text
        return before + _encode(delta.text) + after

    def ending(self, finish: Sequence[Delta], usage: Usage, forebay: Forebay) -> bytes:
        """Finish reasons, the last of them with what happened to the request, usage if asked for, and [DONE]."""
        *others, last = finish
        events = [self.piece(delta) for delta in others]
        events.append(self._event((self._chunk_choice(last),), forebay=forebay))
        if self._include_usage:
            events.append(self._event((), usage=usage_body(usage)))
        events.append(_DONE_EVENT)
        return b"".join(events)

    def _is_text_alone(self, delta: Delta) -> bool:
        """Whether it is as nearly all are: then what stands around its text is the same each time."""
        return (
            delta.text is not None
            and delta.index == 0
            and not delta.tool_calls
            and delta.finish_reason is None
            and delta.reasoning is None
            and delta.refusal is None
            and (self._top is None or delta.logprobs is None)
        )

    def _event(
        self,
        choices: tuple[_ChunkChoice, ...],
        usage: UsageBody | UnsetType = UNSET,
        forebay: Forebay | UnsetType = UNSET,
    ) -> bytes:
        chunk = _Chunk(
            self._id,
            "chat.completion.chunk",
            self._created,
            self._model,
            choices,
            usage=usage,
            forebay=forebay,
        )
        return encode_event(_encode(chunk))

    def _choice(self, choice: Choice) -> _Choice:
        message = _Message(
            role="assistant",
            content=choice.text,
            refusal=choice.refusal,
            reasoning_content=choice.reasoning or UNSET,
            tool_calls=choice.tool_calls or UNSET,
        )
        return _Choice(choice.index, message, self._seen(choice.logprobs), choice.finish_reason)

    def _chunk_choice(self, delta: Delta) -> _ChunkChoice:
        calls = tuple(
            _ToolCallDelta(
                call.index,
                call.id,
                "function" if call.id else None,
                _FunctionDelta(call.name, call.arguments),
            )
            for call in delta.tool_calls
        )
        return _ChunkChoice(
            delta.index,
            _Delta(
                content=delta.text,
                refusal=delta.refusal,
                reasoning_content=delta.reasoning,
                tool_calls=calls or None,
            ),
            self._seen(delta.logprobs),
            delta.finish_reason,
        )

    def _seen(self, logprobs: tuple[TokenLogprob, ...] | None) -> _Logprobs | None:
        if self._top is None or logprobs is None:
            return None
        return _Logprobs(tuple(_trim(token, self._top) for token in logprobs))


def _trim(token: TokenLogprob, top: int) -> TokenLogprob:
    """No more alternatives than were asked for; the gateway may have asked for more."""
    if len(token.top_logprobs) <= top:
        return token
    return msgspec.structs.replace(token, top_logprobs=token.top_logprobs[:top])


def error_body(error: AnswerError, forebay: Forebay | None = None) -> bytes:
    """The JSON body of an error."""
    return _encode(_error(error, forebay))


def error_event(error: AnswerError, forebay: Forebay | None = None) -> bytes:
    """The event that ends a broken stream; nothing follows it."""
    return encode_event(error_body(error, forebay))


def _error(error: AnswerError, forebay: Forebay | None) -> _Error:
    body = _ErrorBody(error.message, _error_type(error), error.param, error.code)
    return _Error(body, UNSET if forebay is None else forebay)


def _error_type(error: AnswerError) -> str:
    """OpenAI's `error.type`, which its clients read beside the status."""
    if error.code is Code.INVALID_API_KEY:
        return "authentication_error"
    if error.status == 403:
        return "permission_error"
    if error.status == 429:
        return "rate_limit_error"
    return "invalid_request_error" if error.status < 500 else "server_error"


def usage_body(usage: Usage) -> UsageBody:
    """The same of what was counted."""
    return UsageBody(
        prompt_tokens=usage.prompt,
        completion_tokens=usage.completion,
        total_tokens=usage.prompt + usage.completion,
        prompt_tokens_details=_PromptDetails(usage.cached),
        completion_tokens_details=_CompletionDetails(usage.reasoning),
    )
