"""The grammar of calls: names among the tools, arguments by their schemas, written the way of a family.

All schemas of a request share the limits that hold for one schema alone (see `schema`, `gbnf` and `ambiguity`).
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from local_models.llama.ambiguity import AmbiguityChecker
from local_models.llama.errors import KeywordError, SchemaError
from local_models.llama.gbnf import Writer, literal, trie
from local_models.llama.nodes import AnyObject, Anything, Node, OneOf, Record, Reference, Schema
from local_models.llama.pointers import ANNOTATIONS
from local_models.llama.schema import SchemaReader
from local_models.llama.tools.notation import Notation
from local_models.llama.turns import Tool

_NO_ARGUMENTS: Final = b'{"type":"object","properties":{},"additionalProperties":false}'


@dataclass(frozen=True, slots=True)
class CallRules:
    """Which calls an answer may make.

    `most` is how many in one answer. `loose`: a tool whose schema says what no grammar can enforce takes any object;
    else it is refused. `beside` is the JSON schema of an answer that may be given instead, empty for any object, None
    for none.
    """

    tools: tuple[Tool, ...]
    most: int = 1
    loose: bool = False
    beside: bytes | None = None


def call_grammar(rules: CallRules, notation: Notation, marker: str | None = None) -> str:
    """The grammar of an answer that consists of calls, or of what follows `marker` in it.

    Raises SchemaError, in under 100 ms, when a schema cannot be enforced.
    """
    try:
        return _CallWriter(notation, rules).grammar(marker)
    except RecursionError:
        raise SchemaError("a schema is nested too deeply") from None


class _CallWriter:
    def __init__(self, notation: Notation, rules: CallRules) -> None:
        self._notation = notation
        self._rules = rules
        self._reader = SchemaReader()
        self._checker = AmbiguityChecker()
        self._writer = Writer()
        self._schemas: list[Schema] = []  # kept alive: checker and writer tell their parts apart by identity

    def grammar(self, marker: str | None) -> str:
        notation, writer = self._notation, self._writer
        arguments = {tool.name: self._arguments(tool) for tool in self._rules.tools}
        beside = self._beside()
        call = self._call(arguments, "")
        if marker is None:
            begin = f"{literal(notation.lead(notation.markers[0]))} {call}"
        elif notation.begins_call(marker):
            begin = self._call(arguments, marker)
        else:
            begin = f"{literal(notation.opening)} {call}"
        more = f"( {literal(notation.between)} {call} ){{0,{self._rules.most - 1}}}" if self._rules.most > 1 else ""
        calls = f"{begin} {more} {literal(notation.closing)}"
        return writer.grammar(f"{calls} | {beside}" if beside else calls)

    def _call(self, arguments: dict[str, str], already: str) -> str:
        """The rule of one call, of which `already` is written."""
        tail = literal(self._notation.tail)
        after = {
            self._notation.head(name).removeprefix(already): f"{values} {tail}" for name, values in arguments.items()
        }
        return self._writer.rule(trie(sorted(after), after))

    def _arguments(self, tool: Tool) -> str:
        """The rule for what a tool takes."""
        try:
            return self._object(_NO_ARGUMENTS if _takes_nothing(tool.parameters) else tool.parameters or b"")
        except KeywordError as error:
            if self._rules.loose:
                return "object"
            raise KeywordError(f"tool {tool.name}: {error}") from None
        except SchemaError as error:
            raise SchemaError(f"tool {tool.name}: {error}") from None

    def _object(self, parameters: bytes) -> str:
        schema = self._reader.read(parameters)
        if not _objects(schema, schema.root):
            raise SchemaError("parameters must describe an object")
        return self._add(schema)

    def _beside(self) -> str:
        if self._rules.beside is None:
            return ""
        return self._add(self._reader.read(self._rules.beside)) if self._rules.beside else "object"

    def _add(self, schema: Schema) -> str:
        self._schemas.append(schema)
        self._checker.check(schema)
        root = schema.definitions.get("#", schema.root)
        return "object" if isinstance(root, Anything) else self._writer.add(schema)


def _takes_nothing(parameters: bytes | None) -> bool:
    """No schema, or one that declares an empty list of properties: a tool without arguments.

    To the standard the second means any object. Nobody writes it down with that in mind, and a model that is given it
    makes up arguments.
    """
    if parameters is None:
        return True
    try:
        raw = msgspec.json.decode(parameters)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
    if raw is None:
        return True
    if not isinstance(raw, dict) or raw.keys() - ANNOTATIONS - {"type", "properties", "required"}:
        return False
    return raw.get("type", "object") == "object" and raw.get("properties") == {} and not raw.get("required")


def _objects(schema: Schema, node: Node) -> bool:
    """Are all values of `node` objects, or any at all?"""
    pending, seen = [node], set()
    while pending:
        here = pending.pop()
        if isinstance(here, Reference):
            if here.pointer not in seen:
                seen.add(here.pointer)
                pending.append(schema.definitions[here.pointer])
        elif isinstance(here, OneOf):
            pending.extend(here.choices)
        elif not isinstance(here, Record | AnyObject | Anything):
            return False
    return True
