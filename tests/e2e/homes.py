"""Homes of gateways: made for a test, with a model in them, and what runs for them."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from msgspec.json import encode
from msgspec.structs import replace

from local_models.catalog import MANIFEST, Manifest, builtin_catalog

MODEL = "smollm2-135m-instruct"


def processes_of(home: Path) -> list[psutil.Process]:
    """Every process that has to do with this home: it stands in its command line or in its environment."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ", "status"]):
        info = process.info
        named = any(str(home) in word for word in info["cmdline"] or ())
        if info["status"] != psutil.STATUS_ZOMBIE and (
            named or str(home) == (info["environ"] or {}).get("FOREBAY_HOME")
        ):
            found.append(process)
    return found


def engine_of(home: Path) -> int | None:
    """The process id of the one engine that runs for this home, if there is one."""
    found = [process.pid for process in processes_of(home) if "local_models.llama" in process.info["cmdline"]]
    assert len(found) <= 1, found
    return found[0] if found else None


@contextmanager
def home_folder() -> Iterator[Path]:
    """A home with a short path, because a unix socket's may not have more than about 100 characters."""
    folder = Path(tempfile.mkdtemp(prefix="fb"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def install_model(home: Path, gguf: Path) -> None:
    """The default model, as a pull would have left it, except that the file is a link."""
    entry = builtin_catalog()[MODEL]
    file = replace(entry.files[0], bytes=gguf.stat().st_size)
    folder = home / "models" / MODEL
    folder.mkdir(parents=True)
    (folder / file.name).symlink_to(gguf)
    (folder / MANIFEST).write_bytes(
        encode(Manifest(name=MODEL, files=(file,), licence=entry.licence, pulled_at=time.time()))
    )
