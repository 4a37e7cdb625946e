"""Boxes with GPUs in every state, for whoever has to say how they are."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.local_models.nvml import H200, play

SECOND = MappingProxyType({**H200, "uuid": "GPU-second"})


class Scenario(NamedTuple):
    """What the driver tells of: GPUs, and of itself; `visible` is CUDA_VISIBLE_DEVICES."""

    gpus: tuple[Any, ...] = ()
    driver: Mapping[str, Any] = MappingProxyType({})
    visible: str | None = None

    def play(self, folder: Path) -> None:
        """Have the library of the folder tell it."""
        play(folder, *self.gpus, **self.driver)


SCENARIOS = MappingProxyType(
    {
        "no device": Scenario(),
        "not loaded": Scenario(driver={"init": "error 9"}),
        "crash": Scenario((H200,), {"init": "crash"}),
        "healthy": Scenario((H200,)),
        "full": Scenario(({**H200, "memory_used": 149_000_000_000, "processes": "4194399:140000000000"},)),
        "hot": Scenario(({**H200, "clock_reasons": "0x40", "sm_clock": 594, "temperature": 92},)),
        "ecc": Scenario(({**H200, "ecc_uncorrected": 2},)),
        "xid": Scenario((H200,), {"event0": "0 79"}),
        "xid of a program": Scenario((H200,), {"event0": "0 31"}),
        "lost": Scenario((H200, {**SECOND, "lost": "yes"})),
        "all lost": Scenario(({**H200, "lost": "yes"},)),
        "one of two": Scenario((H200, SECOND), visible="1"),
        "none of two": Scenario((H200, SECOND), visible=""),
        "silent": Scenario(({"name": "NVIDIA GB10", "uuid": "GPU-x"},)),
    }
)
