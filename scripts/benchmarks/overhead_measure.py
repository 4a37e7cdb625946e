"""Load on gateways that take turns, and what it cost them."""

import json
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from scripts.benchmarks.run_gateway import HERE, cpu_seconds, memory_mb

CONNECTIONS = 16
KEY = "bench-key"
KINDS = ("unary", "stream")
_WARM_UP_S = 1.0
_SHARE_ALONE = 0.4
_SYSTEM = "You answer questions of customers about their orders, briefly and politely."
_USER = "Hi, could you tell me how long I have to return an item I do not like? Thanks."


class Gateway(NamedTuple):
    """A running gateway: the processes that are part of it, and the model name by which it is asked."""

    name: str
    version: str
    port: int
    pids: tuple[int, ...]
    model: str


class Load(NamedTuple):
    """What came of one load."""

    seconds: float
    latencies_ms: list[float]

    def quantile(self, share: float) -> float:
        """Milliseconds that this share of the requests took at most."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Rounds:
    """The figures of all gateways, turn by turn. `direct` is the port of the upstream that all of them ask."""

    def __init__(self, gateways: Sequence[Gateway], direct: int) -> None:
        self.gateways = tuple(gateways)
        self._direct = direct
        self._at_rest = {gateway.name: memory_mb(gateway.pids) for gateway in gateways}
        self._found: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)

    def turn(self, kind: str, seconds: float) -> None:
        """One turn of every gateway with one kind of request, under load for `seconds` and then with one caller."""
        alone_s = seconds * _SHARE_ALONE
        asked = body("bench", stream=kind == "stream")
        load(self._direct, asked, _WARM_UP_S, 1)
        direct = load(self._direct, asked, alone_s, 1)
        for gateway in self.gateways:
            self._found[gateway.name, kind].append(_measured(gateway, kind, seconds, alone_s, direct))

    def medians(self, gateway: Gateway, kind: str) -> dict[str, float]:
        """The figures of a gateway, each the median of its turns."""
        turns = self._found[gateway.name, kind]
        return {name: round(statistics.median(turn[name] for turn in turns), 2) for name in turns[0]}

    def memory(self, gateway: Gateway) -> dict[str, float]:
        """Resident memory in MiB, before any load and now."""
        return {"at_rest": self._at_rest[gateway.name], "after_load": memory_mb(gateway.pids)}


def _measured(gateway: Gateway, kind: str, seconds: float, alone_s: float, direct: Load) -> dict[str, float]:
    asked = body(gateway.model, stream=kind == "stream")
    load(gateway.port, asked, _WARM_UP_S, CONNECTIONS)
    before = cpu_seconds(gateway.pids)
    many = load(gateway.port, asked, seconds, CONNECTIONS)
    used = cpu_seconds(gateway.pids) - before
    alone = load(gateway.port, asked, alone_s, 1)
    count = len(many.latencies_ms)
    return {
        "requests": count,
        "cpu_us": round(used / count * 1e6),
        "per_second": round(count / many.seconds),
        "added_p50_ms": alone.quantile(0.5) - direct.quantile(0.5),
        "added_p99_ms": alone.quantile(0.99) - direct.quantile(0.99),
    }


def load(port: int, body: bytes, seconds: float, connections: int) -> Load:
    """Ask on some connections for some seconds. Ends the benchmark when an answer is not what it should be."""
    words = ["127.0.0.1", str(port), str(connections), str(seconds)]
    command = [sys.executable, str(HERE / "overhead_load.py"), *words]
    done = subprocess.run(command, input=body, check=False, capture_output=True)
    if done.returncode != 0:
        raise SystemExit(f"no load on port {port}: {done.stderr.decode()[-2000:]}")
    return Load(**json.loads(done.stdout))


def decisions() -> dict[str, Any]:
    """Time of policy + classify + route for prompts of up to 8,000 tokens, and of the gate's decision and of the whole
    entry beside up to 63 others, each in a process of its own.
    """
    return {"decision": _printed("overhead_decisions.py"), "gate": _printed("overhead_gate.py")}


def _printed(script: str) -> dict[str, Any]:
    command = [sys.executable, str(HERE / script)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def body(model: str, *, stream: bool) -> bytes:
    """The request that every gateway is asked."""
    messages = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _USER}]
    return json.dumps({"model": model, "messages": messages, "temperature": 0.7, "stream": stream}).encode()
