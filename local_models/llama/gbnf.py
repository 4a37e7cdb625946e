"""Writes a schema tree as a grammar in GBNF, the notation of llama.cpp. Pure.

The grammar is written so that one reading is left after nearly every character (see `regular` and `ambiguity`):
white space is a single optional space after `{`, `[`, `,` and `:`, strings share their beginnings, optional
properties form a chain instead of every combination.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from local_models.llama.ambiguity import AmbiguityChecker
from local_models.llama.characters import Ranges, overlap
from local_models.llama.errors import SchemaError
from local_models.llama.nodes import (
    AnyObject,
    Anything,
    Node,
    OneOf,
    Record,
    Reference,
    Scalar,
    Schema,
    Sequence,
)
from local_models.llama.regular import EMPTY, NOTHING, Expression, State
from local_models.llama.schema import read_schemas

MAX_GRAMMAR: Final = 512 * 1024
"""Characters of the written grammar."""
MAX_REPETITIONS: Final = 20_000
"""Sum of all counts in the grammar: llama.cpp writes every one of them out as a rule."""

_ALWAYS: Final = r"""
sp ::= " "?
value ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" sp ( member ( "," sp member )* )? "}"
member ::= string ":" sp value
array ::= "[" sp ( value ( "," sp value )* )? "]"
string ::= "\"" char* "\""
char ::= [^"\\\x00-\x1F\x7F] | "\\" ( ["\\/bfnrt] | "u" unit )
unit ::= [0-9a-cA-CeEfF] hex hex hex | [dD] [0-7] hex hex
hex ::= [0-9a-fA-F]
number ::= "-"? ( "0" | [1-9] [0-9]{0,15} ) ( "." [0-9]{1,16} )? ( [eE] [-+]? [0-9]{1,2} )?
"""
"""Rules every grammar has. `unit` leaves out surrogates, half of which would be no character."""

_BARE: Final[Ranges] = ((0x20, 0x21), (0x23, 0x5B), (0x5D, 0x7E), (0x80, 0xD7FF), (0xE000, 0x10FFFF))
"""Characters that stand for themselves inside a JSON string; DEL could, and is left out with the other controls."""
_WRITABLE: Final[Ranges] = ((0x08, 0x0A), (0x0C, 0x0D), (0x20, 0x7E), (0x80, 0xD7FF), (0xE000, 0x10FFFF))
"""Characters that can be written bare or with a two-character escape."""
_ESCAPED: Final[Mapping[int, str]] = MappingProxyType(
    {0x22: '\\"', 0x5C: "\\\\", 0x08: "\\b", 0x09: "\\t", 0x0A: "\\n", 0x0C: "\\f", 0x0D: "\\r"}
)

_NOTHING_AFTER: Final[Mapping[str, str]] = MappingProxyType({})


def json_object_grammar() -> str:
    """The grammar of any JSON object."""
    return f"root ::= object{_ALWAYS}"


def schema_grammar(schema: bytes) -> str:
    """The grammar of the JSON schema in `schema`. Raises SchemaError, in under 100 ms, when it cannot be enforced."""
    try:
        (tree,) = read_schemas([schema])
        AmbiguityChecker().check(tree)
        writer = Writer()
        return writer.grammar(writer.add(tree))
    except RecursionError:
        raise SchemaError("the schema is nested too deeply") from None


class Writer:
    """Writes the rules of one grammar, of one schema or of several that share an arena."""

    def __init__(self) -> None:
        self.rules: list[str] = []
        self._schema: Schema
        self._names: dict[int, str] = {}
        self._machines: dict[tuple[Expression, bool], str] = {}
        self._numbered = 0
        self._size = 0
        self._repetitions = 0

    def grammar(self, root: str) -> str:
        """All rules, and `root` first."""
        return "\n".join((f"root ::= {root}", *self.rules)) + _ALWAYS

    def add(self, schema: Schema) -> str:
        """The name of the rule for values of `schema`, which must live as long as the writer."""
        self._schema = schema
        return self.node(schema.root)

    def rule(self, body: str) -> str:
        """The name of a new rule."""
        name = self._fresh()
        self._define(name, body)
        return name

    def node(self, node: Node) -> str:
        """The name of the rule for `node`."""
        if isinstance(node, Anything):
            return "value"
        if isinstance(node, AnyObject):
            return "object"
        if isinstance(node, Reference):
            return self.node(self._schema.definitions[node.pointer])
        name = self._names.get(id(node))
        if name is None:
            name = self._names[id(node)] = self._fresh()  # before the body, which may contain the node again
            self._define(name, self._body(node))
        return name

    def _fresh(self) -> str:
        self._numbered += 1
        return f"r{self._numbered}"

    def _define(self, name: str, body: str) -> None:
        rule = f"{name} ::= {body}"
        self._size += len(rule)
        if self._size > MAX_GRAMMAR:
            raise SchemaError(f"the grammar of this schema is over the limit of {MAX_GRAMMAR:,} characters")
        self.rules.append(rule)

    def _times(self, symbol: str, least: int, most: int | None) -> str:
        self._repetitions += max(least, most or 0)
        if self._repetitions > MAX_REPETITIONS:
            raise SchemaError(f"lengths and counts add up to more than the limit of {MAX_REPETITIONS:,}")
        if most is None:
            return f"{symbol}*" if least == 0 else f"{symbol}{{{least},}}"
        return f"{symbol}{{{least},{most}}}" if most else ""

    def _body(self, node: Node) -> str:
        if isinstance(node, Scalar):
            return self._scalar(node)
        if isinstance(node, Sequence):
            return self._sequence(node)
        if isinstance(node, Record):
            return self._record(node)
        assert isinstance(node, OneOf)
        return " | ".join(self.node(choice) for choice in node.choices)

    def _sequence(self, node: Sequence) -> str:
        fixed = ' "," sp '.join(self.node(item) for item in node.first)
        if node.rest is None or node.most == 0:
            return f'"[" sp {fixed} "]"'
        item = self.node(node.rest)
        following = self.rule(f'"," sp {item}')
        if fixed:
            return f'"[" sp {fixed} {self._times(following, node.least, node.most)} "]"'
        more = self._times(following, max(node.least - 1, 0), None if node.most is None else node.most - 1)
        return f'"[" sp {item} {more} "]"' if node.least else f'"[" sp ( {item} {more} )? "]"'

    def _record(self, node: Record) -> str:
        """A chain of rules from the last member to the first: `later` when a comma is due, `first` when none is."""
        pairs = [self.rule(f'{literal(_json(m.name))} ":" sp {self.node(m.value)}') for m in node.members]
        later = first = '""'
        if node.others is not None:
            other = self.rule(f'{self._other_name(node)} ":" sp {self.node(node.others)}')
            later = self.rule(f'( "," sp {other} )*')
            first = self.rule(f"( {other} {later} )?")
        for member, pair in zip(reversed(node.members), reversed(pairs), strict=True):
            first = self.rule(f"{pair} {later}" if member.required else f"{pair} {later} | {first}")
            later = self.rule(f'"," sp {pair} {later}' if member.required else f'"," sp {pair} {later} | {later}')
        return f'"{{" sp {first} "}}"'

    def _other_name(self, node: Record) -> str:
        """Names that are not declared, without escapes: an escaped spelling of a declared name is the same name."""
        arena = self._schema.arena
        bare = arena.repeat(arena.chars(_BARE), 0, None)
        declared = arena.words([member.name for member in node.members])
        return f'"\\"" {self._machine(arena.both(bare, arena.other(declared)), quoted=True)} "\\""'

    def _scalar(self, node: Scalar) -> str:
        choices = []
        if node.literal != NOTHING:
            choices.append(self._machine(node.literal, quoted=False))
        if node.string != NOTHING:
            choices.append(self._text(node))
        elif node.words:
            choices.append(trie(sorted(_json(word) for word in node.words)))
        if not choices:
            raise SchemaError("a part of the schema allows no value")
        return " | ".join(choices)

    def _text(self, node: Scalar) -> str:
        """A string that is not just one of some words."""
        lengths = self._schema.arena.any_text(node.string)
        if lengths is not None and (not node.words or lengths == (0, None)):
            return f'"\\"" {self._times("char", *lengths)} "\\""'
        arena = self._schema.arena
        writable = arena.repeat(arena.chars(_WRITABLE), 0, None)
        text = arena.alt(node.string, arena.words(list(node.words)))
        return f'"\\"" {self._machine(arena.both(writable, text), quoted=True)} "\\""'

    def _machine(self, expression: Expression, *, quoted: bool) -> str:
        """The rule for the automaton of `expression`; `quoted` texts stand inside a JSON string."""
        if expression == EMPTY:
            return '""'
        known = self._machines.get((expression, quoted))
        if known is None:
            states = self._schema.arena.automaton(expression)
            if not states:
                raise SchemaError("a part of the schema allows no value")
            names = [self._fresh() for _ in states]
            for name, state in zip(names, states, strict=True):
                self._define(name, _transitions(state, names, quoted=quoted))
            known = self._machines[expression, quoted] = names[0]
        return known


def _transitions(state: State, names: list[str], *, quoted: bool) -> str:
    choices = ['""'] if state.accepting else []
    for ranges, target in state.edges:
        symbols = _string_characters(ranges) if quoted else [_bracketed(ranges)]
        choices.extend(f"{symbol} {names[target]}" for symbol in symbols)
    return " | ".join(choices)


def _string_characters(ranges: Ranges) -> list[str]:
    """How the characters in `ranges` are written inside a JSON string.

    Only the full set has the `\\u` escapes: they could spell a character that another edge stands for.
    """
    if ranges == _WRITABLE:
        return ["char"]
    bare = overlap(ranges, _BARE)
    symbols = [_bracketed(bare)] if bare else []
    symbols.extend(
        literal(escape) for code, escape in _ESCAPED.items() if any(low <= code <= high for low, high in ranges)
    )
    return symbols


def _bracketed(ranges: Ranges) -> str:
    parts = (_code(low) if low == high else f"{_code(low)}-{_code(high)}" for low, high in ranges)
    return f"[{''.join(parts)}]"


def _code(point: int) -> str:
    character = chr(point)
    return character if character.isascii() and character.isalnum() else f"\\U{point:08X}"


def _json(text: str) -> str:
    """`text` as a JSON string, quotes included."""
    return json.dumps(text, ensure_ascii=False)


def literal(text: str) -> str:
    """A GBNF literal for `text`, whose only control characters are line ends."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def trie(words: list[str], after: Mapping[str, str] = _NOTHING_AFTER) -> str:
    """One of `words`, shared beginnings written once, each with what comes `after` it.

    They are sorted, and none is the beginning of another.
    """
    return _trie(words, 0, after)


def _trie(words: list[str], depth: int, after: Mapping[str, str]) -> str:
    first, last = words[0], words[-1]  # sorted: what these two share, all share
    common = depth
    while len(words) > 1 and first[common] == last[common]:
        common += 1
    if len(words) == 1:
        return f"{literal(first[depth:])} {after.get(first, '')}".rstrip()
    groups: dict[str, list[str]] = {}
    for word in words:
        groups.setdefault(word[common], []).append(word)
    tails = " | ".join(_trie(group, common, after) for group in groups.values())
    return f"{literal(first[depth:common])} ( {tails} )"
