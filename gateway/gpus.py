"""The GPUs of this box, as the gate, the metrics and people see them.

They explain what the gate's own counts only show: an engine that is slow because its GPU is hot, or silent because it
is gone. Nobody is admitted or refused by a GPU's utilization, which is full with a single request. None is unknown.
"""

from msgspec import Struct


class GpuView(Struct, frozen=True, kw_only=True):
    """One GPU at this moment. Sizes are bytes, clocks MHz, powers watts, the temperature degrees Celsius.

    `health` is good, slowed, suspect, unfit or lost; `detail` says why, for people. `speed` is its clock as a share of
    the highest while it is slowed, and else 1. `visible`: engines of ours may use it. `xids` are the critical errors
    that the driver has told of since the gateway began. `memory_by` is pid and bytes of each process on it.
    """

    index: int
    health: str
    detail: str = ""
    visible: bool = True
    name: str = ""
    uuid: str = ""
    speed: float | None = None
    memory_total: int | None = None
    memory_used: int | None = None
    memory_by: tuple[tuple[int, int], ...] = ()
    utilization: float | None = None
    clocks: tuple[str, ...] | None = None
    """Why clocks are not at their highest."""
    sm_clock: int | None = None
    sm_clock_max: int | None = None
    memory_clock: int | None = None
    temperature: int | None = None
    power: float | None = None
    power_limit: float | None = None
    ecc_uncorrected: int | None = None
    remap_pending: bool | None = None
    remap_failed: bool | None = None
    xids: tuple[int, ...] = ()

    @property
    def answers(self) -> bool:
        """Whether the driver can still speak to it."""
        return self.health != "lost"


class GpuSnapshot(Struct, frozen=True, kw_only=True):
    """All of them; `reason` says why there is none, `driver` is the driver's version."""

    gpus: tuple[GpuView, ...] = ()
    driver: str = ""
    reason: str = ""
