"""What a pull is about: a model of the catalog, or what an address stands for."""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from local_models.address import file_name, is_address, is_model_name, model_name, normalised
from local_models.catalog import (
    Catalog,
    CatalogEntry,
    Manifest,
    ModelFile,
    Terms,
    builtin_catalog,
    find_by_address,
    find_installed,
)
from local_models.errors import PullFailed
from local_models.sources import source_of
from local_models.sources.delivery import OfferedFile


class Plan(Struct, frozen=True, kw_only=True):
    """One model to be installed."""

    name: str
    files: tuple[OfferedFile, ...]
    licence: str
    """As its publisher calls it; empty where nobody says."""
    terms: Terms | None = None
    """To be accepted before anything is fetched."""
    address: str = ""
    """What was asked for, where that was an address."""
    revision: str = ""
    """The commit that the address stood for."""
    here: Path | None = None
    """Where it is already, found by its address."""

    @property
    def bytes(self) -> int | None:
        """Of all files; None where the source does not say beforehand."""
        sizes = [file.bytes for file in self.files]
        known = [size for size in sizes if size is not None]
        return sum(known) if len(known) == len(sizes) else None

    def file_name(self, file: OfferedFile) -> str:
        """What one of its files is called on this box."""
        return file_name(file.source)

    def is_met_by(self, manifest: Manifest) -> bool:
        """Whether what is installed is what is planned."""
        if len(manifest.files) != len(self.files):
            return False
        return all(
            there.source == wanted.source and wanted.sha256 in (None, there.sha256)
            for there, wanted in zip(manifest.files, self.files, strict=True)
        )


def planned(
    model: str,
    home: Path,
    *,
    environ: Mapping[str, str],
    catalog: Catalog | None = None,
    as_name: str | None = None,
) -> Plan:
    """What pulling `model`, a name of the catalog or an address, amounts to; `as_name` is what to call it here.

    Asks the source of an address that is not here yet. Raises UnknownModel, SourceFailed or PullFailed.
    """
    catalog = catalog or builtin_catalog()
    if as_name is not None and not is_model_name(as_name):
        raise PullFailed(
            f"a model cannot be called {as_name!r}: letters, digits, '.', '_' and '-', not ending in .gguf"
        )
    if not is_address(model):
        if as_name not in (None, model):
            raise PullFailed(f"{model} is a name of the catalog and keeps it: --name is for addresses")
        return _of_entry(catalog[model])
    address = normalised(model)
    entry = next((entry for entry in catalog if tuple(file.source for file in entry.files) == (address,)), None)
    if entry is not None and as_name in (None, entry.name):
        return _of_entry(entry)
    found = find_by_address(address, home)
    if found is not None and as_name in (None, found.name):
        files = tuple(
            OfferedFile(source=file.source, sha256=file.sha256, bytes=file.bytes) for file in found.manifest.files
        )
        return Plan(name=found.name, files=files, licence=found.manifest.licence, address=address, here=found.path)
    offer = source_of(address).offer(environ)
    plan = Plan(
        name=as_name or model_name(file_name(offer.files[0].source)),
        files=offer.files,
        licence=offer.licence,
        address=address,
        revision=offer.revision,
    )
    _require_free(plan, home, catalog)
    return plan


def _of_entry(entry: CatalogEntry) -> Plan:
    return Plan(name=entry.name, files=_offered(entry.files), licence=entry.licence, terms=entry.terms)


def _offered(files: tuple[ModelFile, ...]) -> tuple[OfferedFile, ...]:
    return tuple(OfferedFile(source=file.source, sha256=file.sha256, bytes=file.bytes) for file in files)


def _require_free(plan: Plan, home: Path, catalog: Catalog) -> None:
    """One name, one model: what an engine runs by that name must not become another by a pull."""
    if catalog.get(plan.name) is not None:
        raise PullFailed(f"{plan.name} is a model of the catalog: give this one another name with --name")
    found = find_installed(plan.name, home)
    if found is not None and not plan.is_met_by(found.manifest):
        came = found.manifest.address or found.manifest.files[0].source
        raise PullFailed(
            f"a model called {plan.name} is here already, from {came}: give this one another name with --name, "
            f"or delete that one with `forebay models rm {plan.name}`"
        )
