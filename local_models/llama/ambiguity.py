"""How many ways of reading a text a schema leaves open at once. Pure.

Unions of objects (or of arrays) cannot always be told apart by the next character, so llama.cpp's grammar engine
follows several readings side by side. That is harmless while their number is bounded; inside a recursion it doubles
with every level, until the process runs out of memory. Such schemas are refused before a grammar is written.
"""

from collections.abc import Iterator
from typing import Final

from local_models.llama.errors import KeywordError, SchemaError
from local_models.llama.nodes import AnyObject, Node, OneOf, Record, Reference, Scalar, Schema, Sequence, children

MAX_READINGS: Final = 32
"""Readings that may be open at the same time; each multiplies the time of a grammar step."""
MAX_CONTAINERS: Final = 64
"""Objects and arrays in one union, told apart or not."""
MAX_STEPS: Final = 20_000
"""Nodes visited and pairs of alternatives compared for one schema; some 50 ms."""


class AmbiguityChecker:
    """Checks schemas one after the other, within a limit on steps that holds for all of them together."""

    def __init__(self) -> None:
        self.schema: Schema
        self._readings: dict[int, int] = {}
        self._ambiguous: dict[int, bool] = {}
        self._steps = 0

    def check(self, schema: Schema) -> None:
        """Raise SchemaError when readings would pile up, or when a definition is only a detour to itself.

        The schema must live as long as the checker: its nodes are told apart by identity.
        """
        self.schema = schema
        for pointer, node in schema.definitions.items():
            self.refuse_detour(pointer, node)
        for pointer, node in schema.definitions.items():
            self.refuse_recursion(pointer, node)
        if self.readings(schema.root) > MAX_READINGS:
            raise SchemaError(
                f"the alternatives of this schema leave more than the limit of {MAX_READINGS} readings open; "
                "give the objects of a union a first required property with different constants"
            )

    def refuse_detour(self, pointer: str, node: Node) -> None:
        """A definition that leads back to itself without an object or array in between describes nothing."""
        pending, seen = [node], set()
        while pending:
            here = pending.pop()
            self._step()
            if isinstance(here, OneOf):
                pending.extend(here.choices)
            elif isinstance(here, Reference) and here.pointer not in seen:
                if here.pointer == pointer:
                    raise SchemaError(f"$ref {pointer[:200]!r} refers to itself")
                seen.add(here.pointer)
                pending.append(self.schema.definitions[here.pointer])

    def refuse_recursion(self, pointer: str, node: Node) -> None:
        """An ambiguous union must not lead to the definition it stands in."""
        for union in self._walk(node, follow=False):
            if not isinstance(union, OneOf) or not self.ambiguous(union):
                continue
            if any(isinstance(here, Reference) and here.pointer == pointer for here in self._walk(union, follow=True)):
                raise KeywordError(
                    "a recursive union whose alternatives are not told apart by their first properties is not supported"
                )

    def readings(self, node: Node) -> int:
        """Readings that may be open at once inside `node`. Recursion adds none: `refuse_recursion` has seen to it."""
        if isinstance(node, Reference):
            node = self.schema.definitions[node.pointer]
        known = self._readings.get(id(node))
        if known is None:
            self._readings[id(node)] = 1  # what a reference back to here finds
            counts = [self.readings(child) for child in children(node)] or [1]
            ambiguous = isinstance(node, OneOf) and self.ambiguous(node)
            known = self._readings[id(node)] = min(sum(counts) if ambiguous else max(counts), MAX_READINGS + 1)
        return known

    def ambiguous(self, union: OneOf) -> bool:
        """Is there a pair of alternatives that begins alike?"""
        known = self._ambiguous.get(id(union))
        if known is None:
            choices = self._containers(union)
            if len(choices) > MAX_CONTAINERS:
                raise SchemaError(f"a union has {len(choices)} objects and arrays; the limit is {MAX_CONTAINERS}")
            pairs = ((a, b) for place, a in enumerate(choices) for b in choices[:place])
            known = self._ambiguous[id(union)] = any(self._alike(a, b) for a, b in pairs)
        return known

    def _alike(self, left: Node, right: Node) -> bool:
        """Do texts of both begin alike, as far as constants reach?"""
        self._step()
        records = isinstance(left, Record | AnyObject) and isinstance(right, Record | AnyObject)
        if not records and not (isinstance(left, Sequence) and isinstance(right, Sequence)):
            return False
        for mine, yours in zip(_leading(left), _leading(right), strict=False):
            if mine[0] != yours[0]:
                return False
            if not isinstance(mine[1], Scalar) or not isinstance(yours[1], Scalar):
                return True
            if self._disjoint(mine[1], yours[1]):
                return False
            if not _constant(mine[1]) or not _constant(yours[1]):
                return True
        return True

    def _disjoint(self, left: Scalar, right: Scalar) -> bool:
        arena = self.schema.arena
        if not (left.literal or right.literal or left.string or right.string):
            return not set(left.words) & set(right.words)
        ours = arena.alt(left.string, arena.words(list(left.words)))
        theirs = arena.alt(right.string, arena.words(list(right.words)))
        return arena.disjoint(left.literal, right.literal) and arena.disjoint(ours, theirs)

    def _containers(self, union: OneOf) -> list[Node]:
        """The objects and arrays among the alternatives, those behind references and inner unions included."""
        pending: list[Node] = [union]
        found: dict[int, Node] = {}
        while pending:
            here = pending.pop()
            self._step()
            if isinstance(here, OneOf):
                pending.extend(here.choices)
            elif isinstance(here, Reference):
                pending.append(self.schema.definitions[here.pointer])
            elif not isinstance(here, Scalar):
                found[id(here)] = here
        return list(found.values())

    def _walk(self, node: Node, *, follow: bool) -> Iterator[Node]:
        """`node` and everything inside it; with `follow`, also what references lead to, once."""
        pending, seen = [node], set()
        while pending:
            here = pending.pop()
            self._step()
            yield here
            pending.extend(children(here))
            if follow and isinstance(here, Reference) and here.pointer not in seen:
                seen.add(here.pointer)
                pending.append(self.schema.definitions[here.pointer])

    def _step(self) -> None:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise SchemaError(
                f"comparing the alternatives of this schema takes more than the limit of {MAX_STEPS:,} steps"
            )


def _constant(scalar: Scalar) -> bool:
    return len(scalar.words) == 1 and not scalar.literal and not scalar.string


def _leading(node: Node) -> tuple[tuple[str, Node], ...]:
    """What surely comes first: required members up to the first optional one, or the items there always are."""
    if isinstance(node, Sequence):
        repeated = (node.rest,) if node.rest is not None and node.least else ()
        return tuple(("", item) for item in (*node.first, *repeated))
    found: list[tuple[str, Node]] = []
    for member in node.members if isinstance(node, Record) else ():
        if not member.required:
            break
        found.append((member.name, member.value))
    return tuple(found)
