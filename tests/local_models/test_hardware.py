"""What the box has: CPUs, memory and cards, over real and made trees."""

import os
from pathlib import Path

import pytest

from local_models.hardware import cpu_count, cpu_flags_key, cpu_quota, flags_key, memory, memory_limits, nvidia_cards


@pytest.mark.parametrize(
    ("vendor", "kind", "cards"), [("0x10de", "0x030200", 1), ("0x10de", "0x040300", 0), ("0x1002", "0x030000", 0)]
)
def test_cards_are_seen_without_a_driver(tmp_path: Path, vendor: str, kind: str, cards: int) -> None:
    """NVIDIA's compute and display devices count, its audio devices and other makers' do not."""
    device = tmp_path / "0000:01:00.0"
    device.mkdir()
    (device / "vendor").write_text(f"{vendor}\n")
    (device / "class").write_text(f"{kind}\n")
    assert nvidia_cards(tmp_path) == cards
    assert nvidia_cards(tmp_path / "none") == 0


def test_cpu_count_is_what_this_process_may_use() -> None:
    """Between 1 and the CPUs of its affinity."""
    assert 1 <= cpu_count() <= len(os.sched_getaffinity(0))


def write(root: Path, **files: str) -> Path:
    """A made cgroup tree; in names, `__` is a slash and `_DOT_` a dot."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def test_the_tightest_quota_of_all_parents_counts(tmp_path: Path) -> None:
    """cgroup version 2: a group may have more than its parent grants, but never gets it."""
    root = write(tmp_path, a__cpu_DOT_max="150000 100000", a__b__cpu_DOT_max="400000 100000", cpu_DOT_max="max 100000")
    assert cpu_quota(("a/b",), root) == 1.5
    assert cpu_quota((), root) is None


def test_the_quota_of_the_first_cgroups_is_understood(tmp_path: Path) -> None:
    """Version 1 has two files; -1 is no limit."""
    root = write(
        tmp_path,
        cpu__x__cpu_DOT_cfs_quota_us="50000",
        cpu__x__cpu_DOT_cfs_period_us="100000",
        cpu__cpu_DOT_cfs_quota_us="-1",
        cpu__cpu_DOT_cfs_period_us="100000",
    )
    assert cpu_quota(("x",), root) == 0.5
    assert cpu_quota((), root) is None


def test_memory_limits_of_containers_are_found(tmp_path: Path) -> None:
    """Both versions, parents included, "max" left out."""
    root = write(
        tmp_path,
        a__memory_DOT_max="1000",
        a__memory_DOT_current="600",
        a__b__memory_DOT_max="max",
        a__b__memory_DOT_current="600",
        memory__a__memory_DOT_limit_in_bytes="5000",
        memory__a__memory_DOT_usage_in_bytes="7",
    )
    assert set(memory_limits(("a/b",), root)) == {(1000, 600), (5000, 7)}


def test_memory_of_this_box_is_plausible() -> None:
    """Something is free, and not more than there is."""
    found = memory()
    assert found.total is not None
    assert found.available is not None
    assert 0 < found.available <= found.total


def test_builds_are_keyed_by_the_features_that_matter() -> None:
    """The order of flags and a flag that no kernel depends on make no difference; a missing instruction set does."""
    same = {
        flags_key("x86_64", "flags\t\t: fpu avx avx2 fma avx512f\n"),
        flags_key("x86_64", "processor : 0\nflags : avx512f fma avx2 vmx avx\n"),
    }
    assert len(same) == 1
    assert flags_key("x86_64", "flags : avx avx2 fma\n") not in same
    assert flags_key("aarch64", "Features : asimd asimddp\n") != flags_key("aarch64", "Features : asimd\n")
    assert cpu_flags_key() == cpu_flags_key()
    assert len(cpu_flags_key()) == 16
