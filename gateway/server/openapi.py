"""The OpenAPI document: FastAPI's own, completed by the routes of the request path, which it does not serve."""

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from gateway.wire.anthropic_request import CountBody, MessageBody
from gateway.wire.openai_embeddings import EmbeddingBody
from gateway.wire.openai_request import ChatBody
from gateway.wire.openai_text_request import TextBody

Document = dict[str, Any]

CHAT_PATH = "/v1/chat/completions"
MESSAGES_PATH = "/v1/messages"
COUNT_PATH = "/v1/messages/count_tokens"
EMBEDDINGS_PATH = "/v1/embeddings"
TEXT_PATH = "/v1/completions"

_CHAT = """\
Answers a chat. `model` is `auto` (routed), a tier (`light`, `mid`, `premium`), a backend's name (pinned), or an alias.

With `stream: true` the answer is a stream of server-sent events that ends in `data: [DONE]`; one that breaks ends in
an event with `error` and without `[DONE]`. Every answer carries a `forebay` object that says who answered, why, and
at what cost; on a stream it rides on the event with the finish reason.
"""
_MESSAGES = """\
Answers in Anthropic's API, whichever backend it is that answers. `model` is `auto` (routed), a tier (`light`, `mid`,
`premium`), a backend's name (pinned), or an alias. The key may come as `x-api-key`.

With `stream: true` the answer is a stream of that API's events, which ends in `message_stop`; one that breaks ends in
`event: error` and without `message_stop`. Every answer carries a `forebay` object that says who answered, why, and at
what cost; on a stream it rides on `message_delta`. Tools that a provider runs itself are not taken, nor are documents.
"""
_COUNT = """\
Counts the tokens of a prompt, as the backend that would be asked first counts them; `forebay` says whether it could
tell (`quality: exact`) or how far off an estimate may be (`error`). It goes where an answer could come from and nowhere
else, costs nothing, and leaves no row in the ledger.
"""
_TEXT = """\
Goes on with a text. A backend that does so itself gets the prompt as it is: every engine, and a provider with
`completions: true`. To the others it goes as a chat, as the only turn of a user; `x-forebay-via` and `forebay.via` say
which (`completions` or `chat`). One prompt each, in text; `echo`, `suffix` and `best_of` are refused. Without
`max_tokens` an answer has 16 tokens at most, as this API has it.
"""
_EMBEDDINGS = """\
Gives a vector for each text. `model` is the name of a backend that gives vectors, an alias of it, or its model's own
name; `auto` will do where there is one such model only. A request may be answered by another backend of the same model,
and never by another model, because vectors of two models do not compare. Lists of tokens must be of that model.
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
    schemas, components = msgspec.json.schema_components(
        [ChatBody, MessageBody, CountBody, EmbeddingBody, TextBody], ref_template="#/components/schemas/{name}"
    )
    found.setdefault("components", {}).setdefault("schemas", {}).update(components)
    chat, message, count, embedding, text = schemas
    found["paths"] |= {
        CHAT_PATH: _operation("Chat completions", _CHAT, "chat_completions", chat),
        MESSAGES_PATH: _operation("Messages", _MESSAGES, "messages", message),
        COUNT_PATH: _operation("Tokens of a message", _COUNT, "count_tokens", count),
        TEXT_PATH: _operation("Text completions", _TEXT, "completions", text),
        EMBEDDINGS_PATH: _operation("Embeddings", _EMBEDDINGS, "embeddings", embedding),
    }
    return found


def _operation(summary: str, description: str, name: str, schema: Document) -> Document:
    operation = {
        "summary": summary,
        "description": description,
        "operationId": name,
        "parameters": [
            {"name": name, "in": "header", "required": False, "description": meaning, "schema": {"type": "string"}}
            for name, meaning in _HINTS
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            "200": {"description": "The answer, whole or as a stream of events."},
            "400": {"description": "The request is at fault; `error` names the field."},
            "401": {"description": "No API key, or an unknown one."},
            "403": {"description": "Policy allows no backend, for example because of residency."},
            "404": {"description": "The model does not exist; the message lists what does."},
            "429": {"description": "No room at present; `retry-after` says when. In Anthropic's API 529."},
            "502": {"description": "No backend could answer."},
        },
    }
    return {"post": operation}
