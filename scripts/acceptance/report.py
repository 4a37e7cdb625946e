"""The report: a page of Markdown for people, the same as JSON for programs, and the data of the plots."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from scripts.acceptance.load import Ending, Request
from scripts.acceptance.steps import Outcome, Step

PLOT = "plots.png"
_LOAD_COLUMNS = ("offered", *Ending, "first_p50_ms", "first_p99_ms", "tokens_per_s", "answered_per_s")
_MARKS = MappingProxyType({Outcome.PASSED: "passed", Outcome.FAILED: "**failed**", Outcome.SKIPPED: "skipped"})


def document(about: dict[str, Any], steps: Sequence[Step], requests: Sequence[Request], zero: float) -> dict[str, Any]:
    """Everything, as plain values. `about` is what was tested, and where; `zero` the moment that times count from."""
    return {
        "about": about,
        "passed": all(step.outcome is not Outcome.FAILED for step in steps),
        "steps": [_plain(msgspec.to_builtins(step)) for step in steps],
        "timeline": [
            {"ended": round(each.ended - zero, 3), "ending": each.ending.value, "tokens": each.tokens}
            for each in requests
        ],
    }


def write(folder: Path, found: dict[str, Any]) -> None:
    """`report.json` and `report.md`, which shows the plots that lie beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    (folder / "report.md").write_text(_page(found), encoding="utf-8")


def _page(found: dict[str, Any]) -> str:
    about = [f"- {name}: {value}" for name, value in found["about"].items()]
    verdict = "Everything that was looked at is as promised." if found["passed"] else "Something is not as promised."
    return "\n".join(
        [
            *("# Acceptance of Forebay with vLLM", "", verdict, "", *about, "", "## Steps", ""),
            *("| step | promise | outcome | took | figures |", "|---|---|---|---:|---|"),
            *(_row(step) for step in found["steps"]),
            *("", "## Loads", "", f"| step | {' | '.join(_LOAD_COLUMNS)} |", f"|---|{'---:|' * len(_LOAD_COLUMNS)}"),
            *(_load(step) for step in found["steps"] if "offered" in step["figures"]),
            *("", f"![Loads and the course of the run]({PLOT})", ""),
        ]
    )


def _row(step: dict[str, Any]) -> str:
    others = {name: value for name, value in step["figures"].items() if name not in _LOAD_COLUMNS}
    said = [*(f"{name} {value:g}" for name, value in others.items() if value is not None), step["detail"]]
    words = "; ".join(each.replace("|", "/").replace("\n", " ") for each in said if each)
    took = step["ended"] - step["began"]
    return f"| {step['name']} | {step['promise']} | {_MARKS[Outcome(step['outcome'])]} | {took:.0f} s | {words} |"


def _load(step: dict[str, Any]) -> str:
    values = (step["figures"].get(name) for name in _LOAD_COLUMNS)
    return f"| {step['name']} | {' | '.join('–' if value is None else f'{value:g}' for value in values)} |"


def _plain(step: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: what nobody answered has no time to the first token."""
    figures = {name: None if math.isnan(value) else value for name, value in step["figures"].items()}
    return {**step, "figures": figures}
