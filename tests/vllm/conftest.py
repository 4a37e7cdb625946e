"""What the tests of a real vLLM share: one box, in which a gateway has started one."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.stack import Stack
from tests.faults.behaviours import Says
from tests.faults.handle import fault_server
from tests.vllm.box import Box, box, engine_of_environment


@pytest.fixture(scope="session")
def vllm_engine() -> dict[str, Any]:
    """The engine of a configuration; without a vLLM the tests fail, they are not skipped."""
    try:
        return engine_of_environment()
    except KeyError:
        pytest.fail("start the tests of vLLM with scripts/test-vllm, which makes one", pytrace=False)


@pytest.fixture(scope="session")
def the_box(vllm_engine: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """One for all tests that do not want another configuration."""
    with fault_server(tmp_path_factory.mktemp("faults")) as faults:
        faults.always("mid", Says())
        with box(vllm_engine, faults) as it:
            yield it


@pytest.fixture
def gateway(the_box: Box) -> Stack:
    """Its gateway, with vLLM up."""
    return the_box.up()
