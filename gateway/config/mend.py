"""A damaged tree made whole enough to go on, so that one mistake does not hide the next.

What is put in place of the damage satisfies the schema and nothing else: findings about it are thrown away.
"""

import json
from copy import deepcopy
from typing import NamedTuple

from pydantic import ValidationError

from gateway.config.expected import Complaint, complaints
from gateway.config.findings import Path
from gateway.config.positions import Tree, Value
from gateway.config.schema import Config

_ROUNDS = 8
_NAMED = frozenset({"engines", "backends", "classes", "tasks", "tenants"})
_STAND_IN = "x"


class Validated(NamedTuple):
    """What the schema says of a tree: a configuration, the complaints, and every path that was put right.

    `config` is None where the damage could not be made good. Without complaints it is what the tree says.
    """

    config: Config | None
    complaints: tuple[Complaint, ...]
    damaged: frozenset[Path]


def validated(tree: Tree) -> Validated:
    """Hold a tree against the schema."""
    try:
        return Validated(_config(tree), (), frozenset())
    except ValidationError as error:
        first = _complaints(error, tree)
    patient = deepcopy(tree)
    damaged: set[Path] = set()
    found = first
    for _ in range(_ROUNDS):
        for complaint in found:
            _mend(patient, complaint, again=complaint.path in damaged)
            damaged.add(complaint.path)
        try:
            return Validated(_config(patient), first, frozenset(damaged))
        except ValidationError as error:
            found = _complaints(error, patient)
    return Validated(None, first, frozenset(damaged))


def _config(tree: Tree) -> Config:
    # Strict, so that "8" is no number and 8.0 no whole one; through JSON, because strict Python values would have to be
    # tuples, enums and decimals already, and because a decimal is then read from the digits that were written.
    return Config.model_validate_json(json.dumps(tree), strict=True)


def _complaints(error: ValidationError, tree: Tree) -> tuple[Complaint, ...]:
    return complaints(error.errors(include_url=False, include_input=False), tree)


def _mend(tree: Tree, complaint: Complaint, *, again: bool) -> None:
    *above, last = complaint.path
    parent = _at(tree, above)
    if isinstance(parent, list):
        if again:
            parent.clear()
        elif isinstance(last, int) and last < len(parent):
            parent[last] = _STAND_IN
    elif isinstance(parent, dict):
        if complaint.kind == "missing":
            _supply(tree, parent, complaint.path)
        elif len(above) == 1 and above[0] in _NAMED and not again and complaint.kind == "model_type":
            parent[str(last)] = {}
        else:
            parent.pop(str(last), None)


def _supply(tree: Tree, parent: dict[str, Value], path: Path) -> None:
    last = str(path[-1])
    if len(path) == 1:
        parent[last] = 1 if last == "schema_version" else {}
    elif path[0] == "engines" and last == "kind":
        parent[last] = "llama_cpp"
    else:
        around = _at(tree, list(path[:-2]))
        if isinstance(around, dict):
            around.pop(str(path[-2]), None)
        elif isinstance(around, list):
            around.clear()


def _at(tree: Value, path: list[str | int]) -> Value:
    for step in path:
        if isinstance(tree, dict):
            tree = tree.get(str(step))
        elif isinstance(tree, list) and isinstance(step, int) and step < len(tree):
            tree = tree[step]
        else:
            return None
    return tree
