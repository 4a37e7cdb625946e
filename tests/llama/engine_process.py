"""Engine processes for tests: started for real, on a socket the test hands over, as the supervisor does it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from local_models.llama_cpp import LlamaCpp

ROOT = Path(__file__).parents[2]
NAME = "smollm2-135m-instruct"


def eventually(condition: Callable[[], bool], what: str, timeout: float = 60.0) -> None:
    """Wait until another process has come so far; fail with `what` when it has not in `timeout` seconds."""
    pause = threading.Event()
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not in {timeout} s: {what}"
        pause.wait(0.02)


def command(model: Path, *arguments: str) -> list[str]:
    """The command line of an engine."""
    return [sys.executable, "-m", "local_models.llama", "--model", str(model), "--name", NAME, *arguments]


def environment() -> dict[str, str]:
    """What the supervisor gives an engine: threads that do not spin while other tests need the CPU."""
    return {**os.environ, **LlamaCpp().environment(os.environ)}


@dataclass(slots=True)
class EngineProcess:
    """A running engine; `http` talks to it."""

    process: subprocess.Popen[bytes]
    http: httpx.Client
    errors: Path

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return str(self.http.base_url).rstrip("/")

    def ready(self) -> "EngineProcess":
        """Wait until the model is loaded."""
        eventually(lambda: self.process.poll() is not None or self.health() == 200, "the engine is ready")
        assert self.process.poll() is None, self.errors.read_text()
        return self

    def health(self) -> int:
        """Status of /health."""
        return self.http.get("/health").status_code

    def metric(self, name: str, **labels: str) -> float:
        """One sample of /metrics."""
        for line in self.http.get("/metrics").text.splitlines():
            head, _, value = line.rpartition(" ")
            if head.partition("{")[0] == name and all(f'{key}="{text}"' in head for key, text in labels.items()):
                return float(value)
        raise AssertionError(f"no {name} in /metrics")

    def post(self, path: str, **body: Any) -> httpx.Response:
        """A request body as keywords."""
        return self.http.post(path, json=body)

    def chat(self, text: str = "Say hello", **more: Any) -> dict[str, Any]:
        """A chat answer; fails when it is not a 200. Greedy and short unless told otherwise."""
        body = {"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 16, **more}
        response = self.http.post("/v1/chat/completions", json=body)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def stream(self, path: str = "/v1/chat/completions", **body: Any) -> list[Any]:
        """All events of a stream, decoded; the last one is the string [DONE] when it came."""
        with self.http.stream("POST", path, json={**body, "stream": True}) as response:
            assert response.status_code == 200, response.read()
            return list(events(response))

    def stop(self) -> int:
        """End it if it still runs; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait(20)
        self.http.close()
        return code


def events(response: httpx.Response) -> Iterator[Any]:
    """The data of server-sent events as they arrive."""
    for line in response.iter_lines():
        if line:
            assert line.startswith("data: "), line
            data = line.removeprefix("data: ")
            yield data if data == "[DONE]" else json.loads(data)


@contextmanager
def running(model: Path, folder: Path, *arguments: str) -> Iterator[EngineProcess]:
    """An engine with these arguments, not yet ready, ended at the end."""
    errors = folder / "engine.err"
    with socket.create_server(("127.0.0.1", 0)) as listener, errors.open("wb") as sink:
        port = listener.getsockname()[1]
        process = subprocess.Popen(
            command(model, "--fd", str(listener.fileno()), "--threads", "2", *arguments),
            pass_fds=(listener.fileno(),),
            cwd=ROOT,
            env=environment(),
            stderr=sink,
        )
    engine = EngineProcess(process, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=100), errors)
    try:
        yield engine
    finally:
        engine.stop()
