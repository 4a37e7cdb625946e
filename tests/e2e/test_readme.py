"""What the README tells people to do works when it is done, against gateways that really run.

Every block of code in it is run, but those that start with a script of this repository or install vLLM: servers and
long runs, of which the first have tests of their own. Paths and ports are a test's.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.config.files import CONFIGS, ROOT
from tests.e2e.homes import home_folder, install_model
from tests.e2e.stack import COMMAND, Stack, started
from tests.faults.handle import FaultServer

TEXT = (ROOT / "README.md").read_text("utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STARTERS = ("scripts/", "FOREBAY_CPU_ENGINE=off scripts/", "python3 -m venv /opt/vllm ")
"""What a block begins with that starts something to stay, runs for long, or installs vLLM."""
ARGS = """    args:
      - --gpu-memory-utilization=0.9
      - --enable-auto-tool-choice
      - --tool-call-parser=hermes
      - --scheduling-policy=priority
"""
"""Of vLLM, which nobody else understands."""


class Block(NamedTuple):
    """A block of code: the heading it stands under, its language, its text."""

    heading: str
    language: str
    text: str

    @property
    def starts_something(self) -> bool:
        """Whether it is not run here."""
        return self.text.startswith(STARTERS)


def blocks() -> tuple[Block, ...]:
    """All of them, in their order."""
    found = []
    for match in BLOCK.finditer(TEXT):
        heading = re.findall(r"^#+ (.*)$", TEXT[: match.start()], re.MULTILINE)[-1]
        found.append(Block(heading, match[1], match[2]))
    return tuple(found)


BLOCKS = blocks()


def runnable(heading: str) -> list[Block]:
    """The blocks under a heading that are run."""
    return [block for block in BLOCKS if block.heading == heading and not block.starts_something]


class Desk:
    """Somebody at a terminal in a clone: a folder with what the README names, and variables that stay set."""

    def __init__(self, folder: Path, home: Path) -> None:
        shutil.copytree(CONFIGS, folder / "configs")
        (folder / ".venv" / "bin").mkdir(parents=True)
        (folder / ".venv" / "bin" / "forebay").symlink_to(COMMAND)
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        self.environ = {**kept, "FOREBAY_HOME": str(home), "PYTHONPATH": str(ROOT)}

    def run(self, block: Block, addresses: Mapping[str, str]) -> str:
        """Run a block, which must end well, and return what it prints; `addresses` stand in for those it names."""
        text = block.text
        for written, real in addresses.items():
            text = text.replace(written, real)
        return self._python(text) if block.language == "python" else self._shell(text)

    def _shell(self, text: str) -> str:
        variables = self.folder / "variables"
        words = ["bash", "-euo", "pipefail", "-c", f'{text}\nenv -0 > "$0"', str(variables)]
        said = self._ended(words)
        pairs = (each.partition("=") for each in variables.read_text("utf-8").split("\0") if each)
        self.environ = {name: value for name, _, value in pairs}
        return said

    def _python(self, text: str) -> str:
        return self._ended([sys.executable, "-c", text])

    def _ended(self, words: list[str]) -> str:
        done = subprocess.run(
            words, cwd=self.folder, env=self.environ, capture_output=True, text=True, check=False, timeout=100
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def addresses(stack: Stack) -> dict[str, str]:
    """Where a gateway is, instead of where the README has it."""
    return {"http://127.0.0.1:8080": stack.url, "http://127.0.0.1:8081": stack.admin}


def documents(said: str) -> list[Any]:
    """The JSON documents in what was printed, each of which begins a line and is indented."""
    return [json.loads(text) for text in re.findall(r"^[{\[]$.*?^[}\]]$", said, re.MULTILINE | re.DOTALL)]


@pytest.fixture
def desk(real: Stack, tmp_path: Path) -> Desk:
    """A terminal on the machine where the gateway over real models runs."""
    return Desk(tmp_path, real.home)


@pytest.mark.parametrize("heading", ["Forebay", "Use it", "In a tool of your own"], ids=["first screen", "use", "tool"])
def test_clients_are_answered(desk: Desk, real: Stack, heading: str) -> None:
    """By a real model; what is shown of it is there."""
    found = runnable(heading)
    assert found
    for block in found:
        assert desk.run(block, addresses(real)).strip()


def test_a_laptop(desk: Desk, real: Stack) -> None:
    """Explained, answered on the box, and found again in the logs and in the usage."""
    (block,) = runnable("On a laptop")
    said = desk.run(block, addresses(real))
    assert "because" in said
    (answer,) = documents(said)
    assert (answer["forebay"]["tier"], answer["forebay"]["backend"]) == ("light", "local")
    assert said.count("smollm2-135m-instruct") >= 3


@pytest.fixture
def node_home(model_path: Path) -> Iterator[Path]:
    """The home of a gateway on a GPU node, where the model of the standby has been pulled before."""
    with home_folder() as home:
        install_model(home, model_path)
        yield home


def test_a_gpu_node(faults: FaultServer, node_home: Path, tmp_path: Path) -> None:
    """The key that is made there opens the gateway with the file that is made there; vLLM's place has a stand-in."""
    desk = Desk(tmp_path, node_home)
    before, up = runnable("On a GPU node")
    assert "platform" in desk.run(before, {})
    text = (tmp_path / "configs" / "forebay.yaml").read_text("utf-8")
    for written, real in {
        "listen: 0.0.0.0:8080": "listen: 127.0.0.1:0",
        "admin_listen: 127.0.0.1:8081": "admin_listen: 127.0.0.1:0",
        "kind: vllm": "kind: attached",
        "python: /opt/vllm/bin/python": f"urls: [{faults.url}]",
        ARGS: "    on_box: true\n",
        "https://api.openai.com": faults.url,
    }.items():
        assert written in text
        text = text.replace(written, real)
    key = desk.environ["OPENAI_API_KEY"]
    with started(node_home, text, {"OPENAI_API_KEY": key}) as stack:
        stack.listening().ready("light", "mid", "premium")
        assert stack.chat().status_code == 401
        said = desk.run(up, addresses(stack))
    ready, answer, gate = documents(said)
    assert ready["status"] == "ready"
    assert answer["forebay"]["backend"] == "qwen"
    assert gate[0]["engine"] == "gpu"
    assert re.search(r"^forebay_requests_total{.*} 1\.0$", said, re.MULTILINE)


