"""Taking models off this box again: whole ones, damaged ones, and what interrupted pulls left."""

import shutil
from collections.abc import Callable
from pathlib import Path

from local_models.address import is_address, normalised
from local_models.catalog import find_by_address, installed, is_path, models_folder
from local_models.errors import ModelError, ModelNotPresent
from local_models.filelock import locked


def begun(home: Path) -> dict[str, int]:
    """Models whose pull was interrupted and can go on, with the bytes that are there; `remove` deletes those too."""
    pulling = models_folder(home) / ".pulling"
    try:
        kept = {folder.parent.name: _size(folder) for folder in pulling.glob("*/kept")}
    except OSError as error:
        raise ModelError(f"cannot read {pulling} ({error.strerror}): set FOREBAY_HOME to a folder of yours") from error
    return {name: size for name, size in sorted(kept.items()) if size}


def remove(model: str, home: Path, waiting: Callable[[], None] = lambda: None) -> tuple[str, int]:
    """Delete an installed model, or what is there of one, and what a killed pull of it left; its name, and the bytes
    that this freed. Engines that have it open keep it, and its room on the disk, until they stop.

    Waits while it is being pulled, and calls `waiting` meanwhile. Raises ModelNotPresent when there is nothing of
    that name or address, ModelError when it cannot be deleted.
    """
    name = _name_of(model, home)
    _require(name, home)
    models = models_folder(home)
    try:
        with locked(models / ".locks" / name, waiting):
            _require(name, home)
            freed = sum(_size(folder) for folder in _remains(name, home))
            # Out of sight in one step, so that nobody finds half a model while the files go.
            doomed = models / ".pulling" / name / "removed"
            shutil.rmtree(doomed.parent, ignore_errors=True)
            if (models / name).is_dir():
                doomed.parent.mkdir(parents=True)
                (models / name).rename(doomed)
                shutil.rmtree(doomed.parent)
            return name, freed
    except OSError as error:
        raise ModelError(f"cannot delete model {name} under {models}: {error.strerror}") from error


def _name_of(model: str, home: Path) -> str:
    found = find_by_address(normalised(model), home) if is_address(model) else None
    return model if found is None else found.name


def _require(name: str, home: Path) -> None:
    if not _remains(name, home):
        have = ", ".join(model.name for model in installed(home)) or "none"
        raise ModelNotPresent(f"model {name} is not installed; installed: {have}")


def _remains(name: str, home: Path) -> tuple[Path, ...]:
    """Folders with anything of this model in them."""
    if is_path(name) or is_address(name) or name.startswith("."):
        return ()
    models = models_folder(home)
    return tuple(folder for folder in (models / name, models / ".pulling" / name) if folder.is_dir())


def _size(folder: Path) -> int:
    # Of a link the link itself: what it leads to stays.
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_symlink() or path.is_file())
