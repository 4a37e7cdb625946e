"""`forebay check FILE`, as a person and as a program run it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.config.files import CONFIGS, ENVIRON, ROOT, VALID, edited

SECRET = "a-secret-of-the-test"


def forebay(*arguments: str, environ: Mapping[str, str] = ENVIRON) -> subprocess.CompletedProcess[str]:
    """Run the installed command with an environment of the test's own."""
    command = Path(sys.executable).parent / "forebay"
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [str(command), *arguments],
        env={**inherited, "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A valid file."""
    file = tmp_path / "good.yaml"
    file.write_text(VALID)
    return file


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """A file with two mistakes, far apart."""
    file = tmp_path / "bad.yaml"
    file.write_text(edited(("    price:", "    prize:"), ("light: [local]", "light: [lokal]")))
    return file


def test_what_gives_vectors_is_told_apart(tmp_path: Path) -> None:
    """In the table and below it: it stands in no tier, and nothing is paid for what it writes."""
    file = tmp_path / "vectors.yaml"
    price = ("price: {input: 0.25, output: 2.00}", "price: {input: 0.25}\n    embeddings: true")
    file.write_text(edited(price, ("premium: [mini]", "premium: []")))
    done = forebay("check", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["vectors", "mini", "gpt-5-mini", "openai", "us-east", "0.25", "0.25", "free"] in rows
    assert "mini: vectors, at /v1/embeddings alone." in done.stdout


def test_a_good_file_is_summed_up(good: Path) -> None:
    """Exit 0; engines, backends by tier with prices and regions, tenants, and the policy in words."""
    done = forebay("check", str(good))
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert done.stdout.startswith(f"{good}: no problems\n")
    assert ["small", "llama_cpp", "smollm2-135m-instruct", "this", "box,", "eu-west", "8", "4096"] in rows
    assert ["premium", "mini", "gpt-5-mini", "openai", "us-east", "0.25", "0.25", "2.00"] in rows
    assert ["acme", "pro", "eu-central,", "eu-west", "1", "local,", "gpu"] in rows
    assert "Data may go anywhere, unless a tenant says otherwise." in done.stdout
    assert "Holders of 1 key of 1 tenant may ask at 127.0.0.1:8080." in done.stdout
    assert SECRET not in done.stdout


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ("  listen: 0.0.0.0:8080\n", " at 0.0.0.0:8080, in the clear: set server.tls, or put a TLS proxy in front."),
        ("  listen: 0.0.0.0:8080\n  tls: {certificate: a.pem, key: b.pem}\n", " at 0.0.0.0:8080, over https."),
        ("  listen: '[::1]:8080'\n", " at [::1]:8080."),
    ],
)
def test_what_crosses_a_network_in_the_clear_is_said(tmp_path: Path, server: str, said: str) -> None:
    """Keys and prompts do, where the API can be reached from outside and has no certificate."""
    file = tmp_path / "open.yaml"
    file.write_text(edited(("  listen: 127.0.0.1:8080\n", server)))
    assert f"Holders of 1 key of 1 tenant may ask{said}\n" in forebay("check", str(file)).stdout


def test_a_bad_file_is_explained(bad: Path) -> None:
    """Exit 1; each problem on a line of its own that begins with file and line, in columns."""
    done = forebay("check", str(bad))
    first, second = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (1, "")
    assert first == f'{bad}:24:  backends.mini.prize  unknown key; did you mean "price"?'
    assert second == f'{bad}:26:  tiers.light[0]       no backend is called "lokal"; did you mean "local"?'


def test_a_good_file_as_json(good: Path) -> None:
    """One document: what the file means, nothing beside it."""
    done = forebay("check", str(good), "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"], report["problems"]) == (0, True, [])
    summary: dict[str, Any] = report["summary"]
    assert summary["tiers"] == {"light": ["local"], "mid": ["gpu"], "premium": ["mini"]}
    assert summary["aliases"] == {"gpt-4o": "auto"}
    assert [engine["on_box"] for engine in summary["engines"]] == [True, True]
    mini = summary["backends"][2]
    assert (mini["name"], mini["tier"], mini["region"]) == ("mini", "premium", "us-east")
    assert (mini["input"], mini["output"]) == (0.25, 2)
    (acme,) = summary["tenants"]
    assert (acme["regions"], acme["backends"]) == (["eu-central", "eu-west"], ["local", "gpu"])
    assert SECRET not in done.stdout


