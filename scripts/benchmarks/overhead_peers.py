"""What Forebay is measured beside, each started as its documentation says for one OpenAI-compatible upstream.

LiteLLM's proxy    MIT; its package `litellm-enterprise`, which it installs and which is not used here, has terms of
                   its own. One worker, a master key, no database, no telemetry, nothing fetched at start.
vllm-router        Apache-2.0. One worker address, no key, and round robin, its cheapest policy; the one that it would
                   take by itself costs it half as much again per chat request, and has nothing to choose here.

Both are installed into environments of their own and only ever started as programs: nothing of them is imported. They
see an environment with none of this person's keys in it, and an empty folder as home.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from scripts.benchmarks.overhead_environments import environment, version_of
from scripts.benchmarks.overhead_measure import KEY, Gateway
from scripts.benchmarks.run_gateway import NotStartedError, free_port, running
from scripts.tooling.command import SetupError
from scripts.tooling.lock import LITELLM, VLLM_ROUTER, PinnedFile
from scripts.tooling.workbench import Workbench

MODEL = "bench"


class Place(NamedTuple):
    """Where a peer is to run: its programs, a folder for its files, its port and that of the upstream."""

    programs: Path
    folder: Path
    port: int
    metrics_port: int
    upstream: int


class Peer(NamedTuple):
    """A program to compare with, which `pins` install. `prepare` writes its files and returns what starts it."""

    name: str
    pins: PinnedFile
    ready: str
    environment: Mapping[str, str]
    prepare: Callable[[Place], list[str]]


class Missing(NamedTuple):
    """A peer that is not measured, and why."""

    name: str
    version: str
    why: str


def _litellm(place: Place) -> list[str]:
    upstream = {
        "model": f"openai/{MODEL}",
        "api_base": f"http://127.0.0.1:{place.upstream}/v1",
        "api_key": "none",
    }
    config = {
        "model_list": [{"model_name": MODEL, "litellm_params": upstream}],
        "general_settings": {"master_key": KEY},
    }
    file = place.folder / "config.yaml"
    file.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    words = ["--config", str(file), "--host", "127.0.0.1", "--port", str(place.port)]
    return [str(place.programs / "litellm"), *words, "--num_workers", "1", "--telemetry", "False"]


def _vllm_router(place: Place) -> list[str]:
    words = ["--host", "127.0.0.1", "--port", str(place.port), "--worker-urls", f"http://127.0.0.1:{place.upstream}"]
    words += ["--policy", "round_robin", "--log-level", "warning"]
    # Its metrics would else listen on a fixed port.
    words += ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(place.metrics_port)]
    return [str(place.programs / "vllm-router"), *words]


PEERS = (
    Peer("vllm-router", VLLM_ROUTER, "/health", {}, _vllm_router),
    Peer(
        "litellm",
        LITELLM,
        "/health/liveliness",
        # Its prices come with it; production mode reads no .env file.
        {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR"},
        _litellm,
    ),
)


def start(bench: Workbench, stack: ExitStack, peer: Peer, folder: Path, behind: int) -> Gateway | Missing:
    """Install a peer and start it in front of port `behind`, until `stack` is left; its files go into `folder`."""
    version = version_of(bench, peer.pins, peer.name)
    try:
        programs = environment(bench, peer.pins, peer.name)
        home = folder / peer.name
        home.mkdir()
        place = Place(programs, home, free_port(), free_port(), behind)
        with bench.console.step(f"{peer.name} {version} starts"):
            ready = f"http://127.0.0.1:{place.port}{peer.ready}"
            environ = _environment(peer, place)
            pid = stack.enter_context(running(peer.prepare(place), ready, home / "log", environ, home))
    except SetupError as error:
        return Missing(peer.name, version, f"not installed: {error} {error.tail[-1] if error.tail else ''}".rstrip())
    except NotStartedError as error:
        return Missing(peer.name, version, f"not started: {error}")
    return Gateway(peer.name, version, place.port, (pid,), MODEL)


def _environment(peer: Peer, place: Place) -> dict[str, str]:
    """All that a peer's process sees of this person's environment: where programs are."""
    path = f"{place.programs}:/usr/local/bin:/usr/bin:/bin"
    return {"PATH": path, "HOME": str(place.folder), "LANG": "C.UTF-8", "NO_PROXY": "*", **peer.environment}
