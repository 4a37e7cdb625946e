"""The models of the catalog and those on this box, one line each."""

from pathlib import Path
from typing import Literal

from msgspec import Struct

from local_models.catalog import Catalog, CatalogEntry, InstalledModel, damaged, installed
from local_models.removal import begun

State = Literal["yes", "no", "older", "damaged", "begun"]


class ModelLine(Struct, frozen=True, kw_only=True):
    """One model. What the catalog alone knows is None where the catalog does not have it (any more).

    `state`: yes and no; `older`, the catalog has another file under that name by now; `damaged`, it is there in part;
    `begun`, a pull was interrupted and can go on. The last three work themselves out with a pull, as far as the
    catalog or its address has the model.
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
    address: str | None = None
    revision: str | None = None

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
    others = [_other(model) for name, model in here.items() if catalog.get(name) is None]
    rest = [_remains(name) for name in broken if catalog.get(name) is None]
    partly = [_begun(name, size) for name, size in begun(home).items() if name not in here]
    return (*known, *others, *rest, *partly)


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


def _other(model: InstalledModel) -> ModelLine:
    manifest = model.manifest
    origin = f"from {manifest.address}" if manifest.address else "not in the catalog any more; it goes on working"
    return ModelLine(
        name=model.name,
        state="yes",
        in_catalog=False,
        bytes=model.bytes,
        licence=manifest.licence or None,
        description=f"{origin}, commit {manifest.revision[:12]}" if manifest.revision else origin,
        path=str(model.path),
        address=manifest.address or None,
        revision=manifest.revision or None,
    )


def _remains(name: str) -> ModelLine:
    description = f"not in the catalog; `forebay models rm {name}` deletes what is there"
    return ModelLine(name=name, state="damaged", in_catalog=False, bytes=None, description=description)


def _begun(name: str, there: int) -> ModelLine:
    description = f"a pull was interrupted: the next one goes on, `forebay models rm {name}` deletes what is there"
    return ModelLine(name=name, state="begun", in_catalog=False, bytes=there, description=description)


def _parameters(count: int) -> str:
    return f"{count / 1e9:.1f} B" if count >= 1_000_000_000 else f"{count / 1e6:.0f} M"
