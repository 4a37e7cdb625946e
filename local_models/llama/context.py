"""The KV streams of a model and the batch that is decoded into them. One thread owns a context; no other may call it.

Flash attention with split KV streams is the exact setting: what a sequence generates does not depend on which others
are decoded beside it, within the limits that `prefixes` draws. For short sequences it is the fastest one, too. For long
ones it is not, because llama.cpp's kernel for fewer than 64 tokens of a sequence at once is slow on a CPU. Milliseconds
of one core per token (SmolLM2-135M, without AMX), by the position:

                        0     512    1024    2048    4000
    one token   flash   18     31      44      72     131
                plain   20     23      26      33      43
    16 tokens   flash  6.5     18      29      53     100
                plain  6.8    7.7     8.7      10      14
    64 tokens   flash  5.8    6.9     7.7     9.6      13
                plain  6.2    7.2     8.1      10      15
"""

import contextlib
import ctypes
import math
from typing import Final, Literal

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from local_models.llama import kvstate
from local_models.llama.errors import EXIT_REFUSED, StartError
from local_models.llama.log import LlamaLog
from local_models.llama.model import Model
from local_models.llama.preemption import Preemption

_PHYSICAL_BATCH: Final = 512
"""Tokens computed at once. Part of the exactness: a reference made with another size differs in the last bits."""

Attention = Literal["flash", "plain"]
"""How it is computed: the exact way, or the one that is fast with long sequences."""


class Batch:
    """Token rows for one call of llama_decode, kept in arrays that llama.cpp reads in place."""

    def __init__(self, capacity: int) -> None:
        self._tokens = np.zeros(capacity, dtype=np.int32)
        self._positions = np.zeros(capacity, dtype=np.int32)
        self._slots = np.zeros(capacity, dtype=np.int32)
        self._wanted = np.zeros(capacity, dtype=np.int8)
        self._one = np.ones(capacity, dtype=np.int32)
        integers = ctypes.POINTER(ctypes.c_int32)
        base = self._slots.ctypes.data
        self._slot_pointers = (integers * capacity)(
            *(ctypes.cast(base + 4 * place, integers) for place in range(capacity))
        )
        self.raw = llama_cpp.llama_batch(
            n_tokens=0,
            token=self._tokens.ctypes.data_as(integers),
            embd=None,
            pos=self._positions.ctypes.data_as(integers),
            n_seq_id=self._one.ctypes.data_as(integers),
            seq_id=self._slot_pointers,
            logits=self._wanted.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )
        self.capacity = capacity

    def clear(self) -> None:
        """Empty the batch."""
        self.raw.n_tokens = 0

    def add(self, slot: int, start: int, tokens: NDArray[np.int32], *, want_last: bool) -> None:
        """Put `tokens` at position `start` and on of stream `slot`; with `want_last` the last one yields logits."""
        begin = self.raw.n_tokens
        end = begin + tokens.size
        self._tokens[begin:end] = tokens
        self._positions[begin:end] = np.arange(start, start + tokens.size, dtype=np.int32)
        self._slots[begin:end] = slot
        self._wanted[begin:end] = 0
        if want_last:
            self._wanted[end - 1] = 1
        self.raw.n_tokens = end

    def want_all(self) -> None:
        """Every token yields an output, which pooling goes over."""
        self._wanted[: self.raw.n_tokens] = 1


def check_context(model: Model, context: int) -> None:
    """Return when the model can read `context` tokens at once. Raises StartError."""
    if context > model.trained_context:
        raise StartError(
            f"--context {context} is more than the {model.trained_context} tokens this model was trained for: "
            f"use --context {model.trained_context} or less",
            EXIT_REFUSED,
        )


