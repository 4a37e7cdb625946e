"""A second real engine, which stands for a cloud model: our llama.cpp server, started by itself."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from local_models.llama_cpp import LlamaCpp
from tests.e2e.homes import MODEL
from tests.e2e.stack import Lines, eventually

_ROOT = Path(__file__).parents[2]


@contextmanager
def second_engine(model: Path) -> Iterator[str]:
    """Its address, without /v1, once it answers."""
    command = [sys.executable, "-m", "local_models.llama", "--model", str(model), "--name", MODEL]
    process = subprocess.Popen(
        [*command, "--port", "0", "--parallel", "2", "--context", "1024", "--threads", "2", "--stand-alone"],
        cwd=_ROOT,
        env={**os.environ, **LlamaCpp().environment(os.environ)},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    out = Lines(process.stdout)
    try:
        line = out.wait(lambda line: " on http://" in line)
        assert line is not None, "the second engine says where it listens"
        url = line.rpartition(" on ")[2]
        with httpx.Client(base_url=url, trust_env=False, timeout=5) as http:
            eventually(lambda: http.get("/health").status_code == httpx.codes.OK, "the second engine is up", 60)
        yield url
    finally:
        process.terminate()
        killer = threading.Timer(20, process.kill)
        killer.start()
        process.wait()
        killer.cancel()
        out.join()
