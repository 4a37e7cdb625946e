"""A call of llama.cpp for those whom nobody waits for ends early when somebody comes whom somebody waits for.

    owner thread     arm ── llama_decode ───────────► code 2, what it has done is undone, and planned anew
    any thread                    came: flag = 1 ──┘

llama.cpp asks a function after every operation whether to go on. A Python function would need the interpreter some
thousand times a call; this is the C library's `strlen` of the flag, a text of no or of one character.
"""

import ctypes
import math
import threading
from typing import Final

import llama_cpp

PREEMPTED: Final = 2
"""What llama_decode returns then."""


class Preemption:
    """Of one context. `came` may be called from any thread, everything else by its owner."""

    def __init__(self) -> None:
        self._flag = ctypes.create_string_buffer(2)
        self._strlen = ctypes.cast(ctypes.CDLL(None).strlen, llama_cpp.ggml_abort_callback)
        self._below = -math.inf
        self._lock = threading.Lock()  # whoever compares with one call's priority must not end the next one

    def heed(self, context: llama_cpp.llama_context_p) -> None:
        """Calls of this context end early; it must not outlive this."""
        llama_cpp.llama_set_abort_callback(context, self._strlen, ctypes.c_void_p(ctypes.addressof(self._flag)))

    def arm(self, below: float) -> None:
        """The next call is for sequences of this priority; whoever comes with a lower one goes first."""
        with self._lock:
            self._flag[0] = b"\0"
            self._below = below

    def came(self, priority: int) -> None:
        """Somebody is there. Who comes between two calls waits for the next one, unless it is planned by then."""
        with self._lock:
            if priority < self._below:
                self._flag[0] = b"\1"

    @property
    def asked(self) -> bool:
        """Whether the call is to end, or has ended."""
        return self._flag[0] != b"\0"
