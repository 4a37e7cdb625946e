"""The models of the catalog and those on this box, one line each."""

from pathlib import Path
from typing import Literal

from msgspec import Struct

from local_models.catalog import Catalog, CatalogEntry, InstalledModel, damaged, installed

State = Literal["yes", "no", "older", "damaged"]


class ModelLine(Struct, frozen=True, kw_only=True):
    """One model. What the catalog alone knows is None where the catalog does not have it (any more).

    `state`: yes and no; `older`, the catalog has another file under that name by now; `damaged`, it is there in part.
    The last two work themselves out with a pull, as far as the catalog has the model.
    """

    name: str
    state: State
    in_catalog: bool
    bytes: int | None
    parameters: int | None = None
    context: int | None = None
    licence: str | None = None
    description: str | None = None
    path: str | None = None

    def figures(self) -> tuple[str, str, str]:
        """Size, parameters and context as a person reads them."""
        return (
            "?" if self.bytes is None else size(self.bytes),
            "?" if self.parameters is None else _parameters(self.parameters),
            "?" if self.context is None else f"{self.context}",
        )


def listed(home: Path, catalog: Catalog) -> tuple[ModelLine, ...]:
    """The catalog in its order, then what else is on this box. Raises ModelError."""
    here = {model.name: model for model in installed(home)}
    broken = damaged(home)
    known = [_of_catalog(entry, here.get(entry.name), broken) for entry in catalog]
    others = [_forgotten(model) for name, model in here.items() if catalog.get(name) is None]
    rest = [_remains(name) for name in broken if catalog.get(name) is None]
    return (*known, *others, *rest)


def size(count: int) -> str:
    """Bytes as a person reads them."""
    if count >= 1_000_000_000:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count} bytes"


def _of_catalog(entry: CatalogEntry, found: InstalledModel | None, broken: tuple[str, ...]) -> ModelLine:
    return ModelLine(
        name=entry.name,
        state=_state(entry, found, broken),
        in_catalog=True,
        bytes=entry.bytes if found is None else found.bytes,
        parameters=entry.parameters,
        context=entry.context,
        licence=entry.licence if found is None else found.manifest.licence,
        description=entry.description,
        path=None if found is None else str(found.path),
    )


def _state(entry: CatalogEntry, found: InstalledModel | None, broken: tuple[str, ...]) -> State:
    if found is None:
        return "damaged" if entry.name in broken else "no"
    return "yes" if found.manifest.files == entry.files else "older"


def _forgotten(model: InstalledModel) -> ModelLine:
    return ModelLine(
        name=model.name,
        state="yes",
        in_catalog=False,
        bytes=model.bytes,
        licence=model.manifest.licence,
        description="not in the catalog any more; it goes on working",
        path=str(model.path),
    )


def _remains(name: str) -> ModelLine:
    description = f"not in the catalog; `forebay models rm {name}` deletes what is there"
    return ModelLine(name=name, state="damaged", in_catalog=False, bytes=None, description=description)


def _parameters(count: int) -> str:
    return f"{count / 1e9:.1f} B" if count >= 1_000_000_000 else f"{count / 1e6:.0f} M"
