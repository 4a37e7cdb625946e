"""The project's Python files as the rules see them: path, text and syntax tree, read once."""

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("gateway", "local_models")
CODE = (*PRODUCT, "scripts")
EVERYTHING = (*CODE, "tests")


class SourceFile(NamedTuple):
    """One file; `path` is relative to the repository and has forward slashes."""

    path: str
    text: str
    tree: ast.Module
    nodes: tuple[ast.AST, ...]
    """Every node of the tree: walking is the dear part, and each rule wants it."""

    @property
    def room(self) -> str:
        """The top-level folder."""
        return self.path.partition("/")[0]

    @property
    def is_test(self) -> bool:
        """Whether pytest collects tests from it."""
        return self.room == "tests" and Path(self.path).name.startswith("test_")


class SourceTree(NamedTuple):
    """Files and what can only be known from all of them."""

    files: tuple[SourceFile, ...]
    value_classes: frozenset[str]
    """Names of classes whose instances cannot change: making one at import defines a value and does no work."""


def parse(path: str, text: str) -> SourceFile:
    """The file that `text` would be at `path`."""
    tree = ast.parse(text, path)
    return SourceFile(path, text, tree, tuple(ast.walk(tree)))


def tree_of(files: Iterable[SourceFile]) -> SourceTree:
    """Files together with the frozen classes that they define."""
    found = tuple(files)
    classes = [node for file in found for node in file.nodes if isinstance(node, ast.ClassDef)]
    frozen = {node.name for node in classes if _is_frozen(node)}
    while heirs := {node.name for node in classes if _bases(node) & frozen} - frozen:
        frozen |= heirs
    return SourceTree(found, frozenset(frozen))


def read_tree(root: Path = ROOT) -> SourceTree:
    """Every Python file of the project."""
    paths = sorted(path for room in EVERYTHING for path in (root / room).rglob("*.py"))
    return tree_of(parse(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")) for path in paths)


def dotted(node: ast.AST) -> str:
    """`a.b.c` for a name or a chain of attributes; the part that is neither is left out (`f().b` gives `b`)."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return ".".join(filter(None, (dotted(node.value), node.attr)))
    return ""


def _is_frozen(node: ast.ClassDef) -> bool:
    decorators = (decorator for decorator in node.decorator_list if isinstance(decorator, ast.Call))
    configured = (part.value for part in node.body if isinstance(part, ast.Assign))
    calls = (value for value in (*decorators, *configured) if isinstance(value, ast.Call))
    return (
        bool(_bases(node) & {"NamedTuple", "Enum", "StrEnum", "IntEnum"})
        or _says_frozen(node.keywords)
        or any(_says_frozen(call.keywords) for call in calls)
    )


def _bases(node: ast.ClassDef) -> set[str]:
    return {dotted(base).rpartition(".")[2] for base in node.bases}


def _says_frozen(keywords: list[ast.keyword]) -> bool:
    return any(
        keyword.arg == "frozen" and isinstance(keyword.value, ast.Constant) and keyword.value.value is True
        for keyword in keywords
    )
