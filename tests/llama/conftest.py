"""The model inside the test process, and one engine process that most tests of the HTTP contract share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local_models.llama.log import LlamaLog
from local_models.llama.model import Model
from tests.llama.engine_process import EngineProcess, running
from tests.llama.reference import Reference


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


@pytest.fixture(scope="session")
def engine(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """An engine with four slots of 768 tokens, for tests that leave it as they found it."""
    folder = tmp_path_factory.mktemp("engine")
    with running(model_path, folder, "--parallel", "4", "--context", "768") as process:
        yield process.ready()


@pytest.fixture(scope="session")
def reference(model: Model) -> Iterator[Reference]:
    """Full evaluations of whole texts, made in the test process."""
    evaluator = Reference(model)
    yield evaluator
    evaluator.close()
