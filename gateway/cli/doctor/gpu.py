"""The GPUs: which there are, how they are, and what Forebay makes of it."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

import httpx
import msgspec
from msgspec import Struct, structs

from gateway.cli.doctor.finding import Finding, broken, note, ok, warning
from gateway.cli.modellist import size
from gateway.config.addresses import listen_address
from gateway.config.schema import Config
from gateway.gpus import GpuSnapshot
from local_models.gpu import Gpu, GpuSurvey, Health, Remedy, XidEvent, judged, remedy
from local_models.gpuwatch import gpus
from local_models.hardware import nvidia_cards

_DRIVER = (
    "install NVIDIA's driver and restart the box (Ubuntu: `sudo ubuntu-drivers install`); in a container, start it "
    "with `--gpus all` and NVIDIA's container toolkit on the host; `nvidia-smi` must then list the GPU"
)
_SILENT = "look for NVRM and Xid in `sudo dmesg`, and restart the box; `nvidia-smi` must then list the GPU"
_LOST = "restart the box; if it stays away, `nvidia-smi -q` says more"
_SLOWED = "look after its cooling and its power: `nvidia-smi -q -d TEMPERATURE,POWER,PERFORMANCE` has the figures"
_MEMORY = "`nvidia-smi -q -d ECC,ROW_REMAPPER` has the figures; reset the GPU when nothing runs on it"
_CATALOGUE = "NVIDIA's catalogue of XIDs says what to do about it"
_FULL = 0.9
_ASK_S = 2.0
_SLOWER = "it answers more slowly, and what it cannot answer in time goes to the next tier"
_STARTED_AGAIN = "an engine that ends of it is started again"
_GIVEN_UP = "engines on it fail and are given up, and their requests go to other backends"
_FIGURES = MappingProxyType(
    {
        "memory_used": "memory",
        "processes": "processes",
        "clock_reasons": "throttling",
        "sm_clock": "clocks",
        "temperature": "temperature",
        "power": "power",
        "ecc_uncorrected": "memory errors",
    }
)


class Facts(Struct, frozen=True, kw_only=True):
    """`wanted` says why a GPU is needed, empty where nothing tells that one is. `cards` is how many NVIDIA cards the
    box has, with or without a driver; `commands` has the command lines of processes on the GPUs, as far as they are
    to be had.
    """

    survey: GpuSurvey
    cards: int
    wanted: str = ""
    commands: Mapping[int, str] = MappingProxyType({})


def gather(config: Config | None, *, wanted: str) -> Facts:
    """Ask the driver, and the gateway that runs here for what the driver told before."""
    survey = gpus()
    if survey.gpus and config is not None:
        survey = structs.replace(survey, events=(*_earlier(config), *survey.events))
    pids = {process.pid for gpu in survey.gpus for process in gpu.processes or ()}
    return Facts(survey=survey, cards=nvidia_cards(), wanted=wanted, commands={pid: _command(pid) for pid in pids})


def findings(facts: Facts) -> Iterator[Finding]:
    """What there is, how it is, and what that leads to."""
    survey = facts.survey
    for gpu in survey.gpus:
        yield (
            _about(gpu, survey) if gpu.visible else note("gpu", f"{_name(gpu)}: not in CUDA_VISIBLE_DEVICES, not used")
        )
        if gpu.visible:
            yield from _troubles(gpu, facts)
    for lost in survey.lost:
        yield warning("gpu", f"GPU {lost.index}: {lost.why}: {_GIVEN_UP}", _LOST)
    if not survey.visible:
        yield _none(facts)


def _about(gpu: Gpu, survey: GpuSurvey) -> Finding:
    parts = [_name(gpu)]
    if gpu.memory_total is not None:
        parts.append(size(gpu.memory_total))
    if gpu.memory_used is not None:
        parts.append(f"{size(gpu.memory_used)} of it in use")
    if gpu.temperature is not None:
        parts.append(f"{gpu.temperature} °C")
    if gpu.power is not None:
        parts.append(f"{gpu.power:.0f} W")
    if gpu.utilization is not None:
        parts.append(f"busy {gpu.utilization} % of the time")
    parts.append(f"driver {survey.driver or '?'}")
    silent = [words for field, words in _FIGURES.items() if getattr(gpu, field) is None]
    return ok("gpu", ", ".join(parts) + (f"; it does not tell: {', '.join(silent)}" if silent else ""))


def _troubles(gpu: Gpu, facts: Facts) -> Iterator[Finding]:
    verdict = judged(gpu, facts.survey.events)
    why = f"{_name(gpu)}: {'; '.join(verdict.why)}"
    match verdict.health:
        case Health.UNFIT:
            reset = f"`sudo nvidia-smi --gpu-reset -i {gpu.index}`"
            advice = f"stop what runs on it, Forebay too, and {reset}, or restart the box"
            yield broken("gpu", f"{why}: {_GIVEN_UP}", advice)
        case Health.SUSPECT:
            yield warning("gpu", f"{why}: {_STARTED_AGAIN}", _advice(gpu, facts.survey))
        case Health.SLOWED:
            yield warning("gpu", f"{why}: {_SLOWER}", _SLOWED)
        case Health.GOOD:
            pass
    if gpu.memory_total and gpu.memory_used is not None and gpu.memory_used >= _FULL * gpu.memory_total:
        yield from _full(gpu, facts)


def _advice(gpu: Gpu, survey: GpuSurvey) -> str:
    if gpu.ecc_uncorrected or gpu.remap_pending:
        return _MEMORY
    xids = [event.xid for event in survey.events if event.index in (gpu.index, None)]
    if all(remedy(xid) is Remedy.RESTART_ENGINE for xid in xids):
        return "the engine's log says what it did then; nothing is to be done about the GPU"
    return _CATALOGUE


def _full(gpu: Gpu, facts: Facts) -> Iterator[Finding]:
    """Memory that vLLM has taken is as it should be: it takes nearly all."""
    others = [each for each in gpu.processes or () if "vllm" not in facts.commands.get(each.pid, "").lower()]
    if gpu.processes and not others:
        return
    holders = ", ".join(
        f"process {each.pid} has {'?' if each.memory is None else size(each.memory)}" for each in others
    )
    pids = " ".join(str(each.pid) for each in others)
    yield warning(
        "gpu",
        f"{_name(gpu)}: its memory is full ({holders or 'the driver does not tell by whom'}): an engine that starts "
        "now finds no room, and is tried again until it is given up",
        f"`kill {pids}` ends what has it, if you need it no more" if pids else "`nvidia-smi` may tell who has it",
    )


def _none(facts: Facts) -> Finding:
    """No GPU that engines may use."""
    survey = facts.survey
    if survey.gpus:
        why, advice = "CUDA_VISIBLE_DEVICES leaves no GPU to engines", "unset CUDA_VISIBLE_DEVICES, or name a GPU in it"
    elif survey.lost:
        why, advice = "no GPU answers", _LOST
    else:
        why, advice = survey.reason, _SILENT if "does not answer" in survey.reason else _DRIVER
    if facts.wanted:
        return broken("gpu", f"{why}, and {facts.wanted}", advice)
    if facts.cards or survey.gpus or survey.lost or advice == _SILENT:
        cards = f"NVIDIA cards in this box: {facts.cards}; " if facts.cards else ""
        return warning("gpu", f"{cards}{why}: engines run on the CPU alone", advice)
    return note("gpu", f"{why}; nothing here needs one, engines run on the CPU")


def _name(gpu: Gpu) -> str:
    return f"GPU {gpu.index}: {gpu.name}"


def _earlier(config: Config) -> tuple[XidEvent, ...]:
    """What a running gateway has heard; nothing where none runs. `at` is not told."""
    address = listen_address(config.server.admin_listen)
    host = f"[{address.host}]" if ":" in address.host else address.host
    if not address.port:
        return ()
    with suppress(httpx.HTTPError, msgspec.DecodeError):
        answer = httpx.get(f"http://{host}:{address.port}/admin/gpus", timeout=_ASK_S, trust_env=False)
        told = msgspec.json.decode(answer.content, type=GpuSnapshot)
        return tuple(XidEvent(at=0.0, index=gpu.index, xid=xid) for gpu in told.gpus for xid in gpu.xids)
    return ()


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
    except OSError:
        return ""
