"""Metrics of the GPUs, read when somebody looks. What a GPU does not tell has no sample: unknown is not 0."""

from collections import Counter
from collections.abc import Callable, Iterable
from types import MappingProxyType

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.gpus import GpuSnapshot, GpuView

_MHZ = 1e6
_FIGURES = MappingProxyType(
    {
        "memory_total": ("forebay_gpu_memory_total_bytes", "Memory of a GPU.", 1.0),
        "memory_used": ("forebay_gpu_memory_used_bytes", "Memory in use, by all processes and the driver.", 1.0),
        "utilization": (
            "forebay_gpu_utilization_ratio",
            "Share of time in which anything ran: no measure of room.",
            1.0,
        ),
        "speed": ("forebay_gpu_speed_ratio", "Clock as a share of the highest while it is slowed, else 1.", 1.0),
        "sm_clock": ("forebay_gpu_sm_clock_hertz", "Clock of the cores.", _MHZ),
        "sm_clock_max": ("forebay_gpu_sm_clock_max_hertz", "Highest clock of the cores.", _MHZ),
        "memory_clock": ("forebay_gpu_memory_clock_hertz", "Clock of the memory.", _MHZ),
        "temperature": ("forebay_gpu_temperature_celsius", "Temperature.", 1.0),
        "power": ("forebay_gpu_power_watts", "Power taken.", 1.0),
        "power_limit": ("forebay_gpu_power_limit_watts", "Power it may take.", 1.0),
        "remap_pending": ("forebay_gpu_remap_pending", "1 while bad rows of memory wait for a reset.", 1.0),
        "remap_failed": ("forebay_gpu_remap_failed", "1 when bad rows of memory could not be put aside.", 1.0),
    }
)
_HEALTH = ("good", "slowed", "suspect", "unfit", "lost")


class GpuCollector(Collector):
    """Every GPU of the latest snapshot."""

    def __init__(self, snapshot: Callable[[], GpuSnapshot]) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        """Whether the driver answers; and of each GPU what it is, how it is, and what it tells."""
        seen = self._snapshot()
        yield GaugeMetricFamily(
            "forebay_gpu_driver_up", "1 when NVIDIA's driver answers.", value=bool(seen.driver and not seen.reason)
        )
        if not seen.gpus:
            return
        yield _about(seen)
        yield _healths(seen.gpus)
        for field, (name, meaning, factor) in _FIGURES.items():
            family = GaugeMetricFamily(name, meaning, labels=["gpu"])
            for gpu in seen.gpus:
                value = getattr(gpu, field)
                if value is not None:
                    family.add_metric([str(gpu.index)], float(value) * factor)
            yield family
        yield from _lists(seen.gpus)


def _about(seen: GpuSnapshot) -> Metric:
    labels = ["gpu", "uuid", "name", "driver", "visible"]
    family = GaugeMetricFamily("forebay_gpu_info", "1 for every GPU that answers.", labels=labels)
    for gpu in seen.gpus:
        if gpu.answers:
            visible = "true" if gpu.visible else "false"
            family.add_metric([str(gpu.index), gpu.uuid, gpu.name, seen.driver, visible], 1)
    return family


def _healths(gpus: tuple[GpuView, ...]) -> Metric:
    family = GaugeMetricFamily("forebay_gpu_health", "1 at how it is.", labels=["gpu", "health"])
    for gpu in gpus:
        for health in _HEALTH:
            family.add_metric([str(gpu.index), health], float(gpu.health == health))
    return family


def _lists(gpus: tuple[GpuView, ...]) -> Iterable[Metric]:
    clocks = GaugeMetricFamily(
        "forebay_gpu_clock_reason", "1 for every reason why clocks are not at their highest.", labels=["gpu", "reason"]
    )
    memory = GaugeMetricFamily(
        "forebay_gpu_process_memory_bytes", "Memory of a process on a GPU.", labels=["gpu", "pid"]
    )
    errors = CounterMetricFamily(
        "forebay_gpu_ecc_uncorrected", "Memory errors since the driver was loaded.", labels=["gpu"]
    )
    xids = CounterMetricFamily(
        "forebay_gpu_xid", "Critical errors that the driver told of since the gateway began.", labels=["gpu", "xid"]
    )
    for gpu in gpus:
        label = str(gpu.index)
        for reason in gpu.clocks or ():
            clocks.add_metric([label, reason], 1)
        for pid, size in gpu.memory_by:
            memory.add_metric([label, str(pid)], size)
        if gpu.ecc_uncorrected is not None:
            errors.add_metric([label], gpu.ecc_uncorrected)
        for xid, count in Counter(gpu.xids).items():
            xids.add_metric([label, str(xid)], count)
    yield from (clocks, memory, errors, xids)
