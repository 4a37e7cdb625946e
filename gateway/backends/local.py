"""An engine of this box, or one attached to it: the same API, at an address that changes with each start."""

from collections.abc import Callable

import msgspec

from gateway.backends.balance import prefixes
from gateway.backends.chat import ChatClient
from gateway.backends.engine import EngineAddress
from gateway.backends.profile import Profile
from gateway.backends.requests import Sent, ignored_by_openai, sent
from gateway.messages import ChatRequest, Completion
from gateway.ports import AnswerStream, Call
from gateway.types import BackendSpec, EngineView
from gateway.wire.openai_api import decode_token_count
from gateway.wire.openai_upstream import developer_as_system


class LocalBackend:
    """Calls an engine. `view` says where that is at the moment, `standby` who calls another one in its place."""

    def __init__(
        self,
        facts: Callable[[], BackendSpec],
        view: Callable[[], EngineView | None],
        profile: Profile,
        client: ChatClient,
        standby: "LocalBackend | None" = None,
    ) -> None:
        self._facts = facts
        self._engine = EngineAddress(facts(), view)
        self._profile = profile
        self._client = client
        self.standby = standby

    @property
    def spec(self) -> BackendSpec:
        """What is known of it, with what its engine has said it can do."""
        return self._facts()

    def ignores(self, request: ChatRequest) -> tuple[str, ...]:
        """Fields of `request` that this model refuses and is not sent."""
        return ignored_by_openai(request, self._profile)

    async def complete(self, call: Call) -> Completion:
        """The whole answer."""
        each = self._sent(call, stream=False)

        async def send(url: str) -> Completion:
            return await self._client.complete(f"{url}/v1{each.path}", each.body, call.deadline, each.api)

        return await self._engine.ask(send, self._prefixes(call))

    async def stream(self, call: Call) -> AnswerStream:
        """The answer in pieces."""
        each = self._sent(call, stream=True)

        async def send(url: str) -> AnswerStream:
            return await self._client.stream(f"{url}/v1{each.path}", each.body, call.deadline, each.api)

        return await self._engine.stream(send, self._prefixes(call))

    async def count(self, request: ChatRequest, deadline: float) -> int:
        """The tokens of its prompt, by the engine's own tokenizer and template."""
        body = {"model": self._engine.model, "messages": developer_as_system(request.messages)}
        if request.tools:
            body["tools"] = request.tools
        return await self._engine.ask(
            lambda url: self._client.ask(f"{url}/tokenize", body, deadline, decode_token_count)
        )

    def _prefixes(self, call: Call) -> tuple[int, ...]:
        return prefixes(call.request.messages) if self._engine.several else ()

    def _sent(self, call: Call, *, stream: bool) -> Sent:
        # Templates of open models know system, user, assistant and tool; a developer turn would be an error.
        messages = developer_as_system(call.request.messages)
        if messages is not call.request.messages:
            request = msgspec.structs.replace(call.request, messages=messages)
            call = msgspec.structs.replace(call, request=request)
        return sent(call, self.spec, self._engine.model, self._profile, stream=stream)
