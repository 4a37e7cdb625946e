"""What one model's template makes of tools: found out once, by looking at what it writes.

A template knows tools when the name of one that it is given appears in what it writes. The model then writes calls as
the calls of earlier turns are written there; where no family of `families` writes so, or the template knows no tools,
the model is told of them by `prompt` and writes calls as that has it.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Final

from local_models.llama.errors import TemplateError
from local_models.llama.grammar import Grammar
from local_models.llama.model import Vocabulary
from local_models.llama.template import ChatTemplate
from local_models.llama.tools.families import family_of
from local_models.llama.tools.grammar import CallRules, call_grammar
from local_models.llama.tools.hermes import HERMES
from local_models.llama.tools.notation import Notation
from local_models.llama.tools.prompt import described, told
from local_models.llama.tools.trigger import Triggers
from local_models.llama.turns import Call, Tool, Turn

MAX_CALLS: Final = 16
"""Calls in one answer of a model that was trained to make them."""
MAX_CALLS_UNTRAINED: Final = 4
"""Calls in one answer of one that was not, where several are asked for; else it makes one. Nothing has taught it to
come to an end: told to call, SmolLM2-135M writes the same call again and again until it is cut off."""

_CACHED_GRAMMARS: Final = 64
_PROBE: Final = Tool("find_the_moon", "Finds the moon.")
_CALL: Final = Call("moonmoon1", _PROBE.name, '{"at": "night"}')
_HELLO: Final = Turn("user", "Hello there")
_SYSTEM: Final = Turn("system", "Speak of owls")
_HISTORY: Final = (_HELLO, Turn("assistant", "", (_CALL,)), Turn("tool", "above", answers=_CALL.id))
_SHORT_ID: Final = 9


class Toolbox:
    """One model's way with tools. Methods may be called from any thread."""

    def __init__(self, vocabulary: Vocabulary, template: ChatTemplate, for_tools: str | None = None) -> None:
        """`template` is the model's usual one; where it has another one `for_tools`, that is tried first."""
        self._vocabulary = vocabulary
        candidates = [template]
        if for_tools is not None:
            with suppress(TemplateError):
                candidates.insert(0, ChatTemplate(for_tools, vocabulary))
        found = ((each, family) for each in candidates if (family := _family(each)) is not None)
        self._template, family = next(found, (template, None))
        self.native = family is not None
        """The model's own template tells it of tools: it was trained to call them."""
        self.notation: Notation = family or HERMES
        """How it writes calls."""
        notation = self.notation
        self.shown = vocabulary.named((*notation.markers, *notation.control))
        """Control tokens that are part of a call, and their texts."""
        self._takes_system = _SYSTEM.content in _written(self._template, (_SYSTEM, _HELLO))
        # An agent sends the same tools with every request; a grammar that is only forked can be shared.
        self._compiled: Callable[[CallRules, str | None], Grammar] = lru_cache(_CACHED_GRAMMARS)(self._compile)

    def tokens(self, turns: Sequence[Turn], tools: Sequence[Tool], *, generation_prompt: bool) -> list[int]:
        """Token ids of a conversation in which tools are called, or may be. Raises TemplateError."""
        if not self.native:
            plain = told(turns, tools, takes_system=self._takes_system)
            return self._template.tokens(plain, generation_prompt=generation_prompt)
        own = tuple(map(_short_ids, turns)) if self.notation.short_ids else turns
        return self._template.tokens(own, [described(tool) for tool in tools], generation_prompt=generation_prompt)

    def most(self, *, parallel: bool | None) -> int:
        """How many calls one answer may hold, where several are wanted, or not, or nothing was said of it."""
        if parallel is False:
            return 1
        if self.native:
            return MAX_CALLS
        return MAX_CALLS_UNTRAINED if parallel else 1

    def forced(self, rules: CallRules) -> Grammar:
        """The grammar of an answer that is nothing but calls. Raises SchemaError."""
        return self._compiled(rules, None)

    def triggers(self, rules: CallRules) -> Triggers:
        """What puts a free answer under the grammar of calls, once it begins one. Raises SchemaError."""
        return Triggers(self.notation, {marker: self._compiled(rules, marker) for marker in self.notation.markers})

    def _compile(self, rules: CallRules, marker: str | None) -> Grammar:
        text = call_grammar(rules, self.notation, marker)
        return Grammar.compile(self._vocabulary, text, frozenset(self.shown))


def _family(template: ChatTemplate) -> Notation | None:
    """How the template writes calls, or None when it knows no tools, or writes calls in a way nobody here can read."""
    tools = [described(_PROBE)]
    if _PROBE.name not in _written(template, (_HELLO,), tools):
        return None
    return family_of(_written(template, _HISTORY, tools), _CALL)


def _written(template: ChatTemplate, turns: Sequence[Turn], tools: Sequence[dict[str, object]] = ()) -> str:
    """What the template writes; nothing when it refuses."""
    try:
        return template.text(turns, tools)
    except TemplateError:
        return ""


def _short_ids(turn: Turn) -> Turn:
    """The turn with ids of nine characters, alike where they were alike."""
    calls = tuple(replace(call, id=_short_id(call.id)) for call in turn.calls)
    return replace(turn, calls=calls, answers=None if turn.answers is None else _short_id(turn.answers))


def _short_id(text: str) -> str:
    fits = len(text) == _SHORT_ID and text.isascii() and text.isalnum()
    return text if fits else hashlib.sha256(text.encode()).hexdigest()[:_SHORT_ID]
