"""GPUs, asked through the real pynvml over a stand-in for NVIDIA's library, in the processes that ask it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType

import msgspec
import pytest

from local_models.gpu import GpuSurvey, Health, LostGpu, judged
from local_models.gpuwatch import GpuWatch, gpus
from tests.local_models.nvml import H200, install_driver, play

ROOT = Path(__file__).parents[2]
OTHER = MappingProxyType({**H200, "uuid": "GPU-second", "memory_used": 0})
SAID = """
import msgspec, sys
from local_models.gpuwatch import gpus
sys.stdout.buffer.write(msgspec.json.encode(gpus({patience})))
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the library."""
    folder = tmp_path_factory.mktemp("nvml")
    install_driver(folder)
    return folder


def ask(driver: Path, patience: float = 15.0, **environ: str) -> GpuSurvey:
    """What `gpus` says where the library is found."""
    environment = {**os.environ, "LD_LIBRARY_PATH": str(driver), "PYTHONPATH": str(ROOT), **environ}
    words = (sys.executable, "-c", SAID.format(patience=patience))
    done = subprocess.run(words, env=environment, capture_output=True, check=True, timeout=60)
    return msgspec.json.decode(done.stdout, type=GpuSurvey)


def test_a_healthy_gpu_tells_everything(driver: Path) -> None:
    """In units that people read."""
    play(driver, {**H200, "processes": "4242:900000000 4343:5"})
    survey = ask(driver)
    (gpu,) = survey.gpus
    assert (survey.driver, survey.reason, survey.lost, survey.events) == ("580.65.06", "", (), ())
    assert (gpu.name, gpu.uuid, gpu.memory_total, gpu.memory_used) == (
        *("NVIDIA H200", "GPU-first"),
        *(150_000_000_000, 1_000_000_000),
    )
    assert [(each.pid, each.memory) for each in gpu.processes or ()] == [(4242, 900_000_000), (4343, 5)]
    assert (gpu.utilization, gpu.clock_reasons, gpu.slowed, gpu.temperature) == (3, 1, False, 31)
    assert (gpu.sm_clock, gpu.sm_clock_max, gpu.memory_clock, gpu.power, gpu.power_limit) == (
        345,
        1980,
        3201,
        76.5,
        700,
    )
    assert (gpu.ecc_uncorrected, gpu.remap_pending, gpu.remap_failed) == (0, False, False)
    assert judged(gpu, survey.events).health is Health.GOOD


def test_what_a_gpu_does_not_tell_is_unknown(driver: Path) -> None:
    """By a missing query, by one that this user may not make; an older driver calls the reasons by another name."""
    play(driver, {"name": "NVIDIA GB10", "uuid": "GPU-x", "power": "error 4", "throttle_reasons": "0x20"})
    (gpu,) = ask(driver).gpus
    told = {name for name in gpu.__struct_fields__ if getattr(gpu, name) is not None}
    assert told == {"index", "name", "uuid", "visible", "slowed", "clock_reasons"}
    assert (gpu.clock_reasons, gpu.slowed) == (0x20, True)


def test_one_that_is_lost_costs_itself_only(driver: Path) -> None:
    """The others go on answering."""
    play(driver, H200, {**OTHER, "lost": "yes"})
    survey = ask(driver)
    assert [gpu.uuid for gpu in survey.gpus] == ["GPU-first"]
    assert survey.lost == (LostGpu(index=1, why="GPU is lost"),)


def test_of_two_gpus_one_is_visible(driver: Path) -> None:
    """Both are told of; only one is for our engines."""
    play(driver, H200, OTHER)
    survey = ask(driver, CUDA_VISIBLE_DEVICES="GPU-second")
    assert [(gpu.index, gpu.visible) for gpu in survey.gpus] == [(0, False), (1, True)]


def test_an_xid_is_told(driver: Path) -> None:
    """With the GPU it was of."""
    play(driver, H200, OTHER, event0="1 79")
    (event,) = ask(driver).events
    assert (event.index, event.xid) == (1, 79)


@pytest.mark.parametrize(
    ("scenario", "reason"),
    [
        ({"init": "error 9"}, "the NVIDIA driver is installed but not loaded"),
        ({"init": "error 18"}, "NVIDIA's driver and library have different versions: reboot"),
        ({"count": 0}, "the NVIDIA driver is there but has no GPU"),
        ({"init": "crash"}, "the NVIDIA driver does not answer: what asked it ended with signal 11"),
        ({"count": "hang"}, "the NVIDIA driver does not answer: nothing in 1 s"),
    ],
)
def test_there_is_a_reason_why_there_are_none(driver: Path, scenario: dict[str, object], reason: str) -> None:
    """Also where a call never returns, or takes its process along: whoever asked goes on."""
    play(driver, **scenario)
    survey = ask(driver, patience=1.0 if "hang" in scenario.values() else 15.0)
    assert (survey.gpus, survey.reason) == ((), reason)


def test_this_box_has_gpus_or_a_reason_why_not() -> None:
    """Whatever it is."""
    survey = gpus()
    assert survey.gpus or survey.reason


@asynccontextmanager
async def watching(patience_s: float = 15.0) -> AsyncIterator[tuple[GpuWatch, Callable[[str], Awaitable[GpuSurvey]]]]:
    """A watch, and how to wait for a survey whose text has a word in it."""
    surveys: asyncio.Queue[GpuSurvey] = asyncio.Queue()
    watch = GpuWatch.start(surveys.put_nowait, patience_s)

    async def until(word: str) -> GpuSurvey:
        async with asyncio.timeout(30):
            while word not in str(survey := await surveys.get()):
                pass
            return survey

    try:
        yield watch, until
    finally:
        await watch.close()


async def test_a_watch_sees_what_changes(driver: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that gets hot, an XID, a GPU that is lost; what was told stays known."""
    monkeypatch.setenv("LD_LIBRARY_PATH", str(driver))
    play(driver, H200)
    async with watching() as (watch, until):
        assert (await until("GPU-first")).gpus[0].slowed is False
        play(driver, {**H200, "clock_reasons": "0x40"})
        assert (await until("slowed=True")).gpus[0].clock_reasons == 0x40
        play(driver, H200, event0="0 31")
        assert [event.xid for event in (await until("xid=31")).events] == [31]
        play(driver, {**H200, "lost": "yes"}, event0="0 31")
        assert (await until("is lost")).gpus == ()
        assert [event.xid for event in watch.survey().events] == [31]


async def test_a_driver_that_takes_its_process_along_is_asked_again(
    driver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody believes the last figures meanwhile; XIDs are remembered."""
    monkeypatch.setenv("LD_LIBRARY_PATH", str(driver))
    play(driver, H200, event0="0 31")
    async with watching() as (_, until):
        await until("xid=31")
        play(driver, {**H200, "temperature": "crash"})
        survey = await until("ended with signal 11")
        assert (survey.gpus, len(survey.events)) == ((), 1)
        play(driver, H200)
        assert (await until("GPU-first")).events == survey.events


async def test_a_driver_that_never_returns_holds_up_nobody(driver: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said that it does not answer, while everything else goes on."""
    monkeypatch.setenv("LD_LIBRARY_PATH", str(driver))
    play(driver, H200)
    async with watching(patience_s=3.0) as (_, until):
        await until("GPU-first")
        play(driver, {**H200, "temperature": "hang"})
        survey = await until("nothing in 3 s")
        assert (survey.gpus, survey.driver) == ((), "580.65.06")
