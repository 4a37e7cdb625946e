"""Long prompts in a context of their own, on some of the threads, while the streams are decoded on the others.

However a step is cut, it lasts as long as its longest part, and all streams wait for it: 64 tokens of a prompt at
position 4,000 take seven streams of SmolLM2-135M from 60 ms a step to 480 (flash attention, two cores), and fewer at a
time take a kernel so slow that the prompt would never end. Aside nobody waits for them. A step of the streams takes
97 ms then, on one core, and the prompt 18 s, where it takes 12 to 16 alone on both. The two contexts do not share their
KV memory, so what the one holds is copied to the other and back: 31 ms for 4,000 tokens (92 MB), half of which the
streams wait.

    owner thread                                   aside
    begin ── tokens, what the stream holds ──►  piece by piece
                                        ◄──── Further ── after each piece
    adopt, generate  ◄── Evaluated ── what the stream holds now, the row of logits
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from local_models.llama.errors import StartError
from local_models.llama.jobs import Errand, Evaluated, Further
from local_models.llama.shares import unbroken
from local_models.llama.streams import Streams

_logger = logging.getLogger(__name__)

_SAME: Final = 0.01
"""Logits that differ by no more do so because of rounding."""
_FAILED: Final = -1
"""Where llama.cpp gives no code: the state could not be taken over."""


@dataclass(frozen=True, slots=True)
class Threads:
    """How many compute in all, and how many of them aside while others run."""

    all: int
    aside: int


def spare(streams: Streams, make: Callable[[], Streams]) -> Streams | None:
    """The context that `make` makes, if there is memory for it and what the one holds can go on in the other.

    None: there is no such context, and the log says why.
    """
    try:
        single = make()
    except (StartError, MemoryError) as error:
        _say_without(f"there is no memory for one stream more ({error})")
        return None
    if fits(streams, single):
        return single
    single.close()
    _say_without("what one context holds cannot go on in another")
    return None


def _say_without(why: str) -> None:
    _logger.warning(
        "no long prompt is evaluated aside: %s; other requests' tokens wait for its pieces, several times as long each",
        why,
    )


def fits(streams: Streams, single: Streams) -> bool:
    """Whether what one context holds can go on in the other; another llama.cpp may write it otherwise than `kvstate`.

    Both are empty before and after.
    """
    for each in (streams, single):
        _next(each, 0)
    try:
        there = streams.adopt(0, single.export(0, streams.streams)) and single.adopt(0, streams.export(0, 1))
    except (ValueError, MemoryError):
        there = False
    same = there and bool(np.allclose(_next(streams, 1), _next(single, 1), atol=_SAME))
    for each in (streams, single):
        each.trim(0, 0)
    return same


def _next(streams: Streams, position: int) -> NDArray[np.float32]:
    streams.batch.clear()
    streams.batch.add(0, position, np.zeros(1, dtype=np.int32), want_last=True)
    return streams.logits(1)[0].copy() if streams.decode() == 0 else np.full(1, np.nan, dtype=np.float32)


class Aside:
    """One prompt at a time. The owner thread calls every method; `tell` is called on the thread of the prompt."""

    def __init__(
        self, stream: Streams, threads: Threads, piece: int, tell: Callable[[Further | Evaluated], None]
    ) -> None:
        """`stream` is a context with one stream. Up to `piece` tokens are evaluated at once."""
        self.all = threads.all
        """The threads there are."""
        self.leaves = max(1, threads.all - threads.aside)
        """And those that others have meanwhile."""
        self._stream = stream
        self._aside = self._threads = threads.aside
        self._piece = piece
        self._tell = tell
        self._wanted: Errand | None = None  # what is evaluated, or about to be
        self._going = threading.Event()
        self._going.set()
        self._thread: threading.Thread | None = None

    def begin(self, errand: Errand) -> None:
        """Evaluate a prompt. Nothing else may be under way: the last one has been reported as evaluated."""
        self._threads = self._aside
        self._wanted = errand
        # A thread for each: OpenMP's threads end with it, and while there are more of them than CPUs all are slower.
        self._thread = threading.Thread(target=self._run, args=(errand,), name="llama-aside", daemon=True)
        self._thread.start()

    def drop(self) -> None:
        """Nobody waits for it any longer. It ends after its piece, and is reported all the same."""
        self._wanted = None
        self._going.set()

    def go_on(self, *, alone: bool, waits: bool) -> None:
        """From the next piece on with all threads, or its part of them; or it waits."""
        self._threads = self.all if alone else self._aside
        if waits and self._wanted is not None:
            self._going.clear()
        else:
            self._going.set()

    def close(self) -> None:
        """Wait for the end of the piece that is under way, and free the stream."""
        self.drop()
        if self._thread is not None:
            self._thread.join()
        self._stream.close()

    def _run(self, errand: Errand) -> None:
        self._tell(self._evaluate(errand))

    def _evaluate(self, errand: Errand) -> Evaluated:
        try:
            return self._whole(errand)
        except Exception:  # whatever it is, the owner thread has to know that this one does not come back
            _logger.exception("a prompt could not be evaluated aside")
            return Evaluated(errand, _FAILED)
        finally:
            self._stream.trim(0, 0)

    def _whole(self, errand: Errand) -> Evaluated:
        if errand.held is not None and not self._stream.adopt(0, errand.held):
            return Evaluated(errand, _FAILED)
        done = 0
        while done < errand.tokens.size:
            self._going.wait()
            if self._wanted is not errand:
                return Evaluated(errand, _FAILED)
            count = unbroken(errand.tokens.size - done, self._piece)
            if code := self._decode(errand, done, count):
                return Evaluated(errand, code)
            done += count
            self._tell(Further(count))
        row = self._stream.logits(1)[0].copy()
        return Evaluated(errand, 0, self._stream.export(0, errand.streams), row)

    def _decode(self, errand: Errand, done: int, count: int) -> int:
        last = done + count == errand.tokens.size
        batch = self._stream.batch
        batch.clear()
        batch.add(0, errand.start + done, errand.tokens[done : done + count], want_last=last)
        self._stream.use_threads(self._threads)
        return self._stream.decode()
