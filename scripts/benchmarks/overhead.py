"""What the gateway costs: CPU time per request and per stream, added latency, memory, decision time.

usage: scripts/bench overhead [--seconds N] [--json]

One gateway with everything on (keys, policy, classification, scored and stripped log-probabilities, probation,
ledger, request log, metrics); a loopback upstream, attached as the light tier, that costs next to nothing; a load
generator on 16 connections. All three are processes of their own. CPU time is the gateway's, all its threads, from
/proc; it holds on a busy machine, which wall time does not. Latency is the difference to the upstream asked directly
in the same run.
"""

import argparse
import contextlib
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

from scripts.benchmarks.run_gateway import HERE, cpu_seconds, free_port, gateway, memory_mb, upstream

CONNECTIONS = 16
STREAM_TOKENS = 100
KEY = "bench-key"
Row = dict[str, Any]

CONFIG = """
schema_version: 1
server: {{listen: "127.0.0.1:{api}", admin_listen: "127.0.0.1:{admin}"}}
engines:
  bench: {{kind: attached, urls: ["{url}"], model: bench, parallel: 64, context: 32768}}
backends:
  local: {{engine: bench}}
  mini: {{provider: openai, base_url: "{url}/v1", model: bench, price: {{input: 0.25, output: 2}}}}
  big: {{provider: openai, base_url: "{url}/v1", model: bench, price: {{input: 3, output: 15}}}}
tiers: {{light: [local], mid: [mini], premium: [big]}}
policy: {{default_regions: any, default_class: pro}}
classes:
  pro: {{priority: normal, ttft_ms: 1000, itl_ms: 60}}
confidence: {{trigger_words: ["as an ai language model"]}}
auth: {{mode: keys}}
tenants:
  bench: {{class: pro, keys: [{{name: bench, hash: "sha256:{hash}"}}]}}
log: {{requests: stdout}}
"""


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench overhead", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=6.0, help="load per row (default 6)")
    parser.add_argument("--json", action="store_true", help="print a JSON document instead of a table")
    arguments = parser.parse_args()
    rows = measure(arguments.seconds)
    if arguments.json:
        print(json.dumps(rows, indent=2))
    else:
        _print(rows)


def measure(seconds: float) -> list[Row]:
    """Every row of the table."""
    with tempfile.TemporaryDirectory(prefix="fb") as folder, contextlib.ExitStack() as stack:
        api, admin, behind = (free_port() for _ in range(3))
        stack.enter_context(upstream(behind, STREAM_TOKENS))
        home = pathlib.Path(folder)
        _write_home(home, api=api, admin=admin, upstream_port=behind)
        pid = stack.enter_context(gateway(home, api))
        rest = memory_mb(pid)
        rows = [
            _row(f"{model}, {kind}", pid, api, behind, _body(model, stream=kind == "stream"), seconds)
            for model in ("auto", "local")
            for kind in ("unary", "stream")
        ]
        rows.append({"name": "memory", "at_rest_mb": rest, "after_load_mb": memory_mb(pid)})
    rows.append(_decisions())
    return rows


def _row(name: str, pid: int, api: int, behind: int, body: bytes, seconds: float) -> Row:
    _load(api, body, 1.0)
    direct = _load(behind, body, min(2.0, seconds))
    before = cpu_seconds(pid)
    through = _load(api, body, seconds)
    used = cpu_seconds(pid) - before
    count = len(through["latencies_ms"])
    return {
        "name": name,
        "requests": count,
        "per_second": round(count / through["seconds"]),
        "cpu_us": round(used / count * 1e6),
        "added_p50_ms": round(_quantile(through, 0.5) - _quantile(direct, 0.5), 2),
        "added_p99_ms": round(_quantile(through, 0.99) - _quantile(direct, 0.99), 2),
    }


def _decisions() -> Row:
    """Time of policy + classify + route for prompts of up to 8,000 tokens, in a process of its own."""
    found = subprocess.run(
        [sys.executable, str(HERE / "overhead_decisions.py")], check=True, capture_output=True, text=True
    )
    return {"name": "decision", **json.loads(found.stdout)}


def _body(model: str, *, stream: bool) -> bytes:
    messages = [
        {"role": "system", "content": "You answer questions of customers about their orders, briefly and politely."},
        {"role": "user", "content": "Hi, could you tell me how long I have to return an item I do not like? Thanks."},
    ]
    return json.dumps({"model": model, "messages": messages, "temperature": 0.7, "stream": stream}).encode()


def _load(port: int, body: bytes, seconds: float) -> dict[str, Any]:
    command = [sys.executable, str(HERE / "overhead_load.py"), "127.0.0.1", str(port), str(CONNECTIONS), str(seconds)]
    done = subprocess.run(command, input=body, check=True, capture_output=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _write_home(home: pathlib.Path, *, api: int, admin: int, upstream_port: int) -> None:
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    text = CONFIG.format(api=api, admin=admin, url=f"http://127.0.0.1:{upstream_port}", hash=digest)
    (home / "forebay.yaml").write_text(text, encoding="utf-8")
    calibration = home / "calibration"
    calibration.mkdir()
    floors = {band: {"low": -2.0, "usual": -0.5} for band in ("cold", "warm", "hot")}
    measured = {"model": "bench", "measured_at": 0.0, "answers": 0, "floors": floors}
    (calibration / "local.json").write_text(json.dumps(measured), encoding="utf-8")


def _quantile(found: dict[str, Any], share: float) -> float:
    values: list[float] = sorted(found["latencies_ms"])
    return values[min(len(values) - 1, int(share * len(values)))]


def _print(rows: list[Row]) -> None:
    print(f"{'':16} {'requests':>9} {'per s':>7} {'CPU µs':>8} {'added p50 ms':>13} {'added p99 ms':>13}")
    for row in rows:
        if "cpu_us" in row:
            print(
                f"{row['name']:16} {row['requests']:>9} {row['per_second']:>7} {row['cpu_us']:>8} "
                f"{row['added_p50_ms']:>13.2f} {row['added_p99_ms']:>13.2f}"
            )
    for row in rows:
        if "cpu_us" not in row:
            print(f"{row['name']:16} " + "  ".join(f"{key} {value}" for key, value in row.items() if key != "name"))


if __name__ == "__main__":
    main()
