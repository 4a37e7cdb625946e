"""What is said over the socket, to hosts that are asked the wrong way, and what a spec may be."""

import asyncio
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from local_models.client import EngineHost
from local_models.endpoint import find_socket, listen, prepare_run_folder
from local_models.environment import inheritable
from local_models.errors import HostError, HostUnavailable
from local_models.hostlink import HostLink
from local_models.protocol import (
    VERSION,
    Bye,
    Ensure,
    Ensured,
    FromClient,
    FromHost,
    Hello,
    InFlight,
    Refused,
    Snapshots,
    Stop,
    Stopped,
    Welcome,
    decode_from_client,
    decode_from_host,
    encode,
)
from local_models.types import EngineMetrics, EngineSnapshot, EngineSpec, EngineState
from tests.local_models.bench import FAKE_HOST

SPEC = EngineSpec(name="small", kind="llama_cpp", model="m", path="/m.gguf", args=("--x",))
SNAPSHOT = EngineSnapshot(
    name="small",
    state=EngineState.UP,
    url="http://127.0.0.1:1",
    detail="",
    since=1.5,
    restarts=2,
    pid=3,
    model="m",
    slots=4,
    metrics=EngineMetrics(at=1.0, running=1),
)


@pytest.mark.parametrize(
    "message",
    [Hello(1), Ensure((SPEC,), keep=True), InFlight({"small": 2}), Stop("all"), Stop(("small",)), Bye()],
    ids=repr,
)
def test_what_a_client_says_arrives(message: FromClient) -> None:
    """One line each, and the same on the other side."""
    line = encode(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_from_client(line) == message


@pytest.mark.parametrize(
    "message", [Welcome(1, 2), Refused("a\nb"), Snapshots((SNAPSHOT,)), Ensured(), Stopped()], ids=repr
)
def test_what_a_host_says_arrives(message: FromHost) -> None:
    """One line each, and the same on the other side; unknown metrics stay unknown."""
    line = encode(message)
    assert line.count(b"\n") == 1
    assert decode_from_host(line) == message


@pytest.mark.parametrize("line", [b"", b"{}", b"[]", b"garbage\n", b'{"type":"dance"}', b"\xff\xfe", b"[" * 100_000])
def test_anything_else_is_refused(line: bytes) -> None:
    """Neither side is broken by what it does not understand."""
    with pytest.raises(HostError):
        decode_from_client(line)
    with pytest.raises(HostError):
        decode_from_host(line)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"name": "../up"}, "letters, digits"),
        ({"name": ""}, "letters, digits"),
        ({"name": "a/b"}, "letters, digits"),
        ({"path": None}, "needs the path of a GGUF"),
        ({"kind": "attached"}, "needs at least one url"),
        ({"kind": "attached", "urls": ("localhost:8000",)}, "begin with http"),
        ({"kind": "attached", "urls": ("http://a", "file:///etc")}, "begin with http"),
        ({"parallel": 0}, "at least 1"),
        ({"context": -1}, "at least 1"),
        ({"threads": 0}, "at least 1"),
    ],
)
def test_a_spec_that_cannot_be_run_is_none(changes: dict[str, object], complaint: str) -> None:
    """Refused where it is made and where it arrives; a name can never lead out of the log folder."""
    fields = {**msgspec.structs.asdict(SPEC), **changes}
    with pytest.raises(msgspec.ValidationError, match=complaint):
        msgspec.convert(fields, EngineSpec)


async def test_a_line_that_makes_no_sense_ends_one_connection_only(fake_host_home: Path) -> None:
    """The host says what it did not understand, hangs up, and goes on for the others."""
    other = await HostLink.connect(fake_host_home)
    for lines in (b"garbage\n", b'{"type":"bye"}\n', encode(Hello(VERSION)) + b"{}\n"):
        reader, writer = await asyncio.open_unix_connection(str(find_socket(fake_host_home)))
        writer.write(lines)
        said = [decode_from_host(line) async for line in reader]
        assert isinstance(said[-1], Refused)
        writer.close()
    reader, writer = await asyncio.open_unix_connection(str(find_socket(fake_host_home)))
    writer.write(b"x" * 2_000_000)
    with suppress(ConnectionError):  # it hangs up without reading to the end that never comes
        await reader.read()
    writer.close()
    async with asyncio.timeout(10):
        while not isinstance(await other.receive(5.0), Snapshots):
            pass
    other.close()


