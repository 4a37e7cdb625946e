"""A package index of the test's own that has one wheel, and can stop half-way through handing it out; and what a pull
from it has put on the disk.
"""

import os
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from local_models.catalog import builtin_catalog

MODEL = "smollm2-135m-instruct"
_CHUNK = 1 << 20
_POLL_S = 0.01
"""How often the server looks whether it is to end: what each test waits for at its end, at most."""


def wheel_of(folder: Path, content: bytes) -> Path:
    """The wheel that the catalog names for the default model, with this content as the model's file."""
    pin, _, member = builtin_catalog()[MODEL].files[0].source.removeprefix("pypi:").partition("#")
    name, _, version = pin.partition("==")
    stem = f"{name.replace('-', '_')}-{version}"
    wheel = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(member, content)
        archive.writestr(f"{stem}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{stem}.dist-info/WHEEL", tags)
        archive.writestr(f"{stem}.dist-info/RECORD", "")
    return wheel


def files_of(home: Path) -> list[str]:
    """Every file under the models folder, except locks."""
    found = (path for path in (home / "models").rglob("*") if path.is_file() and ".locks" not in path.parts)
    return sorted(str(path.relative_to(home / "models")) for path in found)


def pip_environment(index: str) -> dict[str, str]:
    """Has pip go to this address and nowhere else, whatever it is configured to on this machine."""
    nothing = ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_CONSTRAINT")
    return {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": index,
        "PIP_NO_CACHE_DIR": "1",
        **dict.fromkeys(nothing, ""),
    }


class PackageIndex:
    """The index at `url`. While `held`, a download stops after its first half, which sets `half_way`."""

    def __init__(self, wheel: Path) -> None:
        self.wheel = wheel
        self.url = ""
        self.asked: list[str] = []
        self.half_way = threading.Event()
        self.held = True
        self._go_on = threading.Event()

    def release(self) -> None:
        """Hand out whole files from now on."""
        self.held = False
        self._go_on.set()

    def wait(self) -> None:
        """What a held download does in the middle."""
        self.half_way.set()
        self._go_on.wait(60)


class _Handler(BaseHTTPRequestHandler):
    """One request of pip's."""

    def __init__(self, index: PackageIndex, *arguments: Any) -> None:
        self._index = index
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """The page that links the wheel, or the wheel."""
        self._index.asked.append(self.path)
        if self.path.endswith(".whl"):
            self._head("application/zip", self._index.wheel.stat().st_size)
            with suppress(ConnectionError):  # pip was ended
                self._send_wheel()
        else:
            page = f'<a href="/{self._index.wheel.name}">{self._index.wheel.name}</a>'.encode()
            self._head("text/html", len(page))
            self.wfile.write(page)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing."""

    def _head(self, kind: str, size: int) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("content-type", kind)
        self.send_header("content-length", f"{size}")
        self.end_headers()

    def _send_wheel(self) -> None:
        half = self._index.wheel.stat().st_size // 2
        with self._index.wheel.open("rb") as file:
            while chunk := file.read(_CHUNK):
                self.wfile.write(chunk)
                if self._index.held and file.tell() >= half:
                    self._index.wait()


@contextmanager
def package_index(wheel: Path) -> Iterator[PackageIndex]:
    """Serve the wheel until the end of the block."""
    index = PackageIndex(wheel)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, index)) as server:
        server.daemon_threads = True
        index.url = f"http://127.0.0.1:{server.server_port}"
        serving = threading.Thread(target=server.serve_forever, args=(_POLL_S,), daemon=True)
        serving.start()
        try:
            yield index
        finally:
            index.release()
            server.shutdown()
            serving.join(10)
