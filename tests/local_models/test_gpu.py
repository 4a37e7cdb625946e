"""What GPUs' figures mean: tables, without a driver."""

import pytest
from msgspec import structs

from local_models.gpu import (
    Gpu,
    GpuSurvey,
    Health,
    LostGpu,
    Remedy,
    XidEvent,
    is_slowed,
    judged,
    reasons_in,
    remedy,
    speed,
    with_visibility,
)

GPU = Gpu(index=0, name="NVIDIA H200", uuid="GPU-ab12", memory_total=150, memory_used=1, temperature=91)
FOUR = GpuSurvey(
    tuple(structs.replace(GPU, index=index, uuid=f"GPU-{word}") for index, word in enumerate(("aa11", "aa22", "cc33"))),
    lost=(LostGpu(index=3, why="GPU is lost"),),
)


@pytest.mark.parametrize(
    ("variable", "visible"),
    [
        (None, [0, 1, 2]),
        ("0,2", [0, 2]),
        (" 1 , 0 ", [0, 1]),
        ("", []),
        ("-1", []),
        ("1,7,0", [1]),
        ("3,1", [1]),
        ("GPU-cc33", [2]),
        ("GPU-aa", []),
        ("GPU-aa2,0", [0, 1]),
        ("NoDevFiles", []),
        ("MIG-41b36d47", [0, 1, 2]),
    ],
)
def test_cuda_visible_devices_is_read_as_cuda_reads_it(variable: str | None, visible: list[int]) -> None:
    """Indices and beginnings of UUIDs, up to the first that names nothing; one that is lost keeps its number."""
    assert [gpu.index for gpu in with_visibility(FOUR, variable).visible] == visible


@pytest.mark.parametrize(
    ("readings", "slowed"),
    [
        ((), False),
        ((0x1,), False),
        ((0x4, 0x4, 0x4, 0x4, 0x4), False),
        ((0x40,), True),
        ((0x1, 0x20), True),
        ((0x80 | 0x8,), True),
        ((0x40, 0x0), False),
        ((0x8,), False),
        ((0x8, 0x0, 0x8, 0x0, 0x8), True),
        ((0x8, 0x8, 0x8, 0x0, 0x0, 0x0), False),
    ],
)
def test_a_gpu_is_slowed_by_heat_and_want_of_power(readings: tuple[int, ...], *, slowed: bool) -> None:
    """Not by its everyday power cap, and by a bare hardware slowdown only when it lasts."""
    assert is_slowed(readings) is slowed


@pytest.mark.parametrize(
    ("change", "xids", "health", "word"),
    [
        ({}, (), Health.GOOD, ""),
        ({"slowed": True, "clock_reasons": 0x40, "sm_clock": 600, "sm_clock_max": 2000}, (), Health.SLOWED, "30%"),
        ({"slowed": True, "clock_reasons": 0x40}, (), Health.SLOWED, "hardware_thermal) at 91 °C"),
        ({"ecc_uncorrected": 2}, (), Health.SUSPECT, "could not be corrected: 2"),
        ({"remap_pending": True}, (), Health.SUSPECT, "wait for a reset"),
        ({"remap_failed": True, "slowed": True}, (), Health.UNFIT, "could not be remapped"),
        ({}, (31,), Health.SUSPECT, "XID 31 (a program"),
        ({}, (999,), Health.SUSPECT, "XID 999"),
        ({}, (31, 79), Health.UNFIT, "XID 79 (the GPU has fallen off the bus)"),
    ],
)
def test_the_worst_that_is_known_counts(
    change: dict[str, object], xids: tuple[int, ...], health: Health, word: str
) -> None:
    """And stands first among the reasons."""
    gpu = structs.replace(GPU, **change)
    found = judged(gpu, [XidEvent(at=1.0, index=0, xid=xid) for xid in xids])
    assert found.health is health
    assert word in "".join(found.why[:1])


def test_an_xid_counts_for_its_own_gpu_and_one_of_nobody_for_all() -> None:
    """The driver does not always say which."""
    assert judged(GPU, [XidEvent(at=1.0, index=1, xid=79)]).health is Health.GOOD
    assert judged(GPU, [XidEvent(at=1.0, index=None, xid=79)]).health is Health.UNFIT


def test_xids_have_their_remedy() -> None:
    """Those of one program, those of the GPU, and those that nobody here knows."""
    assert [remedy(xid) for xid in (13, 31, 48, 79, 95, 119, 4711)] == [
        *(Remedy.RESTART_ENGINE, Remedy.RESTART_ENGINE),
        *(Remedy.RESET_GPU,) * 4,
        Remedy.LOOK_UP,
    ]


def test_speed_is_a_matter_of_heat_and_not_of_idleness() -> None:
    """An idle GPU has a low clock and is as fast as ever."""
    clocks = {"sm_clock": 500, "sm_clock_max": 2000}
    assert speed(structs.replace(GPU, **clocks)) == 1.0
    assert speed(structs.replace(GPU, slowed=True, **clocks)) == 0.25
    assert speed(structs.replace(GPU, slowed=True)) is None


def test_reasons_have_names() -> None:
    """In the order of their bits."""
    assert reasons_in(0x1 | 0x40) == ("idle", "hardware_thermal")
