"""A provider: any address that speaks OpenAI's API."""

import msgspec

from gateway.backends.chat import ChatClient
from gateway.backends.profile import Profile
from gateway.backends.requests import ignored_by_openai, sent
from gateway.messages import ChatRequest, Completion
from gateway.ports import AnswerStream, Call
from gateway.types import BackendSpec


class OpenAIBackend:
    """Calls `base_url` with a model name and a key that only this object knows."""

    standby: None = None

    def __init__(self, spec: BackendSpec, base_url: str, profile: Profile, client: ChatClient) -> None:
        self.spec = spec
        self._url = base_url.rstrip("/")
        # The API as such knows no top_k; a provider that does is given one by `params.defaults`.
        self._profile = msgspec.structs.replace(profile, drop=profile.drop | {"top_k"})
        self._client = client

    def ignores(self, request: ChatRequest) -> tuple[str, ...]:
        """Fields of `request` that this model refuses and is not sent."""
        return ignored_by_openai(request, self._profile)

    async def complete(self, call: Call) -> Completion:
        """The whole answer."""
        each = sent(call, self.spec, self.spec.model, self._profile, stream=False)
        return await self._client.complete(self._url + each.path, each.body, call.deadline, each.api)

    async def stream(self, call: Call) -> AnswerStream:
        """The answer in pieces."""
        each = sent(call, self.spec, self.spec.model, self._profile, stream=True)
        return await self._client.stream(self._url + each.path, each.body, call.deadline, each.api)

    async def count(self, _request: ChatRequest, _deadline: float) -> int | None:
        """This API counts only what it answers."""
        return None
