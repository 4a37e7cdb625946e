"""Whether there is memory for a vLLM, asked before one is launched: it would find out for itself, minutes later and in
a traceback. Pure: what there is comes as `Pool`s. Where something is unknown, nothing is refused.

On GPUs vLLM takes a share of all memory of each (--gpu-memory-utilization), whatever the model needs, and ends when so
much is not free. On a CPU it takes what VLLM_CPU_KVCACHE_SPACE says (GiB) beside its weights.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

# vLLM's own default was 0.9 for years and is 0.92 since; the lower one refuses nothing that would have worked.
_USUAL_SHARE: Final = 0.9
_GIB: Final = 1 << 30
_HOLDERS_TOLD: Final = 4


class Holder(Struct, frozen=True):
    """A process that holds memory; None is an amount nobody tells."""

    pid: int
    bytes: int | None


class Pool(Struct, frozen=True, kw_only=True):
    """Memory that is taken from: a GPU's, or the box's."""

    name: str
    total: int | None
    free: int | None
    holders: tuple[Holder, ...] = ()


class Shortage(Struct, frozen=True):
    """What is lacking, and what would mend it."""

    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.what}: {self.mend}"


def short_on_gpus(args: Sequence[str], gpus: Sequence[Pool]) -> Shortage | None:
    """Why vLLM with these arguments finds no room on the GPUs that it may use; None where nothing speaks against it."""
    wanted = _count(args, "--tensor-parallel-size", "-tp") * _count(args, "--pipeline-parallel-size", "-pp")
    if not gpus:
        return None
    if wanted > len(gpus):
        what = f"{wanted} GPUs are needed, and it may use {len(gpus)}"
        return Shortage(what, "write a lower --tensor-parallel-size in its args, or leave it more GPUs")
    if value_of(args, "--kv-cache-memory-bytes") is not None:
        return None
    share = _number(value_of(args, "--gpu-memory-utilization"), _USUAL_SHARE)
    for gpu in gpus[:wanted]:
        if gpu.total is not None and gpu.free is not None and gpu.free < share * gpu.total:
            needs = f"--gpu-memory-utilization {share:g} of {_size(gpu.total)}"
            mend = "end what holds it, or write a lower --gpu-memory-utilization in its args"
            return _short(gpu, share * gpu.total, needs, mend)
    return None


def short_on_cpu(environ: Mapping[str, str], weights: int | None, box: Pool) -> Shortage | None:
    """The same for a vLLM that runs on the CPU; `weights` is the size of its model's files."""
    space = environ.get("VLLM_CPU_KVCACHE_SPACE", "")
    cache = int(space) * _GIB if space.isdecimal() else 0
    need = cache + (weights or 0)
    if box.free is None or need <= box.free:
        return None
    parts = [f"VLLM_CPU_KVCACHE_SPACE {_size(cache)}"] if cache else []
    parts += [f"weights {_size(weights)}"] if weights else []
    return _short(box, need, " and ".join(parts), "end what holds it, or set a lower VLLM_CPU_KVCACHE_SPACE")


def value_of(args: Sequence[str], *flags: str) -> str | None:
    """What follows a flag, or stands behind its `=`; of several the last, as vLLM takes it."""
    found = None
    for position, word in enumerate(args):
        name, separator, value = word.partition("=")
        if name.replace("_", "-") not in flags:
            continue
        if separator:
            found = value
        elif position + 1 < len(args):
            found = args[position + 1]
    return found


def _short(pool: Pool, need: float, parts: str, mend: str) -> Shortage:
    told = [each for each in pool.holders if each.bytes is not None][:_HOLDERS_TOLD]
    held = ", ".join(f"process {each.pid} ({_size(each.bytes or 0)})" for each in told)
    by = f"; held by {held}" if held else ""
    what = f"not enough memory on {pool.name}: {_size(need)} needed ({parts}), {_size(pool.free or 0)} free{by}"
    return Shortage(what, mend)


def _count(args: Sequence[str], *flags: str) -> int:
    value = value_of(args, *flags)
    return max(1, int(value)) if value is not None and value.isdecimal() else 1


def _number(text: str | None, usual: float) -> float:
    try:
        return usual if text is None else float(text)
    except ValueError:
        return usual


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB"
