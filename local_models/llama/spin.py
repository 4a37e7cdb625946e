"""How long ggml's threads wait awake for each other: long while they have the box for themselves, briefly otherwise.

They meet at a barrier after every operation. GNU OpenMP has them spin there before they sleep: whoever sleeps has to be
woken, which costs some microseconds; but whoever spins beside other busy processes takes the CPU from the one that is
waited for. How often they spin is fixed when the process starts (`GOMP_SPINCOUNT`, see `local_models.llama_cpp`). But
while more OpenMP threads exist than there are CPUs it is a hundred times only, says its manual; and so a few threads
that do nothing make all others brief, for as long as they exist. SmolLM2-135M, 2 threads on 2 CPUs, ms a token beside
two busy processes and more: 36 with such a crowd, 86 with 1,000 spins, 280 to 620 with 30,000.
"""

import ctypes
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LOOK_S: Final = 0.1
_CONTENDED: Final = 0.3
"""Threads that wait for a CPU for so much of the time in which they could run share it with others' work. Beside the
engine's own HTTP side and eight clients on two CPUs it is under 0.15, in single looks up to 0.26; beside a busy process
for each CPU 0.35 to 0.5, whether they are brief or not."""
_LEAST_S: Final = 0.05
"""Seconds of a look in which all threads together must have wanted to run, or nothing is concluded."""
_HOLD_S: Final = 0.5
"""For so long at first the threads are brief; the others may be there only now and then. Not for longer: with nobody
else there who is brief needs five to eight times as long for a token (5 and 40 ms), and a try costs a look."""
_SOON_S, _LONGEST_S = 4.0, 64.0

Stat = Mapping[str, tuple[float, float]]
"""Seconds that each thread has run, and has waited for a CPU, since it began."""


@dataclass(slots=True)
class Contention:
    """Whether others want the CPUs. Pure: times are told. Once so it is held to be so for a while.

    That while doubles when it is found again soon after its end, for every try costs the streams some steps.
    """

    found: bool = False
    _until: float = -math.inf
    _hold: float = _HOLD_S

    def seen(self, ran: float, waited: float, now: float) -> None:
        """Since the last look the threads ran so many seconds, and waited so many for a CPU."""
        if ran + waited < _LEAST_S:
            return
        if waited < _CONTENDED * (ran + waited):
            self.found = self.found and now < self._until
            return
        if not self.found:
            soon = now < self._until + max(self._hold, _SOON_S)
            self._hold = min(2 * self._hold, _LONGEST_S) if soon else _HOLD_S
        self.found, self._until = True, now + self._hold


def since(before: Stat, after: Stat) -> tuple[float, float]:
    """Seconds that the threads of both looks have run and waited between them."""
    both = before.keys() & after.keys()
    ran, waited = (sum(after[each][place] - before[each][place] for each in both) for place in (0, 1))
    return ran, waited


class OwnThreads:
    """Of this process. The kernel's files stay open: eight threads then take 9 microseconds a look instead of 32.

    For it is the threads that decode who wait meanwhile: for the CPU, and the interpreter, which is let go of at every
    call of the kernel.
    """

    def __init__(self, folder: Path = Path("/proc/self/task")) -> None:
        self._folder = folder
        self._files: dict[str, int] = {}

    def stat(self) -> Stat:
        """Of this moment. Empty where the kernel does not say."""
        found: dict[str, tuple[float, float]] = {}
        with suppress(OSError):
            for thread in self._folder.iterdir():
                with suppress(OSError, ValueError):  # it has ended meanwhile
                    ran, waited, _ = os.pread(self._file(thread), 100, 0).split()
                    found[thread.name] = int(ran) / 1e9, int(waited) / 1e9
        for ended in self._files.keys() - found.keys():
            os.close(self._files.pop(ended))
        return found

    def close(self) -> None:
        """Look no more."""
        while self._files:
            os.close(self._files.popitem()[1])

    def _file(self, thread: Path) -> int:
        if thread.name not in self._files:
            self._files[thread.name] = os.open(thread / "schedstat", os.O_RDONLY)
        return self._files[thread.name]


class Crowd:
    """OpenMP threads that do nothing, more than there are CPUs."""

    def __init__(self, library: str) -> None:
        """Raises OSError where there is no such library."""
        self._openmp = ctypes.CDLL(library)
        self._nothing = ctypes.cast(ctypes.CDLL(None).free, ctypes.c_void_p)  # of a null pointer
        self._over: threading.Event | None = None

    def come(self) -> None:
        """They exist from now on."""
        if self._over is None:
            self._over = threading.Event()
            threading.Thread(target=self._stay, args=(self._over,), name="openmp-crowd", daemon=True).start()

    def go(self) -> None:
        """They end."""
        if self._over is not None:
            self._over.set()
            self._over = None

    def _stay(self, over: threading.Event) -> None:
        """OpenMP's threads are those of whoever began them, and end with it."""
        self._openmp.GOMP_parallel(self._nothing, None, 1 + len(os.sched_getaffinity(0)), 0)
        over.wait()


class Spin:
    """Looks after this process's threads on a thread of its own, from `start` to `stop`."""

    def __init__(self, crowd: Crowd, threads: Callable[[], Stat]) -> None:
        self._crowd = crowd
        self._threads = threads
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spin", daemon=True)

    def start(self) -> None:
        """Look every `_LOOK_S` seconds."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()
        self._crowd.go()

    def _run(self) -> None:
        contention, before = Contention(), self._threads()
        while not self._stop.wait(_LOOK_S):
            after = self._threads()
            contention.seen(*since(before, after), time.monotonic())
            before = after
            # Where the kernel does not say, they are brief: that is never a disaster.
            if contention.found or not after:
                self._crowd.come()
            else:
                self._crowd.go()


@contextmanager
def brief_beside_others(library: str = "libgomp.so.1") -> Iterator[None]:
    """While inside, ggml's threads wait awake for long unless others want the CPUs. `library`: GNU OpenMP's."""
    try:
        crowd = Crowd(library)
    except OSError:
        yield  # another OpenMP, or none
        return
    with closing(OwnThreads()) as threads:
        spin = Spin(crowd, threads.stat)
        spin.start()
        try:
            yield
        finally:
            spin.stop()
