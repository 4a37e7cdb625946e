"""Files that are no whole GGUF are refused in one line, before llama.cpp sees them."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from local_models.llama.errors import EXIT_BAD_FILE, StartError
from local_models.llama.gguf import check


def text(value: str) -> bytes:
    """A GGUF string."""
    return struct.pack("<Q", len(value)) + value.encode()


def gguf(*entries: bytes, version: int = 3, tensors: tuple[bytes, ...] = (), data: int = 0) -> bytes:
    """A GGUF with these metadata entries, tensor records and bytes of tensor data."""
    header = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(entries)) + b"".join(entries) + b"".join(tensors)
    return header + bytes(-len(header) % 32) + bytes(data)


def tensor(name: str, elements: int, kind: int, offset: int) -> bytes:
    """A one-dimensional tensor's record."""
    return text(name) + struct.pack("<IQIQ", 1, elements, kind, offset)


def refusal(path: Path) -> str:
    """The line that `check` refuses the file with."""
    with pytest.raises(StartError) as caught:
        check(path)
    assert caught.value.exit_code == EXIT_BAD_FILE
    line = str(caught.value)
    assert "\n" not in line
    assert line.endswith("fetch the model again or give another file")
    return line


def assert_accepted(path: Path) -> None:
    """`check` has nothing to say about the file."""
    check(path)


def test_the_real_model_passes(model_path: Path) -> None:
    """A whole file is not complained about."""
    assert_accepted(model_path)


def test_every_metadata_type_is_understood(tmp_path: Path) -> None:
    """Scalars, strings, arrays of both and arrays of arrays are stepped over."""
    path = tmp_path / "a.gguf"
    entries = (
        text("a") + struct.pack("<If", 6, 1.0),
        text("b") + struct.pack("<I", 8) + text("value"),
        text("c") + struct.pack("<IIQ", 9, 8, 2) + text("x") + text("y"),
        text("d") + struct.pack("<IIQ", 9, 9, 1) + struct.pack("<IQ", 4, 2) + bytes(8),
        text("general.alignment") + struct.pack("<II", 4, 32),
    )
    path.write_bytes(gguf(*entries, tensors=(tensor("t", 64, 2, 0), tensor("u", 3, 0, 64)), data=76))
    assert_accepted(path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not a GGUF"),
        (b"PK\x03\x04" + bytes(100), "not a GGUF"),
        (b"GGUF\x03", "cut short"),
        (gguf(version=1), "version 1 is not supported"),
        (b"GGUF" + struct.pack(">I", 3) + bytes(16), "big-endian"),
        (gguf(text("a") + struct.pack("<I", 77)), "metadata type 77"),
        (gguf(text("a") + struct.pack("<IIQ", 9, 8, 2**60)), "cut short"),
        (gguf(text("a") + struct.pack("<IIQ", 9, 4, 2**62)), "cut short"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**63, 0), "cut short"),
        (gguf(struct.pack("<Q", 2**64 - 1)), "cut short"),
        (gguf(text("general.alignment") + struct.pack("<II", 4, 3)), "alignment 3"),
        (gguf(tensors=(text("t") + struct.pack("<I", 9),)), "9 dimensions"),
        (gguf(tensors=(tensor("t", 64, 0, 0),), data=255), "255"),
    ],
)
def test_what_is_not_a_whole_gguf_is_refused_with_the_reason(tmp_path: Path, content: bytes, why: str) -> None:
    """Damaged and foreign files, and headers that promise more than there is, each get their own reason."""
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    line = refusal(path)
    assert why in line or ("cut short" in line and why == "255")


def test_a_real_model_cut_anywhere_is_refused(model_path: Path, tmp_path: Path) -> None:
    """A download that was interrupted is noticed wherever it stopped."""
    with model_path.open("rb") as file:
        head = file.read(4_000_000)
    path = tmp_path / "cut.gguf"
    for size in (10, 500, 100_000, 2_000_000, 4_000_000):
        path.write_bytes(head[:size])
        assert "cut short" in refusal(path)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda _path: None, "No such file"),
        (lambda path: path.mkdir(), "not a regular file"),
    ],
)
def test_what_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], None], why: str) -> None:
    """A missing file and a folder are named as such."""
    path = tmp_path / "thing"
    make(path)
    assert why in refusal(path)