def test_a_bad_file_as_json(bad: Path) -> None:
    """Exit 1; each problem with file, line, column, key, message and suggestion."""
    done = forebay("check", str(bad), "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"], report["summary"]) == (1, False, None)
    assert report["problems"][0] == {
        "file": str(bad),
        "line": 24,
        "column": 5,
        "key": "backends.mini.prize",
        "message": "unknown key",
        "suggestion": "price",
    }
    assert len(report["problems"]) == 2


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_a_missing_file_is_a_problem(tmp_path: Path, as_json: tuple[str, ...]) -> None:
    """Exit 1 and one line that names the file, no traceback."""
    done = forebay("check", str(tmp_path / "no.yaml"), *as_json)
    assert done.returncode == 1
    assert "there is no such file" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_an_unset_secret_is_a_problem(good: Path) -> None:
    """The variable, where it stands, and what to do."""
    done = forebay("check", str(good), environ={})
    assert done.returncode == 1
    assert done.stdout == (
        f"{good}:22:  backends.mini.api_key  the environment variable KEY is not set; set it, or remove this backend\n"
    )


@pytest.mark.parametrize("name", ["cpu-developer.yaml", "gpu-node.yaml", "two-region-company.yaml"])
def test_the_examples_check(name: str) -> None:
    """What the README's reader tries first."""
    keys = ("OPENAI_API_KEY", "OPENAI_EU_API_KEY", "OPENAI_US_API_KEY", "MISTRAL_API_KEY", "ANTHROPIC_API_KEY")
    done = forebay("check", str(CONFIGS / name), environ=dict.fromkeys(keys, SECRET))
    assert done.returncode == 0, done.stdout
    assert SECRET not in done.stdout


def test_a_backend_in_no_tier_and_a_catch_all_are_mentioned(tmp_path: Path) -> None:
    """The policy in words says what a table cannot."""
    file = tmp_path / "f.yaml"
    text = edited(
        ("  premium: [mini]\n", ""),
        ("gpt-4o: auto", '"*": auto'),
        ("region: us-east", "region: eu-west"),
        (
            "default_regions: any",
            "local_only: true\n  escalation: {path: premium, max_cost_usd: 0.005, max_attempts: 2}",
        ),
    )
    file.write_text(text)
    said = forebay("check", str(file)).stdout
    assert "mini: only when asked for by name, being in no tier." in said
    assert "A model name that nothing here has is taken for auto." in said
    assert "Nothing leaves this box, whoever asks." in said
    assert "goes straight to premium: at most 2 calls and $0.005 a request." in said
    assert ["acme", "pro", "this", "box", "only", "1", "local,", "gpu"] in [line.split() for line in said.splitlines()]


def test_the_length_of_prompts_and_answers_is_said(tmp_path: Path) -> None:
    """Whose it is, what becomes of too much, and nothing where nothing is set."""
    file = tmp_path / "f.yaml"
    file.write_text(
        edited(
            ("default_regions: any", "default_regions: any\n  max_output: 800\n  truncation: oldest_turns"),
            ("default_tier: mid", "max_prompt: 9000\n    truncation: refuse"),
            ("tenants:\n", "tasks: {faq: {default_output: 80, max_output: 90}}\ntenants:\n"),
        )
    )
    said = forebay("check", str(file)).stdout
    assert (
        "Tokens of an answer: everybody at most 800, task faq 80 unless asked for otherwise and at most 90; "
        "a request for more than the most is lowered."
    ) in said
    assert "Tokens of a prompt at most: class pro 9000." in said
    assert (
        "A prompt of everybody but class pro that is too long loses its oldest turns instead of being refused." in said
    )
    file.write_text(edited())
    assert "Tokens of" not in forebay("check", str(file)).stdout


def test_output_into_a_pipe_has_no_colours(bad: Path, good: Path) -> None:
    """Escape codes are for terminals."""
    assert "\x1b" not in forebay("check", str(bad)).stdout + forebay("check", str(good)).stdout


def test_a_terminal_without_unicode_still_gets_the_message(bad: Path) -> None:
    """A sign the terminal lacks is spelt out; the message is not lost to an encoding error."""
    bad.write_text(edited(("input: 0.25", "input: -1")))
    done = forebay("check", str(bad), environ={**ENVIRON, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 1
    assert r"expected a number \u2265 0, found -1" in done.stdout