class Context:
    """`parallel` KV streams of `context` tokens each."""

    def __init__(  # noqa: PLR0913 - they are llama.cpp's
        self,
        model: Model,
        log: LlamaLog,
        *,
        parallel: int,
        context: int,
        threads: int,
        batch: int,
        attention: Attention = "flash",
    ) -> None:
        check_context(model, context)
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = parallel * context
        params.n_seq_max = parallel
        params.n_batch = max(batch, _PHYSICAL_BATCH)
        params.n_ubatch = _PHYSICAL_BATCH
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = (
            llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED
            if attention == "flash"
            else llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        params.kv_unified = False
        params.no_perf = True
        log.keep_errors()
        pointer = llama_cpp.llama_init_from_model(model.pointer, params)
        errors = log.kept_errors()
        if not pointer:
            why = errors[0] if errors else "no reason given"
            raise StartError(
                f"llama.cpp gives no context for --parallel {parallel} --context {context} ({why}): try smaller ones",
                EXIT_REFUSED,
            )
        memory = llama_cpp.llama_get_memory(pointer)
        assert memory, "a decoder has a memory"
        self._pointer: llama_cpp.llama_context_p = pointer
        self._memory: llama_cpp.llama_memory_t = memory
        self._vocabulary = model.vocabulary.size
        self._keeps_all = model.keeps_all
        self.streams = parallel
        """How many there are."""
        self._threads = threads
        self._preemption: Preemption | None = None
        self._address = 0  # of the logits, which lie where they lay before nearly always
        self._logits = np.empty((0, self._vocabulary), dtype=np.float32)
        self.batch = Batch(params.n_batch)

    def decode(self, below: float = -math.inf) -> int:
        """Evaluate the batch. 0 means done; anything else is llama.cpp's code and leaves the streams in doubt.

        Who comes with a priority `below` this may end it early; see `preemption`.
        """
        if self._preemption is not None:
            self._preemption.arm(below)
        code: int = llama_cpp.llama_decode(self._pointer, self.batch.raw)
        return code

    def logits(self, rows: int) -> NDArray[np.float32]:
        """The raw logits of the `rows` tokens that wanted them, in batch order: [rows, vocabulary].

        A view into llama.cpp's memory, valid until the next `decode`. Callers must not write to it.
        """
        place = llama_cpp.llama_get_logits(self._pointer)  # waits for what is computed still
        address = ctypes.addressof(place.contents)
        if address != self._address or rows > len(self._logits):
            self._address = address
            self._logits = np.ctypeslib.as_array(place, shape=(rows, self._vocabulary))
        return self._logits[:rows]

    def trim(self, slot: int, length: int) -> bool:
        """Keep the first `length` tokens of one stream.

        False: this model's memory cannot be cut there (recurrent, sliding window), and the stream is empty now.
        """
        if length and not llama_cpp.llama_memory_seq_rm(self._memory, slot, length, -1):
            llama_cpp.llama_memory_seq_rm(self._memory, slot, -1, -1)
            return False
        if not length:
            llama_cpp.llama_memory_seq_rm(self._memory, slot, -1, -1)
        return True

    def copy(self, source: int, target: int) -> None:
        """Make stream `target` a copy of `source`, at once.

        llama.cpp's own way is to copy all the room that a stream has, and to do so in the next `decode`: whoever
        exports the target before gets what was there. Of 1,000 tokens in a stream for 5,120 it takes 20 ms, this 6.
        """
        if self._keeps_all:
            with contextlib.suppress(MemoryError):
                size, space = self._state(source)
                if self.adopt(target, space[:size]):
                    return
        llama_cpp.llama_memory_seq_rm(self._memory, target, -1, -1)
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def exchange(self, one: int, other: int) -> tuple[bool, bool]:
        """Two streams change places. Whether each is in its new one: if the first is not, it is where it was.

        A place is empty if whoever should be there is not.
        """
        try:
            states = [self._state(slot)[1] for slot in (one, other)]
        except MemoryError:
            self.trim(other, 0)
            return False, False
        if not self.adopt(other, states[0]):
            return False, False
        self.trim(one, 0)
        return True, self.adopt(one, states[1])

    def use_threads(self, threads: int) -> None:
        """So many compute from the next `decode` on."""
        if threads != self._threads:
            llama_cpp.llama_set_n_threads(self._pointer, threads, threads)
            self._threads = threads

    def export(self, slot: int, streams: int) -> NDArray[np.uint8]:
        """What a stream holds, for another context of the same model, with so many streams. Raises MemoryError.

        A copy: of SmolLM2-135M 23 kB per token.
        """
        size, space = self._state(slot, spare=kvstate.WORD * streams)
        return kvstate.rewritten(space, size, slot, self.streams, streams)

    def adopt(self, slot: int, state: NDArray[np.uint8]) -> bool:
        """Put what another context has exported in the place of what a stream holds. False: it holds nothing now."""
        place = state.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        if llama_cpp.llama_state_seq_set_data(self._pointer, place, state.size, slot):
            return True
        self.trim(slot, 0)
        return False

    def heed(self, preemption: Preemption) -> None:
        """Let calls of `decode` be ended by it."""
        self._preemption = preemption
        preemption.heed(self._pointer)

    def close(self) -> None:
        """Free the streams."""
        llama_cpp.llama_free(self._pointer)

    def _state(self, slot: int, spare: int = 0) -> tuple[int, NDArray[np.uint8]]:
        """What a stream holds: its size and its bytes, with some room behind them. Raises MemoryError."""
        size = llama_cpp.llama_state_seq_get_size(self._pointer, slot)
        space = kvstate.space(size + spare)
        place = space.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        if llama_cpp.llama_state_seq_get_data(self._pointer, place, size, slot) != size:
            raise MemoryError(f"llama.cpp does not give the {size} bytes of a stream")
        return size, space
