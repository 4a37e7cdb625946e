"""`forebay explain PROMPT`: the decision that a gateway would take, with all that it is made of, and nothing run."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commandline import Ended, forebay
from tests.config.files import ROOT, edited

EASY = "What are your opening hours?"
HARD = (
    "Prove that the square root of 2 is irrational, then derive from it that no rational number solves x**4 = 4, "
    "compare the two arguments step by step, and discuss which assumption of the first is not needed in the second."
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Three tiers: a small engine, an attached one, and a provider in another region."""
    path = tmp_path / "forebay.yaml"
    path.write_text(edited(("    api_key: ${KEY}\n", "")))
    return path


def explain(file: Path, prompt: str, *words: str) -> Ended:
    """`forebay explain` on this file; nothing may come into being beside it."""
    home = file.parent / "home"
    ended = forebay(home, "explain", prompt, "--config", file, *words)
    assert not home.exists()
    return ended


def test_an_easy_prompt_stays_light(file: Path) -> None:
    """JSON has tier, reason, complexity, score, signals, and every candidate with its expected cost."""
    ended = explain(file, EASY, "--json")
    assert (ended.status, ended.err) == (0, "")
    said = ended.document
    assert (said["tier"], said["backend"], said["complexity"]) == ("light", "local", "low")
    assert said["task"] == "faq"
    assert 0 <= said["score"] < 0.5
    assert [(each["tier"], each["backend"]) for each in said["candidates"]] == [
        ("light", "local"),
        ("mid", "gpu"),
        ("premium", "mini"),
    ]
    light, mid, premium = (each["expected_cost_usd"] for each in said["candidates"])
    assert light == mid == 0 < premium


def test_the_signals_are_what_the_score_is_the_sum_of(file: Path) -> None:
    """Each has its value and its weight in log-odds; with the base they give the score back."""
    for prompt in (EASY, HARD):
        said = explain(file, prompt, "--json").document
        assert said["signals"]
        total = said["base"] + sum(signal["weight"] for signal in said["signals"])
        assert said["score"] == pytest.approx(1 / (1 + math.exp(-total)), rel=1e-6)
        assert said["p_light"] == pytest.approx(1 - said["score"])


def test_a_hard_prompt_goes_up(file: Path) -> None:
    """Multi-step reasoning starts premium, and the reason says that the task table did it or the score."""
    said = explain(file, HARD, "--json").document
    assert said["complexity"] == "high"
    assert said["tier"] != "light"
    assert said["score"] > 0.5


def test_expected_cost_grows_with_the_answer(file: Path) -> None:
    """The price of a candidate is of the prompt and of the answer that is expected, and never beyond its limit."""
    costs = [
        explain(file, HARD, "--json", "--model", "mini", "--max-tokens", str(limit)).document["candidates"][0][
            "expected_cost_usd"
        ]
        for limit in (10, 100)
    ]
    assert 0 < costs[0] < costs[1]


def test_who_asks_and_how_decides_who_may_answer(file: Path) -> None:
    """A tenant's regions, local_only and a pin are obeyed as by `serve`; who may not answer is named with the rule."""
    tenant = explain(file, HARD, "--json", "--tenant", "acme").document
    assert tenant["constraints"]["sla_class"] == "pro"
    assert "mini" not in [each["backend"] for each in tenant["candidates"]]
    assert [(each["backend"], each["reason"]) for each in tenant["excluded"]] == [("mini", "residency")]
    local = explain(file, HARD, "--json", "--local-only").document
    assert {each["backend"] for each in local["candidates"]} == {"local", "gpu"}
    pinned = explain(file, EASY, "--json", "--model", "mini").document
    assert (pinned["pinned"], pinned["backend"], pinned["tier"]) == (True, "mini", "premium")
    hinted = explain(file, EASY, "--json", "--task", "reasoning").document
    assert (hinted["task_source"], hinted["tier"]) == ("hint", "premium")


def test_the_limits_of_the_policy_are_told(file: Path) -> None:
    """How long the answer may be and who says so; a prompt that is too long is refused as `serve` would."""
    rules = "default_regions: any\n  max_output: 40\n  max_prompt: 50"
    file.write_text(edited(("default_regions: any", rules), ("    api_key: ${KEY}\n", "")))
    free, limited = (explain(file, EASY, "--json", "--max-tokens", limit).document for limit in ("30", "90"))
    assert [(each["max_output"], each["imposed"]) for each in (free, limited)] == [(30, False), (40, True)]
    assert ", at most 40 by policy" in explain(file, EASY).out
    refused = explain(file, HARD * 2)
    assert (refused.status, refused.out) == (1, "")
    assert "at most 50 are allowed (everybody)" in refused.err


def test_nobody_may_answer(file: Path) -> None:
    """The refusal that a caller would get, with its status, and exit 1."""
    ended = explain(file, EASY, "--json", "--model", "mini", "--local-only")
    assert ended.status == 1
    assert ended.document["refusal"]["status"] in {400, 403}
    assert explain(file, EASY, "--model", "mini", "--local-only").out.startswith("refused with ")


def test_a_person_reads_the_decision_first(file: Path) -> None:
    """Tier, backend and reason in the first line; then signals and candidates in columns that align."""
    lines = explain(file, EASY).out.splitlines()
    assert lines[0].startswith("light: local (smollm2-135m-instruct), because ")
    table = lines[lines.index("Candidates, in order") + 1 :][:4]
    assert table[0].split()[:3] == ["Tier", "Backend", "Model"]
    assert [row.split()[1] for row in table[1:]] == ["local", "gpu", "mini"]
    column = table[0].index("Backend")
    assert all(row[column - 2 : column].isspace() and not row[column].isspace() for row in table)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--tenant", "acne"), "no tenant is called 'acne': did you mean 'acme'?"),
        (("--class", "prod"), "no class is called 'prod': did you mean 'pro'?"),
        (("--tenant", "acme", "--class", "pro"), "--tenant and --class exclude each other"),
        (("--model", "gtp-4o"), "gtp-4o"),
        (("--max-tokens", "-1"), "max_tokens"),
    ],
)
def test_what_is_asked_wrongly(file: Path, words: tuple[str, ...], told: str) -> None:
    """One line that names it, and no decision."""
    ended = explain(file, EASY, *words)
    assert ended.status != 0
    assert told in ended.err + ended.out
    assert "Candidates" not in ended.out


def test_a_prompt_by_standard_input(file: Path) -> None:
    """`-` reads it, so that a long one, or one with a secret, stands in no process list; bad UTF-8 is refused."""
    command = Path(sys.executable).parent / "forebay"
    words = [str(command), "explain", "-", "--config", str(file), "--json"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    good = subprocess.run(words, input=EASY.encode(), env=environ, capture_output=True, timeout=60, check=True)
    assert b'"tier": "light"' in good.stdout
    bad = subprocess.run(words, input=b"\xff\xfe", env=environ, capture_output=True, timeout=60, check=False)
    assert bad.returncode == 1
    assert b"not valid UTF-8" in bad.stderr


def test_a_file_that_is_wrong(file: Path) -> None:
    """The problems of the file, as `forebay check` tells them."""
    file.write_text(edited(("light: [local]", "light: [lokal]"), ("    api_key: ${KEY}\n", "")))
    ended = explain(file, EASY)
    assert ended.status == 1
    assert "lokal" in ended.err
    assert "local" in ended.err
