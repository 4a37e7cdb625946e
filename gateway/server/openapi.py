"""The OpenAPI document: FastAPI's own, completed by the routes of the request path, which it does not serve."""

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from gateway.wire.openai_request import ChatBody

Document = dict[str, Any]

CHAT_PATH = "/v1/chat/completions"

_DESCRIPTION = """\
Answers a chat. `model` is `auto` (routed), a tier (`light`, `mid`, `premium`), a backend's name (pinned), or an alias.

With `stream: true` the answer is a stream of server-sent events that ends in `data: [DONE]`; one that breaks ends in
an event with `error` and without `[DONE]`. Every answer carries a `forebay` object that says who answered, why, and
at what cost; on a stream it rides on the event with the finish reason.
"""
_HINTS = (
    ("x-forebay-task", "Kind of work, for example `faq`, `summary`, `reasoning`."),
    ("x-forebay-requires-reasoning", "`true` or `false`."),
    ("x-forebay-region", "Narrows where the data may go, to a region or a group."),
    ("x-forebay-session", "Groups requests in the ledger."),
    ("x-forebay-local-only", "`true`: nothing leaves the box."),
    ("x-forebay-no-escalation", "`true`: no stronger tier is asked after an answer."),
    ("x-forebay-allow-fallback", "`true`: a pinned model may be substituted when it cannot answer."),
)


def document(app: FastAPI) -> Document:
    """The whole document."""
    found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schemas, components = msgspec.json.schema_components([ChatBody], ref_template="#/components/schemas/{name}")
    found.setdefault("components", {}).setdefault("schemas", {}).update(components)
    found["paths"][CHAT_PATH] = {"post": _chat_operation(next(iter(schemas)))}
    return found


def _chat_operation(schema: Document) -> Document:
    return {
        "summary": "Chat completions",
        "description": _DESCRIPTION,
        "operationId": "chat_completions",
        "parameters": [
            {"name": name, "in": "header", "required": False, "description": meaning, "schema": {"type": "string"}}
            for name, meaning in _HINTS
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            "200": {"description": "The answer, whole or as a stream of events."},
            "400": {"description": "The request is at fault; `error.param` names the field."},
            "401": {"description": "No API key, or an unknown one."},
            "403": {"description": "Policy allows no backend, for example because of residency."},
            "404": {"description": "The model does not exist; the message lists what does."},
            "429": {"description": "No room at present; `retry-after` says when."},
            "502": {"description": "No backend could answer."},
        },
    }
