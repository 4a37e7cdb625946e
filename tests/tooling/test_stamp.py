"""A part of the environment is trusted only when it was finished and is made of the same things."""

from pathlib import Path

import pytest

from scripts.tooling.stamp import Stamp, fingerprint, installed_by

PROJECT = '[project]\nname = "x"\nversion = "1"\n[tool.ruff]\nline-length = 100\n'


def test_a_finished_part_is_found_again(tmp_path: Path) -> None:
    """What was finished is whole for the next start, for the same fingerprint only."""
    stamp = Stamp(tmp_path / "stamp.json")
    assert not stamp.trusted
    stamp.begin("packages")
    stamp.finish("packages", "a")
    again = Stamp(tmp_path / "stamp.json")
    assert again.trusted
    assert again.holds("packages", "a")
    assert not again.holds("packages", "b")
    assert not again.holds("dev", "a")


def test_an_unfinished_change_is_not_trusted(tmp_path: Path) -> None:
    """A set-up killed between begin and finish leaves an environment that nobody trusts."""
    stamp = Stamp(tmp_path / "stamp.json")
    stamp.finish("packages", "a")
    stamp.begin("dev")
    again = Stamp(tmp_path / "stamp.json")
    assert not again.trusted
    assert again.holds("packages", "a")


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "\x00"])
def test_a_damaged_stamp_counts_as_none(text: str, tmp_path: Path) -> None:
    """A torn file leads to a new environment, not to a traceback."""
    (tmp_path / "stamp.json").write_text(text, encoding="utf-8")
    assert not Stamp(tmp_path / "stamp.json").trusted


def test_a_fingerprint_keeps_borders() -> None:
    """Facts that run into each other are still told apart."""
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    assert fingerprint("a") == fingerprint("a")


def test_only_what_is_installed_counts() -> None:
    """A changed linter setting reinstalls nothing, a changed dependency does."""
    assert installed_by(PROJECT) == installed_by(PROJECT.replace("100", "120"))
    assert installed_by(PROJECT) != installed_by(PROJECT.replace('"1"', '"2"'))
