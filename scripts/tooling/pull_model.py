"""`python -m scripts.tooling.pull_model HOME LINK`: pull the default model and make LINK name its file.

Runs in the environment, because the catalog needs the installed packages; reports progress as `[done/total]`
lines.
"""

import os
import sys
from pathlib import Path

from local_models.errors import ModelError
from local_models.pull import PullPhase, pull

MODEL = "smollm2-135m-instruct"


def main(home: Path, link: Path) -> int:
    """Exit status 0 with the file in place, 1 with one line that says why not."""
    try:
        path = pull(MODEL, home, _report)
    except ModelError as exc:
        print(exc)
        return 1
    link.parent.mkdir(parents=True, exist_ok=True)
    beside = link.with_name(f".{link.name}.{os.getpid()}")
    beside.symlink_to(path)
    beside.replace(link)
    return 0


def _report(done: int, total: int | None, phase: PullPhase) -> None:
    print(f"[{done}/{total}] {phase}" if total else phase, flush=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
