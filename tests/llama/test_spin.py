"""Threads that wait awake for each other do so briefly while others want the CPUs."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from local_models.llama.spin import Contention, Crowd, OwnThreads, Spin, Stat, brief_beside_others, since
from tests.llama.engine_process import eventually

LIBRARY = "libgomp.so.1"
ALONE, CROWDED, BESIDE, IDLE = (0.45, 0.05), (0.37, 0.13), (0.2, 0.3), (0.005, 0.03)


def looks(contention: Contention, seen: tuple[float, float], begin: float, end: float) -> list[bool]:
    """What is found at each of some looks."""
    found = []
    for look in range(round((end - begin) / 0.25)):
        contention.seen(*seen, begin + 0.25 * look)
        found.append(contention.found)
    return found


def test_contention_is_found_at_once_and_held_for_a_while() -> None:
    """Half a second after it was seen last; and not by a look such as there are without others."""
    contention = Contention()
    assert not any(looks(contention, ALONE, 0, 5))
    assert not any(looks(contention, CROWDED, 5, 8))
    assert all(looks(contention, BESIDE, 8, 11))
    assert looks(contention, ALONE, 11, 20) == [True, *[False] * 35]


def test_it_is_held_longer_where_it_comes_again_soon() -> None:
    """Twice as long each time, up to a minute; and as at first once it has stayed away."""
    contention, now, held = Contention(), 0.0, []
    for _ in range(9):
        assert all(looks(contention, BESIDE, now, now + 1))
        quiet = looks(contention, ALONE, now + 1, now + 100)
        held.append(quiet.index(False) / 4)
        now += 1 + held[-1] + 0.5
    assert held == pytest.approx([0.25, 0.75, 1.75, 3.75, 7.75, 15.75, 31.75, 63.75, 63.75])
    now += 1000
    assert all(looks(contention, BESIDE, now, now + 1))
    assert looks(contention, ALONE, now + 1, now + 100).index(False) / 4 == 0.25


@pytest.mark.parametrize("first", [ALONE, BESIDE])
def test_threads_that_have_nothing_to_do_say_nothing(first: tuple[float, float]) -> None:
    """What was found last holds."""
    contention = Contention()
    found = looks(contention, first, 0, 1)[-1]
    assert set(looks(contention, IDLE, 1, 500)) == {found}


def test_seconds_are_those_of_threads_that_were_there_both_times() -> None:
    """One has ended, another has begun."""
    before: Stat = {"1": (1.0, 2.0), "2": (5.0, 5.0), "3": (0.5, 0.0)}
    after: Stat = {"1": (1.5, 2.25), "3": (0.75, 1.0), "4": (9.0, 9.0)}
    assert since(before, after) == (0.75, 1.25)


@pytest.fixture
def threads() -> Iterator[OwnThreads]:
    """Of the test's process."""
    with closing(OwnThreads()) as found:
        yield found


def test_the_kernel_says_of_each_thread_how_long_it_ran(threads: OwnThreads, tmp_path: Path) -> None:
    """This one has, and more by the next look; where the kernel says nothing, or nonsense, nothing is known."""
    me = str(threading.get_native_id())
    before = threads.stat()[me][0]
    assert before > 0
    eventually(lambda: threads.stat()[me][0] > before, "it has run on")
    with closing(OwnThreads(tmp_path / "no")) as none:
        assert none.stat() == {}
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "schedstat").write_text("none\n")
    with closing(OwnThreads(tmp_path)) as nonsense:
        assert nonsense.stat() == {}


def test_of_threads_that_have_ended_nothing_is_kept(threads: OwnThreads) -> None:
    """No file of theirs either."""
    over = threading.Event()
    others = [threading.Thread(target=over.wait) for _ in range(3)]
    for other in others:
        other.start()
    names = {str(other.native_id) for other in others}
    assert names <= threads.stat().keys()
    assert names <= open_stats()
    over.set()
    for other in others:
        other.join()
    eventually(lambda: not names & threads.stat().keys(), "they have ended")
    assert not names & open_stats()


def open_stats() -> set[str]:
    """Threads that this process has a file open of."""
    files = [entry.resolve() for entry in Path("/proc/self/fd").iterdir()]
    return {file.parent.name for file in files if file.name == "schedstat"}


def test_a_crowd_is_more_threads_than_there_are_cpus_and_goes_again(threads: OwnThreads) -> None:
    """The one that began them, and as many as there are CPUs; however often it is called or sent away."""
    crowd, before = Crowd(LIBRARY), threads.stat().keys()
    crowd.come()
    crowd.come()
    eventually(lambda: len(threads.stat().keys() - before) > len(os.sched_getaffinity(0)), "more threads")
    new = threads.stat().keys() - before
    crowd.go()
    crowd.go()
    eventually(lambda: not threads.stat().keys() & new, "they are gone")
    assert len(new) == 1 + len(os.sched_getaffinity(0))


class FakeCrowd(Crowd):
    """Says whether it is there."""

    def __init__(self) -> None:
        super().__init__(LIBRARY)
        self.there: bool | None = None

    def come(self) -> None:
        """It is there."""
        self.there = True

    def go(self) -> None:
        """It is not."""
        self.there = False


@pytest.fixture
def told() -> Iterator[Callable[[Callable[[], Stat]], FakeCrowd]]:
    """Begins to look after threads of whom this is told, until the test ends."""
    begun: list[Spin] = []

    def begin(stat: Callable[[], Stat]) -> FakeCrowd:
        crowd = FakeCrowd()
        begun.append(Spin(crowd, stat))
        begun[-1].start()
        return crowd

    yield begin
    for spin in begun:
        spin.stop()


def test_the_crowd_is_there_while_threads_wait_for_a_cpu(told: Callable[[Callable[[], Stat]], FakeCrowd]) -> None:
    """And where nothing is said of them; not where they run as they like."""
    ran = waited = 0.0

    def alone() -> Stat:
        nonlocal ran
        ran += 1.0
        return {"1": (ran, 0.0)}

    def beside() -> Stat:
        nonlocal waited
        waited += 1.0
        return {"1": (0.0, waited)}

    crowds = [told(stat) for stat in (alone, beside, dict)]
    eventually(lambda: all(crowd.there is not None for crowd in crowds), "a first look")
    assert [crowd.there for crowd in crowds] == [False, True, True]


@pytest.mark.parametrize(("library", "found"), [(LIBRARY, {"spin"}), ("libno-such-openmp.so", set())])
def test_a_thread_looks_after_the_others_where_there_is_such_an_openmp(library: str, found: set[str]) -> None:
    """And ends; without, the engine runs as it is."""
    with brief_beside_others(library):
        assert names() & {"spin"} == found
    assert "spin" not in names()


def names() -> set[str]:
    """Of this process's threads that Python knows."""
    return {thread.name for thread in threading.enumerate()}
