"""The model's own chat template, and how messages become tokens without user text becoming control tokens.

A template is Jinja from the GGUF's metadata, run in a sandbox. Its output is tokenised in one piece, as the model saw
it in training (splitting at message borders would change the tokens: " Hello" is one token, " " and "Hello" are two),
with the names of control tokens parsed: that is how the template writes its markers. Names of control tokens inside
message contents are therefore fenced beforehand with marks nobody can guess, and tokenised on their own, as text.
"""

import json
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import NoReturn

import jinja2
import msgspec
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from local_models.llama.errors import TemplateError
from local_models.llama.model import Vocabulary
from local_models.llama.turns import Call, Turn

Json = dict[str, object]


class ChatTemplate:
    """A compiled template. Rendering takes some 10 µs and no lock."""

    def __init__(self, source: str, vocabulary: Vocabulary) -> None:
        """Raises TemplateError when the source is no template."""
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        environment.filters["tojson"] = _tojson
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = _strftime_now
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise TemplateError(f"the model's chat template does not compile: {error}") from error
        self._vocabulary = vocabulary
        # Longest first, so that of two names that begin alike the whole one is fenced.
        names = sorted(vocabulary.control_texts, key=len, reverse=True)
        self._names = re.compile("|".join(map(re.escape, names))) if names else None

    def tokens(self, turns: Sequence[Turn], tools: Sequence[Json] = (), *, generation_prompt: bool = True) -> list[int]:
        """Token ids of the conversation, with `generation_prompt` up to where the assistant's next words begin.

        `tools` are functions as OpenAI's API describes them. Raises TemplateError with the template's own words when
        it refuses the messages (roles out of order, …).
        """
        fence = f"\N{WORD JOINER}{secrets.token_hex(8)}\N{WORD JOINER}"
        text = self.text(turns, tools, generation_prompt=generation_prompt, fence=fence)
        pieces = text.split(fence)
        if len(pieces) % 2 == 0:
            raise TemplateError("the chat template cuts message contents that hold names of control tokens")
        vocabulary = self._vocabulary
        add_special = not (vocabulary.bos and text.startswith(vocabulary.bos))
        tokens = vocabulary.tokenize(pieces[0], add_special=add_special, parse_special=True)
        for place, piece in enumerate(pieces[1:], start=1):
            tokens += vocabulary.tokenize(piece, add_special=False, parse_special=place % 2 == 0)
        return tokens

    def text(
        self, turns: Sequence[Turn], tools: Sequence[Json] = (), *, generation_prompt: bool = True, fence: str = ""
    ) -> str:
        """The conversation written out, with `fence` on both sides of every control token's name in it."""
        try:
            return self._template.render(
                messages=[self._fenced(_message(turn), fence) for turn in turns],
                add_generation_prompt=generation_prompt,
                bos_token=self._vocabulary.bos,
                eos_token=self._vocabulary.eos,
                tools=[self._fenced({"type": "function", "function": tool}, fence) for tool in tools] or None,
            )
        except jinja2.TemplateError as error:
            raise TemplateError(f"the model's chat template refuses these messages: {error}") from error
        except Exception as error:  # a template is foreign code, and may raise anything
            raise TemplateError(f"the model's chat template fails on these messages: {error}") from error

    def _fenced(self, value: object, fence: str) -> object:
        """`value` with every text in it fenced, names of members too."""
        if not self._names or not fence:
            return value
        if isinstance(value, str):
            return self._names.sub(lambda match: f"{fence}{match[0]}{fence}", value)
        if isinstance(value, dict):
            return {str(self._fenced(name, fence)): self._fenced(item, fence) for name, item in value.items()}
        return [self._fenced(item, fence) for item in value] if isinstance(value, list) else value


def _message(turn: Turn) -> Json:
    message: Json = {"role": turn.role, "content": turn.content}
    if turn.calls:
        message["tool_calls"] = [_call(call) for call in turn.calls]
    if turn.answers is not None:
        message["tool_call_id"] = turn.answers
    return message


def _call(call: Call) -> Json:
    """Templates write arguments out as JSON, so that they want the object and not its text."""
    arguments: object = call.arguments
    with suppress(msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        value = msgspec.json.decode(call.arguments.encode())
        arguments = value if isinstance(value, dict) else arguments
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _tojson(value: object, indent: int | None = None) -> str:
    """JSON as models saw it: jinja2's own filter escapes HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now(tz=UTC).astimezone().strftime(form)
