"""A gateway and what stands behind it, in processes of their own, for as long as a benchmark lasts."""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence

import httpx

HERE = pathlib.Path(__file__).parent
_TRIES, _PAUSE_S = 1200, 0.1
_TOLD = 2000


class NotStartedError(Exception):
    """A program did not come up; its words are in the message."""


@contextlib.contextmanager
def gateway(home: pathlib.Path, api: int) -> Iterator[int]:
    """`forebay serve` on `<home>/forebay.yaml`, which listens on port `api`, once it is ready; yields its pid."""
    command = [sys.executable, "-m", "gateway.cli.main", "serve", "--config", str(home / "forebay.yaml")]
    environment = dict(os.environ) | {"FOREBAY_HOME": str(home)}
    with running(command, f"http://127.0.0.1:{api}/ready", home / "gateway.log", environment) as pid:
        yield pid


@contextlib.contextmanager
def upstream(port: int, tokens: int) -> Iterator[int]:
    """The backend of `overhead_upstream.py`, whose streams are `tokens` long; yields its pid."""
    command = [sys.executable, str(HERE / "overhead_upstream.py"), str(port), str(tokens)]
    with running(command, f"http://127.0.0.1:{port}/health") as pid:
        yield pid


@contextlib.contextmanager
def running(
    command: Sequence[str],
    ready: str,
    log: pathlib.Path | None = None,
    environment: Mapping[str, str] | None = None,
    folder: pathlib.Path | None = None,
) -> Iterator[int]:
    """A program, from when the address `ready` answers until the block ends; yields its pid.

    What it writes goes to the files `log` and `log`.err. Raises NotStartedError.
    """
    errors = pathlib.Path(os.devnull if log is None else f"{log}.err")
    with pathlib.Path(os.devnull if log is None else log).open("wb") as out, errors.open("wb") as err:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=out, stderr=err)
    try:
        _wait_for(ready, process, errors)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.returncode not in (0, -15):
        print(f"{command[0]} ended with {process.returncode}: {_told(errors)}", file=sys.stderr)


def _wait_for(url: str, process: subprocess.Popen[bytes], errors: pathlib.Path) -> None:
    pause = threading.Event()
    for _ in range(_TRIES):
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=2, trust_env=False).is_success:
                return
        if process.poll() is not None:
            raise NotStartedError(f"it ended with {process.returncode}: {_told(errors)}")
        pause.wait(_PAUSE_S)
    raise NotStartedError(f"{url} did not answer within {_TRIES * _PAUSE_S:.0f} s: {_told(errors)}")


def _told(errors: pathlib.Path) -> str:
    return errors.read_text(encoding="utf-8", errors="replace")[-_TOLD:] if errors.is_file() else ""


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def processes_of(home: pathlib.Path) -> list[int]:
    """Every process whose command line names the folder `home`: a gateway, and the host of its engines."""
    found = []
    for line in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(home) in line.read_text(encoding="utf-8", errors="replace"):
                found.append(int(line.parent.name))
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of processes and their descendants, all their threads, and of children that have ended."""
    total = 0
    for each in families(pids):
        fields = pathlib.Path(f"/proc/{each}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        total += sum(int(field) for field in fields[11:15])
    return total / os.sysconf("SC_CLK_TCK")


def memory_mb(pids: Iterable[int]) -> float:
    """Resident memory of processes and their descendants, in MiB."""
    kilobytes = 0
    for each in families(pids):
        for line in pathlib.Path(f"/proc/{each}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmRSS:"):
                kilobytes += int(line.split()[1])
    return round(kilobytes / 1024, 1)


def families(pids: Iterable[int]) -> list[int]:
    """Processes and their descendants, each once."""
    found = list(dict.fromkeys(pids))
    for each in found:
        for children in pathlib.Path(f"/proc/{each}/task").glob("*/children"):
            listed = [int(child) for child in children.read_text(encoding="ascii").split()]
            found += [child for child in listed if child not in found]
    return found
