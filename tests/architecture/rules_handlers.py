"""Rules on caught exceptions and on work that is not done."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator

from tests.architecture.rule import Finding, Rule, Sample
from tests.architecture.source import EVERYTHING, SourceFile, SourceTree, dotted

BROAD = frozenset({"Exception", "BaseException"})
CANCELLATION = frozenset({"CancelledError", "BaseException", "GeneratorExit"})
LATER = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def bare_handlers(file: SourceFile, _tree: SourceTree) -> Iterator[Finding]:
    """An `except:` that catches whatever comes, cancellation included."""
    for handler in _handlers(file):
        if handler.type is None:
            yield Finding(handler.lineno, "bare except: name what is expected")


def silent_handlers(file: SourceFile, _tree: SourceTree) -> Iterator[Finding]:
    """A handler that does nothing about what it caught."""
    for handler in _handlers(file):
        if all(_is_nothing(statement) for statement in handler.body):
            yield Finding(handler.lineno, "the handler does nothing: handle it, or suppress() exactly what may come")


def broad_suppress(file: SourceFile, _tree: SourceTree) -> Iterator[Finding]:
    """A `suppress` of everything."""
    for node in file.nodes:
        if isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] == "suppress":
            for name in sorted(BROAD & {dotted(argument) for argument in node.args}):
                yield Finding(node.lineno, f"suppress({name}) hides bugs as well: name what is expected")


def swallowed_cancellation(file: SourceFile, _tree: SourceTree) -> Iterator[Finding]:
    """A handler that catches cancellation by name and does not pass it on."""
    for handler in _handlers(file):
        names = _caught(handler) & CANCELLATION
        if names and not any(isinstance(node, ast.Raise) for node in ast.walk(handler)):
            yield Finding(handler.lineno, f"{', '.join(sorted(names))} is swallowed: raise it again after cleaning up")


def unfinished(file: SourceFile, _tree: SourceTree) -> Iterator[Finding]:
    """A note that something is still to be done, or a function that only says so."""
    tokens = tokenize.generate_tokens(io.StringIO(file.text).readline) if LATER.search(file.text) else ()
    for token in tokens:
        if token.type == tokenize.COMMENT and LATER.search(token.string):
            yield Finding(token.start[0], token.string)
    for node in file.nodes:
        if isinstance(node, ast.Raise) and node.exc is not None and "NotImplemented" in ast.unparse(node.exc):
            yield Finding(node.lineno, ast.unparse(node))


def _handlers(file: SourceFile) -> Iterator[ast.ExceptHandler]:
    return (node for node in file.nodes if isinstance(node, ast.ExceptHandler))


def _caught(handler: ast.ExceptHandler) -> frozenset[str]:
    if handler.type is None:
        return frozenset()
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return frozenset(dotted(kind).rpartition(".")[2] for kind in types)


def _is_nothing(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def _try(handler: str, body: str) -> Sample:
    return Sample(f"try:\n    work()\n{handler}:\n    {body}")


RULES = (
    Rule(
        "no bare except",
        "It catches the cancellation of the task and the interrupt of the person as well.",
        EVERYTHING,
        bare_handlers,
        bad=(_try("except", "recover()"),),
        good=(_try("except OSError", "recover()"),),
    ),
    Rule(
        "no silent handler",
        "An error that nobody hears of is found by the customer.",
        EVERYTHING,
        silent_handlers,
        bad=(
            _try("except Exception", "pass"),
            _try("except OSError", "pass"),
            _try("except OSError", "..."),
        ),
        good=(_try("except OSError", "return_nothing()"), Sample("with suppress(FileNotFoundError):\n    work()")),
    ),
    Rule(
        "no broad suppress",
        "It is an except Exception: pass by another name.",
        EVERYTHING,
        broad_suppress,
        bad=(Sample("with contextlib.suppress(Exception):\n    work()"),),
        good=(Sample("with suppress(ConnectionResetError):\n    work()"),),
    ),
    Rule(
        "cancellation is passed on",
        "A task that swallows its cancellation cannot be stopped, and its upstream goes on costing money.",
        ("gateway", "local_models"),
        swallowed_cancellation,
        bad=(
            _try("except asyncio.CancelledError", "log()"),
            _try("except (OSError, BaseException)", "log()"),
        ),
        good=(_try("except BaseException", "close()\n    raise"), _try("except Exception", "log()")),
    ),
    Rule(
        "nothing is left for later",
        "What is not built is not promised; what is promised works.",
        EVERYTHING,
        unfinished,
        bad=(
            Sample("x = 1  # TO" + "DO: two"),
            Sample("def f() -> None:\n    raise NotImplementedError"),
            Sample("def f() -> None:\n    raise NotImplementedError('later')"),
        ),
        good=(Sample("x = 1  # two would be one too many"),),
    ),
)
