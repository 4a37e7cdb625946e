"""A stand-in for a Hugging Face hub: the part of its HTTP API that a client goes through for one file of a model.

Repositories are made up by the test. Large files are handed out by a second server, as the hub's are by its storage,
to which no token may be sent. Either can be told to refuse, to break connections, and to stop half-way.
"""

import hashlib
import json
import re
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_madeUpForThisTest"
STRANGER = "hf_ofSomebodyElse"
_API = re.compile(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?")
_RESOLVE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_CHUNK = 1 << 16
_POLL_S = 0.01
"""How often a server looks whether it is to end: what each test waits for at its end, at most."""


@dataclass(slots=True)
class Repository:
    """One model. `small` are files that the hub keeps in git, and whose sha256 it therefore does not tell."""

    files: Mapping[str, bytes]
    small: frozenset[str] = frozenset()
    licence: str = "apache-2.0"
    gated: bool = False
    branches: dict[str, str] = field(default_factory=lambda: {"main": COMMIT})

    def commit(self, revision: str) -> str | None:
        """What a branch or commit stands for."""
        return self.branches.get(revision, revision if revision in self.branches.values() else None)


class Hub:
    """The hub at `url`; tells what it was asked, and by whom."""

    def __init__(self, repositories: dict[str, Repository]) -> None:
        self.repositories = repositories
        self.url = ""
        self.storage = ""
        self.asked: list[str] = []
        self.tokens: list[str | None] = []
        self.ranges: list[str | None] = []
        """Of each request to the storage."""
        self.sent_to_storage: list[str | None] = []
        """The authorization headers that arrived there."""
        self.cuts: list[int] = []
        """Bytes after which each of the next answers of the storage breaks off."""
        self.abrupt = False
        """Whether a cut is a reset instead of an early end."""
        self.resets = 0
        """How many of the next requests to the hub get no answer at all."""
        self.failing: int | None = None
        """A status that the hub answers everything with."""
        self.ignores_ranges = False
        self.forged: bytes | None = None
        """What the storage hands out instead."""
        self.pause_after: int | None = None
        self.half_way = threading.Event()
        self.go_on = threading.Event()

    def blob(self, sha256: str) -> bytes:
        """The large file of that sum."""
        for repository in self.repositories.values():
            for content in repository.files.values():
                if hashlib.sha256(content).hexdigest() == sha256:
                    return self.forged or content
        raise KeyError(sha256)


class _Handler(BaseHTTPRequestHandler):
    """What both servers share."""

    protocol_version = "HTTP/1.1"

    def __init__(self, hub: Hub, *arguments: Any) -> None:
        self.hub = hub
        super().__init__(*arguments)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing."""

    def answer(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        """One whole answer, without its body where it was asked for the head."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", headers.get("content-length", f"{len(body)}"))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


