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
    default = Path.home() / ".cache" / "forebay" / "models" / "smollm2-135m-instruct.gguf"
    path = Path(os.environ.get("FOREBAY_TEST_MODEL") or default).absolute()
    if not path.is_file():
        pytest.fail(
            f"the model that the tests run on is not at {path}: start them with scripts/test, which fetches it, "
            "or name the file in FOREBAY_TEST_MODEL",
            pytrace=False,
        )
    return path
