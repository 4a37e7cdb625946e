"""A hot GPU, from the driver to who is let in: slower by its clock before any first token has told so."""

from pathlib import Path

import pytest

from gateway.app.gpus import gpu_snapshot
from gateway.errors import Reason, Rejected
from gateway.gate import Gate, GateSettings, Learnt
from gateway.types import EngineView
from local_models.gpuwatch import gpus
from tests.gateway.applicants import applicant
from tests.gateway.nouns import SLA, change
from tests.local_models.nvml import H200, install_driver, play

HOT = {**H200, "clock_reasons": "0x40", "sm_clock": 1188}
"""Six tenths of its clock."""
PRO = change(SLA, ttft_s=1.0)


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the library."""
    for name, value in install_driver(tmp_path).items():
        monkeypatch.setenv(name, value)
    return tmp_path


async def test_a_throttled_gpu_is_slower_at_once(driver: Path) -> None:
    """450 tokens at 1,000 a second are in time; at 600 they are not; and cool again they are."""
    settings = GateSettings(max_wait_s=0.2, max_wait_alone_s=1.0, max_waiting=4, on_gpus=frozenset({"gpu"}))
    gate = Gate({"gpu": 4, "cpu": 4}, settings)
    for name in ("gpu", "cpu"):
        gate.recall(name, Learnt(rate=1_000.0, reach=1e6))
        gate.update(EngineView(name=name, ready=True, given_up=False, url="http://e", detail="up"))
    for scenario, admitted in ((H200, True), (HOT, False), (HOT, False), (H200, True)):
        play(driver, scenario)
        gate.see_gpus(gpu_snapshot(gpus()))
        (await gate.enter("cpu", applicant(PRO, alone=False, prompt=450))).release()
        if admitted:
            (await gate.enter("gpu", applicant(PRO, alone=False, prompt=450))).release()
        else:
            with pytest.raises(Rejected) as caught:
                await gate.enter("gpu", applicant(PRO, alone=False, prompt=450))
            assert caught.value.reason is Reason.LATENCY_OBJECTIVE
    play(driver, HOT)
    gate.see_gpus(gpu_snapshot(gpus()))
    assert gate.reports()[0].prompt_rate == pytest.approx(600.0)
    assert gate.reports()[1].prompt_rate == 1_000.0
    assert gate.learnt()["gpu"].rate == pytest.approx(1_000.0)
