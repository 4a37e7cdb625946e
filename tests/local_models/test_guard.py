"""The guard around vLLM: whatever ends, nothing of the engine runs on; and vLLM's launcher with a fake of vLLM."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from local_models import guard
from local_models.policy import Policy
from local_models.types import EngineState
from local_models.vllm import Vllm
from tests.local_models.bench import FAKE_VLLM, QUICK, bench

GUARD = (sys.executable, "-I", str(guard.__file__))
GONE_S = 20.0


class QuickVllm(Vllm):
    """The launcher as it is, with less patience."""

    @property
    def policy(self) -> Policy:
        """See `launch.Launcher`."""
        return QUICK


def run_guard(program: str) -> subprocess.CompletedProcess[str]:
    """A guard around a shell's program."""
    words = (*GUARD, str(os.getpid()), "sh", "-c", program)
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=GONE_S)


def gone(process: psutil.Process) -> bool:
    """Wait for the end of a process that is nobody's child here."""
    pause, end = threading.Event(), time.monotonic() + GONE_S
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > end:
            return False
        pause.wait(0.02)
    return True


@pytest.mark.parametrize(
    ("program", "code"),
    [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", -signal.SIGKILL), ("kill -TERM $$", -signal.SIGTERM)],
)
def test_it_ends_as_the_program_does(program: str, code: int) -> None:
    """So that the host hears the truth: also when a child of a child lives on, in a session of its own."""
    done = run_guard(f"setsid sleep 600 & echo $!; {program}")
    assert done.returncode == code
    assert not psutil.pid_exists(int(done.stdout))


def test_a_program_that_cannot_be_started_is_said_so() -> None:
    """In the form that is shown as the engine's last words."""
    done = subprocess.run(
        (*GUARD, str(os.getpid()), "/nowhere/vllm"), capture_output=True, text=True, check=False, timeout=GONE_S
    )
    assert done.returncode == 127
    assert done.stderr == "forebay engine: cannot start /nowhere/vllm: No such file or directory\n"


def test_without_its_host_it_does_not_begin() -> None:
    """A host that died in between would never be missed."""
    done = subprocess.run((*GUARD, "1", "echo", "begun"), capture_output=True, text=True, check=False, timeout=GONE_S)
    assert (done.returncode, done.stdout) == (-signal.SIGHUP, "")


def test_a_request_to_end_reaches_the_program_by_way_of_the_guard_alone() -> None:
    """vLLM takes the second SIGTERM for impatience, so a signal to the group must not arrive twice."""
    program = (
        "import os, signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]); print('ready', flush=True); "
        "print(signal.sigwaitinfo([signal.SIGTERM]).si_pid == os.getppid())"
    )
    words = (*GUARD, str(os.getpid()), sys.executable, "-c", program)
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, signal.SIGTERM)
        assert process.stdout.read() == "True\n"
    assert process.returncode == 0


def test_the_death_of_the_host_is_the_death_of_all() -> None:
    """SIGKILL gives the host no chance to say anything."""
    host = (
        "import os, subprocess, sys, time; "
        f"subprocess.Popen(({sys.executable!r}, '-I', {str(guard.__file__)!r}, str(os.getpid()), "
        "'sh', '-c', 'setsid sleep 600 & echo $!; wait')); time.sleep(600)"
    )
    with subprocess.Popen((sys.executable, "-c", host), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        grandchild = psutil.Process(int(process.stdout.readline()))
        process.kill()
        assert gone(grandchild)


async def test_a_fake_of_vllm_comes_up_by_way_of_both_canaries(tmp_path: Path) -> None:
    """The port that was told is the one that answers, under the name that was told."""
    async with bench(tmp_path, FAKE_VLLM, QuickVllm()) as engine:
        up = await engine.until_state(EngineState.UP)
        words = psutil.Process(up.pid).cmdline()
        assert up.url == f"http://127.0.0.1:{words[words.index('--port') + 1]}"
        assert "--max-num-queued-reqs" in words


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_the_end_of_the_server_is_a_crash_and_leaves_no_core(tmp_path: Path, number: signal.Signals) -> None:
    """kill -9, or an exit with code 0: its core, in a session of its own and deaf, is gone before another begins."""
    async with bench(tmp_path, FAKE_VLLM, QuickVllm()) as engine:
        first = await engine.until_state(EngineState.UP)
        (server,) = psutil.Process(first.pid).children()
        (core,) = server.children()
        server.send_signal(number)
        crashed = await engine.until_state(EngineState.RESTARTING)
        assert crashed.detail.startswith("killed by signal 9" if number == signal.SIGKILL else "exited with code 0")
        assert not core.is_running()
        second = await engine.until_state(EngineState.UP)
        assert second.url != first.url
    assert not psutil.pid_exists(second.pid or 0)
