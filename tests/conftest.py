"""What all tests share: the real model that they run on."""

import os
from pathlib import Path

import pytest


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
