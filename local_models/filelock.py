"""A lock between processes that the kernel takes back when its holder dies, however it dies."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_POLL_S: Final = 0.1


def try_lock(path: Path) -> int | None:
    """Take the lock: a file descriptor that holds it until closed, or None when somebody else has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def locked(path: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock, waiting for it as long as it takes; `waiting` is called at each vain attempt.

    The file stays: removing it would let two processes hold locks on two files of the same name.
    """
    while (descriptor := try_lock(path)) is None:
        if waiting is not None:
            waiting()
        time.sleep(_POLL_S)
    try:
        yield
    finally:
        os.close(descriptor)
