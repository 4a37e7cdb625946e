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
from local_models.llama.template import ChatTemplate
from local_models.llama.tools.grammar import CallRules
from local_models.llama.tools.notation import Notation
from local_models.llama.tools.offer import Offer, checked, offer_of
from local_models.llama.tools.toolbox import Toolbox
from local_models.llama.tools.trigger import Triggers
from local_models.llama.turns import Call, Tool, Turn
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
    notation: Notation | None = None
    """How calls of tools stand in the answer, where it may hold some."""


@dataclass(frozen=True, slots=True)
class _Under:
    """What an answer is written under; see `jobs.Job`. Stop strings do not count where it consists of calls."""

    grammar: Grammar | None = None
    triggers: Triggers | None = None
    notation: Notation | None = None
    stops: bool = True


class Asks:
    """Makes jobs for one loaded model with `context` tokens per sequence. Methods may be called from any thread."""

    def __init__(self, model: Model, context: int) -> None:
        self._vocabulary = model.vocabulary
        self._context = context
        self._template: ChatTemplate | None = None
        self._toolbox: Toolbox | None = None
        self._no_template = "this model has no chat template: use /v1/completions"
        if model.chat_template is not None:
            try:
                self._template = ChatTemplate(model.chat_template, model.vocabulary)
                self._toolbox = Toolbox(model.vocabulary, self._template, model.tool_template)
            except TemplateError as error:
                self._no_template = f"{error}: use /v1/completions"
        # Programs send the same schema with every request; a grammar that is only forked can be shared.
        self._compiled: Callable[[bytes], Grammar] = lru_cache(_CACHED_GRAMMARS)(self._compile)

    @property
    def labels(self) -> tuple[bytes, ...]:
        """The bytes of every token, as logprobs name it."""
        return self._vocabulary.labels

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What the model and this engine can do, in the gateway's words.

        A grammar makes any model call a tool that it is told to call (`forced_tools`). When to call one by itself
        (`tools`) is known to those whose own template tells them of tools.
        """
        found = ["json_object", "json_schema", "logprobs", "n"]
        if self._toolbox is not None:
            found += ["forced_tools", "tools"] if self._toolbox.native else ["forced_tools"]
        return tuple(found)

    def chat(self, request: ChatRequest, number: int) -> Ask:
        """Job `number` for a chat request. Raises RequestError."""
        if request.functions:
            raise RequestError(400, "unsupported", "functions are called tools now", param="functions")
        if request.top_logprobs and not request.logprobs:
            raise RequestError(400, "invalid_value", "top_logprobs needs logprobs: true", param="top_logprobs")
        offer = offer_of(request)
        tools = offer.tools if offer is not None else ()
        turns = _turns(request.messages)
        self._refuse_hopeless(_characters(turns, tools), "messages")
        tokens = self._conversation(turns, tools, generation_prompt=True)
        limit = request.max_completion_tokens or request.max_tokens
        top = (request.top_logprobs or 0) if request.logprobs else None
        return self._ask(request, number, tokens, limit, top, self._under(offer, request.response_format))

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
        under = self._under(None, request.response_format)
        return self._ask(request, number, tokens, request.max_tokens, request.logprobs, under)

    def tokenize(self, request: TokenizeRequest) -> Tokens:
        """What a prompt or a conversation is in tokens, however long it is. Raises RequestError."""
        if (request.prompt is None) is (request.messages is None):
            raise RequestError(400, "invalid_value", "give either prompt or messages", param="prompt")
        if request.prompt is not None:
            _refuse_endless(len(request.prompt), "prompt")
            special = request.add_special_tokens is not False
            tokens = self._vocabulary.tokenize(request.prompt, add_special=special, parse_special=True)
        else:
            turns, tools = _turns(request.messages or []), checked(request.tools or ())
            _refuse_endless(_characters(turns, tools), "messages")
            tokens = self._conversation(turns, tools, generation_prompt=request.add_generation_prompt is not False)
        return Tokens(len(tokens), self._context, tokens)

    def _conversation(self, turns: tuple[Turn, ...], tools: tuple[Tool, ...], *, generation_prompt: bool) -> list[int]:
        if self._template is None or self._toolbox is None:
            raise RequestError(400, "unsupported", self._no_template, param="messages")
        try:
            if tools or any(turn.calls or turn.role == "tool" for turn in turns):
                return self._toolbox.tokens(turns, tools, generation_prompt=generation_prompt)
            return self._template.tokens(turns, generation_prompt=generation_prompt)
        except TemplateError as error:
            raise RequestError(400, "invalid_value", str(error), param="messages") from error

    def _ask(
        self,
        request: Request,
        number: int,
        tokens: list[int],
        limit: int | None,
        top_logprobs: int | None,
        under: _Under,
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
            priority=request.priority or 0,
            choices=request.n or 1,
            sampling=self._sampling(request),
            max_tokens=min(limit or room, room),
            stops=tuple(dict.fromkeys(stops)) if under.stops else (),
            top_logprobs=top_logprobs,
            grammar=under.grammar,
            triggers=under.triggers,
            shown=self._toolbox.shown if self._toolbox is not None and under.notation is not None else {},
        )
        usage = request.stream_options is not None and bool(request.stream_options.include_usage)
        return Ask(job, stream=bool(request.stream), include_usage=usage, notation=under.notation)

    def _under(self, offer: Offer | None, wanted: ResponseFormat | None) -> _Under:
        """What an answer must be: calls, JSON, either, or text in which calls may begin."""
        if offer is None or self._toolbox is None:
            return _Under(self._grammar(wanted))
        box = self._toolbox
        beside = None if offer.forced else self._schema(wanted)
        rules = CallRules(offer.tools, box.most(parallel=offer.parallel), loose=not offer.forced, beside=beside)
        try:
            if offer.forced:
                return _Under(box.forced(rules), notation=box.notation, stops=False)
            if beside is not None:
                return _Under(box.forced(rules), notation=box.notation)
            return _Under(triggers=box.triggers(rules), notation=box.notation)
        except SchemaError as error:
            raise RequestError(400, "unsupported_schema", str(error), param="tools") from error

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

    def _schema(self, wanted: ResponseFormat | None) -> bytes | None:
        """The schema of the answer: empty for any object, None for any text."""
        if wanted is None or wanted.type == "text":
            return None
        if wanted.type == "json_object":
            return b""
        if wanted.json_schema is None:
            raise RequestError(400, "invalid_value", "json_schema needs a schema", param="response_format.json_schema")
        return bytes(wanted.json_schema.schema)

    def _grammar(self, wanted: ResponseFormat | None) -> Grammar | None:
        schema = self._schema(wanted)
        try:
            return None if schema is None else self._compiled(schema)
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


def _characters(turns: Sequence[Turn], tools: Sequence[Tool]) -> int:
    """What a template has to write at least; it may leave white space out of JSON, and little else."""
    written = sum(len(turn.content) + sum(len(call.arguments) for call in turn.calls) for turn in turns)
    return written + sum(len(tool.description or "") for tool in tools)


def _turns(messages: Sequence[Message]) -> tuple[Turn, ...]:
    return tuple(map(_turn, messages))


def _turn(message: Message) -> Turn:
    content = message.content
    text = content if isinstance(content, str) else "".join(part.text for part in content or ())
    calls = tuple(Call(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ())
    answers = message.tool_call_id or "" if message.role == "tool" else None
    return Turn("system" if message.role == "developer" else message.role, text, calls, answers)
