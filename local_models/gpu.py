"""NVIDIA's GPUs as nouns, and what their figures mean. Pure: `nvml.py` reads, `gpuwatch.py` follows.

None is unknown everywhere: this GPU, or this driver, does not tell. The meaning of the bits and of XIDs is NVIDIA's
(nvml.h, "clocks event reasons"; its catalogue of XIDs with what to do about each).
"""

from collections.abc import Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from msgspec import Struct, structs

_HW_SLOWDOWN: Final = 0x8
_SLOWING: Final = 0x20 | 0x40 | 0x80
"""Too hot, or too little power: such a GPU computes less than it was measured to. A power cap (0x4) is everyday."""
REASONS: Final = MappingProxyType(
    {
        0x1: "idle",
        0x2: "application_clocks",
        0x4: "software_power_cap",
        0x8: "hardware_slowdown",
        0x10: "sync_boost",
        0x20: "software_thermal",
        0x40: "hardware_thermal",
        0x80: "power_brake",
        0x100: "display_clocks",
    }
)
"""Why clocks are not at their highest, by bit."""


class Remedy(StrEnum):
    """What helps after an XID."""

    RESTART_ENGINE = "restart"
    """What ran on the GPU is broken, the GPU is not."""
    RESET_GPU = "reset"
    """Nothing runs on it again before it, or the box, is reset."""
    LOOK_UP = "look up"
    """Only NVIDIA's catalogue says."""


_RESTART: Final = frozenset({13, 31, 32, 43, 45, 68, 69, 94})
_RESET: Final = frozenset({46, 48, 61, 62, 63, 64, 74, 79, 95, 109, 110, 119, 120, 140, 143, 154})
_WORDS: Final = MappingProxyType(
    {
        13: "an exception in a program on the GPU",
        31: "a program on the GPU used memory that is not its own",
        43: "a program on the GPU was stopped",
        46: "the GPU stopped working",
        48: "a memory error that could not be corrected",
        63: "a row of its memory is to be remapped",
        64: "a row of its memory could not be remapped",
        74: "NVLink failed",
        79: "the GPU has fallen off the bus",
        94: "a memory error that hit one program alone",
        95: "a memory error that hit all programs",
        119: "the GPU's own processor does not answer",
        120: "the GPU's own processor failed",
    }
)


class GpuProcess(Struct, frozen=True, kw_only=True):
    """A process that computes on a GPU. In a container the pid is the host's."""

    pid: int
    memory: int | None
    """Bytes."""


class Gpu(Struct, frozen=True, kw_only=True):
    """One NVIDIA GPU that answers."""

    index: int
    name: str
    uuid: str
    memory_total: int | None
    """Bytes; None where it has no memory of its own to tell of (some systems share it with the CPU)."""
    memory_used: int | None
    """Bytes, of all processes and the driver."""
    visible: bool = True
    """Whether CUDA_VISIBLE_DEVICES leaves it to our engines."""
    processes: tuple[GpuProcess, ...] | None = None
    utilization: int | None = None
    """Percent of the time in which anything ran on it: 100 with a single request, so it says nothing of room."""
    clock_reasons: int | None = None
    """Bits of `REASONS`."""
    slowed: bool = False
    """By heat, or by want of power."""
    sm_clock: int | None = None
    """MHz, as the next two."""
    sm_clock_max: int | None = None
    memory_clock: int | None = None
    temperature: int | None = None
    """Degrees Celsius."""
    power: float | None = None
    """Watts, as the next."""
    power_limit: float | None = None
    ecc_uncorrected: int | None = None
    """Memory errors since the driver was loaded."""
    remap_pending: bool | None = None
    """Rows of its memory that are bad are put aside at its next reset."""
    remap_failed: bool | None = None


class LostGpu(Struct, frozen=True, kw_only=True):
    """A GPU that the driver counts and that does not answer."""

    index: int
    why: str


class XidEvent(Struct, frozen=True, kw_only=True):
    """A critical error that the driver told of. `index` None: it did not say of which GPU."""

    at: float
    index: int | None
    xid: int


class GpuSurvey(Struct, frozen=True):
    """The GPUs found; why there are none."""

    gpus: tuple[Gpu, ...]
    reason: str = ""
    driver: str = ""
    """Its version, where it answers."""
    lost: tuple[LostGpu, ...] = ()
    events: tuple[XidEvent, ...] = ()
    """Seen since whoever asks began to watch, the oldest first."""

    @property
    def visible(self) -> tuple[Gpu, ...]:
        """Those that engines of ours may use."""
        return tuple(gpu for gpu in self.gpus if gpu.visible)


