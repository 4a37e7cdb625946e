"""The files in `configs/` that start Forebay as a service: they agree with command, configuration and set-up."""

import re
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config.addresses import listen_address
from gateway.config.schema import Server
from local_models.policy import Policy
from tests.config.files import CONFIGS, ROOT

INSTALLED = "/opt/forebay"
COMMAND = f"{INSTALLED}/.venv/bin/forebay"
CONFIGURATION = "/etc/forebay/forebay.yaml"
SECRETS = "/etc/forebay/forebay.env"
HOME = "/var/lib/forebay"

HERE = Path(sys.executable).parent
"""Where this environment has what stands in .venv/bin there."""

SERVE = [COMMAND, "serve", "--config", CONFIGURATION]
"""What starts the gateway. tests/e2e start it by the same words, with paths of their own."""


def unit() -> dict[str, list[str]]:
    """The settings of forebay.service, each with its values in their order."""
    found: dict[str, list[str]] = {}
    for line in (CONFIGS / "forebay.service").read_text("utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def composed() -> dict[str, Any]:
    """The one service of compose.yaml."""
    services: dict[str, dict[str, Any]] = yaml.safe_load((CONFIGS / "compose.yaml").read_text("utf-8"))["services"]
    (service,) = services.values()
    return service


def instructions(file: str = "configs/Containerfile") -> list[tuple[str, str]]:
    """The instructions of an image: the word and what follows, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / file).read_text("utf-8"), flags=re.MULTILINE)
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1].strip()) for line in lines]


def following(word: str, file: str = "configs/Containerfile") -> list[str]:
    """What follows every instruction of that word."""
    return [rest for each, rest in instructions(file) if each == word]


def copied(file: str) -> list[str]:
    """What of the clone an image gets."""
    lines = [line for line in following("COPY", file) if not line.startswith("--from")]
    return sorted(path for line in lines for path in line.split()[:-1])


def seconds(text: str) -> float:
    """A time of compose: 60s."""
    found = re.fullmatch(r"(\d+)s", text)
    assert found is not None, text
    return float(found[1])


def forebay(*words: str) -> subprocess.CompletedProcess[str]:
    """One command of this environment's `forebay`."""
    return subprocess.run([HERE / "forebay", *words], capture_output=True, text=True, check=False, timeout=120)


def test_all_three_start_the_same_command() -> None:
    """With the same file, in the same home."""
    assert [shlex.split(line) for line in unit()["ExecStart"]] == [SERVE]
    assert yaml.safe_load(following("ENTRYPOINT")[0]) + yaml.safe_load(following("CMD")[0]) == SERVE
    assert composed()["command"] == SERVE[1:]
    assert unit()["Environment"] == [f"FOREBAY_HOME={HOME}"]
    assert f"FOREBAY_HOME={HOME}" in following("ENV")[0].split()
    assert unit()["StateDirectory"] == [HOME.removeprefix("/var/lib/")]
    assert following("VOLUME") == [HOME]


@pytest.mark.parametrize("command", ["serve", "check", "models"])
def test_the_commands_exist_with_their_options(command: str) -> None:
    """What the files and their comments call is there; an option that goes is missed here."""
    told = forebay(command, "--help")
    assert told.returncode == 0
    wanted = {"serve": "--config", "check": "FILE", "models": "pull"}
    assert wanted[command] in told.stdout


def test_the_unit_checks_the_file_first() -> None:
    """By a command that takes it: with a file that is not there it says so, and does not fail for its words."""
    (checked,) = (shlex.split(line) for line in unit()["ExecStartPre"])
    assert checked == [COMMAND, "check", CONFIGURATION]
    done = forebay(*checked[1:-1], "/nowhere/forebay.yaml")
    assert (done.returncode, "there is no such file" in done.stdout) == (1, True)


@pytest.mark.parametrize("given_s", [seconds(composed()["stop_grace_period"]), float(unit()["TimeoutStopSec"][0])])
def test_it_is_given_the_time_to_end_well(given_s: float) -> None:
    """Longer than running answers may take, and the engines after them: nobody is killed in between."""
    assert given_s >= Server().drain_s + 2 * Policy().grace + 5


def test_engines_are_ended_by_the_gateway() -> None:
    """SIGTERM to all of its processes at once would take the engines away from under running answers."""
    assert unit()["KillMode"] == ["mixed"]
    assert following("STOPSIGNAL") == ["SIGTERM"]
    assert composed()["init"] is True


def test_the_service_is_shut_in() -> None:
    """No new privileges, no capability, nothing to write but its own folder, and another user than root."""
    service = composed()
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "devices", "pid", "ipc"} & set(service)
    assert [user for user in following("USER") if user not in ("root", "0")] == following("USER") != []
    settings = unit()
    assert settings["User"] == ["forebay"]
    assert settings["CapabilityBoundingSet"] == [""]
    assert settings["ProtectSystem"] == ["strict"]
    for name in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "RestrictSUIDSGID"):
        assert settings[name] == ["yes"], name


