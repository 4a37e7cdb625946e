"""Rules on the tests themselves."""

import ast
from collections.abc import Iterator

from tests.architecture.rule import Finding, FunctionNode, Rule, Sample, functions
from tests.architecture.source import SourceFile, SourceTree, dotted

PATH = "tests/test_sample.py"
PATCHING = frozenset({"setattr", "delattr", "setitem", "delitem"})
MOCKS = frozenset({"Mock", "MagicMock", "AsyncMock", "patch", "mocker", "create_autospec"})


def tests_nothing(file: SourceFile, _tree: SourceTree) -> Iterator[Finding]:
    """A test that cannot fail but by accident."""
    for test in _tests(file):
        if not any(_asserts(node) for node in ast.walk(test)):
            yield Finding(test.lineno, f"{test.name} asserts nothing")


def patched_objects(file: SourceFile, _tree: SourceTree) -> Iterator[Finding]:
    """A replaced attribute, or a mock."""
    for node in file.nodes:
        if isinstance(node, ast.Attribute) and node.attr in PATCHING and "monkeypatch" in dotted(node.value).lower():
            yield Finding(node.lineno, f"{dotted(node)}: hand the test's own part in")
        if isinstance(node, ast.Name) and node.id in MOCKS:
            yield Finding(node.lineno, f"{node.id}: write a fake that keeps the contract")


def sleeping_tests(file: SourceFile, _tree: SourceTree) -> Iterator[Finding]:
    """A test that waits for time to pass instead of for what it expects."""
    for test in _tests(file):
        for node in ast.walk(test):
            if isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] == "sleep" and not _is_zero(node):
                yield Finding(node.lineno, f"{test.name} sleeps: wait for the event, with a timeout")


def _tests(file: SourceFile) -> Iterator[FunctionNode]:
    if file.is_test:
        yield from (node for node in functions(file) if node.name.startswith("test_"))


def _asserts(node: ast.AST) -> bool:
    if isinstance(node, ast.Assert):
        return True
    if not isinstance(node, ast.Call):
        return False
    name = dotted(node.func).rpartition(".")[2]
    return name in {"raises", "warns", "fail"} or name.startswith("assert_")


def _is_zero(call: ast.Call) -> bool:
    return bool(call.args) and isinstance(call.args[0], ast.Constant) and call.args[0].value == 0


def _test(*body: str) -> Sample:
    lines = ["def test_it(monkeypatch: Patch) -> None:", '    """It."""', *(f"    {line}" for line in body)]
    return Sample("\n".join(lines), PATH)


RULES = (
    Rule(
        "tests assert",
        "A test that only runs code passes when the code does the wrong thing.",
        ("tests",),
        tests_nothing,
        bad=(_test("work()"), _test("with open('x'):", "    work()")),
        good=(
            _test("assert work()"),
            _test("with pytest.raises(OSError):", "    work()"),
            _test("assert_equal(work(), 1)"),
            Sample("def stand_in() -> None:\n    work()", PATH),
        ),
    ),
    Rule(
        "nothing is patched or mocked",
        "A patched attribute tests the patch; hand in a fake that obeys the port, or use the real component.",
        ("tests",),
        patched_objects,
        bad=(_test("monkeypatch.setattr(gate, 'admit', yes)"), _test("assert Mock()")),
        good=(_test("monkeypatch.setenv('FOREBAY_HOME', '/tmp')", "assert work()"),),
    ),
    Rule(
        "tests do not sleep",
        "A sleep is too short on a busy machine and too long on every other.",
        ("tests",),
        sleeping_tests,
        bad=(_test("time.sleep(1)", "assert work()"), _test("await asyncio.sleep(delay)", "assert work()")),
        good=(_test("await asyncio.sleep(0)", "assert work()"), _test("await event.wait()", "assert work()")),
    ),
)
