"""From a checked body to a job: tokens, grammar and limits. Needs no event loop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from local_models.llama.errors import RequestError, SchemaError, TemplateError
from local_models.llama.gbnf import json_object_grammar, schema_grammar
from local_models.llama.grammar import Grammar
from local_models.llama.jobs import Job
from local_models.llama.model import Model
from local_models.llama.objects import Tokens
from local_models.llama.sampling import Sampling
from local_models.llama.template import ChatTemplate, Turn
from local_models.llama.wire import ChatRequest, CompletionRequest, Message, Request, ResponseFormat, TokenizeRequest

MAX_TOKENIZED: Final = 1_000_000
"""Characters that `/tokenize` takes: some three hundred thousand tokens, and half a second of the text thread."""

_CACHED_GRAMMARS: Final = 64


@dataclass(frozen=True, slots=True)
class Ask:
    """A request ready to be submitted, and how its answer is to be shaped."""

    job: Job
    stream: bool
    include_usage: bool


class Asks:
    """Makes jobs for one loaded model with `context` tokens per sequence. Methods may be called from any thread."""

    def __init__(self, model: Model, context: int) -> None:
        self._vocabulary = model.vocabulary
        self._context = context
        self._template: ChatTemplate | None = None
        self._no_template = "this model has no chat template: use /v1/completions"
        if model.chat_template is not None:
            try:
                self._template = ChatTemplate(model.chat_template, model.vocabulary)
            except TemplateError as error:
                self._no_template = f"{error}: use /v1/completions"
        # Tools send the same schema with every request; a grammar that is only forked can be shared.
        self._compiled: Callable[[bytes], Grammar] = lru_cache(_CACHED_GRAMMARS)(self._compile)

    @property
    def labels(self) -> tuple[bytes, ...]:
        """The bytes of every token, as logprobs name it."""
        return self._vocabulary.labels

    def chat(self, request: ChatRequest, number: int) -> Ask:
        """Job `number` for a chat request. Raises RequestError."""
        if request.tools or request.functions:
            raise RequestError(400, "unsupported", "this engine does not call tools yet", param="tools")
        if request.top_logprobs and not request.logprobs:
            raise RequestError(400, "invalid_value", "top_logprobs needs logprobs: true", param="top_logprobs")
        turns = _turns(request.messages)
        self._refuse_hopeless(sum(len(turn.content) for turn in turns), "messages")
        tokens = self._conversation(turns, generation_prompt=True)
        limit = request.max_completion_tokens or request.max_tokens
        top = (request.top_logprobs or 0) if request.logprobs else None
        return self._ask(request, number, tokens, limit, top)

    def completion(self, request: CompletionRequest, number: int) -> Ask:
        """Job `number` for a completion request. Raises RequestError.

        The prompt is the caller's own template, so names of control tokens in it are control tokens.
        """
        if request.echo or request.suffix or (request.best_of or 1) > (request.n or 1):
            field = "echo" if request.echo else "suffix" if request.suffix else "best_of"
            raise RequestError(400, "unsupported", f"{field} is not supported by this engine", param=field)
        self._refuse_hopeless(len(request.prompt), "prompt")
        tokens = self._vocabulary.tokenize(request.prompt, add_special=True, parse_special=True)
        if not tokens:
            raise RequestError(400, "invalid_value", "the prompt is empty", param="prompt")
        return self._ask(request, number, tokens, request.max_tokens, request.logprobs)

    def tokenize(self, request: TokenizeRequest) -> Tokens:
        """What a prompt or a conversation is in tokens, however long it is. Raises RequestError."""
        if (request.prompt is None) is (request.messages is None):
            raise RequestError(400, "invalid_value", "give either prompt or messages", param="prompt")
        if request.prompt is not None:
            _refuse_endless(len(request.prompt), "prompt")
            special = request.add_special_tokens is not False
            tokens = self._vocabulary.tokenize(request.prompt, add_special=special, parse_special=True)
        else:
            turns = _turns(request.messages or [])
            _refuse_endless(sum(len(turn.content) for turn in turns), "messages")
            tokens = self._conversation(turns, generation_prompt=request.add_generation_prompt is not False)
        return Tokens(len(tokens), self._context, tokens)

    def _conversation(self, turns: tuple[Turn, ...], *, generation_prompt: bool) -> list[int]:
        if self._template is None:
            raise RequestError(400, "unsupported", self._no_template, param="messages")
        try:
            return self._template.tokens(turns, generation_prompt=generation_prompt)
        except TemplateError as error:
            raise RequestError(400, "invalid_value", str(error), param="messages") from error

    def _ask(
        self, request: Request, number: int, tokens: list[int], limit: int | None, top_logprobs: int | None
    ) -> Ask:
        room = self._context - len(tokens)
        if room < 1:
            raise self._too_long(str(len(tokens)), "prompt" if isinstance(request, CompletionRequest) else "messages")
        if request.stream_options is not None and not request.stream:
            raise RequestError(400, "invalid_value", "stream_options needs stream: true", param="stream_options")
        stops = (request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ())
        job = Job(
            number=number,
            prompt=np.array(tokens, dtype=np.int32),
            choices=request.n or 1,
            sampling=self._sampling(request),
            max_tokens=min(limit or room, room),
            stops=tuple(dict.fromkeys(stops)),
            top_logprobs=top_logprobs,
            grammar=self._grammar(request.response_format),
        )
        options = request.stream_options
        return Ask(job, stream=bool(request.stream), include_usage=bool(options and options.include_usage))

    def _sampling(self, request: Request) -> Sampling:
        defaults = Sampling()
        return Sampling(
            temperature=defaults.temperature if request.temperature is None else request.temperature,
            top_p=defaults.top_p if request.top_p is None else request.top_p,
            top_k=max(request.top_k or 0, 0),
            min_p=request.min_p or 0.0,
            presence_penalty=request.presence_penalty or 0.0,
            frequency_penalty=request.frequency_penalty or 0.0,
            bias=tuple((self._token(key), amount) for key, amount in (request.logit_bias or {}).items()),
            seed=request.seed,
        )

    def _token(self, key: str) -> int:
        if not (key.isascii() and key.isdecimal() and len(key) < 10 and int(key) < self._vocabulary.size):
            raise RequestError(
                400,
                "invalid_value",
                f"{key[:40]!r} is no token: keys must be token ids from 0 to {self._vocabulary.size - 1}",
                param="logit_bias",
            )
        return int(key)

    def _grammar(self, wanted: ResponseFormat | None) -> Grammar | None:
        if wanted is None or wanted.type == "text":
            return None
        try:
            if wanted.type == "json_object":
                return self._compiled(b"")
            if wanted.json_schema is None:
                raise RequestError(
                    400, "invalid_value", "json_schema needs a schema", param="response_format.json_schema"
                )
            return self._compiled(bytes(wanted.json_schema.schema))
        except SchemaError as error:
            raise RequestError(400, "unsupported_schema", str(error), param="response_format") from error

    def _compile(self, schema: bytes) -> Grammar:
        """The grammar of a schema; empty means any object."""
        return Grammar.compile(self._vocabulary, schema_grammar(schema) if schema else json_object_grammar())

    def _refuse_hopeless(self, characters: int, param: str) -> None:
        """Refuse what cannot fit however well it is tokenised, before any work goes into it."""
        least = characters // self._vocabulary.longest
        if least >= self._context:
            raise self._too_long(f"at least {least}", param)

    def _too_long(self, tokens: str, param: str) -> RequestError:
        return RequestError(
            400,
            "context_length_exceeded",
            f"This model's maximum context length is {self._context} tokens, and the prompt has {tokens}; "
            "at least one must be left for the answer.",
            param=param,
        )


def _refuse_endless(characters: int, param: str) -> None:
    if characters > MAX_TOKENIZED:
        raise RequestError(
            400,
            "invalid_value",
            f"{characters:,} characters are over the limit of {MAX_TOKENIZED:,} that are tokenised",
            param=param,
        )


def _turns(messages: Sequence[Message]) -> tuple[Turn, ...]:
    return tuple(_turn(place, message) for place, message in enumerate(messages))


def _turn(place: int, message: Message) -> Turn:
    if message.tool_calls:
        raise RequestError(
            400, "unsupported", "this engine does not call tools yet", param=f"messages[{place}].tool_calls"
        )
    content = message.content
    text = content if isinstance(content, str) else "".join(part.text for part in content or ())
    return Turn("system" if message.role == "developer" else message.role, text)
