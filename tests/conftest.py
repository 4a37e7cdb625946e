"""What all tests share: the real model that they run on."""

import os
import signal
from pathlib import Path

import pytest


def pytest_configure() -> None:
    """Take interrupts, and so have children take them.

    A suite that is started in the background inherits an ignored SIGINT, and would pass it on to the very processes
    that tests interrupt.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def model_path() -> Path:
    """The GGUF of SmolLM2-135M-Instruct; without it the tests of the engine fail, they are not skipped."""
    return _model("FOREBAY_TEST_MODEL", "smollm2-135m-instruct.gguf")


@pytest.fixture(scope="session")
def embedding_model_path() -> Path:
    """The GGUF of all-MiniLM-L6-v2; without it the tests of embeddings fail, they are not skipped."""
    return _model("FOREBAY_TEST_EMBEDDING_MODEL", "all-minilm-l6-v2.gguf")


def _model(variable: str, name: str) -> Path:
    default = Path.home() / ".cache" / "forebay" / "models" / name
    path = Path(os.environ.get(variable) or default).absolute()
    if not path.is_file():
        pytest.fail(
            f"a model that the tests run on is not at {path}: start them with scripts/test, which fetches it, "
            f"or name the file in {variable}",
            pytrace=False,
        )
    return path
