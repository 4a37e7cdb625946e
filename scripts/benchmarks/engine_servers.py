"""The engines that are measured beside each other, each a process of its own on the same file and threads.

forebay            local_models/llama, as the supervisor starts it.
forebay, no reuse  The same, which evaluates every prompt from its beginning.
llama-server       llama.cpp's own, where its binary is found: a slot per client, flash attention, KV split by slot.
llama_cpp.server   llama-cpp-python's own. It answers one request at a time, has log-probabilities only if it keeps the
                   logits of every position, and breaks a stream off for the next request unless told not to; so there
                   are two of it, one for either kind of request, and neither breaks off.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from local_models.llama_cpp import LlamaCpp
from scripts.benchmarks.engine_environment import packaged_server, packaged_version
from scripts.benchmarks.overhead_peers import Missing
from scripts.benchmarks.run_gateway import NotStartedError, free_port, running
from scripts.tooling.command import SetupError
from scripts.tooling.workbench import Workbench

FOREBAY, LLAMA_SERVER, PACKAGED = "forebay", "llama-server", "llama_cpp.server"
ANEW, PLAIN = "forebay, no reuse", "forebay, plain attention"
_SERIAL_CONTEXT = 2048
"""Tokens that `llama_cpp.server` has room for: with the logits of each it is 200 kB per token."""


class Settings(NamedTuple):
    """What all of them get. `context` is tokens per sequence."""

    model: Path
    threads: int
    parallel: int
    context: int
    llama_server: str | None = None
    """The binary, if it is not on the path."""
    flags: tuple[str, ...] = ()
    """Further ones for llama-server; of two that contradict each other it takes the last."""


class Server(NamedTuple):
    """A running engine."""

    name: str
    version: str
    port: int
    port_scored: int
    """Where log-probabilities are asked for."""
    pids: tuple[int, ...]
    serial: bool = False
    """Whether it answers one request at a time, and has less room."""


class Ground(NamedTuple):
    """Where engines are started: until `stack` is left, and what they say goes into `folder`."""

    bench: Workbench
    stack: ExitStack
    settings: Settings
    folder: Path


def start_all(ground: Ground, wanted: Sequence[str]) -> tuple[list[Server], list[Missing]]:
    """Start engines. Also says who is missing, and why."""
    starts = {FOREBAY: _forebay, ANEW: _anew, PLAIN: _plain, LLAMA_SERVER: _llama_server, PACKAGED: _packaged}
    servers, missing = [], []
    for name in wanted:
        try:
            servers.append(starts[name](ground))
        except SetupError as error:
            why = error.tail[-1] if error.tail else error.advice or ""
            missing.append(Missing(name, "", f"{error} {why}".rstrip()))
        except NotStartedError as error:
            missing.append(Missing(name, "", f"not started: {error}"))
    return servers, missing


def forebay_command(settings: Settings, port: int) -> list[str]:
    """What starts our engine."""
    words = ["--model", str(settings.model), "--name", "bench", "--port", str(port)]
    words += ["--parallel", str(settings.parallel), "--context", str(settings.context)]
    return [sys.executable, "-m", "local_models.llama", *words, "--threads", str(settings.threads)]


def llama_server_command(binary: Path, settings: Settings, port: int) -> list[str]:
    """What starts llama.cpp's."""
    room = settings.parallel * settings.context
    words = ["-m", str(settings.model), "--host", "127.0.0.1", "--port", str(port), "-fa", "on"]
    words += ["-np", str(settings.parallel), "-c", str(room)]
    words += ["-t", str(settings.threads), "-tb", str(settings.threads)]
    return [str(binary), *words, *settings.flags]


def packaged_command(python: Path, settings: Settings, port: int, *, scored: bool) -> list[str]:
    """What starts llama-cpp-python's, with log-probabilities or without."""
    context = str(min(settings.context, _SERIAL_CONTEXT))
    words = ["--model", str(settings.model), "--model_alias", "bench", "--host", "127.0.0.1", "--port", str(port)]
    words += ["--n_ctx", context, "--n_threads", str(settings.threads), "--n_threads_batch", str(settings.threads)]
    words += ["--flash_attn", "true", "--interrupt_requests", "false", "--logits_all", str(scored).lower()]
    return [str(python), "-m", "llama_cpp.server", *words]


def find_llama_server(named: str | None) -> Path:
    """The binary. Raises SetupError."""
    found = shutil.which(named or LLAMA_SERVER)
    if found is None:
        raise SetupError(
            f"no program {named}" if named else "not on the path; --llama-server PATH names it.",
        )
    return Path(found).absolute()


def version_in(said: str) -> str:
    """The number in what `llama-server --version` says."""
    found = re.search(r"version: (\S+)", said)
    return found[1] if found else "?"


def _forebay(ground: Ground, name: str = FOREBAY, *more: str) -> Server:
    port = free_port()
    environ = {**os.environ, **LlamaCpp().environment(os.environ)}
    words = [*forebay_command(ground.settings, port), *more]
    pid = _started(ground, name, words, f"{port}/health", environ)
    return Server(name, "", port, port, (pid,))


def _anew(ground: Ground) -> Server:
    return _forebay(ground, ANEW, "--no-prefix-reuse")


def _plain(ground: Ground) -> Server:
    return _forebay(ground, PLAIN, "--attention", "plain")


def _llama_server(ground: Ground) -> Server:
    binary = find_llama_server(ground.settings.llama_server)
    asked = subprocess.run([binary, "--version"], check=False, capture_output=True, text=True, timeout=60)
    port = free_port()
    words = llama_server_command(binary, ground.settings, port)
    pid = _started(ground, LLAMA_SERVER, words, f"{port}/health", dict(os.environ))
    return Server(LLAMA_SERVER, version_in(asked.stderr + asked.stdout), port, port, (pid,))


def _packaged(ground: Ground) -> Server:
    python = packaged_server(ground.bench)
    ports, pids = (free_port(), free_port()), []
    for port, scored in zip(ports, (False, True), strict=True):
        words = packaged_command(python, ground.settings, port, scored=scored)
        pids.append(_started(ground, PACKAGED, words, f"{port}/v1/models", ground.bench.places.env))
    return Server(PACKAGED, packaged_version(ground.bench), *ports, tuple(pids), serial=True)


def _started(ground: Ground, name: str, words: list[str], ready: str, environ: Mapping[str, str]) -> int:
    """The pid of an engine, once its address `ready` answers."""
    log = ground.folder / f"{name}-{ready.partition('/')[0]}.log"
    with ground.bench.console.step(f"{name} starts"):
        return ground.stack.enter_context(running(words, f"http://127.0.0.1:{ready}", log, environ))
