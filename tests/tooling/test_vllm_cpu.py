"""The pins of vLLM on a CPU: every file by hash, no index, and what the tests need of it."""

import re

import pytest

from scripts.tooling.lock import pinned_blocks
from scripts.tooling.vllm_cpu import version_of
from tests.architecture.source import ROOT

TEXT = (ROOT / "scripts" / "vllm" / "requirements.txt").read_text("utf-8")


def test_every_line_is_a_pin_with_one_hash() -> None:
    """It is made for one kind of machine, so each distribution has one file; beside them stand comments."""
    blocks = pinned_blocks(TEXT)
    assert len(blocks) > 100
    assert all(len(re.findall(r"--hash=sha256:[0-9a-f]{64}$", block, re.MULTILINE)) == 1 for block in blocks.values())
    rest = TEXT
    for block in blocks.values():
        rest = rest.replace(block, "", 1)
    assert all(line.startswith("#") for line in rest.splitlines()), rest
    assert "://" not in TEXT


def test_it_is_the_version_that_knows_limits_of_its_queue() -> None:
    """Tests of these would pass by not running."""
    assert tuple(map(int, version_of(TEXT).split(".")[:2])) >= (0, 32)


def test_without_vllm_there_is_no_version() -> None:
    """A defect of the file, said as one."""
    with pytest.raises(ValueError, match="no vllm-cpu is pinned"):
        version_of("torch==2.13.0\n")
