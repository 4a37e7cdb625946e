"""The plain way to log-probabilities: evaluate a whole text at once, keep all logits, take the log-softmax."""

import ctypes

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from local_models.llama.model import Model

CONTEXT = 1024


class Reference:
    """One sequence at a time, with llama.cpp's own batch helper and every position's logits."""

    def __init__(self, model: Model) -> None:
        self.vocabulary = model.vocabulary
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = CONTEXT
        params.n_batch = CONTEXT
        params.n_ubatch = 512
        params.n_threads = params.n_threads_batch = 1
        params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED
        context = llama_cpp.llama_init_from_model(model.pointer, params)
        assert context
        memory = llama_cpp.llama_get_memory(context)
        assert memory
        self._context: llama_cpp.llama_context_p = context
        self._memory: llama_cpp.llama_memory_t = memory

    def logprobs(self, tokens: list[int]) -> NDArray[np.float64]:
        """Row i: log-probabilities of the token after the first i + 1 tokens. [tokens, vocabulary]."""
        return self.in_parts([tokens])

    def in_parts(self, parts: list[list[int]]) -> NDArray[np.float64]:
        """As `logprobs`, the text evaluated in these parts."""
        llama_cpp.llama_memory_seq_rm(self._memory, 0, -1, -1)
        starts = [sum(map(len, parts[:place])) for place in range(len(parts))]
        return np.concatenate([self._evaluate(start, part) for start, part in zip(starts, parts, strict=True)])

    def _evaluate(self, start: int, tokens: list[int]) -> NDArray[np.float64]:
        batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
        try:
            batch.n_tokens = len(tokens)
            for place, token in enumerate(tokens):
                batch.token[place] = token
                batch.pos[place] = start + place
                batch.n_seq_id[place] = 1
                batch.seq_id[place][0] = 0
                batch.logits[place] = 1
            assert llama_cpp.llama_decode(self._context, batch) == 0
        finally:
            llama_cpp.llama_batch_free(batch)
        pointer = ctypes.cast(llama_cpp.llama_get_logits(self._context), ctypes.POINTER(ctypes.c_float))
        logits = np.ctypeslib.as_array(pointer, shape=(len(tokens), self.vocabulary.size)).astype(np.float64)
        peak = logits.max(axis=1, keepdims=True)
        normal: NDArray[np.float64] = logits - peak - np.log(np.exp(logits - peak).sum(axis=1, keepdims=True))
        return normal

    def close(self) -> None:
        """Free the context."""
        llama_cpp.llama_free(self._context)
