"""Metrics of GPUs, from the driver to the text that Prometheus reads, in every state a GPU can be in."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from gateway.app.gpus import gpu_snapshot
from gateway.telemetry.gpus import GpuCollector
from local_models.gpuwatch import gpus
from tests.gateway.telemetry.samples import Samples, at, samples
from tests.local_models.nvml import install_driver
from tests.local_models.nvml_scenarios import SCENARIOS

UP = "forebay_gpu_driver_up"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the library."""
    folder = tmp_path_factory.mktemp("nvml")
    install_driver(folder)
    return folder


def health(is_so: str, index: int = 0) -> Samples:
    """The GPU is just that."""
    words = ("good", "slowed", "suspect", "unfit", "lost")
    return {at("forebay_gpu_health", gpu=str(index), health=word): float(word == is_so) for word in words}


def of(name: str, value: float, index: int = 0, **labels: str) -> Samples:
    """One sample of a GPU."""
    return {at(f"forebay_gpu_{name}", gpu=str(index), **labels): value}


HOT = health("slowed") | of("speed_ratio", 0.3) | of("clock_reason", 1, reason="hardware_thermal")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("no device", {UP: 0}),
        ("not loaded", {UP: 0}),
        ("crash", {UP: 0}),
        ("healthy", {UP: 1} | health("good") | of("power_watts", 76.5) | of("sm_clock_hertz", 345e6)),
        ("full", of("memory_used_bytes", 149e9) | of("process_memory_bytes", 140e9, pid="4194399")),
        ("hot", HOT | of("temperature_celsius", 92)),
        ("ecc", health("suspect") | of("ecc_uncorrected_total", 2)),
        ("xid", health("unfit") | of("xid_total", 1, xid="79")),
        ("lost", {UP: 1} | health("good") | health("lost", 1)),
        ("one of two", health("good") | health("good", 1)),
    ],
)
def test_what_the_driver_tells_is_exported(
    driver: Path, monkeypatch: pytest.MonkeyPatch, name: str, expected: Samples
) -> None:
    """In Prometheus' own units."""
    found = scraped(driver, monkeypatch, name)
    assert {key: value for key, value in found.items() if key in expected} == pytest.approx(expected)


def test_what_is_not_told_has_no_sample(driver: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """0 degrees would be a lie; of one that is lost nothing is known at all."""
    kept = ("forebay_gpu_driver_up", "forebay_gpu_info", "forebay_gpu_health", "forebay_gpu_speed_ratio")
    assert {key.partition("{")[0] for key in scraped(driver, monkeypatch, "silent")} == set(kept)
    gone = scraped(driver, monkeypatch, "all lost")
    assert {key.partition("{")[0] for key in gone} == {"forebay_gpu_driver_up", "forebay_gpu_health"}


def test_which_are_visible_is_told(driver: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside name, UUID and driver."""
    about = {"name": "NVIDIA H200", "driver": "580.65.06"}
    found = scraped(driver, monkeypatch, "one of two")
    assert found[at("forebay_gpu_info", gpu="0", uuid="GPU-first", visible="false", **about)] == 1
    assert found[at("forebay_gpu_info", gpu="1", uuid="GPU-second", visible="true", **about)] == 1


def scraped(driver: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> Samples:
    """What a scenario has the gateway export."""
    scenario = SCENARIOS[name]
    scenario.play(driver)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(driver))
    if scenario.visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", scenario.visible)
    registry = CollectorRegistry()
    snapshot = gpu_snapshot(gpus())
    registry.register(GpuCollector(lambda: snapshot))
    return samples(registry)
