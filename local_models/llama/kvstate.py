"""What a KV stream holds, as bytes that a context with another number of streams takes.

llama.cpp writes a sequence's state as: a magic number, the sequence, the number of streams of the context, and for each
stream how many cells follow and the cells (llama.cpp's `llama_kv_cache::state_write`; all of it 32 bits wide but the
cells). Where streams are split a sequence has cells in its own stream only, and a context takes the state of another
with as many streams as itself: which of them has the cells does not matter.
"""

import contextlib
import mmap
from typing import Final

import numpy as np
from numpy.typing import NDArray

WORD: Final = 4
"""Bytes of a number, and of a stream without cells."""
_STREAMS: Final = 2 * WORD
"""Where the number of streams stands."""
_CELLS: Final = 3 * WORD
"""Where the first stream begins."""


def space(size: int) -> NDArray[np.uint8]:
    """Room for so many bytes. Raises MemoryError.

    The system's own, to which it goes back when nobody has it any more: malloc keeps what was freed, up to 64 MB.
    """
    try:
        pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"there are no {size} bytes for what a stream holds") from error
    with contextlib.suppress(OSError):  # a kernel without them
        pages.madvise(mmap.MADV_HUGEPAGE)  # 4 ms for 23 MB, 14 without
    return np.frombuffer(pages, dtype=np.uint8)


def rewritten(space: NDArray[np.uint8], size: int, slot: int, streams: int, wanted: int) -> NDArray[np.uint8]:
    """The state of `slot` in a context with so many streams, as one with `wanted` streams takes it.

    The state is the first `size` bytes of `space`, which has room for `wanted` words more. It is rewritten in place,
    for it is large. Raises ValueError where it is laid out otherwise.
    """
    found = int(space[_STREAMS:_CELLS].view(np.uint32)[0])
    if found != streams:
        raise ValueError(f"{found} streams where there are {streams}")
    head = space[:_STREAMS].copy()
    begin, end = WORD * slot, size - WORD * (streams - 1 - slot)
    behind = end + WORD * (wanted - 1)
    space[begin : begin + _STREAMS] = head
    space[begin + _STREAMS : begin + _CELLS] = np.array([wanted], dtype=np.uint32).view(np.uint8)
    space[end:behind] = 0
    return space[begin:behind]
