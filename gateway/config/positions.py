"""A YAML file as plain values, with the line and column of each key and value.

PyYAML's own constructors are left out: they forget the lines, and let a second key overwrite the first.
"""

from typing import TypeAlias

import yaml
from msgspec import Struct

from gateway.config import scalars
from gateway.config.findings import ROOT, Finding, Mark, Path
from gateway.config.syntax import MAX_DEPTH, MAX_VALUES, Illegible, composed, mark_of, restored

Value: TypeAlias = "str | int | float | bool | list[Value] | dict[str, Value] | None"
Tree: TypeAlias = dict[str, Value]
_Pair: TypeAlias = tuple[yaml.Node, yaml.Node]

_MERGE = "tag:yaml.org,2002:merge"
_PLAIN_COLLECTIONS = frozenset({"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})


class Place(Struct, frozen=True):
    """Where a value stands, and its key if it has one. `source` is a scalar as it was written, unquoted."""

    value: Mark
    key: Mark | None
    source: str | None


class Document(Struct, frozen=True):
    """A file as read: its values, where they stand, and what is wrong with it so far."""

    tree: Tree
    places: dict[Path, Place]
    findings: tuple[Finding, ...]

    def place(self, path: Path) -> Place:
        """Where `path` stands, or the nearest thing around it that is there."""
        while path not in self.places:
            path = path[:-1]
        return self.places[path]


def read(text: str) -> Document:
    """Read one YAML document whose root is a mapping. Raises Illegible where there is no tree to speak of."""
    node = composed(text)
    if node is None or (isinstance(node, yaml.ScalarNode) and not node.value):
        raise Illegible("the file is empty; expected schema_version, backends and tiers", Mark(1, 1))
    if not isinstance(node, yaml.MappingNode):
        raise Illegible("expected keys with values, such as schema_version: 1", mark_of(node.start_mark))
    reading = _Reading()
    reading.places[ROOT] = Place(mark_of(node.start_mark), None, None)
    tree = reading.mapping(node, ROOT)
    return Document(tree, reading.places, tuple(reading.findings))


class _Reading:
    """One walk over the nodes. Aliases are followed, so a node may be met many times, and within itself."""

    def __init__(self) -> None:
        self.places: dict[Path, Place] = {}
        self.findings: list[Finding] = []
        self._values = 0
        self._open: set[int] = set()

    def mapping(self, node: yaml.MappingNode, path: Path) -> Tree:
        """A mapping with what is merged into it (`<<`); its own keys win."""
        tree: Tree = {}
        for key_node, value_node in self._pairs(node, path):
            name = self._key(key_node, path)
            here = (*path, name)
            self.places[here] = Place(mark_of(value_node.start_mark), mark_of(key_node.start_mark), None)
            tree[name] = self._value(value_node, here)
        return tree

    def _value(self, node: yaml.Node, path: Path) -> Value:
        self._count(node)
        if len(path) > MAX_DEPTH:
            raise Illegible(f"more than {MAX_DEPTH} levels of nesting, aliases included", mark_of(node.start_mark))
        self._place(node, path)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if node.tag not in _PLAIN_COLLECTIONS:
            self._find(path, "expected a plain value; YAML tags (!) have no use here")
        if id(node) in self._open:
            raise Illegible("an alias (*) within what it stands for", mark_of(node.start_mark))
        self._open.add(id(node))
        value: Value
        if isinstance(node, yaml.MappingNode):
            value = self.mapping(node, path)
        else:
            value = [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        self._open.remove(id(node))
        return value

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Value:
        try:
            return scalars.scalar(node)
        except scalars.Trap as trap:
            self._find(path, str(trap))
            return restored(node.value)

    def _key(self, node: yaml.Node, path: Path) -> str:
        try:
            return scalars.key(node)
        except scalars.Trap as trap:
            name = restored(node.value) if isinstance(node, yaml.ScalarNode) else ""
            self._find((*path, name), str(trap), mark_of(node.start_mark))
            return name

    def _pairs(self, node: yaml.MappingNode, path: Path) -> list[_Pair]:
        """The entries of a mapping, each key once. A second one is a finding, and the first counts."""
        own: dict[str, _Pair] = {}
        merged: dict[str, _Pair] = {}
        for key, value in node.value:
            name = _name(key)
            if key.tag == _MERGE:
                for pair in self._merged(value, path):
                    merged.setdefault(_name(pair[0]), pair)
            elif name in own:
                first = own[name][0].start_mark.line + 1
                message = f"appears twice; the first is on line {first}"
                self._find((*path, restored(name)), message, mark_of(key.start_mark))
            else:
                own[name] = (key, value)
        return [*own.values(), *(pair for name, pair in merged.items() if name not in own)]

    def _merged(self, node: yaml.Node, path: Path) -> list[_Pair]:
        self._count(node)
        if isinstance(node, yaml.MappingNode) and id(node) not in self._open:
            self._open.add(id(node))
            pairs = self._pairs(node, path)
            self._open.remove(id(node))
            return pairs
        if isinstance(node, yaml.SequenceNode) and all(isinstance(n, yaml.MappingNode) for n in node.value):
            return [pair for part in node.value for pair in self._merged(part, path)]
        self._find((*path, "<<"), "expected the alias (*) of a mapping above", mark_of(node.start_mark))
        return []

    def _place(self, node: yaml.Node, path: Path) -> None:
        before = self.places.get(path)
        source = restored(node.value) if isinstance(node, yaml.ScalarNode) else None
        self.places[path] = Place(mark_of(node.start_mark), before.key if before else None, source)

    def _count(self, node: yaml.Node) -> None:
        self._values += 1
        if self._values > MAX_VALUES:
            raise Illegible(f"more than {MAX_VALUES} values, aliases included", mark_of(node.start_mark))

    def _find(self, path: Path, message: str, mark: Mark | None = None) -> None:
        self.findings.append(Finding(path=path, message=message, mark=mark))


def _name(key: yaml.Node) -> str:
    """What makes a key the same as another; keys that are no words are all different."""
    return str(key.value) if isinstance(key, yaml.ScalarNode) else f"{id(key)}"
