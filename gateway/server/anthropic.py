"""The dialect of Anthropic's Messages API, and its count of tokens."""

import msgspec

from gateway.errors import AnswerError
from gateway.messages import ChatRequest, UsageQuality
from gateway.run import Counted
from gateway.server.disclosure import count_headers
from gateway.server.endpoint import AnswerEndpoint, Response
from gateway.types import Identity
from gateway.wire.anthropic_answer import MessageWriter, error_body, error_event, error_status
from gateway.wire.anthropic_request import parse_count, parse_message


class AnthropicMessages:
    """POST /v1/messages; see `dialect.Dialect`."""

    request_id_header: str | None = "request-id"

    def parse(self, raw: bytes, hints: dict[str, str], request_id: str) -> ChatRequest:
        """Read a body. Raises RequestError."""
        return parse_message(raw, hints, request_id)

    def writer(self, request: ChatRequest, model: str) -> MessageWriter:
        """A writer of the answer."""
        return MessageWriter(request.id, model)

    def status(self, error: AnswerError) -> int:
        """The HTTP status of an error."""
        return error_status(error)

    def error_body(self, error: AnswerError, request_id: str) -> bytes:
        """The JSON body of an error."""
        return error_body(error, request_id)

    def error_event(self, error: AnswerError, request_id: str) -> bytes:
        """The event that ends a broken stream."""
        return error_event(error, request_id)


class AnthropicCount(AnthropicMessages):
    """The same for POST /v1/messages/count_tokens, whose bodies lack what concerns the answer."""

    def parse(self, raw: bytes, hints: dict[str, str], request_id: str) -> ChatRequest:
        """Read a body. Raises RequestError."""
        return parse_count(raw, hints, request_id)


class CountEndpoint(AnswerEndpoint):
    """Answers with a count instead of an answer."""

    async def _answer(self, request: ChatRequest, identity: Identity, response: Response) -> None:
        counted = await self._broker.count(request, identity)
        await response.whole(count_headers(request, counted), _count_body(counted))


def _count_body(counted: Counted) -> bytes:
    """`error` is how far the true count may lie from an estimate; one that was counted has none."""
    forebay = {
        "backend": counted.candidate.backend,
        "tier": counted.candidate.tier,
        "quality": UsageQuality.EXACT if counted.asked else UsageQuality.ESTIMATED,
        "error": counted.prompt.error,
        "policy": counted.policy,
    }
    return msgspec.json.encode({"input_tokens": counted.prompt.tokens, "forebay": forebay})
