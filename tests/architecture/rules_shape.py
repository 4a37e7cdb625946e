"""Rules on size, names and docstrings."""

import ast
from collections.abc import Iterator
from pathlib import PurePosixPath

from tests.architecture.rule import Finding, FunctionNode, Rule, Sample, functions
from tests.architecture.source import CODE, EVERYTHING, SourceFile, SourceTree

MAX_MODULE_LINES = 350
MAX_FUNCTION_LINES = 60
GRAB_BAGS = frozenset({"util", "utils", "helper", "helpers", "common", "misc"})

Definition = FunctionNode | ast.ClassDef


def module_length(file: SourceFile, _tree: SourceTree) -> Iterator[Finding]:
    """A module that is too long to read in one sitting."""
    lines = len(file.text.splitlines())
    if lines > MAX_MODULE_LINES:
        yield Finding(1, f"{lines} lines, {MAX_MODULE_LINES} at most")


def function_length(file: SourceFile, _tree: SourceTree) -> Iterator[Finding]:
    """A function that does not fit on a screen."""
    for node in functions(file):
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > MAX_FUNCTION_LINES:
            yield Finding(node.lineno, f"{node.name} has {lines} lines, {MAX_FUNCTION_LINES} at most")


def grab_bag(file: SourceFile, _tree: SourceTree) -> Iterator[Finding]:
    """A file or folder whose name says nothing about what belongs into it."""
    parts = {PurePosixPath(part).stem for part in PurePosixPath(file.path).parts}
    for name in sorted(parts & GRAB_BAGS):
        yield Finding(1, f"named {name!r}: name it after what it holds")


def public_docstrings(file: SourceFile, _tree: SourceTree) -> Iterator[Finding]:
    """A public module, class, function or method that does not say what it promises."""
    if ast.get_docstring(file.tree) is None:
        yield Finding(1, "the module has no docstring")
    yield from _undocumented(file.tree.body)


def stated_promises(file: SourceFile, _tree: SourceTree) -> Iterator[Finding]:
    """A test that does not state its promise."""
    for node in functions(file):
        if file.is_test and node.name.startswith("test_") and ast.get_docstring(node) is None:
            yield Finding(node.lineno, f"{node.name} does not say what it promises")


def _undocumented(body: list[ast.stmt]) -> Iterator[Finding]:
    for node in body:
        if not isinstance(node, Definition) or node.name.startswith("_") or _is_said_elsewhere(node):
            continue
        if ast.get_docstring(node) is None:
            yield Finding(node.lineno, f"{node.name} has no docstring")
        if isinstance(node, ast.ClassDef):
            yield from _undocumented(node.body)


def _is_said_elsewhere(node: Definition) -> bool:
    # An override keeps the contract of its port, an overload and a setter that of the definition beside them;
    # a method without a body belongs to a protocol, whose own docstring is the contract.
    names = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
    return bool(names & {"override", "overload", "setter"}) or ast.unparse(node.body[-1]) == "..."


def _long_function(lines: int) -> str:
    return "\n".join(["def grow() -> None:", *(f"    print({number})" for number in range(lines - 1))])


RULES = (
    Rule(
        "modules are short",
        "A limit that comes late becomes a budget of exceptions.",
        CODE,
        module_length,
        bad=(Sample("x = 1\n" * (MAX_MODULE_LINES + 1)),),
        good=(Sample("x = 1\n" * MAX_MODULE_LINES),),
    ),
    Rule(
        "functions are short",
        "What does not fit on a screen is not read before it is changed.",
        CODE,
        function_length,
        bad=(Sample(_long_function(MAX_FUNCTION_LINES + 1)),),
        good=(Sample(_long_function(MAX_FUNCTION_LINES)),),
    ),
    Rule(
        "no grab-bags",
        "Everything fits into a file called helpers, so everything ends there.",
        EVERYTHING,
        grab_bag,
        bad=(Sample("x = 1", "gateway/utils.py"), Sample("x = 1", "local_models/common/paths.py")),
        good=(Sample("x = 1", "gateway/tokens.py"),),
    ),
    Rule(
        "public things have docstrings",
        "A promise that nobody wrote down cannot be kept or checked.",
        CODE,
        public_docstrings,
        bad=(
            Sample("x = 1"),
            Sample('"""M."""\ndef serve() -> None:\n    print()'),
            Sample('"""M."""\nclass Gate:\n    """G."""\n    def admit(self) -> None:\n        print()'),
        ),
        good=(
            Sample('"""M."""\ndef _serve() -> None:\n    def inner() -> None: ...\n    inner()'),
            Sample('"""M."""\nclass Gate:\n    """G."""\n    @override\n    def admit(self) -> None:\n        go()'),
            Sample('"""M."""\nclass Gate(Protocol):\n    """G."""\n    def admit(self) -> None: ...'),
        ),
    ),
    Rule(
        "tests state their promise",
        "A failing test whose promise is unknown gets adjusted instead of heeded.",
        ("tests",),
        stated_promises,
        bad=(Sample("def test_it() -> None:\n    assert 1", "tests/test_sample.py"),),
        good=(
            Sample('def test_it() -> None:\n    """One is true."""\n    assert 1', "tests/test_sample.py"),
            Sample("def stand_in() -> None:\n    print()", "tests/test_sample.py"),
        ),
    ),
)
