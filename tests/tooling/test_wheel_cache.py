"""A wheel is compiled once per kind of processor, and a half-made one is never used."""

import shlex
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scripts.tooling.processor import processor_identity
from scripts.tooling.wheel import CMAKE_ARGS, CXXFLAGS, WheelCache, build_environment, wheel_key
from tests.architecture.source import ROOT

WAIT_S = 30


def leave_wheel(ready: Path, _scratch: Path) -> None:
    """A build that succeeds."""
    (ready / "engine-1-py3-none-any.whl").write_bytes(b"wheel")


def never(*_what: object) -> None:
    """A call that must not happen."""
    pytest.fail("this should not have been called")


def test_a_wheel_is_built_once(tmp_path: Path) -> None:
    """The second request for a key finds what the first one built."""
    cache = WheelCache(tmp_path / "wheels")
    built = cache.make("k", leave_wheel, never)
    assert built.read_bytes() == b"wheel"
    assert cache.make("k", never, never) == built
    assert cache.find("another key") is None


def test_two_builds_at_once_make_one_wheel(tmp_path: Path) -> None:
    """A second process waits for the first one's wheel instead of compiling beside it."""
    second_waits = threading.Event()
    building = threading.Event()
    builds: list[Path] = []

    def slow(ready: Path, scratch: Path) -> None:
        builds.append(scratch)
        building.set()
        assert second_waits.wait(WAIT_S)
        leave_wheel(ready, scratch)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(WheelCache(tmp_path).make, "k", slow, never)
        assert building.wait(WAIT_S)
        second = pool.submit(WheelCache(tmp_path).make, "k", never, second_waits.set)
        assert second.result(WAIT_S) == first.result(WAIT_S)
    assert len(builds) == 1


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    """Neither a wheel nor its scratch folder is left by a build that raised."""

    def fail(ready: Path, scratch: Path) -> None:
        leave_wheel(ready, scratch)
        raise RuntimeError("compiler")

    cache = WheelCache(tmp_path)
    with pytest.raises(RuntimeError, match="compiler"):
        cache.make("k", fail, never)
    assert cache.find("k") is None
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_a_build_without_a_wheel_is_an_error(tmp_path: Path) -> None:
    """A build that says it succeeded and left no wheel is not taken for one."""
    with pytest.raises(FileNotFoundError, match="no wheel"):
        WheelCache(tmp_path).make("k", lambda _ready, _scratch: None, never)
    assert WheelCache(tmp_path).find("k") is None