class _HubHandler(_Handler):
    """The hub itself."""

    def do_HEAD(self) -> None:
        """A head is a GET without a body."""
        self.do_GET()

    def do_GET(self) -> None:
        """The description of a model, or one of its files."""
        hub = self.hub
        hub.asked.append(f"{self.command} {self.path}")
        hub.tokens.append((self.headers["authorization"] or "").removeprefix("Bearer ") or None)
        if hub.resets:
            hub.resets -= 1
            self.close_connection = True
            return
        if hub.failing is not None:
            self.answer(hub.failing, {})
        elif found := _API.fullmatch(self.path):
            self._model(found[1], found[2] or "main")
        elif found := _RESOLVE.fullmatch(self.path):
            self._file(found[1], found[2], found[3])
        else:
            self.answer(HTTPStatus.NOT_FOUND, {})

    def _refused(self, status: int, code: str) -> None:
        self.answer(status, {"x-error-code": code, "x-error-message": code})

    def _repository(self, name: str) -> Repository | None:
        repository = self.hub.repositories.get(name)
        token = self.hub.tokens[-1]
        if token not in (None, TOKEN, STRANGER):
            self.answer(HTTPStatus.UNAUTHORIZED, {"x-error-message": "Invalid credentials in Authorization header"})
        elif repository is None:
            # To strangers the hub does not even say that a repository does not exist.
            self._refused(HTTPStatus.UNAUTHORIZED if token is None else HTTPStatus.NOT_FOUND, "RepoNotFound")
        else:
            return repository
        return None

    def _model(self, name: str, revision: str) -> None:
        repository = self._repository(name)
        if repository is None:
            return
        commit = repository.commit(revision)
        if commit is None:
            self._refused(HTTPStatus.NOT_FOUND, "RevisionNotFound")
            return
        document = {
            "id": name,
            "sha": commit,
            "gated": "manual" if repository.gated else False,
            "cardData": {"license": repository.licence} if repository.licence else None,
            "siblings": [{"rfilename": file} for file in repository.files],
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "private": False,
        }
        self.answer(HTTPStatus.OK, {"content-type": "application/json"}, json.dumps(document).encode())

    def _file(self, name: str, revision: str, file: str) -> None:
        repository = self._repository(name)
        if repository is None:
            return
        token = self.hub.tokens[-1]
        if repository.gated and token != TOKEN:
            self._refused(HTTPStatus.UNAUTHORIZED if token is None else HTTPStatus.FORBIDDEN, "GatedRepo")
            return
        commit = repository.commit(revision)
        if commit is None:
            self._refused(HTTPStatus.NOT_FOUND, "RevisionNotFound")
        elif file not in repository.files:
            self._refused(HTTPStatus.NOT_FOUND, "EntryNotFound")
        elif file in repository.small:
            content = repository.files[file]
            blob = hashlib.sha1(b"blob %d\0%b" % (len(content), content), usedforsecurity=False).hexdigest()
            self.answer(HTTPStatus.OK, {"x-repo-commit": commit, "etag": f'"{blob}"'}, content)
        else:
            self._redirect(commit, repository.files[file])

    def _redirect(self, commit: str, content: bytes) -> None:
        sha256 = hashlib.sha256(content).hexdigest()
        self.answer(
            HTTPStatus.FOUND,
            {
                "location": f"{self.hub.storage}/{sha256}?signature=expires-soon",
                "x-repo-commit": commit,
                "x-linked-etag": f'"{sha256}"',
                "x-linked-size": f"{len(content)}",
                "etag": '"of the redirect"',
            },
        )


class _StorageHandler(_Handler):
    """Where large files lie."""

    def do_GET(self) -> None:
        """A file, or the rest of one."""
        hub = self.hub
        hub.ranges.append(self.headers["range"])
        hub.sent_to_storage.append(self.headers["authorization"])
        content = hub.blob(self.path.strip("/").partition("?")[0])
        first = 0
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers["range"] or "")
        if wanted and not hub.ignores_ranges:
            first = int(wanted[1])
            self.send_response(HTTPStatus.PARTIAL_CONTENT)
            self.send_header("content-range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(HTTPStatus.OK)
        self.send_header("content-length", f"{len(content) - first}")
        self.end_headers()
        with suppress(ConnectionError):  # the client was ended
            self._send(content[first:], hub.cuts.pop(0) if hub.cuts else None)

    def _send(self, content: bytes, cut: int | None) -> None:
        hub = self.hub
        for begin in range(0, len(content), _CHUNK):
            if cut is not None and begin >= cut:
                if hub.abrupt:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
                self.close_connection = True
                return
            if hub.pause_after is not None and begin >= hub.pause_after:
                hub.half_way.set()
                hub.go_on.wait(60)
            self.wfile.write(content[begin : begin + _CHUNK])


@contextmanager
def hub_server(repositories: dict[str, Repository]) -> Iterator[Hub]:
    """Both servers, until the end of the block."""
    hub = Hub(repositories)
    with (
        _serving(partial(_HubHandler, hub)) as hub.url,
        _serving(partial(_StorageHandler, hub)) as hub.storage,
    ):
        try:
            yield hub
        finally:
            hub.go_on.set()


@contextmanager
def _serving(handler: Any) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(_POLL_S,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(10)
