"""The dialects of OpenAI's API."""

from gateway.errors import AnswerError
from gateway.messages import ChatRequest
from gateway.wire.openai_answer import AnswerEncoder, error_body, error_event
from gateway.wire.openai_request import parse_chat
from gateway.wire.openai_text_answer import TextEncoder
from gateway.wire.openai_text_request import parse_text


class OpenAIErrors:
    """See `dialect.ErrorDialect`."""

    request_id_header: str | None = None

    def status(self, error: AnswerError) -> int:
        """The HTTP status of an error."""
        return error.status

    def error_body(self, error: AnswerError, _request_id: str) -> bytes:
        """The JSON body of an error."""
        return error_body(error)

    def error_event(self, error: AnswerError, _request_id: str) -> bytes:
        """The event that ends a broken stream."""
        return error_event(error)


class OpenAIChat(OpenAIErrors):
    """POST /v1/chat/completions; see `dialect.Dialect`."""

    def parse(self, raw: bytes, hints: dict[str, str], request_id: str) -> ChatRequest:
        """Read a body. Raises RequestError."""
        return parse_chat(raw, hints, request_id)

    def writer(self, request: ChatRequest, model: str) -> AnswerEncoder:
        """A writer of the answer."""
        return AnswerEncoder(
            request.id,
            request.created,
            model,
            request.top_logprobs if request.logprobs else None,
            n=request.sampling.n,
            include_usage=request.include_usage,
        )


class OpenAIText(OpenAIErrors):
    """POST /v1/completions; see `dialect.Dialect`."""

    def parse(self, raw: bytes, hints: dict[str, str], request_id: str) -> ChatRequest:
        """Read a body. Raises RequestError."""
        return parse_text(raw, hints, request_id)

    def writer(self, request: ChatRequest, model: str) -> TextEncoder:
        """A writer of the answer."""
        return TextEncoder(
            request.id,
            request.created,
            model,
            request.top_logprobs if request.logprobs else None,
            include_usage=request.include_usage,
        )
