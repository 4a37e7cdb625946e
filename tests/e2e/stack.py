"""A gateway as its users have it: `forebay serve` in a process of its own, with a home, a file and keys."""

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx
import yaml
from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI

from tests.e2e.books import Books
from tests.e2e.events import Events
from tests.e2e.homes import home_folder, install_model, processes_of

COMMAND = Path(sys.executable).parent / "forebay"
_ROOT = Path(__file__).parents[2]
_ADDRESSES = re.compile(r"forebay listens on (\S+) \(admin, metrics: (\S+)\)")
_PATIENCE_S = 60.0


def json_bytes(body: object) -> bytes:
    """A body; mappings of any kind are objects."""
    return json.dumps(body, default=dict).encode()


def eventually(condition: Callable[[], bool], what: object, timeout: float = 30.0) -> None:
    """Wait until another process has come so far; fail with `what` when it has not in `timeout` seconds."""
    pause = threading.Event()
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not in {timeout} s: {what}"
        pause.wait(0.02)


class Lines:
    """What a process prints, line by line, read as it comes so that its pipe never fills."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._lines: list[str] = []
        self._ended = False
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self._thread.start()

    def all(self) -> list[str]:
        """The lines so far."""
        with self._news:
            return list(self._lines)

    def wait(self, wanted: Callable[[str], bool], timeout: float = _PATIENCE_S) -> str | None:
        """The first line that is wanted; None when none comes in time, or before the process has ended."""
        with self._news:
            self._news.wait_for(lambda: self._ended or any(map(wanted, self._lines)), timeout)
            return next(filter(wanted, self._lines), None)

    def join(self) -> None:
        """Wait for the end of the output."""
        self._thread.join(10)

    def _read(self, pipe: IO[bytes]) -> None:
        with pipe:
            for line in pipe:
                with self._news:
                    self._lines.append(line.decode(errors="replace").rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


@dataclass(slots=True)
class Stack:
    """A running gateway. `close` ends it; `running` does so at the end of its block."""

    home: Path
    process: subprocess.Popen[bytes]
    out: Lines
    err: Lines
    url: str = ""
    admin: str = ""
    http: httpx.Client = field(default_factory=lambda: httpx.Client(trust_env=False, timeout=60))
    books: Books = field(init=False)

    def __post_init__(self) -> None:
        self.books = Books(self.home / "ledger.sqlite")

    @property
    def base_url(self) -> str:
        """What OpenAI clients are given."""
        return f"{self.url}/v1"

    def listening(self) -> "Stack":
        """Wait until it says where it listens; fails with what it says instead."""
        line = self.err.wait(lambda line: _ADDRESSES.search(line) is not None)
        found = _ADDRESSES.search(line or "")
        assert found is not None, f"exit {self.process.poll()}: {self.err.all()}"
        self.url, self.admin = found[1], found[2]
        eventually(lambda: self._health() == 200, f"answers at {self.url}", 10)
        return self

    def _health(self) -> int | None:
        with suppress(httpx.ConnectError):
            return self.http.get(f"{self.url}/health").status_code
        return None

    def ready(self, *tiers: str) -> "Stack":
        """Wait until /ready says so, of these tiers too."""
        eventually(lambda: self._is_ready(tiers), f"ready {tiers}: {self.err.all()}", _PATIENCE_S)
        return self

    def readiness(self) -> dict[str, Any]:
        """What /ready answers."""
        found: dict[str, Any] = self.http.get(f"{self.url}/ready").json()
        return found

    def chat(
        self,
        model: str = "auto",
        text: str = "Say hello.",
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> httpx.Response:
        """One chat, not streamed; `more` are body fields, `messages` among them."""
        body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
        return self.http.post(
            f"{self.base_url}/chat/completions", content=json_bytes(body), headers=dict(headers or {})
        )

    @contextmanager
    def stream(
        self, model: str = "auto", text: str = "Say hello.", headers: Mapping[str, str] | None = None, **more: Any
    ) -> Iterator[httpx.Response]:
        """One streamed chat, as far as its headers."""
        body = {"model": model, "messages": [{"role": "user", "content": text}], **more, "stream": True}
        with self.http.stream(
            "POST", f"{self.base_url}/chat/completions", content=json_bytes(body), headers=dict(headers or {})
        ) as response:
            yield response

    def events(
        self, model: str = "auto", text: str = "Say hello.", headers: Mapping[str, str] | None = None, **more: Any
    ) -> Events:
        """One streamed chat, read to its end."""
        with self.stream(model, text, headers, **more) as response:
            return Events(response.read(), response)

    def openai(self, key: str = "none") -> OpenAI:
        """The official client, which retries nothing by itself. Close it, or use it as a context."""
        return OpenAI(base_url=self.base_url, api_key=key, max_retries=0, timeout=60)

    def async_openai(self, key: str = "none") -> AsyncOpenAI:
        """The same for asyncio."""
        return AsyncOpenAI(base_url=self.base_url, api_key=key, max_retries=0, timeout=60)

    def anthropic(self, key: str = "none") -> Anthropic:
        """Anthropic's official client, likewise."""
        return Anthropic(base_url=self.url, api_key=key, max_retries=0, timeout=60)

    def async_anthropic(self, key: str = "none") -> AsyncAnthropic:
        """The same for asyncio."""
        return AsyncAnthropic(base_url=self.url, api_key=key, max_retries=0, timeout=60)

    def log(self) -> list[dict[str, Any]]:
        """The request log so far; every line of standard output must be one of it."""
        return [json.loads(line) for line in self.out.all()]

    def logged(self, request_id: str) -> dict[str, Any]:
        """The log line of a request, once it is there."""
        wanted = json.dumps(request_id)
        line = self.out.wait(lambda line: f'"request_id":{wanted}' in line, 10)
        assert line is not None, f"no log line of {request_id}"
        found: dict[str, Any] = json.loads(line)
        return found

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of a metric that carry these labels; 0 where there is none."""
        found = 0.0
        for line in self.http.get(f"{self.admin}/metrics").text.splitlines():
            head, _, value = line.rpartition(" ")
            if head.partition("{")[0] == name and all(f'{key}="{text}"' in head for key, text in labels.items()):
                found += float(value)
        return found

    def gate(self, engine: str) -> dict[str, Any]:
        """What the gate says of an engine."""
        states = self.http.get(f"{self.admin}/admin/gate").json()
        return next(state for state in states if state["engine"] == engine)

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        self.process.send_signal(signal.SIGTERM)

    def close(self, *, leaves_engines: bool = False) -> int:
        """SIGTERM unless it has ended, and wait; returns the exit code. Fails if a process of its home is left."""
        if self.process.poll() is None:
            self.terminate()
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait(10)
        self.out.join()
        self.err.join()
        self.http.close()
        if not leaves_engines:
            eventually(lambda: not processes_of(self.home), f"nothing of {self.home} runs any more", 15)
        return code

    def _is_ready(self, tiers: Sequence[str]) -> bool:
        with suppress(httpx.ConnectError):
            found = self.readiness()
            return found["status"] == "ready" and all(found["tiers"][tier]["state"] == "ready" for tier in tiers)
        self.process.wait(10)
        raise AssertionError(f"ended: {self.err.all()}")


def start(
    home: Path,
    config: Mapping[str, Any] | str,
    environ: Mapping[str, str] | None = None,
    trusted: ssl.SSLContext | None = None,
    *,
    command: Sequence[Path | str] = (COMMAND, "serve"),
) -> Stack:
    """`forebay serve` on a configuration, given as values or as a file's text; not yet listening.

    `command` is another way to start it. `trusted` are the authorities of its certificate, where it speaks https.
    """
    file = home / "forebay.yaml"
    file.write_text(config if isinstance(config, str) else yaml.safe_dump(dict(config), sort_keys=False))
    process = subprocess.Popen(
        [*map(str, command), "--config", str(file)],
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": str(_ROOT), "FOREBAY_HOME": str(home), **(environ or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    stack = Stack(home, process, Lines(process.stdout), Lines(process.stderr))
    if trusted is not None:
        stack.http = httpx.Client(trust_env=False, timeout=60, verify=trusted)
    return stack


@contextmanager
def started(
    home: Path,
    config: Mapping[str, Any] | str,
    environ: Mapping[str, str] | None = None,
    trusted: ssl.SSLContext | None = None,
) -> Iterator[Stack]:
    """A gateway of this home, not yet listening; ended with exit code 0."""
    stack = start(home, config, environ, trusted)
    code: int | None = None
    try:
        yield stack
    finally:
        code = stack.close()
    assert code == 0, stack.err.all()


@contextmanager
def running(
    config: Mapping[str, Any],
    environ: Mapping[str, str] | None = None,
    *,
    model: Path | None = None,
    trusted: ssl.SSLContext | None = None,
) -> Iterator[Stack]:
    """A listening gateway in a home of its own, with the default model if its file is given; ended with exit code 0."""
    with home_folder() as home:
        if model is not None:
            install_model(home, model)
        with started(home, config, environ, trusted) as stack:
            yield stack.listening()
