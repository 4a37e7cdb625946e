"""A gateway and what stands behind it, in processes of their own, for as long as a benchmark lasts."""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import IO

import httpx

HERE = pathlib.Path(__file__).parent
_TRIES, _PAUSE_S = 600, 0.1


@contextlib.contextmanager
def gateway(home: pathlib.Path, api: int) -> Iterator[int]:
    """`forebay serve` on `<home>/forebay.yaml`, which listens on port `api`, once it is ready; yields its pid."""
    command = ["-m", "gateway.cli.main", "serve", "--config", str(home / "forebay.yaml")]
    environment = dict(os.environ) | {"FOREBAY_HOME": str(home)}
    with (
        (home / "requests.log").open("wb") as log,
        _process("gateway", api, command, out=log, environment=environment) as pid,
    ):
        wait_for(f"http://127.0.0.1:{api}/ready")
        yield pid


@contextlib.contextmanager
def upstream(port: int, tokens: int) -> Iterator[int]:
    """The backend of `overhead_upstream.py`, whose streams are `tokens` long; yields its pid."""
    with _process("upstream", port, [str(HERE / "overhead_upstream.py"), str(port), str(tokens)]) as pid:
        yield pid


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(url: str) -> None:
    """Return when `url` answers with a success; end the benchmark if it does not within a minute."""
    pause = threading.Event()
    for _ in range(_TRIES):
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=2).is_success:
                return
        pause.wait(_PAUSE_S)
    raise SystemExit(f"{url} did not answer within {_TRIES * _PAUSE_S:.0f} s")


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    """Resident memory of a process."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1024, 1)
    raise SystemExit(f"process {pid} has no VmRSS")


@contextlib.contextmanager
def _process(
    name: str,
    port: int,
    command: list[str],
    out: IO[bytes] | None = None,
    environment: dict[str, str] | None = None,
) -> Iterator[int]:
    process = subprocess.Popen([sys.executable, *command], env=environment, stdout=out, stderr=subprocess.PIPE)
    try:
        wait_for(f"http://127.0.0.1:{port}/health")
        yield process.pid
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=60)
        if process.returncode not in (0, -15):
            print(f"{name} ended with {process.returncode}: {errors.decode()[-2000:]}", file=sys.stderr)
