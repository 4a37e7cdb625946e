"""What llama.cpp has to say: warnings and errors go to stderr, and errors are kept while a model loads."""

import ctypes
import sys
from collections.abc import Callable
from typing import Final

import llama_cpp

_WARNING: Final = 3
_ERROR: Final = 4
_CONTINUED: Final = (
    5  # the rest of a line whose beginning had a level; ggml.h numbers them, llama_cpp._logger is out of date
)


class LlamaLog:
    """llama.cpp's log, which is one per process: the last one made is told."""

    def __init__(self) -> None:
        self._level = 0
        self._kept: list[str] | None = None
        self._hushed: Callable[[], bool] = lambda: False
        callback = llama_cpp.llama_log_callback(self._take)
        # llama.cpp calls it for as long as the process lives, whoever has forgotten this object by then.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(callback))
        llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))

    def keep_errors(self) -> None:
        """From here on errors are kept instead of printed, until `kept_errors`."""
        self._kept = []

    def kept_errors(self) -> tuple[str, ...]:
        """The errors since `keep_errors`, each without its line end; later ones are printed again."""
        kept, self._kept = self._kept or [], None
        return tuple(kept)

    def hush(self, wanted: Callable[[], bool]) -> None:
        """While `wanted` says so nothing is printed: it calls an end that was asked for an error."""
        self._hushed = wanted

    def _take(self, level: int, text: bytes, _user_data: int | None) -> None:
        if level != _CONTINUED:
            self._level = level
        if self._level not in (_WARNING, _ERROR) or self._hushed():
            return
        line = text.decode("utf-8", "replace")
        if self._level == _ERROR and self._kept is not None:
            self._kept.append(line.strip())
        else:
            sys.stderr.write(line)
            sys.stderr.flush()
