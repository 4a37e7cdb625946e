"""GPUs followed from outside: who asks here never waits for the driver, and is not taken along when that fails.

The driver is asked by `gpureport.py`, in a process of its own. When it falls silent, the survey says so and it is
ended; another one is begun when it is really gone, which one inside a broken driver may not be before the next boot.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Self

import msgspec
from msgspec import structs

from local_models.environment import inheritable
from local_models.gpu import GpuSurvey

# -P: a file in the folder where Forebay was started must not stand in for a module of ours.
_REPORT: Final = (sys.executable, "-P", "-m", "local_models.gpureport")
# NVML takes a second or two to begin where no other program keeps the driver awake.
_PATIENCE_S: Final = 15.0
_DYING_S: Final = 1.0
_AGAIN_S: Final = 0.5
_AGAIN_LIMIT_S: Final = 300.0
_LASTED_S: Final = 60.0
_LINE_LIMIT: Final = 1 << 20
_KEPT_EVENTS: Final = 64
_LATE: Final = "the NVIDIA driver does not answer"


def gpus(patience_s: float = _PATIENCE_S) -> GpuSurvey:
    """All GPUs that NVIDIA's driver knows, at this moment. No driver, no device and a driver that hangs are no error
    but a reason.
    """
    asked = subprocess.Popen(  # noqa: S603 -- words of ours; in no `with`, which would wait for what may never end
        (*_REPORT, "--once"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=inheritable(os.environ),
    )
    try:
        said, _ = asked.communicate(timeout=patience_s)
    except subprocess.TimeoutExpired:
        asked.kill()
        with suppress(subprocess.TimeoutExpired):
            asked.communicate(timeout=_DYING_S)
        return GpuSurvey((), _silent(patience_s))
    with suppress(msgspec.DecodeError):
        return msgspec.json.decode(said, type=GpuSurvey)
    return GpuSurvey((), _ended(asked.returncode))


class GpuWatch:
    """The GPUs of this box, looked at each second. Make one with `start`."""

    def __init__(self, changed: Callable[[GpuSurvey], None], patience_s: float) -> None:
        self._changed = changed
        self._patience_s = patience_s
        self._survey = GpuSurvey((), "not looked at yet")
        self._earlier = self._survey.events
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def start(cls, changed: Callable[[GpuSurvey], None], patience_s: float = _PATIENCE_S) -> Self:
        """Begin to watch; `changed` is told of each survey that is another than the one before, in this loop. A driver
        that has said nothing for `patience_s` does not answer.
        """
        watch = cls(changed, patience_s)
        watch._task = asyncio.create_task(watch._run())
        return watch

    def survey(self) -> GpuSurvey:
        """The latest. Never blocks."""
        return self._survey

    async def close(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        again = _AGAIN_S
        while True:
            began = clock()
            await self._follow()
            again = _AGAIN_S if clock() - began > _LASTED_S else min(2 * again, _AGAIN_LIMIT_S)
            await asyncio.sleep(again if self._survey.driver else _AGAIN_LIMIT_S)

    async def _follow(self) -> None:
        """One reporter, from its first line to its end."""
        process = await asyncio.create_subprocess_exec(
            *_REPORT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=inheritable(os.environ),
            limit=_LINE_LIMIT,
        )
        try:
            code = await self._hear(process)
        except asyncio.CancelledError:
            with suppress(TimeoutError):
                async with asyncio.timeout(_DYING_S):
                    await _end(process)
            raise
        if self._survey.gpus or code not in (0, -signal.SIGKILL):
            self._lapse(_ended(code))
        self._earlier = self._survey.events

    async def _hear(self, process: asyncio.subprocess.Process) -> int:
        """Take every line that comes in time; the code that the process ended with."""
        assert process.stdout is not None
        try:
            while line := await self._line(process.stdout):
                self._take(msgspec.json.decode(line, type=GpuSurvey))
        except (TimeoutError, ValueError) as error:  # ValueError: what is no survey, or a line without end
            self._lapse(_silent(self._patience_s) if isinstance(error, TimeoutError) else _LATE)
        return await _end(process)

    async def _line(self, lines: asyncio.StreamReader) -> bytes:
        async with asyncio.timeout(self._patience_s):
            return await lines.readline()

    def _take(self, survey: GpuSurvey) -> None:
        events = (*self._earlier, *survey.events)[-_KEPT_EVENTS:]
        latest = structs.replace(survey, events=events)
        if latest != self._survey:
            self._survey = latest
            self._changed(latest)

    def _lapse(self, why: str) -> None:
        """Nobody may go on believing the last figures."""
        self._survey = structs.replace(self._survey, gpus=(), lost=(), reason=why)
        self._changed(self._survey)


def _silent(seconds: float) -> str:
    return f"{_LATE}: nothing in {seconds:.0f} s"


def _ended(code: int) -> str:
    how = f"signal {-code}" if code < 0 else f"code {code}"
    return f"{_LATE}: what asked it ended with {how}"


async def _end(process: asyncio.subprocess.Process) -> int:
    """Kill it, and wait until it is gone; its exit code."""
    with suppress(ProcessLookupError):
        process.kill()
    await process.communicate()
    return await process.wait()
