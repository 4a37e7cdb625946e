"""Rules on what a module does and keeps when it is imported."""

import ast
from collections.abc import Iterator

from tests.architecture.rule import Finding, FunctionNode, Rule, Sample, functions
from tests.architecture.source import CODE, EVERYTHING, PRODUCT, SourceFile, SourceTree, dotted

FREEZERS = frozenset({"frozenset", "tuple", "MappingProxyType"})

DEFINING_CALLS = frozenset(
    {
        # frozen values
        *FREEZERS,
        *("range", "sorted", "len", "min", "max", "sum", "int", "float", "str", "bytes", "Path", "Decimal"),
        *(
            "timedelta",
            "chr",
            "ord",
            "isalnum",
            "join",
            "strip",
            "split",
            "replace",
            "encode",
            "items",
            "keys",
            "values",
        ),
        "encode_event",  # a constant of gateway/wire as it goes over the line
        # types and fields
        *("TypeVar", "ParamSpec", "NewType", "namedtuple", "cast", "auto", "field", "Field", "Meta", "ConfigDict"),
        *("defstruct", "dataclass", "Discriminator", "Tag", "WithJsonSchema", "BeforeValidator", "AfterValidator"),
        *("PlainSerializer", "StringConstraints", "Option", "Argument"),
        # what is compiled once, cannot be changed, and would be compiled per request otherwise
        *("compile", "Struct", "Decoder", "Encoder", "TypeAdapter", "attrgetter"),
        # named by convention; configured at start by the composition root alone
        *("getLogger", "Typer"),
    }
)
"""By last name: what a call at module level may be. Everything else waits for app.py or main()."""

REGISTERING_CALLS = frozenset({"command", "add_typer", "callback"})
"""How typer is told its commands, in gateway/cli alone."""

HEAVY_OPTIONAL = frozenset({"llama_cpp", "pynvml", "torch", "vllm", "uvloop"})
"""May be imported inside a function, with a comment: they cost seconds, or are missing on some machines."""

MUTABLE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)


def import_time_work(file: SourceFile, tree: SourceTree) -> Iterator[Finding]:
    """A call that importing the module carries out, beyond those that define values and types."""
    allowed = DEFINING_CALLS | tree.value_classes
    if file.path.startswith("gateway/cli/"):
        allowed |= REGISTERING_CALLS
    allowed |= _value_makers(file.tree, allowed)
    for call in (node for statement in _run_at_import(file.tree.body) for node in _calls(statement)):
        name = dotted(call.func)
        if name.rpartition(".")[2] not in allowed:
            yield Finding(call.lineno, f"{name or ast.unparse(call.func)}() runs at import")


def shared_mutables(file: SourceFile, _tree: SourceTree) -> Iterator[Finding]:
    """A list, dict or set that all users of a module or class share and any of them may change."""
    for statement in _run_at_import(file.tree.body):
        value = _assigned(statement)
        if value is not None and any(_mutable_parts(value)):
            yield Finding(statement.lineno, f"{ast.unparse(statement).splitlines()[0][:60]} can be changed by anybody")


def global_statements(file: SourceFile, _tree: SourceTree) -> Iterator[Finding]:
    """A function that writes a variable of its module."""
    for node in file.nodes:
        if isinstance(node, ast.Global):
            yield Finding(node.lineno, f"global {', '.join(node.names)}")


def hidden_imports(file: SourceFile, _tree: SourceTree) -> Iterator[Finding]:
    """An import inside a function, unless it is of something heavy and optional and says why it stands there."""
    lines = file.text.splitlines()
    for function in functions(file):
        for node in ast.walk(function):
            if not isinstance(node, (ast.Import, ast.ImportFrom)):
                continue
            roots = _imported_roots(node)
            commented = "#" in lines[node.lineno - 1] or lines[node.lineno - 2].lstrip().startswith("#")
            if not roots <= HEAVY_OPTIONAL or not commented:
                yield Finding(node.lineno, f"import of {', '.join(sorted(roots))} inside {function.name}")


def _imported_roots(node: ast.Import | ast.ImportFrom) -> frozenset[str]:
    if isinstance(node, ast.ImportFrom):
        return frozenset({(node.module or ".").partition(".")[0]})
    return frozenset(alias.name.partition(".")[0] for alias in node.names)


def _value_makers(tree: ast.Module, allowed: frozenset[str]) -> frozenset[str]:
    """Private functions of the module that do nothing but what may be done at import anyway."""
    private = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name[0] == "_"}
    return frozenset(
        name
        for name, node in private.items()
        if all(dotted(part.func).rpartition(".")[2] in allowed for part in _calls_in(node))
        and not any(isinstance(part, (ast.Global, ast.With, ast.While)) for part in ast.walk(node))
    )


