"""The API's address: every route and what guards it, on one screen.

POST /v1/chat/completions           key      endpoint.py with openai.py, raw ASGI
POST /v1/completions                key      endpoint.py with openai.py, raw ASGI
POST /v1/messages[/count_tokens]    key      endpoint.py with anthropic.py, raw ASGI
POST /v1/embeddings                 key      embeddings.py, raw ASGI
GET  /v1/models[/{name}]            key      below
GET  /health, /ready                open     the process lives; some tier can answer
GET  /docs, /openapi.json           open     what stands here, for people and programs
"""

import time
from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from gateway.errors import AnswerError, Code
from gateway.policy import Identities
from gateway.routing import RoutingTable
from gateway.server import docs, openapi
from gateway.server.drain import Drain
from gateway.server.http import Asgi, Headers, Receive, Scope, Send
from gateway.server.models import model_entry, model_list
from gateway.server.readiness import ReadinessProbe
from gateway.wire import anthropic_answer, openai_answer


class Edge:
    """The ASGI application: the request path first, by exact path, and FastAPI for all else."""

    def __init__(self, endpoints: Mapping[str, Asgi], rest: FastAPI) -> None:
        self._endpoints = dict(endpoints)
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection event."""
        # Routed and authorised by scope["path"] alone: a URL put together from headers can be made to differ.
        endpoint = self._endpoints.get(scope["path"]) if scope["type"] == "http" else None
        await (endpoint or self._rest)(scope, receive, send)


class Pages:
    """Everything but the request path."""

    def __init__(
        self, version: str, table: RoutingTable, identities: Identities, readiness: ReadinessProbe, drain: Drain
    ) -> None:
        self._table = table
        self._identities = identities
        self._readiness = readiness
        self._drain = drain
        self._created = int(time.time())
        self.app = FastAPI(
            title="Forebay",
            version=version,
            description="Answers on this box first, and goes to the cloud when it has to.",
            docs_url=None,
            redoc_url=None,
            openapi_url=None,
        )
        _errors(self.app)
        key = [Depends(self._caller)]
        get = self.app.get
        get("/health", summary="The process lives.")(self.health)
        get("/ready", summary="Some tier can answer.")(self.ready)
        get("/v1/models", summary="Names to ask for.", dependencies=key)(self.models)
        get("/v1/models/{name:path}", summary="One name.", dependencies=key)(self.model)
        get("/openapi.json", include_in_schema=False)(self.openapi_json)
        get("/docs", include_in_schema=False)(self.docs_page)

    async def health(self) -> dict[str, str]:
        """Answers 200 as long as the process can answer at all."""
        return {"status": "ok"}

    async def ready(self) -> Response:
        """200 when some tier can answer, 503 otherwise, with the state of each tier and backend."""
        found = self._readiness.look(draining=self._drain.draining)
        headers = {} if found.ready else {"retry-after": "1"}
        return JSONResponse(msgspec.to_builtins(found), 200 if found.ready else 503, headers)

    async def models(self) -> dict[str, Any]:
        """`auto`, tiers, backends and aliases, in OpenAI's shape."""
        return model_list(self._table, self._created)

    async def model(self, name: str) -> dict[str, Any]:
        """One entry of the list."""
        entry = model_entry(self._table, name, self._created)
        if entry is None:
            raise self._table.unknown(name)
        return entry

    async def openapi_json(self) -> dict[str, Any]:
        """The document for programs."""
        return openapi.document(self.app)

    async def docs_page(self) -> HTMLResponse:
        """The document for people."""
        return HTMLResponse(docs.page(openapi.document(self.app)))

    async def _caller(self, request: Request) -> None:
        self._identities.find(Headers(request.scope["headers"]).api_key())


def _errors(app: FastAPI) -> None:
    """Every error in OpenAI's shape, or in Anthropic's below its address; those of the framework included."""

    @app.exception_handler(AnswerError)
    async def ours(_: Request, error: AnswerError) -> Response:
        return Response(openai_answer.error_body(error), error.status, media_type="application/json")

    @app.exception_handler(HTTPException)
    async def theirs(request: Request, error: HTTPException) -> Response:
        codes = {404: Code.ROUTE_NOT_FOUND, 405: Code.METHOD_NOT_ALLOWED}
        message = f"{request.scope['method']} {request.scope['path']}: {error.detail}"
        told = AnswerError(message, code=codes.get(error.status_code, Code.INVALID_VALUE), status=error.status_code)
        if not request.scope["path"].startswith(openapi.MESSAGES_PATH):
            return Response(openai_answer.error_body(told), error.status_code, media_type="application/json")
        name = Headers(request.scope["headers"]).request_id()
        body = anthropic_answer.error_body(told, name)
        return Response(body, error.status_code, {"request-id": name}, media_type="application/json")
