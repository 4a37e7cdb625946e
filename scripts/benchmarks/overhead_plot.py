"""Bars of the figures, drawn by matplotlib in an environment of its own."""

import json
from pathlib import Path
from typing import Any

from scripts.benchmarks.overhead_environments import environment
from scripts.tooling.lock import PLOT
from scripts.tooling.workbench import Workbench

OVERHEAD = Path(__file__).parent / "overhead_draw.py"


def draw(bench: Workbench, found: dict[str, Any], file: Path, drawing: Path = OVERHEAD) -> None:
    """Write `file` by the program `drawing`. Raises SetupError."""
    programs = environment(bench, PLOT, "matplotlib")
    data = programs.parent / "figures.json"
    data.write_text(json.dumps(found), encoding="utf-8")
    words = (programs / "python", drawing, data, file.absolute())
    bench.child("draw the plot", words)
    bench.console.say(f"  The plot is in {file}.")
