"""Bringing a model onto this box: planned, fetched, checked, then there in one step.

    plan: what is meant, how large it is, on which terms
    take the model's lock ► throw away what earlier pulls left ► fetch into a folder of its own ► compare
    size and sha256 ► sync ► rename to `<home>/models/<name>`

A pull that is killed leaves only its own folder, which the next one throws away; each has another, so what a
dying helper of the last one still writes never ends up in it. What a source can go on with is kept between
pulls, beside those folders.
"""

import errno
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from local_models.catalog import MANIFEST, Catalog, Manifest, ModelFile, find_installed, models_folder
from local_models.durable import sync_folder, write_atomically
from local_models.errors import ChecksumMismatch, LicenceNotAccepted, PullFailed
from local_models.filelock import locked
from local_models.plan import Plan, planned
from local_models.room import require_room
from local_models.sources import source_of
from local_models.sources.delivery import Delivery, OfferedFile, Progress, PullPhase

__all__ = ["Plan", "Progress", "PullPhase", "carry_out", "planned", "pull"]

_CHUNK: Final = 1 << 20
_KEPT: Final = "kept"
_FOREIGN: Final = "It was thrown away: what delivers it, or a proxy, delivers something else than was promised."


def pull(
    name: str, home: Path, progress: Progress, catalog: Catalog | None = None, environ: Mapping[str, str] | None = None
) -> Path:
    """Install a model of the catalog or of an address, unless it is there already; what an engine is pointed at.

    Blocks; interrupt it as you like. Raises UnknownModel, SourceFailed, ChecksumMismatch, LicenceNotAccepted or
    PullFailed.
    """
    plan = planned(name, home, catalog=catalog, environ=os.environ if environ is None else environ)
    return carry_out(plan, home, progress, environ)


def carry_out(
    plan: Plan,
    home: Path,
    progress: Progress,
    environ: Mapping[str, str] | None = None,
    *,
    accepted: bool = False,
) -> Path:
    """Install what was planned, unless it is there by now; `accepted` says that its terms were. Raises as `pull`."""
    models = models_folder(home)
    try:
        with locked(models / ".locks" / plan.name, lambda: progress(0, plan.bytes, PullPhase.WAITING)):
            found = find_installed(plan.name, home)
            if found is not None and plan.is_met_by(found.manifest):
                return found.path
            if plan.terms is not None and not accepted:
                raise LicenceNotAccepted(f"{plan.name} comes under {plan.terms.title}, which must be accepted first")
            return _Installation(plan, models, progress, os.environ if environ is None else environ).run()
    except OSError as error:
        raise PullFailed(_explain(error, plan.name, models)) from error


class _Installation:
    """One model that is being installed, under its lock."""

    def __init__(self, plan: Plan, models: Path, progress: Progress, environ: Mapping[str, str]) -> None:
        self._plan = plan
        self._models = models
        self._progress = progress
        self._environ = environ
        self._pulling = models / ".pulling" / plan.name
        self._kept = self._pulling / _KEPT

    def run(self) -> Path:
        """The path of the first file, once all are there."""
        plan = self._plan
        self._clear()
        self._pulling.mkdir(parents=True, exist_ok=True)
        self._check_room()
        try:
            workspace = Path(tempfile.mkdtemp(dir=self._pulling))
            ready = workspace / "ready"
            ready.mkdir()
            files = tuple(self._bring(file, ready, workspace / "scratch") for file in plan.files)
            manifest = Manifest(
                name=plan.name,
                files=files,
                licence=plan.licence,
                pulled_at=time.time(),
                address=plan.address,
                revision=plan.revision,
                accepted=None if plan.terms is None else plan.terms.title,
            )
            write_atomically(ready / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
            _move_into_place(ready, self._models / plan.name, workspace)
            shutil.rmtree(self._kept, ignore_errors=True)
        except ChecksumMismatch:
            # Nobody may go on with it.
            shutil.rmtree(self._kept, ignore_errors=True)
            raise
        finally:
            self._clear()
        return (self._models / plan.name / files[0].name).absolute()

    def _clear(self) -> None:
        """Throw away what was begun, except what can be gone on with."""
        for left in self._pulling.iterdir() if self._pulling.is_dir() else ():
            if left != self._kept:
                shutil.rmtree(left, ignore_errors=True)
        if not any(self._kept.iterdir() if self._kept.is_dir() else ()):
            shutil.rmtree(self._pulling, ignore_errors=True)

    def _check_room(self) -> None:
        """Before anything is fetched, as far as sizes are known; what is there from an earlier pull needs no more."""
        needed = sum(source_of(file.source).room(file.bytes) for file in self._plan.files if file.bytes is not None)
        there = sum(path.stat().st_size for path in self._kept.iterdir()) if self._kept.is_dir() else 0
        require_room(max(0, needed - there), self._plan.name, self._models)

    def _bring(self, file: OfferedFile, ready: Path, scratch: Path) -> ModelFile:
        scratch.mkdir()
        target = ready / self._plan.file_name(file)
        source_of(file.source).deliver(
            Delivery(
                target=target,
                scratch=scratch,
                kept=self._kept,
                bytes=file.bytes,
                environ=self._environ,
                progress=self._progress,
            )
        )
        shutil.rmtree(scratch)
        size = target.stat().st_size
        if file.bytes is not None and size > file.bytes:
            raise ChecksumMismatch(f"{target.name} has more than the {file.bytes} bytes it should have. {_FOREIGN}")
        sha256 = self._sum(target, size)
        if file.sha256 is not None and sha256 != file.sha256:
            raise ChecksumMismatch(f"{target.name} has sha256 {sha256} instead of {file.sha256}. {_FOREIGN}")
        return ModelFile(source=file.source, sha256=sha256, bytes=size)

    def _sum(self, path: Path, size: int) -> str:
        """The file's sum, with the file written out to the disk."""
        sum_so_far = hashlib.sha256()
        done = 0
        with path.open("rb") as content:
            os.fsync(content.fileno())
            while chunk := content.read(_CHUNK):
                sum_so_far.update(chunk)
                done += len(chunk)
                self._progress(done, size, PullPhase.CHECKING)
        return sum_so_far.hexdigest()


def _move_into_place(ready: Path, target: Path, workspace: Path) -> None:
    sync_folder(ready)
    if target.exists():  # incomplete, or of an older catalog: the same one would not have been pulled
        target.rename(workspace / "replaced")
    ready.rename(target)
    sync_folder(target.parent)


def _explain(error: OSError, name: str, models: Path) -> str:
    where = f"model {name} under {models}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"no room for {where} ({error.strerror}): make room, or set FOREBAY_HOME to a larger disk"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"cannot write {where} ({error.strerror}): set FOREBAY_HOME to a folder of yours"
    return f"could not install {where}: {error}"
