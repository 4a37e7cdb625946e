"""The quality gate: every step runs, whatever the one before said; the summary names those that failed."""

from typing import NamedTuple

from scripts.tooling.command import Log
from scripts.tooling.console import Console
from scripts.tooling.places import Places


class GateStep(NamedTuple):
    """One tool of the gate, run as a module of the environment's Python or as its command."""

    title: str
    words: tuple[str, ...]


STEPS = (
    GateStep("ruff: rules", ("ruff", "check", ".")),
    GateStep("ruff: format", ("ruff", "format", "--check", ".")),
    GateStep("mypy --strict", ("mypy",)),
    GateStep("import-linter: arrows run one way", ("lint-imports", "--no-logo")),
    GateStep("architecture tests", ("pytest", "-q", "tests/architecture")),
)


def run_gate(places: Places, console: Console, steps: tuple[GateStep, ...] = STEPS) -> int:
    """Run every step and return how many failed; a failed step's whole output is shown under it."""
    log = Log(places.root / ".check.log")
    failed = [step.title for step in steps if not _passes(step, places, console, log)]
    if failed:
        console.fail(f"{len(failed)} of {len(steps)} failed: {'; '.join(failed)}")
    else:
        console.say(f"{len(steps)} of {len(steps)} passed")
    return len(failed)


def _passes(step: GateStep, places: Places, console: Console, log: Log) -> bool:
    log.clear()
    command = (str(places.venv / "bin" / step.words[0]), *step.words[1:])
    with console.step(step.title) as running:

        def on_line(_line: str | None) -> None:
            running.progress(None)

        if log.run(command, env=places.env, cwd=places.root, on_line=on_line) != 0:
            running.fail()
    if running.failed:
        console.quote(log.lines()[1:])
    return not running.failed
