"""What `forebay doctor` says of GPUs: the real pynvml, and a driver that plays every state a GPU can be in."""

from pathlib import Path

import pytest

from gateway.cli.doctor import gpu
from gateway.cli.doctor.finding import Finding, Level
from local_models.gpu import Gpu, GpuProcess, GpuSurvey
from tests.local_models.nvml import install_driver
from tests.local_models.nvml_scenarios import SCENARIOS

OK, NOTE, WARNING, BROKEN = Level.OK, Level.NOTE, Level.WARNING, Level.BROKEN
GIB = 1 << 30
L4 = Gpu(index=0, name="NVIDIA L4", uuid="GPU-1", memory_total=24 * GIB, memory_used=0)
NO_DRIVER = GpuSurvey((), "no NVIDIA driver on this box")


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the library."""
    folder = tmp_path_factory.mktemp("nvml")
    install_driver(folder)
    return folder


@pytest.mark.parametrize(
    ("name", "levels", "words"),
    [
        ("no device", [NOTE], ["the NVIDIA driver is there but has no GPU; nothing here needs one"]),
        ("not loaded", [NOTE], ["the NVIDIA driver is installed but not loaded; nothing here needs one"]),
        ("crash", [WARNING], ["ended with signal 11: engines run on the CPU alone"]),
        ("healthy", [OK], ["GPU 0: NVIDIA H200, 150.0 GB, 1.0 GB of it in use, 31 °C, 76 W, busy 3 % of the time"]),
        ("full", [OK, WARNING], ["149.0 GB of it in use", "is full (process 4194399 has 140.0 GB): an engine that"]),
        ("hot", [OK, WARNING], ["92 °C", "slowed (hardware_thermal) at 92 °C to 30% of its clock: it answers more"]),
        ("ecc", [OK, WARNING], ["", "could not be corrected: 2: an engine that ends of it is started again"]),
        ("xid", [OK, BROKEN], ["", "XID 79 (the GPU has fallen off the bus): engines on it fail and are given up"]),
        ("xid of a program", [OK, WARNING], ["", "XID 31 (a program on the GPU used memory that is not its own)"]),
        ("lost", [OK, WARNING], ["GPU 0", "GPU 1: GPU is lost: engines on it fail"]),
        ("all lost", [WARNING, WARNING], ["GPU 0: GPU is lost", "no GPU answers: engines run on the CPU alone"]),
        ("one of two", [NOTE, OK], ["GPU 0: NVIDIA H200: not in CUDA_VISIBLE_DEVICES, not used", "GPU 1"]),
        ("none of two", [NOTE, NOTE, WARNING], ["", "", "CUDA_VISIBLE_DEVICES leaves no GPU to engines"]),
        (
            "silent",
            [OK],
            ["does not tell: memory, processes, throttling, clocks, temperature, power, memory errors"],
        ),
    ],
)
def test_what_is_there_and_what_it_leads_to(
    driver: Path, monkeypatch: pytest.MonkeyPatch, name: str, levels: list[Level], words: list[str]
) -> None:
    """Each GPU that is there, each trouble with what Forebay does of it, and what to do."""
    scenario = SCENARIOS[name]
    scenario.play(driver)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(driver))
    if scenario.visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", scenario.visible)
    found = list(gpu.findings(gpu.gather(None, wanted="")))
    assert [each.level for each in found] == levels, found
    for finding, word in zip(found, words, strict=True):
        assert word in finding.what
        assert (finding.advice is None) == (finding.level in (OK, NOTE))


def box(survey: GpuSurvey, *, cards: int = 0, wanted: str = "") -> list[Finding]:
    """What is found of one."""
    return list(gpu.findings(gpu.Facts(survey=survey, cards=cards, wanted=wanted)))


@pytest.mark.parametrize(
    ("survey", "cards", "wanted", "level"),
    [
        (GpuSurvey((L4,), driver="580"), 1, "", OK),
        (NO_DRIVER, 0, "", NOTE),
        (NO_DRIVER, 1, "", WARNING),
        (NO_DRIVER, 0, "an engine wants one", BROKEN),
        (GpuSurvey((), "the NVIDIA driver is there but has no GPU", "580"), 0, "an engine wants one", BROKEN),
    ],
)
def test_a_missing_gpu_is_as_bad_as_it_is_wanted(survey: GpuSurvey, cards: int, wanted: str, level: Level) -> None:
    """A laptop needs none; a card without a driver lies idle; an engine that wants one does not run."""
    assert [each.level for each in box(survey, cards=cards, wanted=wanted)] == [level]


def test_memory_that_vllm_has_taken_is_as_it_should_be() -> None:
    """It takes nine tenths by itself."""
    full = Gpu(
        index=0,
        name="NVIDIA L4",
        uuid="GPU-1",
        memory_total=24 * GIB,
        memory_used=23 * GIB,
        processes=(GpuProcess(pid=7, memory=22 * GIB),),
    )
    facts = gpu.Facts(survey=GpuSurvey((full,)), cards=1, commands={7: "VLLM::EngineCore"})
    assert [each.level for each in gpu.findings(facts)] == [OK]
    facts = gpu.Facts(survey=GpuSurvey((full,)), cards=1, commands={7: "python train.py"})
    assert [each.level for each in gpu.findings(facts)] == [OK, WARNING]
