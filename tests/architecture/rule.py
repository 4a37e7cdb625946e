"""What a rule is: a check over one file, its reason, and samples that prove it can fail."""

import ast
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.architecture.source import SourceFile, SourceTree


class Finding(NamedTuple):
    """One place that breaks a rule."""

    line: int
    what: str


class Sample(NamedTuple):
    """A file that a rule is tried on."""

    text: str
    path: str = "gateway/sample.py"


Check = Callable[[SourceFile, SourceTree], Iterator[Finding]]


class Rule(NamedTuple):
    """`check` yields what is wrong with a file of the `rooms`; it must object to each of `bad` and none of `good`."""

    name: str
    why: str
    rooms: tuple[str, ...]
    check: Check
    bad: tuple[Sample, ...]
    good: tuple[Sample, ...]


FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


def functions(file: SourceFile) -> Iterator[FunctionNode]:
    """Every function and method of a file at any depth."""
    return (node for node in file.nodes if isinstance(node, FunctionNode))


def broken_by(rule: Rule, tree: SourceTree) -> tuple[str, ...]:
    """What breaks `rule` anywhere in its rooms, one printable line each."""
    return tuple(
        f"{file.path}:{finding.line}: {finding.what}"
        for file in tree.files
        if file.room in rule.rooms
        for finding in rule.check(file, tree)
    )
