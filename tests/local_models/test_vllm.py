"""How vLLM is launched: its command line, its environment, and what it must answer before it is up."""

import os
import sys
from pathlib import Path

import msgspec
import pytest

from local_models.environment import inheritable, inheritable_by_host
from local_models.launch import NoRoomForIt, Place
from local_models.probe import Canary
from local_models.types import EngineSpec
from local_models.vllm import Build, Version, Vllm, build_of, program_of, serve_words
from tests.local_models.nvml import H200, install_driver, play

PLACE = Place(port=40001, socket=9)
SPEC = EngineSpec(
    name="gpu",
    kind="vllm",
    model="hf:Qwen/Qwen3-8B",
    path="Qwen/Qwen3-8B",
    python="/opt/vllm/bin/python",
    parallel=64,
    context=16384,
    args=("--gpu-memory-utilization", "0.8"),
)
COMMON = (
    *("serve", "Qwen/Qwen3-8B", "--host", "127.0.0.1", "--port", "40001", "--served-model-name", "hf:Qwen/Qwen3-8B"),
    *("--max-num-seqs", "64", "--max-model-len", "16384"),
)
LAST = ("--disable-uvicorn-access-log", "--gpu-memory-utilization", "0.8")
QUEUE = ("--max-num-queued-reqs", "128", "--max-num-queued-tokens", "1048576")


@pytest.mark.parametrize(
    ("version", "queue"),
    [(None, ()), ((0, 28), ()), ((0, 29), QUEUE), ((0, 32), QUEUE), ((1, 0), QUEUE)],
)
def test_the_command_line_says_what_the_spec_says(version: Version | None, queue: tuple[str, ...]) -> None:
    """The operator's own arguments last; limits of the queue for versions that have them, and for no other."""
    assert serve_words(SPEC, 40001, version) == (*COMMON, *queue, *LAST)


def test_vectors_have_a_runner_of_their_own() -> None:
    """One vLLM either writes or gives vectors."""
    words = serve_words(msgspec.structs.replace(SPEC, runner="pooling", args=()), 40001, None)
    assert words == (*COMMON, "--runner", "pooling", "--disable-uvicorn-access-log")


@pytest.mark.parametrize(
    ("text", "build"),
    [
        ("0.32.0\n", Build((0, 32))),
        ("0.32.0+cpu\n", Build((0, 32), "cpu")),
        ("INFO 11-25 warming up\n0.29.1rc1.dev3+g12ab\n", Build((0, 29), "g12ab")),
        ("1.0.0", Build((1, 0))),
        ("", None),
        ("vllm: command not found", None),
    ],
)
def test_builds_are_read_from_what_it_says(text: str, build: Build | None) -> None:
    """Who does not say gets what all versions take, and its memory is not looked for."""
    assert build_of(text) == build


@pytest.mark.parametrize(
    ("variant", "device"),
    [("", "gpu"), ("cu129", "gpu"), ("g12ab.cu129", "gpu"), ("cpu", "cpu"), ("rocm723", None), ("xpu", None)],
)
def test_what_it_was_built_for(variant: str, device: str | None) -> None:
    """NVIDIA's GPUs unless it says otherwise; of what else there is nothing is known here."""
    assert Build((0, 32), variant).device == device


async def test_it_is_not_launched_where_it_would_find_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said with figures before anything has begun: this box has less than a million GiB."""
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1000000")
    (tmp_path / "model.safetensors").write_bytes(bytes(1000))
    command = tmp_path / "vllm"
    command.write_text("#!/bin/sh\necho 0.32.0+cpu\n")
    command.chmod(0o700)
    spec = msgspec.structs.replace(SPEC, python=None, command=(str(command),), path=str(tmp_path))
    with pytest.raises(NoRoomForIt, match=r"this box: 1073741.8 GB needed .*; held by process \d+"):
        await Vllm().command(spec, PLACE)
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "0")
    assert (await Vllm().command(spec, PLACE))[4] == str(command)


async def test_room_is_looked_for_on_the_gpus_that_it_may_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked of NVIDIA's driver, with who holds them."""
    for name, value in install_driver(tmp_path).items():
        monkeypatch.setenv(name, value)
    command = tmp_path / "vllm"
    command.write_text("#!/bin/sh\necho 0.32.0\n")
    command.chmod(0o700)
    spec = msgspec.structs.replace(SPEC, python=None, command=(str(command),))
    play(tmp_path, {**H200, "memory_used": 100_000_000_000, "processes": "4242:99000000000"})
    with pytest.raises(NoRoomForIt, match=r"GPU 0 \(NVIDIA H200\): 120.0 GB needed .*held by process 4242 \(99.0 GB\)"):
        await Vllm().command(spec, PLACE)
    play(tmp_path, H200)
    assert (await Vllm().command(spec, PLACE))[4] == str(command)