def _run_at_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that importing the module executes, class bodies and branches included."""
    for statement in body:
        if isinstance(statement, FunctionNode) or _is_main_guard(statement):
            continue
        inner = [
            *getattr(statement, "body", []),
            *getattr(statement, "orelse", []),
            *getattr(statement, "finalbody", []),
        ]
        yield statement
        yield from _run_at_import(inner)


def _is_main_guard(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test)


def _calls(statement: ast.stmt) -> Iterator[ast.Call]:
    if isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr)) and statement.value is not None:
        yield from _calls_in(statement.value)
    elif isinstance(statement, (ast.If, ast.While)):
        yield from _calls_in(statement.test)
    elif isinstance(statement, ast.For):
        yield from _calls_in(statement.iter)
    elif isinstance(statement, ast.With):
        for item in statement.items:
            yield from _calls_in(item.context_expr)


def _calls_in(node: ast.AST) -> Iterator[ast.Call]:
    # A lambda's body runs later, when somebody calls it.
    if isinstance(node, ast.Lambda):
        return
    if isinstance(node, ast.Call):
        yield node
    for child in ast.iter_child_nodes(node):
        yield from _calls_in(child)


def _assigned(statement: ast.stmt) -> ast.expr | None:
    if isinstance(statement, ast.Assign):
        named = {dotted(target) for target in statement.targets}
        return None if "__all__" in named else statement.value
    # An annotated name in a class body is a field, whose default its library copies for each instance.
    if isinstance(statement, ast.AnnAssign) and (statement.col_offset == 0 or _is_class_wide(statement)):
        return statement.value
    return None


def _is_class_wide(statement: ast.AnnAssign) -> bool:
    return "ClassVar" in ast.unparse(statement.annotation) or "Final" in ast.unparse(statement.annotation)


def _mutable_parts(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, MUTABLE):
        yield node
    elif isinstance(node, ast.Call):
        yield from _left_mutable_by(node)
    elif not isinstance(node, (ast.Subscript, ast.Lambda)):  # a type's parameters; a body that runs later
        for part in ast.iter_child_nodes(node):
            yield from _mutable_parts(part)


def _left_mutable_by(call: ast.Call) -> Iterator[ast.AST]:
    # A freezing call freezes its argument's own container and nothing that lies in it; what any other call keeps
    # of its arguments is its own affair.
    if dotted(call.func).rpartition(".")[2] in FREEZERS:
        for argument in call.args:
            for part in ast.iter_child_nodes(argument):
                yield from _mutable_parts(part)


RULES = (
    Rule(
        "importing does no work",
        "An import that reads, connects or computes makes order matter and tests slow; app.py builds everything.",
        CODE,
        import_time_work,
        bad=(
            Sample("settings = load()"),
            Sample("import httpx\nclient = httpx.Client()"),
            Sample("class Gate:\n    permits = make_permits()"),
            Sample("connect()"),
            Sample("if is_linux():\n    x = 1"),
            Sample("def _names():\n    return open('names').read()\nNAMES = _names()"),
            Sample("app.command('serve')", "gateway/server/app.py"),
        ),
        good=(
            Sample("import re\nWORD = re.compile('a')\nNAMES = frozenset({'a'})\nT = TypeVar('T')"),
            Sample("class Price(NamedTuple):\n    usd: int\nFREE = Price(0)\nkey = lambda x: work(x)"),
            Sample("import typer\napp = typer.Typer()\napp.add_typer(models)", "gateway/cli/main.py"),
            Sample("def _word(*parts):\n    return re.compile('|'.join(parts))\nWORD = _word('a', 'b')"),
            Sample("if __name__ == '__main__':\n    main()"),
            Sample("@work()\ndef f(x: int = 1) -> None:\n    work()"),
        ),
    ),
    Rule(
        "nothing mutable is shared",
        "Module state outlives the test and the request that changed it; state belongs to an object that app.py made.",
        CODE,
        shared_mutables,
        bad=(
            Sample("TIERS = ['light']"),
            Sample("PRICES: Final = {'a': 1}"),
            Sample("SEEN = {x for x in 'ab'}"),
            Sample("TABLE = MappingProxyType({'a': ['b']})"),
            Sample("PAIRS = (('a', []),)"),
            Sample("class Gate:\n    waiting = []"),
            Sample("class Gate:\n    waiting: ClassVar = {}"),
        ),
        good=(
            Sample("Report = Callable[[int], None]"),
            Sample("TIERS = ('light',)\nNAMES = frozenset({'a'})\nTABLE = MappingProxyType({'a': ('b',)})"),
            Sample("class Request(Struct):\n    stop: list[str] = []"),
            Sample("__all__ = ['x']\ndef f() -> list[int]:\n    return [1]"),
            Sample("app = Typer(context_settings={'help_option_names': ['-h']})"),
        ),
    ),
    Rule(
        "no global statement",
        "A function that changes its module changes every caller's world.",
        EVERYTHING,
        global_statements,
        bad=(Sample("def f() -> None:\n    global x\n    x = 1"),),
        good=(Sample("def f() -> None:\n    x = 1"),),
    ),
    Rule(
        "imports stand at the top",
        "An import inside a function hides a dependency, mostly a cycle.",
        (*PRODUCT, "scripts"),
        hidden_imports,
        bad=(
            Sample("def f() -> None:\n    import json"),
            Sample("def f() -> None:\n    # it is a cycle otherwise\n    from gateway import broker"),
            Sample("def f() -> None:\n    x = 1\n    import pynvml"),
        ),
        good=(
            Sample("import json"),
            Sample("def f() -> None:\n    import pynvml  # absent on machines without NVIDIA's driver"),
            Sample("def f() -> None:\n    # Takes a second, and only engines need it.\n    import llama_cpp"),
        ),
    ),
)
