"""The gateway that is put to the test, its vLLM, and a backend that stands for a cloud."""

import contextlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from os import kill
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import yaml

from local_models.proctable import Identity, identify
from scripts.benchmarks.run_gateway import families, free_port, gateway, upstream

_POLL_S = 0.1


class Settings(NamedTuple):
    """What is tested, and how hard."""

    python: Path
    model: str
    parallel: int
    context: int
    args: tuple[str, ...]
    tokens: int
    """Of an answer."""
    seconds: float
    """Of one load."""
    start_s: float
    """How long vLLM may take to start."""
    noticed_s: float = 30.0
    """How long it may take until its end, or its silence, is noticed."""


class NotInTimeError(Exception):
    """Something that had to come did not; the message says what."""


class Ground:
    """A running gateway. `began` is when it was started."""

    def __init__(self, home: Path, ports: tuple[int, int], settings: Settings, began: float) -> None:
        api, admin = ports
        self.home = home
        self.url = f"http://127.0.0.1:{api}/v1/chat/completions"
        self.settings = settings
        self.began = began
        self._ready = f"http://127.0.0.1:{api}/ready"
        self._admin = f"http://127.0.0.1:{admin}"
        self._http = httpx.Client(trust_env=False, timeout=30)

    def post(self, body: dict[str, Any]) -> httpx.Response:
        """One chat."""
        return self._http.post(self.url, json=body)

    def is_up(self) -> bool:
        """Whether vLLM is given requests."""
        tiers = self._http.get(self._ready).json()["tiers"]
        return bool(tiers["light"]["state"] == "ready")

    def detail(self) -> str:
        """What the gate says of vLLM."""
        (state,) = self._http.get(f"{self._admin}/admin/gate").json()
        return str(state["detail"])

    def gpus(self) -> dict[str, Any]:
        """What the gateway knows of the GPUs."""
        found: dict[str, Any] = self._http.get(f"{self._admin}/admin/gpus").json()
        return found

    def memory(self) -> int:
        """Bytes in use on the GPUs that vLLM may use."""
        return sum(gpu["memory_used"] or 0 for gpu in self.gpus()["gpus"] if gpu["visible"])

    def leader(self) -> int:
        """The process that leads vLLM's session: the guard."""
        (engine,) = json.loads((self.home / "run" / "engines.json").read_bytes())["engines"]
        return int(engine["pid"])

    def processes(self) -> tuple[Identity, ...]:
        """Everything that vLLM has started, the guard included."""
        found = (identify(pid) for pid in families([self.leader()]))
        return tuple(each for each in found if each is not None)

    def server(self) -> int:
        """vLLM's API server, the guard's child."""
        leader = self.leader()
        (child,) = Path(f"/proc/{leader}/task/{leader}/children").read_text(encoding="ascii").split()
        return int(child)

    def core(self) -> int:
        """The process that has the model: the largest of vLLM's."""
        server = self.server()
        return max((pid for pid in families([server]) if pid != server), key=_resident)

    def counted(self, name: str) -> float:
        """What vLLM's own metrics say."""
        words = Path(f"/proc/{self.leader()}/cmdline").read_text(encoding="utf-8").split("\0")
        port = words[words.index("--port") + 1]
        lines = self._http.get(f"http://127.0.0.1:{port}/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{"))

    def until(self, condition: Callable[[], bool], what: str, seconds: float) -> float:
        """Wait; how long it took. Raises NotInTimeError."""
        began, pause = time.monotonic(), threading.Event()
        while not condition():
            if time.monotonic() - began > seconds:
                raise NotInTimeError(f"not in {seconds:.0f} s: {what} (vLLM: {self.detail()})")
            pause.wait(_POLL_S)
        return time.monotonic() - began


@contextlib.contextmanager
def ground(folder: Path, settings: Settings) -> Iterator[Ground]:
    """A gateway, as soon as it listens; its folder is made. Raises NotStartedError."""
    api, admin, behind = free_port(), free_port(), free_port()
    folder.mkdir()
    (folder / "forebay.yaml").write_text(yaml.safe_dump(_config(settings, api, admin, behind)), encoding="utf-8")
    with upstream(behind, settings.tokens):
        began = time.monotonic()
        with gateway(folder, api):
            yield Ground(folder, (api, admin), settings, began)


def alive(processes: Iterable[Identity]) -> list[Identity]:
    """Those of them that have not ended."""
    return [each for each in processes if identify(each.pid) == each]


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that does not get on while the block lasts."""
    kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            kill(pid, signal.SIGCONT)


def _config(settings: Settings, api: int, admin: int, behind: int) -> dict[str, Any]:
    engine = {
        "kind": "vllm",
        "python": str(settings.python),
        "model": settings.model,
        "parallel": settings.parallel,
        "context": settings.context,
        "args": list(settings.args),
    }
    cloud = {
        "provider": "openai",
        "base_url": f"http://127.0.0.1:{behind}/v1",
        "model": "bench",
        "region": "elsewhere",
        "price": {"input": 0.25, "output": 2.0},
    }
    return {
        "schema_version": 1,
        "server": {"listen": f"127.0.0.1:{api}", "admin_listen": f"127.0.0.1:{admin}"},
        "engines": {"gpu": engine},
        "backends": {"local": {"engine": "gpu"}, "cloud": cloud},
        "tiers": {"light": ["local"], "mid": ["cloud"], "premium": []},
        "policy": {"default_regions": "any", "default_class": "callers"},
        "classes": {"callers": {"priority": "normal", "ttft_ms": 1000, "default_tier": "light", "max_tier": "mid"}},
        "log": {"requests": "off"},
    }


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
