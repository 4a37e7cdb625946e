"""The environment is made once, completed when something is missing, and made anew when it cannot be trusted."""

from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from zipfile import ZipFile

import pytest

from scripts.tooling.__main__ import only_the_engine_can_answer
from scripts.tooling.command import SetupError
from scripts.tooling.console import Console
from scripts.tooling.environment import Environment
from scripts.tooling.gate import GateStep, run_gate
from scripts.tooling.model import place_embedding_model, place_test_model
from scripts.tooling.places import Places, find_places
from scripts.tooling.processor import processor_identity
from scripts.tooling.wheel import WheelCache, wheel_key
from scripts.tooling.workbench import Workbench

PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "forebay"
version = "0"
"""

# A build backend of a few lines, so that these tests need no package index.
BACKEND = """\
import os, zipfile
INFO = "forebay-0.dist-info"
def _meta(put):
    put(f"{INFO}/METADATA", "Metadata-Version: 2.1\\nName: forebay\\nVersion: 0\\n")
    put(f"{INFO}/WHEEL", "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "forebay-0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        _meta(wheel.writestr)
        wheel.writestr(f"{INFO}/RECORD", "")
    return name
"""

# A stand-in for the compiled engine, installed through the same door as the real one.
ENGINE_INFO = "llama_cpp_python-0.0.1.dist-info"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A small project with the same files as the real one and nothing to download."""
    root = tmp_path / "clone"
    root.mkdir()
    (root / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (root / "backend.py").write_text(BACKEND, encoding="utf-8")
    for group in ("requirements", "requirements-dev", "requirements-build"):
        (root / f"{group}.txt").write_text("# nothing\n", encoding="utf-8")
    (root / "requirements-llama.txt").write_text("llama-cpp-python==0.0.1 \\\n    --hash=sha256:00\n", encoding="utf-8")
    return root


def set_up(
    clone: Path,
    *,
    dev: bool = False,
    engine_required: bool = False,
    env: Mapping[str, str] | None = None,
    out: StringIO | None = None,
) -> str:
    """Make the environment of `clone` and return what the person saw on `out`."""
    out = out or StringIO()
    environ = {"PATH": "/usr/bin:/bin", "FOREBAY_CACHE": str(clone.parent / "cache"), "FOREBAY_CPU_ENGINE": "off"}
    places = find_places(clone, {**environ, **(env or {})})
    bench = Workbench(places, Console(out, live=False, colour=False))
    Environment(bench).make(dev=dev, engine_required=engine_required)
    return out.getvalue()


def test_a_second_start_has_nothing_to_do(clone: Path) -> None:
    """The first start makes everything, the second says and does nothing, a third adds only what it lacks."""
    first = set_up(clone)
    assert "Virtual environment" in first
    assert "Forebay itself" in first
    made = (clone / ".venv" / "pyvenv.cfg").stat().st_mtime_ns
    assert set_up(clone) == ""
    assert [line.split()[1] for line in set_up(clone, dev=True).splitlines()] == ["Tools"]
    assert (clone / ".venv" / "pyvenv.cfg").stat().st_mtime_ns == made


class BeginsAnewError(Exception):
    """The set-up was about to make a new environment."""


class StopAtGreeting(StringIO):
    """A screen that ends the set-up where it says that it begins, before anything is touched."""

    def write(self, text: str) -> int:
        """Raise BeginsAnewError at the greeting."""
        if "Setting up Forebay" in text:
            raise BeginsAnewError
        return super().write(text)


def test_what_cannot_be_trusted_is_made_anew(clone: Path) -> None:
    """A changed pin, a killed set-up, a lost interpreter and a moved clone each lead to a new environment."""
    set_up(clone)
    stamp = clone / ".venv" / "forebay-stamp.json"
    whole = stamp.read_text(encoding="utf-8")
    (clone / "requirements.txt").write_text("# changed\n", encoding="utf-8")
    assert_begins_anew(clone)
    (clone / "requirements.txt").write_text("# nothing\n", encoding="utf-8")
    assert set_up(clone) == ""
    stamp.write_text(whole.replace("{", '{"changing": "dev",', 1), encoding="utf-8")
    assert_begins_anew(clone)
    stamp.write_text(whole, encoding="utf-8")
    (clone / ".venv" / "bin" / "python").rename(clone / "python")
    assert_begins_anew(clone)
    (clone / "python").rename(clone / ".venv" / "bin" / "python")
    assert set_up(clone) == ""
    assert_begins_anew(clone.rename(clone.parent / "moved"))


def assert_begins_anew(clone: Path) -> None:
    """The set-up of this clone starts with a new environment."""
    with pytest.raises(BeginsAnewError):
        set_up(clone, out=StopAtGreeting())


def test_a_failure_names_log_and_step(clone: Path) -> None:
    """What failed, what the child said last, and where to read the rest."""
    (clone / "requirements.txt").write_text("absent==1 --hash=sha256:00\n", encoding="utf-8")
    with pytest.raises(SetupError, match=r"Could not install requirements\.txt") as failure:
        set_up(clone, env={"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null"})
    assert failure.value.log == clone / ".setup.log"
    assert failure.value.advice is not None
    assert any("absent" in line for line in failure.value.tail)


def test_no_compiler_is_an_error_only_when_the_engine_is_needed(clone: Path) -> None:
    """With other tiers the gateway starts without the CPU engine and says so; without them it says what to install."""
    bare = {"FOREBAY_CPU_ENGINE": "on", "PATH": str(clone / "nothing"), "CXX": ""}
    assert "No C++ compiler" in set_up(clone, env=bare)
    with pytest.raises(SetupError, match=r"C\+\+ compiler") as failure:
        set_up(clone, env=bare, engine_required=True)
    assert failure.value.advice is not None
    assert "--config" in failure.value.advice


def test_a_wheel_that_does_not_load_is_thrown_away(clone: Path) -> None:
    """A wheel that cannot be loaded is not kept for the next start to fail on."""
    key = cached_engine(clone, "raise SystemExit(4)")
    with pytest.raises(SetupError, match="load the compiled CPU engine"):
        set_up(clone, env={"FOREBAY_CPU_ENGINE": "on"})
    assert WheelCache(clone.parent / "cache" / "wheels").find(key) is None


def test_a_cached_wheel_needs_no_compiler(clone: Path) -> None:
    """Where the wheel is in the cache it is installed, compiler or not, and the next start does nothing."""
    cached_engine(clone, "def llama_backend_init() -> None: ...")
    env = {"FOREBAY_CPU_ENGINE": "on", "PATH": str(clone / "nothing"), "CXX": ""}
    assert "CPU engine" in set_up(clone, env=env, engine_required=True)
    assert set_up(clone, env=env, engine_required=True) == ""


def cached_engine(clone: Path, module: str) -> str:
    """Put a wheel whose module has this text where a compiled one would lie; its key."""
    requirement = (clone / "requirements-llama.txt").read_text(encoding="utf-8")
    key = wheel_key(requirement, {}, processor_identity())

    def build(ready: Path, _scratch: Path) -> None:
        write_wheel(ready / "llama_cpp_python-0.0.1-py3-none-any.whl", module)

    WheelCache(clone.parent / "cache" / "wheels").make(key, build, lambda: None)
    return key


def test_the_engine_is_needed_when_nobody_else_can_answer(tmp_path: Path) -> None:
    """A configuration or a cloud key means that others may answer."""
    alone = find_places(tmp_path, {})
    assert only_the_engine_can_answer([], alone)
    assert not only_the_engine_can_answer(["--config", "f.yaml"], alone)
    assert not only_the_engine_can_answer(["--config=f.yaml"], alone)
    assert not only_the_engine_can_answer([], find_places(tmp_path, {"OPENAI_API_KEY": "k"}))
    assert not only_the_engine_can_answer([], find_places(tmp_path, {"FOREBAY_CPU_ENGINE": "off"}))


def test_a_foreign_environment_does_not_leak_in(tmp_path: Path) -> None:
    """Children see neither an activated environment nor foreign module paths, and the cache can be moved."""
    places = find_places(tmp_path, {"PYTHONPATH": "/x", "VIRTUAL_ENV": "/y", "FOREBAY_CACHE": str(tmp_path / "c")})
    assert not {"PYTHONPATH", "VIRTUAL_ENV"} & set(places.env)
    assert places.wheels == tmp_path / "c" / "wheels"
    assert places.test_model.parent == tmp_path / "c" / "models"


def test_a_model_that_is_there_is_left_alone(tmp_path: Path) -> None:
    """A second run of the tests pulls nothing; without the model the failed pull is explained."""
    places = find_places(tmp_path, {"FOREBAY_CACHE": str(tmp_path / "cache")})
    places.python.parent.mkdir(parents=True)
    places.python.write_text("#!/bin/sh\necho no such model; exit 1\n", encoding="utf-8")
    places.python.chmod(0o755)
    out = StringIO()
    bench = Workbench(places, Console(out, live=False, colour=False))
    with pytest.raises(SetupError, match="pull the test model") as failure:
        place_test_model(bench)
    assert failure.value.tail[-1] == "no such model"
    places.test_model.parent.mkdir(parents=True)
    places.test_model.write_bytes(b"GGUF")
    place_test_model(bench)
    assert out.getvalue().count("\n") == 1


def test_the_embedding_model_is_made_once(tmp_path: Path) -> None:
    """What makes it is told where it belongs; a second run makes nothing."""
    places = find_places(tmp_path, {"FOREBAY_CACHE": str(tmp_path / "cache")})
    places.python.parent.mkdir(parents=True)
    places.python.write_text('#!/bin/sh\nmkdir -p "$(dirname "$3")"; echo "$2" >> "$3"\n', encoding="utf-8")
    places.python.chmod(0o755)
    bench = Workbench(places, Console(StringIO(), live=False, colour=False))
    for _ in range(2):
        place_embedding_model(bench)
    assert places.embedding_model.read_text(encoding="utf-8") == "scripts.tooling.embedding_model\n"


def test_the_gate_runs_every_step(tmp_path: Path) -> None:
    """A failed step hides no later one; its output is shown and the summary names it."""
    tools = tmp_path / ".venv" / "bin"
    tools.mkdir(parents=True)
    for name, body in (("good", "touch ran"), ("bad", "echo this is wrong; exit 1")):
        (tools / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        (tools / name).chmod(0o755)
    out = StringIO()
    places: Places = find_places(tmp_path, {"PATH": "/usr/bin:/bin"})
    steps = (GateStep("first", ("bad",)), GateStep("second", ("good",)))
    assert run_gate(places, Console(out, live=False, colour=False), steps) == 1
    assert (tmp_path / "ran").exists()
    assert "this is wrong" in out.getvalue()
    assert out.getvalue().splitlines()[-1] == "1 of 2 failed: first"


def write_wheel(path: Path, module: str) -> None:
    """A wheel of one module, `llama_cpp`."""
    with ZipFile(path, "w") as wheel:
        wheel.writestr("llama_cpp.py", f"{module}\n")
        wheel.writestr(f"{ENGINE_INFO}/METADATA", "Metadata-Version: 2.1\nName: llama-cpp-python\nVersion: 0.0.1\n")
        wheel.writestr(f"{ENGINE_INFO}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{ENGINE_INFO}/RECORD", "")
