"""POST /v1/embeddings."""

from gateway.embedder import Embedder
from gateway.server.disclosure import final_headers, forebay_object
from gateway.server.endpoint import Asked, Door, Endpoint, Response
from gateway.server.openai import OpenAIErrors
from gateway.wire.openai_embeddings import embeddings, parse_embeddings


class EmbeddingEndpoint(Endpoint):
    """Answers with vectors."""

    def __init__(self, embedder: Embedder, door: Door) -> None:
        super().__init__(OpenAIErrors(), door)
        self._embedder = embedder

    async def _respond(self, asked: Asked, response: Response) -> None:
        request = parse_embeddings(asked.raw, asked.hints, response.request_id)
        with self._door.watching(asked.receive):
            vectors, outcome = await self._embedder.embed(request, asked.identity)
        answer = outcome.answer
        assert answer is not None
        body = embeddings(request, vectors, answer.response_model or "", answer.usage, forebay_object(outcome))
        await response.whole(final_headers(outcome), body)
