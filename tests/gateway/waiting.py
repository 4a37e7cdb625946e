"""Waiting for what another thread or process does."""

import threading
import time
from collections.abc import Callable


def until(condition: Callable[[], bool], what: str, timeout: float = 30.0) -> None:
    """Wait for a condition; fail with `what` when it has not come in `timeout` seconds."""
    pause = threading.Event()
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not in {timeout} s: {what}"
        pause.wait(0.005)
