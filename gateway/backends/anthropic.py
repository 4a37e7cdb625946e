"""A provider that speaks Anthropic's Messages API."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import msgspec

from gateway.backends.chat import ChatClient
from gateway.backends.profile import Profile
from gateway.backends.requests import ignored_fields
from gateway.errors import Reason, Rejected
from gateway.messages import ChatRequest, Completion, JsonObject
from gateway.ports import AnswerStream, Call
from gateway.types import BackendSpec
from gateway.wire.anthropic_body import message_body, prompt_body
from gateway.wire.anthropic_turns import untold
from gateway.wire.anthropic_upstream import decode_count

HEADERS: Mapping[str, str] = MappingProxyType({"anthropic-version": "2023-06-01"})
"""The version of the API that is spoken here."""

# That API wants to be told; where neither the caller nor the configuration says how much, it is this.
_MAX_TOKENS = 4096


class AnthropicBackend:
    """Calls `base_url`, which may end in the version, by a model name and a key that only this object knows."""

    standby: None = None

    def __init__(self, spec: BackendSpec, base_url: str, profile: Profile, client: ChatClient) -> None:
        self.spec = spec
        self._url = base_url.rstrip("/").removesuffix("/v1") + "/v1/messages"
        self._profile = profile
        self._client = client

    def ignores(self, request: ChatRequest) -> tuple[str, ...]:
        """Fields of `request` that this model refuses, or that its API has no words for."""
        talk = request.conversation
        # Effort that follows from a budget of thought is sent as that.
        said = request if talk is None or talk.effort else msgspec.structs.replace(request, reasoning_effort=None)
        dropped = ignored_fields(said, self._profile)
        return tuple(sorted({*dropped, *untold(request), *self._dropped_thinking(request)}))

    async def complete(self, call: Call) -> Completion:
        """The whole answer."""
        return await self._client.complete(self._url, self._body(call, stream=False), call.deadline)

    async def stream(self, call: Call) -> AnswerStream:
        """The answer in pieces."""
        return await self._client.stream(self._url, self._body(call, stream=True), call.deadline)

    async def count(self, request: ChatRequest, deadline: float) -> int:
        """The tokens of its prompt, as the provider counts them; it takes nothing for that."""
        body = self._sayable(lambda: prompt_body(self._without_dropped(request), self.spec.model))
        return await self._client.ask(self._url + "/count_tokens", body, deadline, decode_count)

    def _body(self, call: Call, *, stream: bool) -> JsonObject:
        request = self._without_dropped(call.request)
        max_tokens = call.max_tokens or self.spec.max_output or _MAX_TOKENS
        body = self._sayable(lambda: message_body(request, self.spec.model, max_tokens, stream=stream))
        return self._profile.shape(body)

    def _sayable(self, make: Callable[[], JsonObject]) -> JsonObject:
        try:
            return make()
        except ValueError as error:
            raise Rejected(f"{self.spec.name} was not asked: {error}", reason=Reason.CAPABILITY) from error

    def _without_dropped(self, request: ChatRequest) -> ChatRequest:
        """What is dropped by a name that this API writes otherwise, or within another field."""
        drop = self._profile.drop
        if not drop:
            return request
        if "stop" in drop and request.sampling.stop:
            request = msgspec.structs.replace(request, sampling=msgspec.structs.replace(request.sampling, stop=()))
        if "reasoning_effort" in drop and request.reasoning_effort is not None:
            request = msgspec.structs.replace(request, reasoning_effort=None)
        talk = request.conversation
        if talk is not None and "reasoning_effort" in drop and talk.effort is not None:
            request = msgspec.structs.replace(request, conversation=msgspec.structs.replace(talk, effort=None))
        return request

    def _dropped_thinking(self, request: ChatRequest) -> Iterator[str]:
        talk = request.conversation
        if talk is not None and talk.thinking is not None and "thinking" in self._profile.drop:
            yield "thinking"