def test_what_hides_a_gpu_is_told_of() -> None:
    """A vLLM that the service starts would find none; both settings are there to be taken back."""
    said = (CONFIGS / "forebay.service").read_text("utf-8")
    for name in ("PrivateDevices", "ProtectClock"):
        assert f"#      {name}=no" in said
        assert unit()[name] == ["yes"]


def test_secrets_come_from_a_file_that_is_not_committed() -> None:
    """They stand in no unit, no image and no repository."""
    assert unit()["EnvironmentFile"] == [f"-{SECRETS}"]
    assert composed()["env_file"] == ["forebay.env"]
    assert "environment" not in composed()
    ignored = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert {"/configs/forebay.env", "/configs/forebay.yaml"} <= set(ignored)
    assert all("configs" not in line and line != "." for line in following("COPY"))


def test_it_listens_where_the_configuration_says_and_nowhere_else() -> None:
    """No port is published beside it; the file that says so is there and cannot be written."""
    service = composed()
    assert service["network_mode"] == "host"
    assert "ports" not in service
    mounted = {each["target"]: each for each in service["volumes"]}
    assert (mounted[CONFIGURATION]["read_only"], mounted[CONFIGURATION]["source"]) == (True, "./forebay.yaml")
    assert mounted[HOME]["type"] == "volume"


def test_health_is_asked_where_it_listens() -> None:
    """At the address that holds without another, with the Python of the image; tests/e2e ask with these words."""
    health = composed()["healthcheck"]
    address = listen_address(Server().listen)
    assert health["test"][:3] == ["CMD", f"{INSTALLED}/.venv/bin/python", "-c"]
    assert f'HTTPConnection("{address.host}", {address.port}, ' in health["test"][3]
    assert '"/ready"' in health["test"][3]
    assert seconds(health["timeout"]) > 4


def test_the_image_has_what_the_set_up_needs() -> None:
    """Every path that is copied exists, and what the set-up reads is copied."""
    service = composed()
    assert (CONFIGS / service["build"]["context"]).resolve() == ROOT
    assert (ROOT / service["build"]["dockerfile"]).is_file()
    assert set(service["build"]["args"]) == {arg.partition("=")[0] for arg in following("ARG")}
    there = copied("configs/Containerfile")
    assert [path for path in there if not (ROOT / path).exists()] == []
    pinned = {path.name for path in ROOT.glob("requirements*.txt")} - {"requirements-dev.txt"}
    assert set(there) >= pinned | {"pyproject.toml", "gateway", "local_models", "scripts", "README.md", "LICENSE"}
    assert "COPY --from=build /opt/forebay /opt/forebay" in (CONFIGS / "Containerfile").read_text("utf-8")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    """Every setting is one, and its command can be run; where it is installed is this environment for the test."""
    text = (CONFIGS / "forebay.service").read_text("utf-8")
    stand_in = tmp_path / "forebay"
    stand_in.write_text("#!/bin/sh\n")
    stand_in.chmod(stand_in.stat().st_mode | stat.S_IXUSR)
    file = tmp_path / "forebay.service"
    file.write_text(text.replace(COMMAND, str(stand_in)))
    done = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    file.write_text(text.replace(COMMAND, str(stand_in)).replace("KillMode=", "KillMood="))
    done = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, check=False, timeout=60)
    assert "KillMood" in done.stderr
