"""`python -m scripts.acceptance`, started by `scripts/gpu-acceptance`: runs the course and writes the report."""

import argparse
import os
import platform
import signal
import sys
import tempfile
from pathlib import Path
from time import strftime
from typing import Any

from local_models.gpu import GpuSurvey
from local_models.gpuwatch import gpus
from local_models.hardware import cpu_count
from scripts.acceptance.ground import Ground, Settings, ground
from scripts.acceptance.report import PLOT, document, write
from scripts.acceptance.steps import Course, Outcome, Step
from scripts.benchmarks.overhead_plot import draw
from scripts.benchmarks.run_gateway import NotStartedError
from scripts.tooling.command import SetupError
from scripts.tooling.console import terminal_console
from scripts.tooling.places import here
from scripts.tooling.workbench import Workbench

_DRAW = Path(__file__).parent / "draw.py"
_CPU = Settings(Path(), "", 4, 1024, ("--enforce-eager",), tokens=24, seconds=12.0, start_s=420.0)
_GPU = Settings(Path(), "", 64, 16384, ("--gpu-memory-utilization", "0.9"), tokens=150, seconds=60.0, start_s=1800.0)


def main() -> int:
    """0 where everything is as promised, 1 where something is not, 2 where nothing could be tested."""
    bench = Workbench(here(), terminal_console(sys.stderr))
    arguments = _parser(bench).parse_args()
    signal.signal(signal.SIGTERM, _end)
    survey = gpus()
    if not arguments.cpu and not survey.visible:
        bench.console.fail(f"gpu-acceptance: there is no GPU to test: {survey.reason or 'none is visible'}")
        bench.console.say("  `scripts/gpu-acceptance --cpu` shows on any machine that it works.")
        return 2
    settings = _settings(arguments)
    if arguments.cpu:
        os.environ.update({"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "WARNING"})
    with tempfile.TemporaryDirectory(prefix="fb") as name:
        try:
            with ground(Path(name) / "home", settings) as running:
                found = _run(bench, running, _about(settings, survey))
        except NotStartedError as error:
            bench.console.fail(f"gpu-acceptance: the gateway did not start: {error}")
            return 2
        _keep(Path(name) / "home", arguments.report)
    write(arguments.report, found)
    try:
        draw(bench, found, arguments.report / PLOT, _DRAW)
    except SetupError as error:
        bench.console.warn(f"no plot: {error}")
        bench.console.quote(error.tail)
    print(f"{arguments.report / 'report.md'}: {'passed' if found['passed'] else 'failed'}")
    return 0 if found["passed"] else 1


def _run(bench: Workbench, running: Ground, about: dict[str, Any]) -> dict[str, Any]:
    course = Course(running)

    def told(step: Step) -> None:
        words = ", ".join(f"{name} {value:g}" for name, value in step.figures.items() if value)
        line = f"  {step.name}: {step.outcome.value}. {step.detail} {words}"
        (bench.console.warn if step.outcome is Outcome.FAILED else bench.console.say)(line)

    try:
        course.run(told)
    except KeyboardInterrupt:
        course.break_off(told)
    return document(about, course.steps, course.requests, running.began)


def _parser(bench: Workbench) -> argparse.ArgumentParser:
    usual = bench.places.cache / "acceptance" / strftime("%Y-%m-%d-%H%M")
    parser = argparse.ArgumentParser(prog="scripts/gpu-acceptance", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cpu", action="store_true", help="a small vLLM on the CPU; what needs a GPU is skipped")
    parser.add_argument("--python", type=Path, default=Path("/opt/vllm/bin/python"), help="that has vLLM")
    parser.add_argument("--model", default="Qwen/Qwen3-8B", help="a name on the hub, or a folder")
    parser.add_argument("--parallel", type=int, help="slots (default 64, on a CPU 4)")
    parser.add_argument("--context", type=int, help="tokens per request (default 16384, on a CPU 1024)")
    parser.add_argument("--seconds", type=float, help="of each load (default 60, on a CPU 12)")
    parser.add_argument("--tokens", type=int, help="per answer (default 150, on a CPU 24)")
    parser.add_argument("--report", type=Path, default=usual, metavar="FOLDER", help=f"(default {usual})")
    return parser


def _settings(arguments: argparse.Namespace) -> Settings:
    usual = _CPU if arguments.cpu else _GPU
    chosen = {name: getattr(arguments, name) for name in ("parallel", "context", "seconds", "tokens")}
    return usual._replace(
        python=arguments.python.absolute(),
        model=arguments.model,
        **{name: value for name, value in chosen.items() if value is not None},
    )


def _about(settings: Settings, survey: GpuSurvey) -> dict[str, Any]:
    cards = ", ".join(gpu.name for gpu in survey.visible) or f"no GPU ({survey.reason})"
    return {
        "when": strftime("%Y-%m-%d %H:%M %Z"),
        "machine": f"{cards}; {cpu_count()} CPUs, {platform.machine()}",
        "driver": survey.driver or "none",
        "model": Path(settings.model).name,
        "slots": settings.parallel,
        "tokens per answer": settings.tokens,
        "seconds per load": settings.seconds,
    }


def _keep(home: Path, folder: Path) -> None:
    """What vLLM said goes with the report: it explains what failed."""
    folder.mkdir(parents=True, exist_ok=True)
    for log in (home / "logs").glob("engine-*.log"):
        (folder / log.name).write_bytes(log.read_bytes())


def _end(_number: int, _frame: object) -> None:
    """End as after an interrupt: with every program that was started."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
