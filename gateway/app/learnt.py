"""What gates have learnt of their engines, kept from one life of the gateway to the next.

It belongs to a model on certain hardware, run by a certain version: anything else begins anew.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import msgspec

from gateway.config.schema import Config, Engine
from gateway.gate import Gate, Learnt
from local_models.durable import write_atomically
from local_models.hardware import card_models, cpu_count, cpu_flags_key

_EVERY_S: Final = 60.0
_KEPT: Final = 64
"""Of engines that are configured no more, the rest is forgotten."""

_log = logging.getLogger("forebay.gate")


class Memory:
    """The learnt rates of the engines of a configuration, in a file under the gateway's home. Use as a task: `keep`."""

    def __init__(self, config: Config, home: Path, gate: Gate) -> None:
        self._file = home / "gate.json"
        self._gate = gate
        self._keys = {name: key_of(engine) for name, engine in config.engines.items()}
        self._known: dict[str, Learnt] = {}

    def recall(self) -> None:
        """Tell the gate what is known. A file that cannot be read is no loss: all is learnt again."""
        try:
            self._known = msgspec.json.decode(self._file.read_bytes(), type=dict[str, Learnt])
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError) as error:
            _log.warning("what the gate had learnt cannot be read from %s (%s): it learns anew", self._file, error)
            return
        for name, key in self._keys.items():
            if key in self._known:
                self._gate.recall(name, self._known[key])

    async def keep(self) -> None:
        """Write it down every minute."""
        while True:
            await asyncio.sleep(_EVERY_S)
            await asyncio.to_thread(self._write, self._gate.learnt())

    def write(self) -> None:
        """Write it down now."""
        self._write(self._gate.learnt())

    def _write(self, learnt: Mapping[str, Learnt]) -> None:
        latest = {self._keys[name]: each for name, each in learnt.items() if name in self._keys}
        if all(self._known.get(key) == each for key, each in latest.items()):
            return
        others = [(key, each) for key, each in self._known.items() if key not in latest]
        known = {**dict(others[-_KEPT:]), **latest}
        try:
            write_atomically(self._file, msgspec.json.encode(known))
        except OSError as error:
            _log.warning("what the gate has learnt cannot be written to %s: %s", self._file, error)
            return
        self._known = known


def key_of(engine: Engine, hardware: Callable[[], str] | None = None) -> str:
    """Names what rates belong to: the model and how it is run, the hardware, and the version of what runs it."""
    where = (hardware or _hardware)() if engine.kind != "attached" else " ".join(engine.urls)
    parts = (
        engine.kind,
        engine.model or "",
        str(engine.parallel),
        str(engine.context),
        str(engine.threads),
        str(engine.attention),
        " ".join(engine.args),
        where,
        _version(engine),
    )
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    return f"{engine.kind} {engine.model or 'as served'} {digest}"


def _hardware() -> str:
    return f"{cpu_flags_key()} {cpu_count()} {' '.join(card_models())}"


def _version(engine: Engine) -> str:
    """That of our own engine's library; of a vLLM the name of the folder that pip leaves beside it."""
    if engine.kind == "llama_cpp":
        try:
            return version("llama-cpp-python")
        except PackageNotFoundError:
            return ""
    if engine.python is None:
        return " ".join(engine.command)
    found = Path(engine.python).expanduser().parent.parent.glob("lib/python*/site-packages/vllm-*.dist-info")
    return " ".join(sorted(folder.name for folder in found))