def test_every_block_is_run_or_starts_something() -> None:
    """The tests above run whole headings; a block under another one would be left out."""
    tested = {"Forebay", "Use it", "On a laptop", "On a GPU node", "In a tool of your own"}
    left = [block for block in BLOCKS if block.heading not in tested and not block.starts_something]
    assert left == []


def test_scripts_that_are_named_exist() -> None:
    """With the options that they are given."""
    lines = [line.partition("#")[0] for block in BLOCKS if block.starts_something for line in block.text.splitlines()]
    scripts = [word for line in lines for word in shlex.split(line) if word.startswith("scripts/")]
    assert scripts
    assert [path for path in scripts if not os.access(ROOT / path, os.X_OK)] == []


def test_commands_that_are_named_exist() -> None:
    """Each row of the table is a command, and each command has a row."""
    named = set(re.findall(r"^\| `forebay (\w+)", TEXT, re.MULTILINE))
    told = subprocess.run([COMMAND, "--help"], capture_output=True, text=True, check=True, timeout=60).stdout
    listed = set(re.findall(r"^│ (\w+) ", told.partition("Commands")[2], re.MULTILINE))
    assert named == listed


def test_files_that_are_linked_exist() -> None:
    """No link leads nowhere."""
    links = re.findall(r"\]\((?!http)([^)#]+)\)", TEXT)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
