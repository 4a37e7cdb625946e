"""The process and its parent."""

import ctypes
import os
import signal
import sys
from typing import Final

from local_models.llama.errors import EXIT_ORPHAN, StartError

_PR_SET_PDEATHSIG: Final = 1
_INIT: Final = 1


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies, so that an engine never outlives its host. Linux only.

    The kernel means the parent's *thread* that started the process: a host must start engines from a thread that
    lives as long as it does. Raises StartError when the parent has gone already.
    """
    if sys.platform != "linux":
        return
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise StartError(f"prctl failed ({os.strerror(ctypes.get_errno())}): use --stand-alone", EXIT_ORPHAN)
    if os.getppid() == _INIT:
        raise StartError("the process that started this engine has gone: use --stand-alone to run on", EXIT_ORPHAN)
