"""The engine's life: what it says when it cannot start, how it ends, and that it never outlives its parent."""

import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from local_models.llama.errors import EXIT_BAD_FILE, EXIT_NO_SOCKET, EXIT_REFUSED
from tests.llama.engine_process import NAME, ROOT, EngineProcess, command, environment, events, eventually, running

LONG: dict[str, Any] = {"logit_bias": {"0": -100, "2": -100}, "temperature": 0}


def attempt(model: Path, *arguments: str) -> tuple[int, list[str]]:
    """Exit code and stderr of an engine that cannot start."""
    ended = subprocess.run(
        command(model, *arguments), cwd=ROOT, env=environment(), capture_output=True, timeout=60, check=False
    )
    return ended.returncode, ended.stderr.decode().splitlines()


def test_a_file_that_is_no_gguf_is_one_line_and_exit_code_3(tmp_path: Path) -> None:
    """Nothing else on stderr, and the line says what to do."""
    path = tmp_path / "model.gguf"
    path.write_bytes(b"<!DOCTYPE html>")
    code, (line,) = attempt(path, "--port", "0")
    assert code == EXIT_BAD_FILE
    assert line.startswith(f"forebay engine: cannot use {path}: it is not a GGUF file")
    assert line.endswith("fetch the model again or give another file")


def test_what_llama_cpp_refuses_is_one_line_and_exit_code_4(tmp_path: Path) -> None:
    """A well-formed GGUF without a model in it gets as far as llama.cpp, whose reason is passed on."""
    path = tmp_path / "empty.gguf"
    path.write_bytes(b"GGUF" + (3).to_bytes(4, "little") + bytes(24))
    code, (line,) = attempt(path, "--port", "0")
    assert code == EXIT_REFUSED
    assert line.startswith(f"forebay engine: llama.cpp refuses {path}: ")


def test_more_context_than_the_model_has_is_refused(model_path: Path) -> None:
    """The line names the largest context that works."""
    code, lines = attempt(model_path, "--port", "0", "--context", "100000", "--parallel", "1")
    assert code == EXIT_REFUSED
    assert lines[-1].endswith("use --context 8192 or less")


def test_a_port_in_use_is_one_line(model_path: Path) -> None:
    """Its own exit code, so that a supervisor does not blame the model."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, (line,) = attempt(model_path, "--port", str(port))
    assert code == EXIT_NO_SOCKET
    assert line == f"forebay engine: cannot listen on 127.0.0.1 port {port}: Address already in use; give another"


def test_a_descriptor_that_is_no_listening_socket_is_one_line(model_path: Path) -> None:
    """A wrong --fd is the launcher's fault and said to be."""
    code, (line,) = attempt(model_path, "--fd", "1")
    assert code == EXIT_NO_SOCKET
    assert line.startswith("forebay engine: ")


@pytest.mark.parametrize("wrong", [("--parallel", "0"), ("--threads", "x"), ("--context", "-5"), ("--port", "70000")])
def test_wrong_arguments_are_explained(model_path: Path, wrong: tuple[str, str]) -> None:
    """Usage and one line, exit code 2."""
    code, lines = attempt(model_path, *(wrong if "--port" in wrong else ("--port", "0", *wrong)))
    assert code == 2
    assert f"argument {wrong[0]}: '{wrong[1]}' is not a whole number" in lines[-1]


def test_http_is_up_before_the_model_is(model_path: Path, tmp_path: Path) -> None:
    """While the model loads, /health is 503 `loading`, requests are told to come back, and models are listed."""
    with running(model_path, tmp_path, "--parallel", "8", "--context", "4096") as engine:
        # The first answer comes as soon as Python is up; 720 MiB of KV cache take longer than that.
        first = engine.http.get("/health")
        assert first.status_code == 503
        assert first.json() == {"status": "loading"}
        refused = engine.post("/v1/completions", prompt="x")
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "model_loading"
        assert refused.headers["retry-after"] == "1"
        assert engine.http.get("/v1/models").json()["data"][0]["id"] == NAME
        engine.ready()
        assert engine.http.get("/health").json() == {"status": "ok"}
        assert engine.errors.read_text() == "", "llama.cpp's chatter stays inside"


def test_weights_lie_in_huge_pages(engine: EngineProcess) -> None:
    """Where the kernel gives them to who asks."""
    says = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not says.exists() or "[never]" in says.read_text():
        pytest.skip("this kernel gives nobody any")
    memory = Path(f"/proc/{engine.process.pid}/smaps_rollup").read_text().splitlines()
    kilobytes = next(int(line.split()[1]) for line in memory if line.startswith("AnonHugePages:"))
    assert kilobytes > 0


