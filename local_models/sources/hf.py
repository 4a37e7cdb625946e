"""`hf:ORG/REPO@REVISION:FILE`: one file of a Hugging Face hub, or of a mirror that speaks its API (HF_ENDPOINT).

huggingface_hub does it in a process of its own (`hub`): it takes 60 MB and most of a second to import, reads its
settings (HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE, proxies) when it is imported, and shall be gone when a pull is
interrupted. What has been fetched by then is kept, and gone on with by the next pull.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import msgspec
from msgspec import Struct

from local_models.address import HubAddress
from local_models.environment import inheritable
from local_models.errors import SourceFailed
from local_models.sources.child import run
from local_models.sources.delivery import Delivery, Offer, OfferedFile, PullPhase

_CHILD: Final = "local_models.sources.hub"
# Nothing but what was asked for goes over the network, and nothing but our lines to standard output.
_QUIET: Final = ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_PROGRESS_BARS", "DO_NOT_TRACK")


class Facts(Struct, frozen=True, kw_only=True):
    """What the child found out; `files` are path, size and sha256."""

    commit: str
    files: tuple[tuple[str, int, str], ...]
    licence: str = ""


class Said(Struct, frozen=True, kw_only=True):
    """The last line that the child prints: facts, or one line on what went wrong, or neither when a file is there."""

    facts: Facts | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class HubSource:
    """A file in a repository of a hub."""

    address: HubAddress

    @classmethod
    def parse(cls, reference: str) -> Self:
        """From what follows `hf:`. Raises SourceFailed."""
        return cls(HubAddress.parse(reference))

    def offer(self, environ: Mapping[str, str]) -> Offer:
        """See `Source`. The revision becomes a commit, and the sum is the hub's own."""
        where = self.address
        command = (*_command("ask"), where.repo, where.revision, where.file or "")
        ended = run(command, _environ(environ), _nobody)
        facts = _read(ended.said, ended.complaint).facts
        assert facts is not None
        files = tuple(
            OfferedFile(source=where.at(facts.commit, path), sha256=sha256, bytes=size)
            for path, size, sha256 in facts.files
        )
        return Offer(files=files, licence=facts.licence, revision=facts.commit)

    def room(self, size: int) -> int:
        """See `Source`: the file is written once, where it is to be, and a little for the folder round it."""
        return size + (1 << 20)

    def deliver(self, delivery: Delivery) -> None:
        """See `Source`. Whatever has arrived is under `kept` at each moment."""
        where, size = self.address, delivery.bytes
        if where.file is None or size is None:
            raise SourceFailed(f"{where} names no file")
        delivery.kept.mkdir(parents=True, exist_ok=True)
        partial = delivery.kept / f"{where.revision}-{Path(where.file).name}"

        def report(done: int, total: int | None) -> None:
            delivery.progress(done, total, PullPhase.DOWNLOADING)

        command = (*_command("fetch"), where.repo, where.revision, where.file, str(size), str(partial))
        ended = run(command, _environ(delivery.environ), report)
        _read(ended.said, ended.complaint)
        partial.rename(delivery.target)


def _nobody(_done: int, _total: int | None) -> None:
    """Asking takes no time worth a bar."""


def _command(work: str) -> tuple[str, ...]:
    # -P: a file in the folder where Forebay was started must not stand in for a module of ours.
    return (sys.executable, "-P", "-m", _CHILD, work)


def _environ(environ: Mapping[str, str]) -> dict[str, str]:
    """What is needed to run at all, and of the hub's settings those that were handed in."""
    return {**dict.fromkeys(_QUIET, "1"), **inheritable(os.environ), **environ}


def _read(said: tuple[str, ...], complaint: str) -> Said:
    try:
        last = msgspec.json.decode(said[-1] if said else "", type=Said)
    except msgspec.DecodeError as error:
        lines = [line for line in complaint.splitlines() if line.strip()] or ["it ended without a word"]
        raise SourceFailed(f"the hub's client failed: {lines[-1]}") from error
    if last.error is not None:
        raise SourceFailed(last.error)
    return last
