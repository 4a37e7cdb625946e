"""GPUs: from the survey of the engines' room to what the gate sees."""

from gateway.gpus import GpuSnapshot, GpuView
from local_models.gpu import Gpu, GpuSurvey, XidEvent, judged, reasons_in, speed


def gpu_snapshot(survey: GpuSurvey) -> GpuSnapshot:
    """Every GPU that the driver counts, in its order."""
    views = [
        *(_view(gpu, survey.events) for gpu in survey.gpus),
        *(
            GpuView(index=lost.index, health="lost", detail=lost.why, xids=_xids(lost.index, survey.events))
            for lost in survey.lost
        ),
    ]
    views.sort(key=lambda view: view.index)
    return GpuSnapshot(gpus=tuple(views), driver=survey.driver, reason=survey.reason)


def _view(gpu: Gpu, events: tuple[XidEvent, ...]) -> GpuView:
    verdict = judged(gpu, events)
    return GpuView(
        index=gpu.index,
        health=verdict.health.value,
        detail="; ".join(verdict.why),
        visible=gpu.visible,
        name=gpu.name,
        uuid=gpu.uuid,
        speed=speed(gpu),
        memory_total=gpu.memory_total,
        memory_used=gpu.memory_used,
        memory_by=tuple((each.pid, each.memory) for each in gpu.processes or () if each.memory is not None),
        utilization=None if gpu.utilization is None else gpu.utilization / 100,
        clocks=None if gpu.clock_reasons is None else reasons_in(gpu.clock_reasons),
        sm_clock=gpu.sm_clock,
        sm_clock_max=gpu.sm_clock_max,
        memory_clock=gpu.memory_clock,
        temperature=gpu.temperature,
        power=gpu.power,
        power_limit=gpu.power_limit,
        ecc_uncorrected=gpu.ecc_uncorrected,
        remap_pending=gpu.remap_pending,
        remap_failed=gpu.remap_failed,
        xids=_xids(gpu.index, events),
    )


def _xids(index: int, events: tuple[XidEvent, ...]) -> tuple[int, ...]:
    """One of an unknown GPU may have been of any."""
    return tuple(event.xid for event in events if event.index in (index, None))
