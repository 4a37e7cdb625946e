"""Models of a Hugging Face hub through the real huggingface_hub, against a stand-in that misbehaves on request."""

import hashlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_models.catalog import Catalog, CatalogEntry, ModelFile, find_installed, installed, resolve
from local_models.errors import ChecksumMismatch, ModelNotPresent, PullFailed, SourceFailed
from local_models.plan import planned
from local_models.pull import PullPhase, carry_out, pull
from local_models.removal import begun, remove
from local_models.sources import source_of
from tests.local_models.hub_server import COMMIT, STRANGER, TOKEN, Hub, Repository, hub_server

SMALL = b"GGUF" + bytes(range(256)) * 400
# The client hands on what it reads in pieces of 10 MB: what a cut connection loses is at most that.
LARGE = b"GGUF" + os.urandom(25_000_000)
LATER = "f" * 40
NOTHING = Catalog(())


def sha256(content: bytes) -> str:
    """Its sum."""
    return hashlib.sha256(content).hexdigest()


def ignore(_done: int, _total: int | None, _phase: PullPhase) -> None:
    """Progress that nobody watches."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub with some models."""
    split = {f"big-0000{part}-of-00002.gguf": SMALL + bytes([part]) for part in (1, 2)}
    repositories = {
        "org/one": Repository({"README.md": b"# One", "one-Q4.gguf": SMALL}, frozenset({"README.md"})),
        "org/several": Repository(
            {"a-Q4.gguf": SMALL, "deep/a-Q8.gguf": LARGE, "tiny.gguf": b"GGUF"}, frozenset({"tiny.gguf"})
        ),
        "org/split": Repository(split),
        "org/weights": Repository({"model.safetensors": SMALL}),
        "org/gated": Repository({"secret.gguf": SMALL}, licence="gemma", gated=True),
    }
    with hub_server(repositories) as running:
        yield running