async def refusal_of(link: HostLink) -> str:
    """The reason for which the host hangs up. Raises TimeoutError."""
    async with asyncio.timeout(10):
        while True:
            try:
                await link.receive(5.0)
            except HostError as error:
                return str(error)


async def test_a_kind_that_the_host_cannot_launch_is_refused(attaching_host_home: Path) -> None:
    """The client learns it at once, with the kinds there are."""
    link = await HostLink.connect(attaching_host_home)
    await link.send(Ensure((SPEC,), keep=False))
    assert (
        await refusal_of(link)
        == "the engine host refuses: engine small: this host runs no kind 'llama_cpp', only attached"
    )
    link.close()


async def test_two_engines_of_one_name_are_refused(fake_host_home: Path) -> None:
    """Only one of them could be known by that name."""
    link = await HostLink.connect(fake_host_home)
    await link.send(Ensure((SPEC, SPEC), keep=False))
    assert await refusal_of(link) == "the engine host refuses: two engines have the same name"
    link.close()


async def test_names_of_engines_can_be_stopped_one_by_one(fake_host_home: Path) -> None:
    """`stop` with names leaves the others; the stopped ones are still listed, as stopped."""
    link = await HostLink.connect(fake_host_home)
    specs = tuple(msgspec.structs.replace(SPEC, name=name, args=()) for name in ("a", "b"))
    await link.send(Ensure(specs, keep=False))
    await link.send(Stop(("a",)))
    states: dict[str, EngineState] = {}
    async with asyncio.timeout(30):
        while not isinstance(message := await link.receive(5.0), Stopped):
            if isinstance(message, Snapshots):
                states = {engine.name: engine.state for engine in message.engines}
    assert states["a"] is EngineState.STOPPED
    assert states["b"] is not EngineState.STOPPED
    link.close()


async def test_a_host_of_another_version_is_ended_and_replaced(tmp_path: Path) -> None:
    """After an upgrade that changed the protocol: the old host is asked to stop, then a new one is begun."""
    prepare_run_folder(tmp_path)
    heard: list[FromClient] = []

    async def old_host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(encode(Welcome(VERSION + 1, 1)))
        async for line in reader:
            heard.append(decode_from_client(line))
            if isinstance(heard[-1], Stop):
                server.close()
                path.unlink(missing_ok=True)
                writer.write(encode(Stopped()))
        writer.close()

    listener, path = listen(tmp_path)
    server = await asyncio.start_unix_server(old_host, sock=listener)
    engines = await EngineHost.attach(tmp_path, (), command=(sys.executable, str(FAKE_HOST)))
    await engines.close(stop=True)
    assert heard == [Hello(VERSION), Stop("all"), Bye()]


async def test_a_folder_of_somebody_else_in_the_temporary_directory_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the socket does not fit under the home, the folder it goes to must be ours, and no link."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    (temporary / f"forebay-{os.getuid()}").symlink_to(tmp_path)
    monkeypatch.setenv("TMPDIR", str(temporary))
    with pytest.raises(HostUnavailable, match="is not a folder of this user with mode 0700"):
        await EngineHost.attach(tmp_path / ("long" * 30), (), command=(sys.executable, str(FAKE_HOST)))


def test_children_inherit_what_they_need_and_no_keys() -> None:
    """An allow-list: a key under a name that nobody thought of stays here too."""
    mine = {"PATH": "/bin", "LC_ALL": "C", "OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": "0"}
    keys = {"OPENAI_API_KEY": "x", "AWS_SECRET_ACCESS_KEY": "x", "PIP_INDEX_URL": "https://u:p@h", "MY_OWN": "x"}
    assert inheritable({**mine, **keys}) == mine


def test_the_gateways_side_is_light() -> None:
    """Following engines costs the gateway no HTTP client and no metrics library of the host's."""
    program = "import sys, local_models.client; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=True).stdout.split()
    assert "local_models" in loaded
    assert not {"httpx", "prometheus_client", "pynvml", "numpy", "llama_cpp"} & set(loaded)