def test_sigterm_lets_a_running_answer_finish(model_path: Path, tmp_path: Path) -> None:
    """The stream that runs is completed, the one that waits is told, and the exit code is 0."""
    with running(model_path, tmp_path, "--parallel", "1", "--context", "512") as engine:
        engine.ready()
        waiting: list[httpx.Response] = []
        line = threading.Thread(target=lambda: waiting.append(engine.post("/v1/completions", prompt="x", **LONG)))
        body = {"prompt": "Once", "max_tokens": 24, "stream": True, **LONG}
        with engine.http.stream("POST", "/v1/completions", json=body) as response:
            stream = events(response)
            received = [next(stream)]
            line.start()
            eventually(lambda: engine.metric("vllm:num_requests_waiting") == 1, "the second request waits")
            engine.process.send_signal(signal.SIGTERM)
            received.extend(stream)
        line.join(30)
        assert received[-1] == "[DONE]"
        assert received[-2]["choices"][0]["finish_reason"] == "length"
        assert waiting[0].status_code == 503
        assert waiting[0].json()["error"]["code"] == "shutting_down"
        assert engine.process.wait(20) == 0


def test_sigterm_breaks_what_takes_too_long(model_path: Path, tmp_path: Path) -> None:
    """After five seconds a stream ends with an error event, without [DONE] and without a made-up reason."""
    with running(model_path, tmp_path, "--parallel", "1", "--context", "8192", "--threads", "1") as engine:
        engine.ready()
        body = {"prompt": "Once", "max_tokens": 8000, "stream": True, **LONG}
        with engine.http.stream("POST", "/v1/completions", json=body) as response:
            stream = events(response)
            received = [next(stream)]
            engine.process.send_signal(signal.SIGTERM)
            received.extend(stream)
        assert received[-1]["error"]["code"] == "shutting_down"
        assert all(event["choices"][0]["finish_reason"] is None for event in received[:-1])
        assert engine.process.wait(20) == 0


def test_sigterm_while_the_model_loads_ends_it(model_path: Path, tmp_path: Path) -> None:
    """No model, no requests: the process goes at once, with exit code 0."""
    with running(model_path, tmp_path, "--parallel", "8", "--context", "4096") as engine:
        assert engine.http.get("/health").status_code == 503
        engine.process.send_signal(signal.SIGTERM)
        assert engine.process.wait(20) == 0


PARENT = """
import socket, subprocess, sys
engine = subprocess.Popen(sys.argv[1:], stderr=subprocess.DEVNULL)
print(engine.pid, flush=True)
sys.stdin.read()
"""


def test_an_engine_dies_with_its_parent(model_path: Path) -> None:
    """Kill -9 of the parent leaves no engine behind, even one that is busy loading or answering."""
    arguments = command(model_path, "--port", "0", "--parallel", "1", "--context", "256", "--threads", "1")
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *arguments],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    assert parent.stdin is not None
    with parent.stdout, parent.stdin:
        engine = psutil.Process(int(parent.stdout.readline()))
        assert parent.stdout.readline().startswith(b"forebay engine: "), "it listens, so it is tied to its parent"
        parent.kill()
        parent.wait(20)
    eventually(lambda: not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE, "the engine is gone", 10)


def test_an_orphan_does_not_start(model_path: Path, tmp_path: Path) -> None:
    """An engine whose parent has gone before it could tie its life to it says so and exits."""
    if adopter() != 1:
        pytest.skip("another process than init takes orphans here, which the engine cannot tell from a parent")
    out = tmp_path / "out"
    arguments = command(model_path, "--port", "0", "--parallel", "1", "--context", "256")
    subprocess.run(
        ["sh", "-c", '"$@" >/dev/null 2>"$OUT" &', "sh", *arguments],
        cwd=ROOT,
        env={**environment(), "OUT": str(out)},
        check=True,
        timeout=20,
    )
    eventually(lambda: out.exists() and out.read_text().endswith("\n"), "the orphan has ended", 30)
    assert out.read_text() == (
        "forebay engine: the process that started this engine has gone: use --stand-alone to run on\n"
    )


def adopter() -> int:
    """Who becomes the parent of a process whose own has gone."""
    script = "import os, time\nwhile os.getppid() == int(os.environ['FIRST']): time.sleep(0.01)\nprint(os.getppid())"
    shell = 'FIRST=$$; export FIRST; "$@" & exit 0'
    ended = subprocess.run(
        ["sh", "-c", shell, "sh", sys.executable, "-c", script], capture_output=True, check=True, timeout=20
    )
    return int(ended.stdout)


def test_stand_alone_outlives_its_parent(model_path: Path) -> None:
    """Asked to, the engine stays when its parent goes, and says where it listens."""
    arguments = command(model_path, "--port", "0", "--parallel", "1", "--context", "256", "--stand-alone")
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *arguments],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    assert parent.stdin is not None
    with parent.stdout, parent.stdin:
        engine = psutil.Process(int(parent.stdout.readline()))
        url = parent.stdout.readline().decode().split()[-1]
        parent.kill()
        parent.wait(20)
    try:
        eventually(lambda: httpx.get(f"{url}/health").status_code == 200, "the engine still answers")
    finally:
        engine.terminate()
        psutil.wait_procs([engine], 20)
