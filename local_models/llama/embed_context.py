"""Token rows in, one vector of length 1 per text out. One thread owns a context; no other may call it.

Two settings decide whether the vectors are right (llama-cpp-python 0.3.36; texts of 5, 4, 1 and 103 tokens in one
batch against each alone, SmolLM2-135M with mean pooling). With split KV streams llama.cpp cuts texts of unequal length
into several physical batches and pools each by itself: cosine 0.89, without a word. So the streams are unified and a
batch is never larger than a physical one: 0.99999. Flash attention computes short texts in another way than many
tokens: 0.9998, so it is off where there is a KV memory to attend to. Without one (BERT and its kin) it is exact, and
quicker.
"""

from collections.abc import Sequence
from typing import Final

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from local_models.llama.context import Batch, check_context
from local_models.llama.errors import EXIT_REFUSED, EngineError, StartError
from local_models.llama.log import LlamaLog
from local_models.llama.model import Model

_LEAST_BATCH: Final = 512
"""Tokens: more at a time gain little on a CPU, and whoever comes meanwhile waits for the end of the batch."""
_MOST_TEXTS: Final = 64
_EXACT_UP_TO: Final = 2048
"""Without flash attention the scores of all tokens for all tokens lie in memory at once: of 2,048, 16 MB for each of
the model's heads, and from there on sixteen times that for every fourfold."""


class UncomputableError(EngineError):
    """llama.cpp could not evaluate a batch, or what came out is no vector."""


class EmbedContext:
    """Vectors of texts of up to `context` tokens each."""

    def __init__(self, model: Model, log: LlamaLog, *, context: int, threads: int, pooling: int) -> None:
        check_context(model, context)
        self.capacity = max(context, _LEAST_BATCH)
        """Tokens that one batch may have, all its texts together."""
        self.most = _MOST_TEXTS
        """Texts that one batch may have."""
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = self.capacity
        params.n_seq_max = self.most
        params.n_threads = params.n_threads_batch = threads
        params.embeddings = True
        params.pooling_type = pooling
        params.kv_unified = True
        params.no_perf = True
        long = self.capacity > _EXACT_UP_TO
        params.flash_attn_type = (
            llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED
            if long or model.nature.reads_back
            else llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        log.keep_errors()
        pointer = llama_cpp.llama_init_from_model(model.pointer, params)
        errors = log.kept_errors()
        if not pointer:
            why = errors[0] if errors else "no reason given"
            raise StartError(f"llama.cpp gives no context for --context {context} ({why}): try less", EXIT_REFUSED)
        self._pointer: llama_cpp.llama_context_p = pointer
        self._memory: llama_cpp.llama_memory_t | None = llama_cpp.llama_get_memory(pointer)
        self._width = model.width
        self._batch = Batch(self.capacity)

    def embed(self, texts: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
        """One vector of length 1 for each text: [texts, width]. Raises UncomputableError.

        At most `most` texts with together `capacity` tokens.
        """
        self._batch.clear()
        for place, tokens in enumerate(texts):
            self._batch.add(place, 0, tokens, want_last=True)
        self._batch.want_all()
        if self._memory:
            llama_cpp.llama_memory_seq_rm(self._memory, -1, -1, -1)
        code = llama_cpp.llama_decode(self._pointer, self._batch.raw)
        if code != 0:
            raise UncomputableError(f"llama.cpp could not evaluate the batch (code {code})")
        return np.stack([self._vector(place) for place in range(len(texts))])

    def close(self) -> None:
        """Free it."""
        llama_cpp.llama_free(self._pointer)

    def _vector(self, place: int) -> NDArray[np.float32]:
        pooled = llama_cpp.llama_get_embeddings_seq(self._pointer, place)
        if not pooled:
            raise UncomputableError("llama.cpp gives no vector")
        # A view into llama.cpp's memory; the division makes a copy of it.
        vector = np.ctypeslib.as_array(pooled, shape=(self._width,)).astype(np.float64)
        length = float(np.sqrt(vector @ vector))
        if not np.isfinite(length) or length == 0:
            raise UncomputableError("the model gives no vector that has a direction")
        found: NDArray[np.float32] = (vector / length).astype(np.float32)
        return found
