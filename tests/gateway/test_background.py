"""Work in the background: in order, nothing twice, nothing lost, and nobody waits for it."""

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.background import BackgroundBatches
from tests.gateway.waiting import until

NAME = "forebay-test"


class Taker:
    """Does as much of each batch in turn as `does` says; all of it when that is at its end.

    It begins a batch only once `may_go` is set.
    """

    def __init__(self, *does: int | Exception) -> None:
        self.batches: list[list[int]] = []
        self.done: list[int] = []
        self.may_go = threading.Event()
        self.may_go.set()
        self.threads: set[str] = set()
        self.began = threading.Event()
        self._does = iter(does)

    def __call__(self, batch: Sequence[int]) -> int:
        """Take a batch."""
        self.batches.append(list(batch))
        self.threads.add(threading.current_thread().name)
        self.began.set()
        assert self.may_go.wait(60)
        step = next(self._does, len(batch))
        if isinstance(step, Exception):
            raise step
        count = min(step, len(batch))
        self.done += batch[:count]
        return count


def background(
    taker: Taker, *, pause_s: float = 0.001, retry_s: float = 0.001, largest: int = 1000
) -> BackgroundBatches[int]:
    """Batches for this taker."""
    return BackgroundBatches(NAME, taker, pause_s=pause_s, retry_s=retry_s, largest=largest)


def times_awake(thread: threading.Thread) -> int:
    """How often the kernel has let a thread run after it slept."""
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("voluntary_ctxt_switches"))


def test_items_are_taken_without_being_asked_for() -> None:
    """In a thread of its own, one item as well as many."""
    taker = Taker()
    work = background(taker)
    work.add(1)
    until(lambda: taker.done == [1], "the first is done")
    work.add(2)
    until(lambda: taker.done == [1, 2], "the second is done")
    until(lambda: len(work) == 0, "nothing is left")
    assert taker.threads == {NAME}
    assert work.close() == 0


def test_what_gathers_is_one_batch() -> None:
    """While one batch is being taken, the next one grows."""
    taker = Taker()
    taker.may_go.clear()
    work = background(taker)
    work.add(0)
    assert taker.began.wait(60)
    for item in range(1, 100):
        work.add(item)
    assert len(work) == 100
    taker.may_go.set()
    until(lambda: len(work) == 0, "all done")
    assert taker.batches == [[0], list(range(1, 100))]
    work.close()


def test_it_waits_a_moment_for_more() -> None:
    """Under load the pause makes batches large: what comes within it goes together; closing ends it."""
    taker = Taker()
    work = background(taker, pause_s=60.0)
    for item in range(50):
        work.add(item)
    assert taker.batches == []
    assert work.close() == 0
    assert taker.batches == [list(range(50))]


def test_a_batch_is_bounded() -> None:
    """However much has gathered, no more than `largest` go at a time, in order."""
    taker = Taker()
    work = background(taker, pause_s=60.0, largest=4)
    for item in range(10):
        work.add(item)
    work.close()
    assert taker.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_what_is_not_done_comes_again() -> None:
    """First in the next batch, with what has come behind it; what is done does not come again."""
    taker = Taker(1, 2, 0)
    taker.may_go.clear()
    work = background(taker, largest=4)
    work.add(0)
    assert taker.began.wait(60)
    for item in range(1, 8):
        work.add(item)
    taker.may_go.set()
    until(lambda: len(work) == 0, "all done")
    assert taker.batches == [[0], [1, 2, 3, 4], [3, 4, 5, 6], [3, 4, 5, 6], [7]]
    assert taker.done == list(range(8))
    work.close()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 2, 3, ValueError("no")]), max_size=12), st.integers(0, 40), st.integers(1, 7))
def test_nothing_is_lost_twice_done_or_out_of_order(does: list[int | Exception], count: int, largest: int) -> None:
    """Whatever part of whichever batch fails, and however it fails."""
    taker = Taker(*does)
    work = background(taker, largest=largest)
    for item in range(count):
        work.add(item)
    until(lambda: len(work) == 0, "all done")
    assert work.close() == 0
    assert taker.done == list(range(count))
    assert all(len(batch) <= largest for batch in taker.batches)


def test_an_error_is_told_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The thread lives on, and the batch comes again."""
    taker = Taker(OSError("no more room"))
    work = background(taker)
    with caplog.at_level(logging.ERROR, "forebay.background"):
        work.add(1)
        until(lambda: taker.done == [1], "done after all")
    (record,) = caplog.records
    assert NAME in record.getMessage()
    assert "OSError: no more room" in caplog.text
    work.close()


def test_it_does_not_try_again_at_once() -> None:
    """A full disk is not asked a thousand times a second: there is a pause, which closing ends."""
    taker = Taker(0, 0)
    work = background(taker, retry_s=60.0)
    work.add(1)
    until(lambda: len(taker.batches) == 1, "the first try")
    assert work.close() == 1
    assert taker.batches == [[1], [1]]


def test_close_takes_what_is_left() -> None:
    """All of it, although no pause is over."""
    taker = Taker()
    work = background(taker, pause_s=60.0, largest=10)
    for item in range(1000):
        work.add(item)
    before = time.perf_counter()
    assert work.close() == 0
    assert time.perf_counter() - before < 30
    assert taker.done == list(range(1000))


def test_close_tries_once_and_says_what_is_left() -> None:
    """It does not go on for ever with what cannot be done."""
    taker = Taker(3, 0, 0)
    work = background(taker, pause_s=60.0)
    for item in range(10):
        work.add(item)
    assert work.close() == 7
    assert taker.done == [0, 1, 2]
    assert len(taker.batches) == 1


def test_close_has_patience_and_no_more() -> None:
    """Of a taker that does not come back the thread is left behind, and what it held counts as not done."""
    taker = Taker()
    taker.may_go.clear()
    work = background(taker)
    work.add(1)
    work.add(2)
    assert taker.began.wait(60)
    before = time.perf_counter()
    assert work.close(patience_s=0.05) == 2
    assert 0.04 < time.perf_counter() - before < 10
    taker.may_go.set()
    assert work.close() == 0
    assert taker.done == [1, 2]


def test_closing_what_never_worked_is_quick() -> None:
    """Nothing is taken, and the thread is gone."""
    taker = Taker()
    before = threading.active_count()
    work = background(taker, pause_s=60.0)
    assert threading.active_count() == before + 1
    assert work.close() == 0
    assert taker.batches == []
    assert threading.active_count() == before


def test_while_nothing_comes_it_sleeps() -> None:
    """It does not wake to look: an idle gateway costs nothing."""
    idle = background(Taker(), pause_s=0.0)
    thread = next(each for each in threading.enumerate() if each.name == NAME)
    busy = background(Taker(), pause_s=0.0)
    idle.add(1)
    until(lambda: len(idle) == 0, "done")

    def sleeps_while_the_other_works() -> bool:
        before = times_awake(thread)
        for item in range(100):
            busy.add(item)
            until(lambda: len(busy) == 0, "done by the other one")
        return times_awake(thread) == before

    until(sleeps_while_the_other_works, "asleep")
    assert (idle.close(), busy.close()) == (0, 0)


def test_adding_does_not_wait() -> None:
    """Not even while the taker is stuck."""
    taker = Taker()
    taker.may_go.clear()
    work = background(taker)
    work.add(0)
    assert taker.began.wait(60)
    before = time.perf_counter()
    for item in range(1, 10_000):
        work.add(item)
    assert time.perf_counter() - before < 2.0
    taker.may_go.set()
    work.close()
    assert taker.done == list(range(10_000))
