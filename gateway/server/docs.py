"""GET /docs: the OpenAPI document as a page. No script, no style and no font from anywhere else: it works offline."""

import html
import json
from typing import Any

Document = dict[str, Any]

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }}
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
h2 {{ margin-top: 2.5rem; font-size: 1.15rem; }} h2 code {{ font-size: 1.05em; }}
.method {{ font-weight: 700; margin-right: .6em; }}
table {{ border-collapse: collapse; width: 100%; font-size: .92rem; }}
td, th {{ text-align: left; padding: .3rem .8rem .3rem 0; vertical-align: top; border-top: 1px solid #8884; }}
pre {{ background: #8881; padding: .8rem; overflow-x: auto; font-size: .85rem; }}
</style></head><body>
<h1>{title}</h1><p>{description}</p>
<p>For programs: <a href="/openapi.json">openapi.json</a></p>
{operations}
</body></html>
"""


def page(document: Document) -> str:
    """The page of an OpenAPI document."""
    operations = [
        _operation(method, path, operation, document)
        for path, methods in sorted(document["paths"].items())
        for method, operation in methods.items()
    ]
    return _PAGE.format(
        title=html.escape(document["info"]["title"]),
        description=html.escape(document["info"].get("description", "")),
        operations="\n".join(operations),
    )


def _operation(method: str, path: str, operation: Document, document: Document) -> str:
    parts = [
        f'<h2><span class="method">{method.upper()}</span><code>{html.escape(path)}</code></h2>',
        *(f"<p>{html.escape(part)}</p>" for part in operation.get("description", "").split("\n\n") if part),
        _table("Parameters", [(each["name"], each.get("description", "")) for each in operation.get("parameters", ())]),
        _body(operation, document),
        _table("Answers", [(code, each["description"]) for code, each in operation["responses"].items()]),
    ]
    return "\n".join(part for part in parts if part)


def _body(operation: Document, document: Document) -> str:
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if schema is None:
        return ""
    name = schema["$ref"].rsplit("/", 1)[-1]
    found = document["components"]["schemas"][name]
    rows = [(field, _kind(shape, field in found.get("required", ()))) for field, shape in found["properties"].items()]
    text = html.escape(json.dumps(found, indent=2, ensure_ascii=False))
    return _table("Body", rows) + f"<details><summary>JSON Schema</summary><pre>{text}</pre></details>"


def _kind(shape: Document, required: bool) -> str:  # noqa: FBT001 - of the schema, not of behaviour
    kinds = [each.get("type") or each.get("$ref", "").rsplit("/", 1)[-1] for each in shape.get("anyOf", (shape,))]
    return ", ".join(kind for kind in kinds if kind and kind != "null") + (" (required)" if required else "")


def _table(title: str, rows: list[tuple[str, str]]) -> str:
    if not rows:
        return ""
    lines = "".join(f"<tr><td><code>{html.escape(a)}</code></td><td>{html.escape(b)}</td></tr>" for a, b in rows)
    return f"<table><tr><th>{title}</th><th></th></tr>{lines}</table>"
