"""configs/gpu-node.yaml, with a vLLM on the CPU in place of the GPU's: the CPU engine answers while vLLM loads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.config.files import CONFIGS
from tests.e2e.configs import hash_of
from tests.e2e.stack import Stack, eventually, running
from tests.vllm.box import ENVIRON, START_S
from tests.vllm.processes import log_of

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

KEY = "fb-of-the-test"


@pytest.fixture(scope="module")
def node(vllm_engine: dict[str, Any], model_path: Path) -> Iterator[Stack]:
    """The file as it is, but for the program, the model and its size, the addresses, and a key that is known."""
    config = yaml.safe_load((CONFIGS / "gpu-node.yaml").read_text("utf-8"))
    config["server"] |= {"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0"}
    config["engines"]["gpu"] |= {**vllm_engine, "args": ["--enforce-eager", "--scheduling-policy=priority"]}
    config["tenants"]["interns"]["keys"] = [{"name": "test", "hash": hash_of(KEY)}]
    with running(config, {**ENVIRON, "OPENAI_API_KEY": "none"}, model=model_path) as stack:
        stack.http.headers["authorization"] = f"Bearer {KEY}"
        yield stack


def served_by(stack: Stack) -> tuple[str, str]:
    """The backend and the engine that answer an easy request for `auto`, as the answer tells."""
    answer = stack.chat("auto", max_tokens=4)
    assert answer.status_code == 200, answer.text
    told = answer.json()["forebay"]
    return told["backend"], told["served_by"]


def test_auto_is_answered_on_the_box_before_and_after_vllm_is_up(node: Stack) -> None:
    """By one name. The `forebay` object, /ready and explain's words tell which engine it is."""
    node.ready("light")
    assert not node.gate("gpu")["ready"], "a vLLM takes longer to load than the CPU engine"
    assert served_by(node) == ("qwen", "cpu")
    detail = node.readiness()["tiers"]["light"]["backends"]["qwen"]["detail"]
    assert detail.startswith("cpu answers for gpu, which is starting")
    eventually(lambda: bool(node.gate("gpu")["ready"]), f"vLLM is up: {log_of(node.home, 'gpu')[-3000:]}", START_S)
    assert served_by(node) == ("qwen", "gpu")
    assert node.readiness()["tiers"]["light"]["backends"]["qwen"]["detail"] == ""
