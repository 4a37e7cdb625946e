"""Reads GPUs through NVML, which may block, or crash the process it is in: called in a process of its own alone.

`gpureport.py` is that process.
"""

import ctypes
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

import pynvml

from local_models.gpu import Gpu, GpuProcess, GpuSurvey, LostGpu, XidEvent, is_slowed

T = TypeVar("T")

_REMEMBERED: Final = 64
_READINGS: Final = 5


class NoDriver(Exception):
    """NVML cannot be used; the message is the reason."""


@contextmanager
def driver() -> Iterator["Driver"]:
    """NVML, for as long as the block lasts. Raises NoDriver."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise NoDriver(_why(error)) from error
    try:
        yield Driver()
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


class Driver:
    """Asks for everything, again and again."""

    def __init__(self) -> None:
        self._version = _known(pynvml.nvmlSystemGetDriverVersion) or ""
        self._readings: dict[int, deque[int]] = {}
        self._events: deque[XidEvent] = deque(maxlen=_REMEMBERED)
        self._listening: Any = None
        self._heard: dict[int, Any] = {}

    def listen(self) -> bool:
        """Have the driver tell of XIDs from now on; whether it does, for any GPU."""
        with suppress(pynvml.NVMLError):
            self._listening = pynvml.nvmlEventSetCreate()
            for index in range(pynvml.nvmlDeviceGetCount()):
                with suppress(pynvml.NVMLError):
                    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                    pynvml.nvmlDeviceRegisterEvents(handle, pynvml.nvmlEventTypeXidCriticalError, self._listening)
                    self._heard[index] = handle
        return bool(self._heard)

    def wait(self, seconds: float) -> bool:
        """Wait for an XID, so long at most; whether waiting was possible."""
        try:
            told = pynvml.nvmlEventSetWait_v2(self._listening, int(seconds * 1000))
        except pynvml.NVMLError_Timeout:
            return True
        except pynvml.NVMLError:
            return False
        index = next((index for index, handle in self._heard.items() if _same(handle, told.device)), None)
        self._events.append(XidEvent(at=time.time(), index=index, xid=told.eventData))
        return True

    def survey(self) -> GpuSurvey:
        """All GPUs that the driver knows. None is no error but a reason."""
        found, lost = [], []
        try:
            count = pynvml.nvmlDeviceGetCount()
        except pynvml.NVMLError as error:
            return GpuSurvey((), _why(error), self._version, events=tuple(self._events))
        for index in range(count):
            try:
                found.append(self._gpu(index))
            except pynvml.NVMLError as error:
                lost.append(LostGpu(index=index, why=str(error)))
        reason = "" if count else "the NVIDIA driver is there but has no GPU"
        return GpuSurvey(tuple(found), reason, self._version, tuple(lost), tuple(self._events))

    def _gpu(self, index: int) -> Gpu:
        """Raises NVMLError when it does not answer. What it merely does not know is None."""
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        reasons = _clock_reasons(handle)
        rows = _known(pynvml.nvmlDeviceGetRemappedRows, handle)
        memory = _known(pynvml.nvmlDeviceGetMemoryInfo, handle)
        busy = _known(pynvml.nvmlDeviceGetUtilizationRates, handle)
        power, limit = (
            _known(ask, handle) for ask in (pynvml.nvmlDeviceGetPowerUsage, pynvml.nvmlDeviceGetEnforcedPowerLimit)
        )
        readings = self._readings.setdefault(index, deque(maxlen=_READINGS))
        if reasons is not None:
            readings.append(reasons)
        return Gpu(
            index=index,
            name=pynvml.nvmlDeviceGetName(handle),
            uuid=pynvml.nvmlDeviceGetUUID(handle),
            memory_total=None if memory is None else memory.total,
            memory_used=None if memory is None else memory.used,
            processes=_processes(handle),
            utilization=None if busy is None else busy.gpu,
            clock_reasons=reasons,
            slowed=reasons is not None and is_slowed(tuple(readings)),
            sm_clock=_known(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_SM),
            sm_clock_max=_known(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_SM),
            memory_clock=_known(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_MEM),
            temperature=_known(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU),
            power=None if power is None else power / 1000,
            power_limit=None if limit is None else limit / 1000,
            ecc_uncorrected=_known(
                pynvml.nvmlDeviceGetTotalEccErrors,
                handle,
                pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
                pynvml.NVML_VOLATILE_ECC,
            ),
            remap_pending=None if rows is None else bool(rows[2]),
            remap_failed=None if rows is None else bool(rows[3]),
        )


def _known(ask: Callable[..., T], *arguments: Any) -> T | None:
    """What it says; None where this GPU, driver or user is not told. Raises NVMLError when it says nothing any more."""
    try:
        return ask(*arguments)
    except (
        pynvml.NVMLError_NotSupported,
        pynvml.NVMLError_FunctionNotFound,
        pynvml.NVMLError_NoPermission,
        pynvml.NVMLError_Unknown,
    ):
        return None


def _clock_reasons(handle: Any) -> int | None:
    """Drivers before 535 know it by its former name."""
    found = _known(pynvml.nvmlDeviceGetCurrentClocksEventReasons, handle)
    return found if found is not None else _known(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle)


def _processes(handle: Any) -> tuple[GpuProcess, ...] | None:
    listed = _known(pynvml.nvmlDeviceGetComputeRunningProcesses_v3, handle)
    if listed is None:
        return None
    return tuple(GpuProcess(pid=each.pid, memory=each.usedGpuMemory) for each in listed)


def _same(handle: Any, other: Any) -> bool:
    """Handles are pointers to what the library keeps of a device."""
    return ctypes.cast(handle, ctypes.c_void_p).value == ctypes.cast(other, ctypes.c_void_p).value


def _why(error: Exception) -> str:
    known = {
        "NVMLError_LibraryNotFound": "no NVIDIA driver on this box",
        "NVMLError_DriverNotLoaded": "the NVIDIA driver is installed but not loaded",
        "NVMLError_NoPermission": "this user may not ask the NVIDIA driver",
        "NVMLError_LibRmVersionMismatch": "NVIDIA's driver and library have different versions: reboot",
    }
    return known.get(type(error).__name__, f"the NVIDIA driver does not answer: {error}")
