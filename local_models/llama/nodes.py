"""What a JSON schema says, once its references are looked up and its keywords understood: the tree the grammar is
written from. Frozen; regular parts are expressions of the schema's arena.

Parts may be shared, so nodes are told apart by identity: comparing or hashing them by value would walk a shared part
once for every path that leads to it, and the paths double with every level.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from local_models.llama.regular import NOTHING, Arena, Expression


@dataclass(frozen=True, slots=True, eq=False)
class Anything:
    """Any JSON value."""


@dataclass(frozen=True, slots=True, eq=False)
class AnyObject:
    """Any JSON object."""


@dataclass(frozen=True, slots=True, eq=False)
class Scalar:
    """Values without parts. A value matches one of the three.

    `literal` describes the JSON text of numbers, `true`, `false` and `null`; `words` are strings given one by one;
    `string` describes the characters of further strings, before JSON escaping.
    """

    literal: Expression = NOTHING
    words: tuple[str, ...] = ()
    string: Expression = NOTHING


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """An array: all of `first`, then `least` to `most` (None: any number) of `rest`."""

    first: tuple["Node", ...]
    rest: "Node | None"
    least: int
    most: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A declared property of an object."""

    name: str
    value: "Node"
    required: bool


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """An object: its members in this order, then any number of others when `others` says what they hold."""

    members: tuple[Member, ...]
    others: "Node | None"


@dataclass(frozen=True, slots=True, eq=False)
class OneOf:
    """Any of the choices; at most one is a Scalar, none is a OneOf."""

    choices: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """Whatever `Schema.definitions` holds under this pointer; the way schemas recurse."""

    pointer: str


Node = Anything | AnyObject | Scalar | Sequence | Record | OneOf | Reference


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """A whole schema: its root, what references point to, and the arena of its expressions."""

    root: Node
    definitions: Mapping[str, Node]
    arena: Arena


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly inside `node`; what a reference points to is not inside it."""
    if isinstance(node, OneOf):
        return node.choices
    if isinstance(node, Sequence):
        return node.first if node.rest is None else (*node.first, node.rest)
    if isinstance(node, Record):
        values = tuple(member.value for member in node.members)
        return values if node.others is None else (*values, node.others)
    return ()
