"""An engine's log: bounded, and never in the engine's way."""

from pathlib import Path

import pytest

from local_models.logs import EngineLog, one_line


def test_the_log_is_rotated_by_size(tmp_path: Path) -> None:
    """Three files of bounded size; the newest lines are in the one without a number."""
    log = EngineLog(tmp_path / "engine-a.log", limit=100)
    for number in range(30):
        log.write(f"line {number:02d} of the engine\n".encode())
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["engine-a.log", "engine-a.log.1", "engine-a.log.2"]
    assert all(path.stat().st_size <= 100 for path in tmp_path.iterdir())
    assert "line 29" in (tmp_path / "engine-a.log").read_text()
    assert "line 25" in (tmp_path / "engine-a.log.1").read_text()


@pytest.mark.parametrize(
    ("output", "last"),
    [
        (b"", ""),
        (b"first\nlast\n", "last"),
        (b"first\nwithout an end", "without an end"),
        (b"Traceback\n  File x\nMemoryError: no room\n\n  \n", "MemoryError: no room"),
        (b"forebay engine: not a GGUF\nggml: freeing\n", "forebay engine: not a GGUF"),
        (b"\x1b[31mred\x1b[0m and \x07bell\n", "red and bell"),
        ("grüße \N{SNOWMAN}\n".encode(), "grüße \N{SNOWMAN}"),
        (b"\xff\xfe\n", "\N{REPLACEMENT CHARACTER}" * 2),
    ],
)
def test_the_last_line_is_for_a_person(tmp_path: Path, output: bytes, last: str) -> None:
    """The line that says why, without control characters; our engine's own line before a library's chatter."""
    log = EngineLog(tmp_path / "engine.log")
    log.write(output)
    log.close()
    assert log.last_line == last


def test_lines_may_come_in_pieces(tmp_path: Path) -> None:
    """A line counts as a whole however the pipe cut it, and a monster of a line costs no memory."""
    log = EngineLog(tmp_path / "engine.log")
    log.write(b"a li")
    log.write(b"ne\nx")
    assert log.last_line == "x"
    log.write(b"y" * 5_000_000)
    assert len(log.last_line) <= 400
    log.close()


def test_a_new_launch_begins_without_the_last_words_of_the_former(tmp_path: Path) -> None:
    """What the former launch said is in the file, but is not said of the new one."""
    log = EngineLog(tmp_path / "engine.log")
    log.write(b"out of memory\n")
    log.begin("launch 2")
    assert log.last_line == ""
    log.close()
    assert (tmp_path / "engine.log").read_text() == "out of memory\n--- launch 2\n"


def test_a_log_that_cannot_be_written_costs_lines_only(tmp_path: Path) -> None:
    """While the disk is full (here: no folder) lines are lost and counted; then it goes on and says so."""
    folder = tmp_path / "logs"
    folder.write_text("in the way")
    log = EngineLog(folder / "engine.log")
    log.write(b"lost\n")
    assert log.last_line == "lost"
    folder.unlink()
    log.write(b"written\n")
    log.close()
    assert (folder / "engine.log").read_text() == "--- 5 bytes could not be written here\nwritten\n"


def test_one_line_is_one_line() -> None:
    """Line ends become spaces, everything else that does not print goes."""
    assert one_line("a\nb\x00\x1b[1mc\u2028d\N{RIGHT-TO-LEFT OVERRIDE}e\r\n") == "a bc de"
    assert len(one_line("x" * 10_000)) == 400
