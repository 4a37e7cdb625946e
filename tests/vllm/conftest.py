"""What the tests of a real vLLM share: one gateway, and the vLLM that it has started."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stack import Stack, eventually, running

START_S = 420.0
ENVIRON = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "WARNING"}


@pytest.fixture(scope="session")
def vllm_engine() -> dict[str, Any]:
    """The engine of a configuration; without a vLLM the tests fail, they are not skipped."""
    python, model = (os.environ.get(f"FOREBAY_TEST_VLLM_{what}") for what in ("PYTHON", "MODEL"))
    if not python or not model:
        pytest.fail("start the tests of vLLM with scripts/test-vllm, which makes one", pytrace=False)
    return {"kind": "vllm", "python": python, "model": model, "parallel": 4, "context": 1024}


@pytest.fixture(scope="session")
def the_gateway(vllm_engine: dict[str, Any]) -> Iterator[Stack]:
    """A gateway whose light tier is vLLM."""
    config = {
        "schema_version": 1,
        "server": {"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0"},
        "engines": {"gpu": {**vllm_engine, "args": ["--enforce-eager"]}},
        "backends": {"small": {"engine": "gpu"}},
        "tiers": {"light": ["small"], "mid": [], "premium": []},
        "policy": {"default_regions": "any"},
    }
    with running(config, ENVIRON) as stack:
        yield stack


@pytest.fixture
def gateway(the_gateway: Stack) -> Stack:
    """The same, with vLLM up."""
    eventually(lambda: is_up(the_gateway), f"vLLM is up: {log_of(the_gateway.home)[-3000:]}", START_S)
    return the_gateway


def is_up(stack: Stack) -> bool:
    """Whether its light tier takes requests."""
    return bool(stack.readiness()["tiers"]["light"]["state"] == "ready")


def log_of(home: Path) -> str:
    """What vLLM has printed."""
    log = home / "logs" / "engine-gpu.log"
    return log.read_text(errors="replace") if log.exists() else ""