@pytest.fixture
def environ(hub: Hub, tmp_path: Path) -> dict[str, str]:
    """What a user has set: the hub's address, and nobody logged in."""
    return {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf")}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data folder."""
    return tmp_path / "home"


def left_over(home: Path) -> list[str]:
    """Every file under models except locks."""
    models = home / "models"
    found = (path for path in models.rglob("*") if path.is_file() and ".locks" not in path.parts)
    return sorted(str(path.relative_to(models)) for path in found)


def test_a_file_comes_with_its_sum_its_licence_and_its_commit(hub: Hub, environ: dict[str, str], home: Path) -> None:
    """The branch is resolved to a commit, the hub's sum is checked, and all of it stands in the manifest."""
    plan = planned("hf:org/several@main:deep/a-Q8.gguf", home, environ=environ, catalog=NOTHING)
    assert (plan.name, plan.bytes, plan.licence, plan.revision) == ("a-q8", len(LARGE), "apache-2.0", COMMIT)
    path = carry_out(plan, home, ignore, environ)
    assert path == home / "models/a-q8/a-Q8.gguf"
    assert path.read_bytes() == LARGE
    manifest = installed(home)[0].manifest
    assert manifest.files[0].source == f"hf:org/several@{COMMIT}:deep/a-Q8.gguf"
    assert manifest.files[0].sha256 == sha256(LARGE)
    assert (manifest.address, manifest.revision) == ("hf:org/several@main:deep/a-Q8.gguf", COMMIT)
    assert left_over(home) == ["a-q8/a-Q8.gguf", "a-q8/manifest.json"]
    # What is fetched is the commit, even if the branch moves in between.
    assert [line for line in hub.asked if "/resolve/main/" in line] == ["HEAD /org/several/resolve/main/deep/a-Q8.gguf"]


def test_progress_is_reported_while_bytes_come(environ: dict[str, str], home: Path) -> None:
    """Bytes done of all, in each phase to its end."""
    seen: dict[PullPhase, list[tuple[int, int | None]]] = {}

    def watch(done: int, total: int | None, phase: PullPhase) -> None:
        seen.setdefault(phase, []).append((done, total))

    pull("hf:org/several:deep/a-Q8.gguf", home, watch, environ=environ)
    assert set(seen) == {PullPhase.DOWNLOADING, PullPhase.CHECKING}
    assert len(seen[PullPhase.DOWNLOADING]) >= 3
    assert all(steps[-1] == (len(LARGE), len(LARGE)) for steps in seen.values())


def test_a_repository_with_one_model_needs_no_file_name(environ: dict[str, str], home: Path) -> None:
    """And the revision is main unless said otherwise."""
    assert pull("hf:org/one", home, ignore, environ=environ).read_bytes() == SMALL
    assert installed(home)[0].manifest.address == "hf:org/one@main"


def test_a_model_split_over_files_comes_whole(environ: dict[str, str], home: Path) -> None:
    """An engine is pointed at the first file; the others lie beside it."""
    path = pull("hf:org/split@main:big-00001-of-00002.gguf", home, ignore, environ=environ)
    assert path == home / "models/big/big-00001-of-00002.gguf"
    assert path.with_name("big-00002-of-00002.gguf").read_bytes() == SMALL + b"\x02"


@pytest.mark.parametrize(
    "wanted",
    ["hf:org/one@main:one-Q4.gguf", f"hf:org/one@{COMMIT}:one-Q4.gguf", "hf:org/one:one-Q4.gguf", "hf:org/one"],
)
def test_a_configuration_may_name_the_address_in_any_of_its_forms(
    wanted: str, environ: dict[str, str], home: Path
) -> None:
    """With the branch it was asked for by, with the commit that came, with the file or without; also when renamed."""
    plan = planned("hf:org/one@main:one-Q4.gguf", home, environ=environ, as_name="mine")
    path = carry_out(plan, home, ignore, environ)
    assert resolve(wanted, home) == resolve("mine", home) == path


@pytest.mark.parametrize(
    "other", ["hf:org/one@dev:one-Q4.gguf", "hf:org/one@main:two.gguf", "hf:org/two@main:one-Q4.gguf"]
)
def test_an_address_that_is_not_here_says_how_to_get_it(other: str, environ: dict[str, str], home: Path) -> None:
    """Another branch, file or repository is another model; the message is the command to run."""
    pull("hf:org/one@main:one-Q4.gguf", home, ignore, environ=environ)
    with pytest.raises(ModelNotPresent, match=re.escape(f"run `forebay models pull {other}`")):
        resolve(other, home)


def test_what_is_here_is_not_asked_for_again(hub: Hub, environ: dict[str, str], home: Path) -> None:
    """A second pull of the same address goes nowhere."""
    path = pull("hf:org/one", home, ignore, environ=environ)
    asked = len(hub.asked)
    assert pull("hf:org/one@main", home, ignore, environ=environ) == path
    assert len(hub.asked) == asked


def test_removal_goes_by_the_address_too(environ: dict[str, str], home: Path) -> None:
    """Whoever pulled an address need not know the name that was made of it."""
    pull("hf:org/one", home, ignore, environ=environ)
    name, freed = remove("hf:org/one", home)
    assert (name, freed > len(SMALL), installed(home)) == ("one-q4", True, ())


def test_a_catalog_entry_may_come_from_a_hub(environ: dict[str, str], home: Path) -> None:
    """For a known model the catalog's own sum counts, whatever the hub says."""
    for content, fits in ((SMALL, True), (SMALL[::-1], False)):
        file = ModelFile(source=f"hf:org/one@{COMMIT}:one-Q4.gguf", sha256=sha256(content), bytes=len(SMALL))
        entry = CatalogEntry(name="known", files=(file,), licence="MIT", context=1, parameters=1, description="x")
        if fits:
            assert pull("known", home, ignore, Catalog((entry,)), environ).read_bytes() == SMALL
            assert pull(file.source, home, ignore, Catalog((entry,)), environ) == home / "models/known/one-Q4.gguf"
            remove("known", home)
        else:
            with pytest.raises(ChecksumMismatch, match=f"has sha256 {sha256(SMALL)} instead of {file.sha256}"):
                pull("known", home, ignore, Catalog((entry,)), environ)
    assert left_over(home) == []


@pytest.mark.parametrize(("cuts", "abrupt"), [((11_000_000, 10_600_000), False), ((20_000_000,), True)])
def test_cut_connections_are_gone_on_with(
    cuts: tuple[int, ...], hub: Hub, environ: dict[str, str], home: Path, *, abrupt: bool
) -> None:
    """Each time the rest is asked for, and the whole has the right sum; whether they end early or are reset."""
    hub.cuts, hub.abrupt = list(cuts), abrupt
    assert pull("hf:org/several:deep/a-Q8.gguf", home, ignore, environ=environ).read_bytes() == LARGE
    assert hub.ranges[0] is None
    assert all(range_ is not None for range_ in hub.ranges[1:])
    assert len(hub.ranges) == len(cuts) + 1


def test_a_pull_that_failed_is_gone_on_with_by_the_next(hub: Hub, environ: dict[str, str], home: Path) -> None:
    """What had come is kept and counted, shown as begun, and not fetched twice; a finished pull leaves nothing."""
    hub.cuts = [11_000_000, *[0] * 40]
    with pytest.raises(SourceFailed, match=f"cannot reach {hub.url}"):
        pull("hf:org/several:deep/a-Q8.gguf", home, ignore, environ=environ)
    assert find_installed("a-q8", home) is None
    had = begun(home)["a-q8"]
    assert 0 < had < len(LARGE)
    hub.cuts, hub.ranges = [], []
    assert pull("hf:org/several:deep/a-Q8.gguf", home, ignore, environ=environ).read_bytes() == LARGE
    assert hub.ranges == [f"bytes={had}-"]
    assert begun(home) == {}
    assert left_over(home) == ["a-q8/a-Q8.gguf", "a-q8/manifest.json"]


def test_what_was_begun_can_be_deleted(hub: Hub, environ: dict[str, str], home: Path) -> None:
    """A pull that nobody wants to go on with takes no room for ever."""
    hub.cuts = [11_000_000, *[0] * 40]
    with pytest.raises(SourceFailed):
        pull("hf:org/several:deep/a-Q8.gguf", home, ignore, environ=environ)
    kept = begun(home)["a-q8"]
    assert remove("a-q8", home) == ("a-q8", kept)
    assert left_over(home) == []


def test_a_branch_that_moved_is_not_mixed_with_what_was_begun(hub: Hub, environ: dict[str, str], home: Path) -> None:
    """The rest of another commit's file would make a file that never was."""
    hub.cuts = [11_000_000, *[0] * 40]
    with pytest.raises(SourceFailed):
        pull("hf:org/several:deep/a-Q8.gguf", home, ignore, environ=environ)
    newer = b"GGUF" + os.urandom(12_000_000)
    hub.repositories["org/several"] = Repository({"deep/a-Q8.gguf": newer}, branches={"main": LATER})
    hub.cuts = []
    assert pull("hf:org/several:deep/a-Q8.gguf", home, ignore, environ=environ).read_bytes() == newer
    assert installed(home)[0].manifest.revision == LATER
    assert begun(home) == {}


def test_a_server_that_knows_no_ranges_begins_anew(hub: Hub, environ: dict[str, str], home: Path) -> None:
    """A whole file in answer to a question for its rest is not appended to what is there."""
    hub.cuts, hub.ignores_ranges = [11_000_000], True
    assert pull("hf:org/several:deep/a-Q8.gguf", home, ignore, environ=environ).read_bytes() == LARGE


def test_a_connection_that_breaks_before_its_answer_is_tried_again(
    hub: Hub, environ: dict[str, str], home: Path
) -> None:
    """One lost question does not end a pull."""
    hub.resets = 1
    assert pull("hf:org/one:one-Q4.gguf", home, ignore, environ=environ).read_bytes() == SMALL


def test_a_forged_file_is_thrown_away(hub: Hub, environ: dict[str, str], home: Path) -> None:
    """Right size, other bytes: refused with both sums, and nobody goes on with it."""
    hub.forged = SMALL[::-1]
    with pytest.raises(ChecksumMismatch, match=f"has sha256 {sha256(SMALL[::-1])} instead of {sha256(SMALL)}"):
        pull("hf:org/one", home, ignore, environ=environ)
    assert left_over(home) == []
    hub.forged = None
    assert pull("hf:org/one", home, ignore, environ=environ).read_bytes() == SMALL


def test_the_token_goes_to_the_hub_and_nowhere_else(hub: Hub, environ: dict[str, str], home: Path) -> None:
    """Of the environment handed in, not of this process; the storage that the hub sends us to does not get it."""
    path = pull("hf:org/gated", home, ignore, environ={**environ, "HF_TOKEN": TOKEN})
    assert path.read_bytes() == SMALL
    assert set(hub.tokens) == {TOKEN}
    assert hub.sent_to_storage == [None]


def test_without_a_token_none_is_sent(
    hub: Hub, environ: dict[str, str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that this process happens to have is nobody's business where another environment was handed in."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    pull("hf:org/one", home, ignore, environ=environ)
    assert set(hub.tokens) == {None}


@pytest.mark.parametrize(
    ("address", "token", "complaint"),
    [
        ("hf:org/gated", None, "org/gated is gated: accept its terms at {url}/org/gated, then set HF_TOKEN"),
        ("hf:org/gated", STRANGER, "org/gated is gated, and HF_TOKEN's account may not read it: accept its terms at"),
        ("hf:org/one", "hf_wrong", "{url} refuses HF_TOKEN for org/one: set it to a token that may read it"),
        ("hf:org/nothing", None, "{url} has no model org/nothing; if it is private, set HF_TOKEN"),
        ("hf:org/nothing", TOKEN, "{url} has no model org/nothing that HF_TOKEN may read"),
        ("hf:org/one@v9", None, "org/one has no branch, tag or commit 'v9'"),
        ("hf:org/one@main:two.gguf", None, "org/one has no file 'two.gguf' at main"),
        ("hf:org/several", None, "org/several has 3 models: add `:FILE` with one of a-Q4.gguf, deep/a-Q8.gguf, tiny"),
        ("hf:org/weights", None, "org/weights has no .gguf file at main: the CPU engine runs no other kind"),
        (
            "hf:org/several:tiny.gguf",
            None,
            "{url} publishes no sha256 of tiny.gguf in org/several, only of large files",
        ),
    ],
)
def test_what_cannot_be_had_says_what_to_do(
    address: str, token: str | None, complaint: str, hub: Hub, environ: dict[str, str], home: Path
) -> None:
    """One line for each way in which a hub says no, and nothing is left."""
    asking = environ if token is None else {**environ, "HF_TOKEN": token}
    with pytest.raises(SourceFailed, match=re.escape(complaint.format(url=hub.url))) as refused:
        pull(address, home, ignore, environ=asking)
    assert "\n" not in str(refused.value)
    assert token is None or token not in str(refused.value)
    assert left_over(home) == []


def test_a_hub_that_fails_is_said_so(hub: Hub, environ: dict[str, str], home: Path) -> None:
    """Its status, and that a later try may help."""
    hub.failing = 418
    with pytest.raises(SourceFailed, match=f"{hub.url} answers 418 for org/one: try again later"):
        pull("hf:org/one", home, ignore, environ=environ)


def test_offline_is_said_so(environ: dict[str, str], home: Path) -> None:
    """The hub's own switch is respected and named."""
    with pytest.raises(SourceFailed, match=r"HF_HUB_OFFLINE is set, so org/one is not fetched: unset it"):
        pull("hf:org/one", home, ignore, environ={**environ, "HF_HUB_OFFLINE": "1"})


def test_a_hub_that_cannot_be_reached_is_said_so(tmp_path: Path, home: Path) -> None:
    """The address that was tried, and what may be wrong with it."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(SourceFailed, match=f"cannot reach {url} .*: check the network, HTTPS_PROXY and"):
            pull("hf:org/one", home, ignore, environ={"HF_ENDPOINT": url, "HF_HOME": str(tmp_path)})


def test_room_is_looked_for_first(hub: Hub, environ: dict[str, str], home: Path) -> None:
    """A model larger than the disk is refused before a byte of it is fetched."""
    plan = planned("hf:org/one", home, environ=environ)
    file = type(plan.files[0])(source=plan.files[0].source, sha256=plan.files[0].sha256, bytes=10**18)
    vast = type(plan)(name=plan.name, files=(file,), licence="")
    with pytest.raises(PullFailed, match=r"needs 1000000000001 MB under .* free: make room"):
        carry_out(vast, home, ignore, environ)
    assert hub.ranges == []
    assert left_over(home) == []


def test_a_name_that_is_taken_is_not_taken_over(environ: dict[str, str], home: Path) -> None:
    """What an engine runs by that name must not become another model; --name makes room."""
    pull("hf:org/one", home, ignore, environ=environ)
    with pytest.raises(PullFailed, match=r"a model called one-q4 is here already, from hf:org/one@main: .*--name"):
        planned("hf:org/several@main:a-Q4.gguf", home, environ=environ, as_name="one-q4")
    with pytest.raises(PullFailed, match=r"smollm2-135m-instruct is a model of the catalog: .*--name"):
        planned("hf:org/several@main:a-Q4.gguf", home, environ=environ, as_name="smollm2-135m-instruct")
    assert planned("hf:org/several@main:a-Q4.gguf", home, environ=environ, as_name="two").name == "two"


@pytest.mark.parametrize("name", ["../x", "a/b", "x.gguf", "", ".hidden", "a b"])
def test_no_name_leads_out_of_the_models_folder(name: str, home: Path) -> None:
    """--name is a name, never a path."""
    with pytest.raises(PullFailed, match="a model cannot be called"):
        planned("hf:org/one", home, environ={}, as_name=name)


@pytest.mark.parametrize(
    "address", ["hf:one", "hf:a/b/c", "hf:/a/b", "hf:a/b@", "hf:a/b:", "hf:a/b:/etc/x.gguf", "hf:a/b:../x.gguf", "hf:"]
)
def test_an_address_has_one_form(address: str) -> None:
    """Anything else is refused before anybody is asked."""
    with pytest.raises(SourceFailed, match=re.escape("is not of the form hf:ORG/REPO[@REVISION][:FILE]")):
        source_of(address)


def test_a_gateway_does_not_pay_for_the_hubs_client() -> None:
    """Neither serving nor listing models imports it."""
    said = subprocess.run(
        (sys.executable, "-c", "import gateway.cli.main, sys; print('huggingface_hub' in sys.modules)"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "False\n"