class Health(StrEnum):
    """How far a GPU can be relied on."""

    GOOD = "good"
    SLOWED = "slowed"
    SUSPECT = "suspect"
    """It works, and something went wrong on it."""
    UNFIT = "unfit"
    """Nothing can be relied on before it is reset."""


class Verdict(Struct, frozen=True):
    """The worst that is known of a GPU, and all that speaks for it, a clause each."""

    health: Health
    why: tuple[str, ...] = ()


def remedy(xid: int) -> Remedy:
    """What NVIDIA's catalogue has people do about it."""
    if xid in _RESET:
        return Remedy.RESET_GPU
    return Remedy.RESTART_ENGINE if xid in _RESTART else Remedy.LOOK_UP


def xid_words(xid: int) -> str:
    """An XID for people."""
    return f"XID {xid} ({_WORDS[xid]})" if xid in _WORDS else f"XID {xid}"


def reasons_in(bits: int) -> tuple[str, ...]:
    """The names of the reasons."""
    return tuple(name for bit, name in REASONS.items() if bits & bit)


def is_slowed(latest: Sequence[int]) -> bool:
    """Whether a GPU is slowed, from its last readings of reasons, the newest at the end.

    A bare hardware slowdown is also reported when it changes its power state, so it has to be seen in three of five.
    """
    if not latest:
        return False
    return bool(latest[-1] & _SLOWING) or sum(bool(bits & _HW_SLOWDOWN) for bits in latest[-5:]) >= 3


def judged(gpu: Gpu, events: Sequence[XidEvent]) -> Verdict:
    """How it is. Events count for as long as they are in the survey."""
    xids = dict.fromkeys(event.xid for event in events if event.index in (gpu.index, None))
    found = [(_of_xid(xid), xid_words(xid)) for xid in xids]
    if gpu.remap_failed:
        found.append((Health.UNFIT, "bad rows of its memory could not be remapped"))
    if gpu.remap_pending:
        found.append((Health.SUSPECT, "bad rows of its memory wait for a reset to be remapped"))
    if gpu.ecc_uncorrected:
        found.append((Health.SUSPECT, f"memory errors that could not be corrected: {gpu.ecc_uncorrected}"))
    if gpu.slowed:
        found.append((Health.SLOWED, _slowed_words(gpu)))
    order = list(Health)
    worst = max((health for health, _ in found), key=order.index, default=Health.GOOD)
    return Verdict(worst, tuple(words for _, words in sorted(found, key=lambda each: -order.index(each[0]))))


def speed(gpu: Gpu) -> float | None:
    """Its clock as a share of the highest while it is slowed, 1 while it is not; None where the clock is unknown.

    An idle GPU has a low clock as well, and is as fast as ever as soon as it is asked.
    """
    if not gpu.slowed:
        return 1.0
    return gpu.sm_clock / gpu.sm_clock_max if gpu.sm_clock is not None and gpu.sm_clock_max else None


def with_visibility(survey: GpuSurvey, variable: str | None) -> GpuSurvey:
    """The survey with what CUDA_VISIBLE_DEVICES, None where it is not set, leaves to engines.

    As CUDA reads it: indices, or beginnings of UUIDs, up to the first that names nothing. Indices are taken for the
    driver's own order, as vLLM takes them. A part of a GPU (MIG) does not say of which, so all of them may be meant.
    """
    if variable is None or variable.strip().startswith("MIG-"):
        return survey
    seen: set[int] = set()
    known = {*(gpu.index for gpu in survey.gpus), *(lost.index for lost in survey.lost)}
    for word in (part.strip() for part in variable.split(",")):
        named = _named(word, survey.gpus, known)
        if named is None:
            break
        seen.add(named)
    return structs.replace(survey, gpus=tuple(structs.replace(gpu, visible=gpu.index in seen) for gpu in survey.gpus))


def _named(word: str, gpus: Sequence[Gpu], known: set[int]) -> int | None:
    if word.isdecimal():
        return int(word) if int(word) in known else None
    matching = [gpu.index for gpu in gpus if word and gpu.uuid.startswith(word)]
    return matching[0] if len(matching) == 1 else None


def _of_xid(xid: int) -> Health:
    return Health.UNFIT if remedy(xid) is Remedy.RESET_GPU else Health.SUSPECT


def _slowed_words(gpu: Gpu) -> str:
    why = ", ".join(reasons_in((gpu.clock_reasons or 0) & (_SLOWING | _HW_SLOWDOWN))) or "hardware_slowdown"
    at = "" if gpu.temperature is None else f" at {gpu.temperature} °C"
    share = speed(gpu)
    return f"slowed ({why}){at}" + ("" if share is None else f" to {share:.0%} of its clock")
