"""Work that must not hold up answers: a thread that takes what has gathered, a batch at a time.

Waking a thread for every item would cost more than the work: it pauses after each batch, so that under load the
next one is large, and sleeps without waking at all while nothing comes.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

_log = logging.getLogger("forebay.background")


class BackgroundBatches(Generic[T]):
    """Hands items to `take` in order, in a thread of its own.

    `take` gets a batch and says how many items, from the first, are done with; the others come again in the next
    batch. Should it raise, that is logged, and none of the batch is done with. `pause_s` is how long the thread waits
    for more after waking, `retry_s` how long before it tries again what was not done.
    """

    def __init__(
        self,
        name: str,
        take: Callable[[Sequence[T]], int],
        *,
        pause_s: float,
        retry_s: float = 1.0,
        largest: int = 1000,
    ) -> None:
        self._name = name
        self._take = take
        self._pause_s = pause_s
        self._retry_s = retry_s
        self._largest = largest
        self._waiting: deque[T] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """Items not done with yet."""
        return len(self._waiting)

    def add(self, item: T) -> None:
        """Hand over one item; returns at once."""
        self._waiting.append(item)
        if not self._wake.is_set():
            self._wake.set()

    def close(self, patience_s: float | None = None) -> int:
        """Take what is left, trying once, and end. Returns how many items could not be done with.

        With `patience_s` the thread is left behind when it has not ended by then.
        """
        self._closing.set()
        self._wake.set()
        self._thread.join(patience_s)
        return len(self._waiting)

    def _run(self) -> None:
        pause = self._pause_s
        self._wake.wait()
        while not self._closing.wait(pause):
            self._wake.clear()
            # What comes meanwhile goes with the next batch, after another pause: under load it takes long to get the
            # interpreter back for each item, and batches of the few that came in that time would cost the most.
            if self._take_first(len(self._waiting)):
                pause = self._pause_s
                self._wake.wait()
            else:
                pause = self._retry_s
        self._take_first(len(self._waiting))

    def _take_first(self, count: int) -> bool:
        """Whether the first `count` items are done with."""
        while count:
            batch = [self._waiting[index] for index in range(min(self._largest, count))]
            done = self._taken(batch)
            for _ in range(done):
                self._waiting.popleft()
            if done < len(batch):
                return False
            count -= done
        return True

    def _taken(self, batch: Sequence[T]) -> int:
        """How many of the batch are done with. An error must not end the thread, or all that comes would be lost."""
        try:
            return self._take(batch)
        except Exception:  # noqa: BLE001 - whatever it is, it is logged, and what waits is tried again
            _log.exception("%s failed with %d items, which wait", self._name, len(batch))
            return 0
