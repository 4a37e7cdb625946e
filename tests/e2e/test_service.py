"""The health check of `configs/compose.yaml`, with the words that stand there, against running gateways."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import yaml

from tests.config.files import CONFIGS
from tests.e2e.configs import base
from tests.e2e.stack import Stack, running


@pytest.fixture(scope="module")
def without_anybody() -> Iterator[Stack]:
    """A gateway whose only engine is at an address where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        engine = {"kind": "attached", "model": "m", "urls": [f"http://127.0.0.1:{taken.getsockname()[1]}"]}
        config = base(engines={"gone": engine}, backends={"local": {"engine": "gone"}}, tiers={"light": ["local"]})
        with running(config) as stack:
            yield stack


def health(url: str) -> int:
    """The exit status of the check, asked at this gateway's port."""
    (service,) = yaml.safe_load((CONFIGS / "compose.yaml").read_text("utf-8"))["services"].values()
    *_, program = service["healthcheck"]["test"]
    assert program.count("8080") == 1
    words = [sys.executable, "-c", program.replace("8080", str(urlsplit(url).port))]
    return subprocess.run(words, capture_output=True, check=False, timeout=60).returncode


def test_a_gateway_that_can_answer_is_healthy(tiers: Stack) -> None:
    """Some tier is ready."""
    assert health(tiers.url) == 0


def test_one_that_nobody_answers_for_is_not(without_anybody: Stack) -> None:
    """It lives, and /ready says that it can do nothing."""
    assert without_anybody.http.get(f"{without_anybody.url}/ready").status_code == 503
    assert health(without_anybody.url) == 1


def test_one_that_is_not_there_is_not() -> None:
    """Nobody listens at the port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert health(f"http://127.0.0.1:{taken.getsockname()[1]}") == 1
