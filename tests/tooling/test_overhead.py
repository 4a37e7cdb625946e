"""`scripts/bench overhead` measures whole programs side by side, and says of whom it cannot measure why."""

import asyncio
import hashlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from io import StringIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from scripts.benchmarks.overhead import measure
from scripts.benchmarks.overhead_environments import environment, folder_of, version_of
from scripts.benchmarks.overhead_measure import Gateway, Rounds
from scripts.benchmarks.overhead_peers import PEERS, Missing, Peer, Place, start
from scripts.benchmarks.overhead_table import document, table
from scripts.benchmarks.run_gateway import HERE, cpu_seconds, free_port, memory_mb, running
from scripts.tooling.command import SetupError
from scripts.tooling.console import Console
from scripts.tooling.lock import PinnedFile
from scripts.tooling.places import find_places
from scripts.tooling.workbench import Workbench
from tests.architecture.source import ROOT

PINS = PinnedFile("pins", "For a test.")
LIMITS_US = {"unary": 3_000, "stream": 20_000}
"""Five times what issue 2 allows: a ceiling for busy machines."""


def wheel(folder: Path) -> bytes:
    """A package of one empty module, put into `folder`."""
    path = folder / "peer-1.0-py3-none-any.whl"
    with ZipFile(path, "w") as archive:
        archive.writestr("peer.py", "")
        archive.writestr("peer-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: peer\nVersion: 1.0\n")
        archive.writestr("peer-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("peer-1.0.dist-info/RECORD", "")
    return path.read_bytes()


def workbench(root: Path, seen: StringIO) -> Workbench:
    """A clone whose pins name that package, which comes from its own folder instead of an index."""
    digest = hashlib.sha256(wheel(root)).hexdigest()
    (root / "pins.txt").write_text(f"peer==1.0 \\\n    --hash=sha256:{digest}\n", encoding="utf-8")
    environ = {
        "PATH": "/usr/bin:/bin",
        "FOREBAY_CACHE": str(root / "cache"),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(root),
    }
    return Workbench(find_places(root, environ), Console(seen, live=False, colour=False))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """A clone that the tests share, and with it the environment of its peer."""
    return workbench(tmp_path_factory.mktemp("clone"), StringIO())


def test_an_environment_is_made_once_and_whole(tmp_path: Path) -> None:
    """One whose installation failed is made anew; one that is whole is used, without a word."""
    seen = StringIO()
    bench = workbench(tmp_path, seen)
    package = tmp_path / "peer-1.0-py3-none-any.whl"
    package.rename(tmp_path / "elsewhere")
    with pytest.raises(SetupError, match=r"install peer 1\.0"):
        environment(bench, PINS, "peer")
    (tmp_path / "elsewhere").rename(package)
    programs = environment(bench, PINS, "peer")
    assert subprocess.run([programs / "python", "-c", "import peer"], check=False, timeout=60).returncode == 0
    told = seen.getvalue()
    assert told.count("Environment of peer 1.0") == 2
    assert "peer 1.0: 1 packages" in told
    assert environment(bench, PINS, "peer") == programs
    assert seen.getvalue() == told


def test_other_pins_make_another_environment(tmp_path: Path) -> None:
    """It lies in the cache, outside the clone's own files, under a hash of its pins."""
    bench = workbench(tmp_path, StringIO())
    first = folder_of(bench, PINS, "peer")
    assert first.parent == bench.places.cache / "bench"
    assert first == folder_of(bench, PINS, "peer")
    (tmp_path / "pins.txt").write_text(bench.pins("pins").replace("sha256:", "sha256:0"), encoding="utf-8")
    assert folder_of(bench, PINS, "peer") != first


def peer(words: list[str], environ: Mapping[str, str] | None = None) -> Peer:
    """A peer that is started with `words`."""

    def prepare(place: Place) -> list[str]:
        return [sys.executable, *words, str(place.port), "3"]

    return Peer("peer", PINS, "/health", environ or {}, prepare)


def test_who_cannot_be_installed_or_started_gets_a_row_that_says_why(bench: Workbench, tmp_path: Path) -> None:
    """The others are measured all the same."""
    broken = peer(["-c", "raise SystemExit('no such module')"])
    elsewhere = workbench(tmp_path, StringIO())
    (tmp_path / "pins.txt").write_text("peer==2.0 --hash=sha256:00\n", encoding="utf-8")
    with ExitStack() as stack:
        died = start(bench, stack, broken, tmp_path, 1)
        absent = start(elsewhere, stack, broken, tmp_path, 1)
    assert isinstance(died, Missing)
    assert died.why.startswith("not started: ")
    assert "no such module" in died.why
    assert isinstance(absent, Missing)
    assert absent.version == "2.0"
    assert absent.why.startswith("not installed: ")
    assert "not installed: " in table({**document(Rounds((), 1), [absent]), "elsewhere": 0, "decision": {}, "gate": {}})


def test_a_peer_sees_nothing_of_this_persons_environment(bench: Workbench, tmp_path: Path) -> None:
    """Its process has a path, an empty folder as home, and what its adapter names: no keys, no proxies."""
    with ExitStack() as stack:
        started = start(bench, stack, peer([str(HERE / "overhead_upstream.py")], {"A": "b"}), tmp_path, 1)
        assert isinstance(started, Gateway)
        raw = Path(f"/proc/{started.pids[0]}/environ").read_text(encoding="utf-8")
    assert {each.partition("=")[0] for each in raw.split("\0") if each} == {"PATH", "HOME", "LANG", "NO_PROXY", "A"}


@pytest.mark.parametrize("each", PEERS, ids=lambda each: each.name)
def test_peers_are_pinned_and_listen_on_loopback(each: Peer, tmp_path: Path) -> None:
    """Each has its pins, names its version, and is told this machine's own address alone."""
    real = Workbench(find_places(ROOT, {}), Console(StringIO(), live=False, colour=False))
    place = Place(tmp_path, tmp_path, 4001, 4002, 4003)
    words = each.prepare(place)
    assert version_of(real, each.pins, each.name)[0].isdigit()
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert words[words.index("--port") + 1] == "4001"
    told = " ".join(words) + "".join(file.read_text(encoding="utf-8") for file in tmp_path.iterdir())
    assert "http://127.0.0.1:4003" in told


FAMILY = """\
import http.server, subprocess, sys
CHILD = "sum(range(20_000_000)); print(flush=True); input()"
child = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
try:
    http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
finally:
    child.kill()
"""
"""A server that has nothing to do, and a child that has worked."""


def test_a_gateways_children_count(tmp_path: Path) -> None:
    """CPU time and memory are of the whole family, not only of the process that was started."""
    port = free_port()
    words = [sys.executable, "-c", FAMILY, str(port)]
    with running(words, f"http://127.0.0.1:{port}/", tmp_path / "log", folder=tmp_path) as pid:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        children = [int(word) for word in listed]
        assert len(children) == 1
        assert cpu_seconds(children) > 0.05
        assert cpu_seconds([pid]) > cpu_seconds(children)
        assert memory_mb([pid]) > memory_mb(children) + 1
        assert memory_mb([pid, *children]) == pytest.approx(memory_mb([pid]), abs=1)
        subprocess.run(["kill", *listed], check=True, timeout=10)


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[int]:
    """A server that answers every request with the same bytes and hangs up; yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 no\r\ncontent-length: 2\r\n\r\nno",
        b"HTTP/1.1 200 ok\r\ncontent-length: 9\r\n\r\nno",
        b"HTTP/1.1 200 ok\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=["error", "cut", "without DONE"],
)
async def test_only_whole_answers_count(answer: bytes) -> None:
    """An error, an answer that breaks off, and a stream without its end make no figures."""
    async with answering(answer) as port:
        words = (str(HERE / "overhead_load.py"), "127.0.0.1", str(port), "2", "1")
        pipe = asyncio.subprocess.PIPE
        load = await asyncio.create_subprocess_exec(sys.executable, *words, stdin=pipe, stdout=pipe, stderr=pipe)
        out, error = await asyncio.wait_for(load.communicate(b"{}"), 30)
    assert load.returncode != 0
    assert out == b""
    assert b"WrongAnswerError" in error


@pytest.fixture(scope="module")
def figures(bench: Workbench) -> Mapping[str, Any]:
    """A short run of the whole benchmark, with the upstream itself as the only peer."""
    found = measure(bench, (peer([str(HERE / "overhead_upstream.py")]),), rounds=1, seconds=0.5)
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]


def test_forebay_and_its_peers_stand_in_one_table(figures: Mapping[str, Any]) -> None:
    """Every gateway has figures for both kinds of request, and memory; the table has a line for each."""
    assert [each["name"] for each in figures["gateways"]] == ["forebay, auto", "forebay, pinned", "peer"]
    for each in figures["gateways"]:
        for kind in ("unary", "stream"):
            assert set(each[kind]) == {"requests", "cpu_us", "per_second", "added_p50_ms", "added_p99_ms"}
            assert each[kind]["requests"] > 0
        assert each["memory_mb"]["after_load"] > 10
    lines = table(dict(figures)).splitlines()
    assert [line.partition("  ")[0] for line in lines[2:5]] == ["forebay, auto", "forebay, pinned", "peer 1.0"]


def test_what_another_tier_answered_is_said() -> None:
    """It costs something else: without log-probabilities to score, and with a price."""
    found = {**document(Rounds((), 1), []), "elsewhere": 3, "decision": {}, "gate": {}}
    assert "no measure of it: 3 requests" in table(found)
    assert "no measure" not in table({**found, "elsewhere": 0})


def test_forebay_stays_within_what_it_may_cost(figures: Mapping[str, Any]) -> None:
    """CPU per request and per stream, memory at rest and decision time have limits."""
    auto = figures["gateways"][0]
    assert {kind: auto[kind]["cpu_us"] for kind in LIMITS_US if auto[kind]["cpu_us"] > LIMITS_US[kind]} == {}
    assert auto["memory_mb"]["at_rest"] <= 120
    assert {tokens: took for tokens, took in figures["decision"].items() if took[1] > 5_000} == {}
    assert {others: took for others, took in figures["gate"].items() if took["decision"][0] > 500} == {}
    assert {others: took for others, took in figures["gate"].items() if took["entry"][0] > 500} == {}
