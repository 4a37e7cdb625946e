"""JSON Schema into the tree the grammar is written from (`nodes`), with every limit checked on the way. Pure.

What is generated is always valid under the schema; not everything valid is generated: properties come in the order
of the schema, undeclared ones only where `additionalProperties` asks for them, `oneOf` is read as `anyOf`. A keyword
that cannot be enforced is refused by name, never ignored; unknown `format`s are annotations, as the standard has it.
The limits keep a request from buying more than a tenth of a second of work with one schema.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from local_models.llama.bounds import Digits
from local_models.llama.characters import EVERY
from local_models.llama.errors import KeywordError, SchemaError
from local_models.llama.keywords import (
    HINTS,
    MAX_COUNT,
    check_property_counts,
    has_type,
    listed,
    number_bounds,
    properties_of,
    refuse_unenforceable,
    span,
    type_names,
)
from local_models.llama.nodes import (
    AnyObject,
    Anything,
    Member,
    Node,
    OneOf,
    Record,
    Reference,
    Scalar,
    Schema,
    Sequence,
)
from local_models.llama.pattern import compile_pattern
from local_models.llama.pointers import ANNOTATIONS, MAX_CHOICES, RawSchema, look_up, merge
from local_models.llama.regular import Arena, Expression

MAX_BYTES: Final = 64 * 1024
"""Size of the schema as JSON."""
MAX_DEPTH: Final = 32
"""Schemas inside schemas, references followed."""
MAX_PARTS: Final = 4_000
"""Schemas read in all, counted again wherever `allOf` or a `$ref` with further keywords writes one out anew."""

_DATE: Final = (
    r"[0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
)
_TIME: Final = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
_HEX: Final = "[0-9a-fA-F]"
_BYTE: Final = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_FORMATS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "date": f"^{_DATE}$",  # without 29 February: which years have one would need a far larger automaton
        "time": f"^{_TIME}$",
        "date-time": f"^{_DATE}T{_TIME}$",
        "uuid": f"^{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}$",
        "email": r"^[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*@([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,24}$",
        "ipv4": rf"^({_BYTE}\.){{3}}{_BYTE}$",
    }
)


def read_schemas(texts: Iterable[bytes]) -> list[Schema]:
    """The trees of the JSON schemas in `texts`, which share an arena and every limit.

    Raises SchemaError naming the limit or the keyword.
    """
    reader = SchemaReader()
    return [reader.read(text) for text in texts]


class SchemaReader:
    """Reads documents one after the other, in one arena, within limits that hold for all of them together.

    A definition is read once, when first referred to.
    """

    def __init__(self) -> None:
        self.document: object = None
        self.arena = Arena()
        self.digits = Digits(self.arena)
        self._definitions: dict[str, Node | None] = {}  # None while being read
        self._patterns: dict[str, Expression] = {}
        self._bytes = 0
        self._parts = 0

    def read(self, text: bytes) -> Schema:
        """The tree of the JSON schema in `text`. Raises SchemaError naming the limit or the keyword."""
        self._bytes += len(text)
        if self._bytes > MAX_BYTES:
            raise SchemaError(f"the schema has {self._bytes:,} bytes; the limit is {MAX_BYTES:,}")
        try:
            self.document = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise SchemaError(f"the schema is not JSON, or nested far beyond the limit of {MAX_DEPTH}") from None
        self._definitions = {}
        root = self.reference("#", 0)
        definitions = {pointer: node for pointer, node in self._definitions.items() if node is not None}
        return Schema(root, definitions, self.arena)

    def reference(self, pointer: str, depth: int) -> Node:
        """What stands at `pointer`; read now if it has not been yet."""
        if pointer not in self._definitions:
            self._definitions[pointer] = None
            self._definitions[pointer] = self.node(look_up(self.document, pointer), depth + 1)
        known = self._definitions[pointer]
        return known if isinstance(known, Scalar | Anything) else Reference(pointer)

    def node(self, raw: object, depth: int) -> Node:
        """One schema, at `depth` schemas from the root."""
        self._count(depth)
        if raw is True:
            return Anything()
        if not isinstance(raw, dict):
            raise SchemaError("false allows no value" if raw is False else "a schema must be an object or a boolean")
        refuse_unenforceable(raw)
        if "$ref" in raw or "allOf" in raw:
            return self._joined(raw, depth)
        if "anyOf" in raw or "oneOf" in raw:
            return self._alternatives(raw, depth)
        if "const" in raw or "enum" in raw:
            return self._values(raw, depth)
        return self._typed(raw, depth)

    def _count(self, depth: int) -> None:
        self._parts += 1
        if depth > MAX_DEPTH:
            raise SchemaError(f"the schema is nested deeper than the limit of {MAX_DEPTH}")
        if self._parts > MAX_PARTS:
            raise SchemaError(f"the schema, written out, has more than the limit of {MAX_PARTS:,} parts")

    def _joined(self, raw: RawSchema, depth: int) -> Node:
        """Everything that must hold together, as one schema."""
        rest = {key: value for key, value in raw.items() if key not in ("$ref", "allOf")}
        pointer, parts = raw.get("$ref"), listed(raw, "allOf") if "allOf" in raw else []
        if pointer is not None and not isinstance(pointer, str):
            raise SchemaError("$ref must be a string")
        if pointer is not None and not parts and rest.keys() <= ANNOTATIONS:
            return self.reference(pointer, depth)
        if pointer is not None:
            parts = [*parts, look_up(self.document, pointer)]
        for part in parts:
            self._count(depth)
            if not isinstance(part, dict):
                raise SchemaError("allOf and $ref must lead to schema objects")
            rest = merge(rest, part)
        return self.node(rest, depth + 1)

    def _alternatives(self, raw: RawSchema, depth: int) -> Node:
        if "anyOf" in raw and "oneOf" in raw:
            raise KeywordError("anyOf beside oneOf is not supported")
        key = "anyOf" if "anyOf" in raw else "oneOf"
        base = {name: value for name, value in raw.items() if name != key and name not in ANNOTATIONS}
        parts = listed(raw, key)
        return self._union([self.node({"allOf": [base, part]} if base else part, depth + 1) for part in parts])

    def _union(self, nodes: list[Node]) -> Node:
        """The union, flat, with scalars merged into one so that they are told apart without ambiguity."""
        flat: list[Node] = []
        for node in nodes:
            known = self._definitions.get(node.pointer) if isinstance(node, Reference) else node
            flat.extend(known.choices if isinstance(known, OneOf) else (node,))
            if len(flat) > MAX_CHOICES:
                raise SchemaError(f"a union has more than the limit of {MAX_CHOICES} alternatives")
        scalars = [node for node in flat if isinstance(node, Scalar)]
        unique = {node.pointer if isinstance(node, Reference) else id(node): node for node in flat}
        others: list[Node] = [node for node in unique.values() if not isinstance(node, Scalar)]
        if any(isinstance(node, Anything) for node in others):
            return Anything()
        if scalars:
            words = dict.fromkeys(word for scalar in scalars for word in scalar.words)
            literal = self.arena.alt(*(scalar.literal for scalar in scalars))
            string = self.arena.alt(*(scalar.string for scalar in scalars))
            others.append(Scalar(literal, tuple(words), string))
        return others[0] if len(others) == 1 else OneOf(tuple(others))

    def _values(self, raw: RawSchema, depth: int) -> Node:
        """`const` and `enum`."""
        values = [raw["const"]] if "const" in raw else listed(raw, "enum")
        left = raw.keys() - ANNOTATIONS - {"const", "enum", "type", "nullable"}
        if left or ("const" in raw and "enum" in raw):
            raise KeywordError(f"enum or const beside {min(left) if left else 'each other'!r} is not supported")
        if "type" in raw:
            names = type_names(raw)
            values = [value for value in values if has_type(value, names)]
        if not values:
            raise SchemaError("enum leaves no value")
        return self._union([self._constant(value, depth) for value in values])

    def _constant(self, value: object, depth: int) -> Node:
        self._count(depth)
        if isinstance(value, str):
            if len(value) > MAX_COUNT:
                raise SchemaError(f"a constant has {len(value):,} characters; the limit is {MAX_COUNT:,}")
            return Scalar(words=(value,))
        if isinstance(value, list):
            return Sequence(tuple(self._constant(item, depth + 1) for item in value), None, 0, 0)
        if isinstance(value, dict):
            members = tuple(
                Member(name, self._constant(item, depth + 1), required=True) for name, item in value.items()
            )
            return Record(members, None)
        return Scalar(literal=self.arena.literal(msgspec.json.encode(value).decode()))

    def _typed(self, raw: RawSchema, depth: int) -> Node:
        names = type_names(raw) or list(dict.fromkeys(kind for key, kind in HINTS.items() if key in raw))
        return self._union([self._kind(name, raw, depth) for name in names]) if names else Anything()

    def _kind(self, name: str, raw: RawSchema, depth: int) -> Node:
        if name == "object":
            return self._record(raw, depth)
        if name == "array":
            return self._sequence(raw, depth)
        if name == "string":
            return Scalar(string=self._string(raw))
        if name in ("integer", "number"):
            return Scalar(literal=self.digits.within(number_bounds(raw), whole=name == "integer"))
        words = ("true", "false") if name == "boolean" else ("null",)
        return Scalar(literal=self.arena.words(list(words)))

    def _record(self, raw: RawSchema, depth: int) -> Node:
        declared, required = properties_of(raw)
        extra = raw.get("additionalProperties", not declared)
        check_property_counts(raw, len(required), len(declared), open_ended=extra is not False)
        if extra is True and not declared:
            return AnyObject()
        members = tuple(
            Member(name, self.node(value, depth + 1), required=name in required) for name, value in declared.items()
        )
        return Record(members, None if extra is False else self.node(extra, depth + 1))

    def _sequence(self, raw: RawSchema, depth: int) -> Node:
        """All of `prefixItems` are always generated, further items only where `minItems` or `items` ask for them."""
        least, most = span(raw, "minItems", "maxItems")
        items, first = raw.get("items"), raw.get("prefixItems", [])
        if isinstance(items, list):  # the tuple form of drafts before 2020-12
            items, first = raw.get("additionalItems"), items
        if not isinstance(first, list) or len(first) > MAX_CHOICES:
            raise SchemaError(f"prefixItems must be a list of at most {MAX_CHOICES}")
        fixed = tuple(self.node(item, depth + 1) for item in first[:most])
        if items is False and least > len(fixed):
            raise SchemaError("minItems is more than the items allowed")
        if items is False or most == len(fixed) or (items is None and fixed and least <= len(fixed)):
            return Sequence(fixed, None, 0, 0)
        rest = self.node(True if items is None else items, depth + 1)
        return Sequence(fixed, rest, max(least - len(fixed), 0), None if most is None else most - len(fixed))

    def _string(self, raw: RawSchema) -> Expression:
        text = self.arena.repeat(self.arena.chars(EVERY), *span(raw, "minLength", "maxLength"))
        pattern, form = raw.get("pattern"), raw.get("format")
        if pattern is not None:
            if not isinstance(pattern, str):
                raise SchemaError("pattern must be a string")
            text = self.arena.both(text, self._pattern(pattern))
        if isinstance(form, str) and form in _FORMATS:
            text = self.arena.both(text, self._pattern(_FORMATS[form]))
        return text

    def _pattern(self, pattern: str) -> Expression:
        if pattern not in self._patterns:
            self._patterns[pattern] = compile_pattern(pattern, self.arena)
        return self._patterns[pattern]
