"""The model inside the test process, and one engine process that most tests of the HTTP contract share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local_models.llama.log import LlamaLog
from local_models.llama.model import Model


@pytest.fixture(scope="session")
def llama_log() -> LlamaLog:
    """llama.cpp's log of this process, which must live as long as llama.cpp is used."""
    return LlamaLog()


@pytest.fixture(scope="session")
def model(model_path: Path, llama_log: LlamaLog) -> Iterator[Model]:
    """The default model, loaded into the test process."""
    loaded = Model(model_path, llama_log)
    yield loaded
    loaded.close()
