"""Rules on how HTTP is served."""

import ast
from collections.abc import Iterator

from tests.architecture.rule import Finding, Rule, Sample
from tests.architecture.source import PRODUCT, SourceFile, SourceTree, dotted


def wrapped_streams(file: SourceFile, _tree: SourceTree) -> Iterator[Finding]:
    """Starlette's middleware base class, by name or behind FastAPI's decorator."""
    for node in file.nodes:
        if isinstance(node, (ast.Name, ast.Attribute)) and dotted(node).endswith("BaseHTTPMiddleware"):
            yield Finding(node.lineno, f"{dotted(node)}: write raw ASGI middleware")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "middleware":
            yield Finding(node.lineno, f"@{dotted(node.func)} is a BaseHTTPMiddleware: write raw ASGI middleware")


RULES = (
    Rule(
        "middleware is raw ASGI",
        "BaseHTTPMiddleware puts each stream into a task of its own and hides the client's disconnect from it.",
        PRODUCT,
        wrapped_streams,
        bad=(
            Sample("class Auth(BaseHTTPMiddleware):\n    x = 1"),
            Sample("class Auth(base.BaseHTTPMiddleware):\n    x = 1"),
            Sample("@app.middleware('http')\nasync def auth(request: Request) -> Response:\n    return r"),
        ),
        good=(Sample("app.add_middleware(Auth)"),),
    ),
)
