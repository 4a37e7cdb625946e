"""Whether an installed model still is what was installed: every byte of it."""

import hashlib
from collections.abc import Callable
from typing import Final

from local_models.catalog import InstalledModel
from local_models.errors import ModelError

_CHUNK: Final = 1 << 20


def altered(model: InstalledModel, report: Callable[[int, int | None], None]) -> tuple[str, ...]:
    """Names of its files whose sum is not the one in the manifest; reads all of them.

    `report` is told how many bytes are done, and of how many. Raises ModelError where a file cannot be read.
    """
    done, wrong = 0, []
    for file in model.manifest.files:
        path = model.path.parent / file.name
        digest = hashlib.sha256()
        try:
            with path.open("rb") as content:
                while chunk := content.read(_CHUNK):
                    digest.update(chunk)
                    done += len(chunk)
                    report(done, model.bytes)
        except OSError as error:
            raise ModelError(f"cannot read {path} ({error.strerror})") from error
        if digest.hexdigest() != file.sha256:
            wrong.append(file.name)
    return tuple(wrong)