def test_an_interpreter_or_a_command_stands_for_vllm() -> None:
    """A container's command is taken as it is written."""
    assert program_of(SPEC) == ("/opt/vllm/bin/python", "-m", "vllm.entrypoints.cli.main")
    words = ("apptainer", "exec", "--nv", "vllm.sif", "vllm")
    assert program_of(msgspec.structs.replace(SPEC, python=None, command=words)) == words


@pytest.mark.parametrize(
    "lacking",
    [{}, {"python": "/p", "command": ("vllm",), "path": "m"}, {"python": "/p"}, {"command": ("vllm",)}],
)
def test_a_spec_that_could_not_be_launched_is_none(lacking: dict[str, str]) -> None:
    """A model, and one program."""
    with pytest.raises(ValueError, match="needs a path, and either python or command"):
        EngineSpec(name="gpu", kind="vllm", model="m", **lacking)  # type: ignore[arg-type]


async def test_it_runs_under_the_guard_and_is_asked_for_its_version_once(tmp_path: Path) -> None:
    """Our own interpreter runs the guard, which is told who began it; the file that counts the calls has one line."""
    calls = tmp_path / "calls"
    command = tmp_path / "vllm"
    command.write_text(f'#!/bin/sh\necho "$*" >> {calls}\necho 0.30.2\n')
    command.chmod(0o700)
    spec = msgspec.structs.replace(SPEC, python=None, command=(str(command),))
    launcher = Vllm()
    for _ in range(2):
        words = await launcher.command(spec, PLACE)
        assert words[:2] == (sys.executable, "-I")
        assert Path(words[2]).name == "guard.py"
        assert words[3:] == (str(os.getpid()), str(command), *COMMON, *QUEUE, *LAST)
    assert calls.read_text() == "--version\n"


async def test_an_interpreter_is_asked_what_is_installed_in_it(tmp_path: Path) -> None:
    """Without a vLLM nothing is known of it, and vLLM's own words will say so when it is started."""
    spec = msgspec.structs.replace(SPEC, python=sys.executable)
    words = await Vllm().command(spec, PLACE)
    assert words[4:] == (sys.executable, "-m", "vllm.entrypoints.cli.main", *COMMON, *LAST)
    with pytest.raises(FileNotFoundError, match="/nowhere/python"):
        await Vllm().command(msgspec.structs.replace(SPEC, python="/nowhere/python"), PLACE)


@pytest.mark.parametrize(("context", "tokens"), [(16384, 512), (514, 512), (513, 511), (256, 254)])
def test_the_second_canary_is_as_long_as_the_context_allows(context: int, tokens: int) -> None:
    """512 tokens, and one more for the answer; by the name it is to be served under."""
    spec = msgspec.structs.replace(SPEC, context=context)
    assert Vllm().canary(spec) == Canary("generate", "hf:Qwen/Qwen3-8B", tokens)


def test_it_sees_what_a_hub_needs_and_none_of_our_keys() -> None:
    """Our own engine and its interpreter's variables are kept apart from it."""
    hub = {"HF_TOKEN": "hf_x", "HF_HOME": "/m", "HTTPS_PROXY": "http://p:1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    ours = {"PYTHONPATH": "/ours", "VIRTUAL_ENV": "/ours"}
    keys = {"OPENAI_API_KEY": "x", "VLLM_API_KEY": "x"}
    environ = {"PATH": "/bin", **hub, **ours, **keys}
    found = Vllm().environment(environ)
    assert found["VLLM_NO_USAGE_STATS"] == "1"
    assert {name: found[name] for name in environ if name in found} == {"PATH": "/bin", **hub}
    assert Vllm().environment({"VLLM_NO_USAGE_STATS": "0"})["VLLM_NO_USAGE_STATS"] == "0"
    assert inheritable(environ) == {"PATH": "/bin", **ours}
    assert hub.items() <= inheritable_by_host(environ).items()
    assert "OPENAI_API_KEY" not in inheritable_by_host(environ)


def test_it_is_given_time_to_start_and_no_endless_tries() -> None:
    """Five crashes that each take a minute are as many as five at once."""
    policy = Vllm().policy
    assert policy.start_limit >= 1800
    assert policy.crash_window >= policy.crash_limit * 60
    assert Vllm().takes_socket is False
