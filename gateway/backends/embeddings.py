"""What gives vectors: a provider, or an engine. The same API, at an address that is known or that changes."""

from collections.abc import Callable
from functools import partial

from gateway.backends.chat import ChatClient
from gateway.backends.engine import EngineAddress
from gateway.backends.profile import Profile
from gateway.messages import JsonObject
from gateway.types import BackendSpec, EngineView, Priority
from gateway.vectors import EmbeddingRequest, Vectors
from gateway.wire.openai_embeddings import decode_embeddings, embedding_body


class ProviderVectors:
    """Calls `base_url` with a model name and a key that only this object knows."""

    def __init__(self, spec: BackendSpec, base_url: str, profile: Profile, client: ChatClient) -> None:
        self.spec = spec
        self._url = base_url.rstrip("/") + "/embeddings"
        self._profile = profile
        self._client = client

    def ignores(self, request: EmbeddingRequest) -> tuple[str, ...]:
        """Fields of `request` that this model refuses and is not sent."""
        return _ignored(request, self._profile)

    async def embed(self, request: EmbeddingRequest, deadline: float, priority: Priority) -> Vectors:
        """A vector for each input."""
        body = _body(request, self.spec.model, self._profile, priority)
        return await self._client.ask(self._url, body, deadline, partial(decode_embeddings, count=len(request.inputs)))


class EngineVectors:
    """Calls whatever engine serves this backend's name at the moment. `view` says where that is."""

    def __init__(
        self, spec: BackendSpec, view: Callable[[], EngineView | None], profile: Profile, client: ChatClient
    ) -> None:
        self.spec = spec
        self._engine = EngineAddress(spec, view)
        self._profile = profile
        self._client = client

    def ignores(self, request: EmbeddingRequest) -> tuple[str, ...]:
        """Fields of `request` that this model refuses and is not sent."""
        return _ignored(request, self._profile)

    async def embed(self, request: EmbeddingRequest, deadline: float, priority: Priority) -> Vectors:
        """A vector for each input."""
        decode = partial(decode_embeddings, count=len(request.inputs))
        body = _body(request, self._engine.model, self._profile, priority)
        return await self._engine.ask(lambda url: self._client.ask(f"{url}/v1/embeddings", body, deadline, decode))


def _body(request: EmbeddingRequest, model: str, profile: Profile, priority: Priority) -> JsonObject:
    body = embedding_body(request, model)
    profile.prioritise(body, priority)
    return profile.shape(body)


def _ignored(request: EmbeddingRequest, profile: Profile) -> tuple[str, ...]:
    asked = {name for name in ("dimensions", "user") if getattr(request, name) is not None}
    return tuple(sorted(asked & profile.drop))
