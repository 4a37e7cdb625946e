"""Whether there is room on the disk, asked before anything is fetched."""

import shutil
from pathlib import Path

from local_models.errors import PullFailed


def require_room(needed: int, name: str, folder: Path) -> None:
    """Raises PullFailed unless the disk of `folder` has that many bytes free for the model `name`."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise PullFailed(
            f"model {name} needs {needed / 1e6:.0f} MB under {folder} while it is pulled and there are "
            f"{free / 1e6:.0f} MB free: make room, or set FOREBAY_HOME to a larger disk"
        )