def test_a_killed_build_is_swept_by_the_next(tmp_path: Path) -> None:
    """After kill -9 in the middle there is no wheel, and the next build removes what was left and succeeds."""
    program = (
        "import sys, pathlib\n"
        "from scripts.tooling.wheel import WheelCache\n"
        "def hang(ready, scratch):\n"
        "    (ready / 'half.whl').write_bytes(b'half')\n"
        "    print('building', flush=True)\n"
        "    sys.stdin.read()\n"
        "WheelCache(pathlib.Path(sys.argv[1])).make('k', hang, print)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"building\n"
        child.send_signal(signal.SIGKILL)
        child.wait(WAIT_S)
    cache = WheelCache(tmp_path)
    assert cache.find("k") is None
    assert cache.make("k", leave_wheel, never).read_bytes() == b"wheel"
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["k"]


def test_an_unfit_wheel_is_forgotten(tmp_path: Path) -> None:
    """What was dropped is built anew."""
    cache = WheelCache(tmp_path)
    cache.make("k", leave_wheel, never)
    cache.drop("k")
    assert cache.find("k") is None
    assert cache.make("k", leave_wheel, never).exists()


@pytest.mark.parametrize("name", ["CMAKE_ARGS", "CXX", "CFLAGS", "CXXFLAGS"])
def test_the_key_knows_what_shapes_the_code(name: str) -> None:
    """Another version, processor or compiler setting is another wheel; anything else is the same one."""
    key = wheel_key("engine==1", {}, "x86_64 avx2")
    assert key == wheel_key("engine==1", {"HOME": "/elsewhere"}, "x86_64 avx2")
    others = [
        wheel_key("engine==2", {}, "x86_64 avx2"),
        wheel_key("engine==1", {}, "x86_64 avx2 avx512f"),
        wheel_key("engine==1", {name: "-DGGML_BLAS=ON"}, "x86_64 avx2"),
    ]
    assert len({key, *others}) == 4


def test_a_persons_own_build_settings_win(tmp_path: Path) -> None:
    """Their settings follow ours, and everything temporary lies where the next build sweeps."""
    env = build_environment({"CMAKE_ARGS": "-DLLAVA_BUILD=ON", "CXXFLAGS": "-O2"}, tmp_path)
    assert env["CMAKE_ARGS"] == f"{CMAKE_ARGS} -DLLAVA_BUILD=ON"
    assert env["CXXFLAGS"] == f"{CXXFLAGS} -O2"
    assert env["TMPDIR"] == str(tmp_path)


TILES = """
#include <cstring>
#include <immintrin.h>
struct Tiles { unsigned char palette, start, rest[14]; unsigned short columns[16]; unsigned char rows[16]; };
static void load() {
    alignas(64) Tiles given = {};
    given.palette = 1;
    given.rows[0] = 8; given.columns[0] = 64;
    given.rows[7] = 16; given.columns[7] = 32;
    _tile_loadconfig(&given);
}
int main() {
    Tiles kept = {};
    load();
    asm volatile("sttilecfg\t%0" : "=m"(kept));
    _tile_release();
    return !(kept.rows[0] == 8 && kept.columns[0] == 64 && kept.rows[7] == 16 && kept.columns[7] == 32);
}
"""


HALVES = """
#include <immintrin.h>
#ifdef __AVX512FP16__
int by_halves;
#endif
int main(int count, char **) {
    __m512 wide = _mm512_set1_ps(count);
    return _mm512_reduce_add_ps(_mm512_cvtph_ps(_mm512_cvtps_ph(wide, 0))) - 16 * count;
}
"""


def engine_flags(folder: Path) -> list[str]:
    """Of the compiler, as the engine is made."""
    return shlex.split(build_environment({}, folder)["CXXFLAGS"])


def compiled(source: str, program: Path, *flags: str) -> bytes:
    """A program for a processor that has everything. Skips where the compiler knows none."""
    made = ["c++", *flags, "-O3", "-march=sapphirerapids", "-x", "c++", "-", "-o", str(program)]
    done = subprocess.run(made, input=source, text=True, capture_output=True, check=False)
    if "sapphirerapids" in done.stderr:
        pytest.skip("this compiler knows no such processor")
    assert done.returncode == 0, done.stderr
    return program.read_bytes()


def test_the_engine_widens_halves_instead_of_looking_them_up_one_by_one(tmp_path: Path) -> None:
    """llama.cpp's way with a processor's halves leaves over heads of 64 numbers: its other one is chosen, and works."""
    assert b"by_halves" in compiled(HALVES, tmp_path / "theirs")
    assert b"by_halves" not in compiled(HALVES, tmp_path / "ours", *engine_flags(tmp_path))
    if "avx512f" in processor_identity():
        assert subprocess.run([tmp_path / "ours"], check=False).returncode == 0


def test_the_whole_tile_configuration_is_loaded(tmp_path: Path) -> None:
    """Compiled as the engine is, code for AMX loads the configuration that it filled in, and not a part of it."""
    compiled(TILES, tmp_path / "tiles", *engine_flags(tmp_path))
    if "amx_tile" not in processor_identity():
        pytest.skip("compiled; this processor has no tiles to load")
    assert subprocess.run([tmp_path / "tiles"], check=False).returncode == 0
