"""Draws the report's plots; run by `overhead_plot.py`, which has put matplotlib beside it.

usage: python draw.py REPORT.json FILE.png
"""

import json
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib.pyplot as plt  # type: ignore[import-not-found]

COLOURS = MappingProxyType(
    {
        "answered": "#1f6f8b",
        "spilled": "#d1843d",
        "refused": "#8b8f94",
        "broken": "#b5483a",
        "cut": "#5b1f6f",
        "hung": "#000000",
        "failed": "#e0b400",
    }
)


def main() -> None:
    """Draw."""
    found = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    loads = [step for step in found["steps"] if "offered" in step["figures"]]
    figure, (shares, first, course) = plt.subplots(3, 1, figsize=(12, 13), layout="constrained")
    _shares(shares, loads)
    _first(first, loads)
    _course(course, found)
    figure.suptitle(f"{found['about']['model']}, {found['about']['machine']}")
    figure.savefig(sys.argv[2], dpi=110)


def _shares(axes: Any, loads: list[dict[str, Any]]) -> None:
    names = [step["name"] for step in loads]
    below = [0.0] * len(loads)
    for ending, colour in COLOURS.items():
        counts = [step["figures"][ending] or 0 for step in loads]
        if any(counts):
            axes.bar(names, counts, bottom=below, color=colour, label=ending)
            below = [low + count for low, count in zip(below, counts, strict=True)]
    axes.set_title("how requests ended")
    axes.legend()


def _first(axes: Any, loads: list[dict[str, Any]]) -> None:
    for key, marker in (("first_p50_ms", "o"), ("first_p99_ms", "^")):
        known = [(step["name"], step["figures"][key]) for step in loads if step["figures"][key] is not None]
        axes.plot([name for name, _ in known], [value for _, value in known], marker, label=key.split("_")[1])
    axes.set_yscale("log")
    axes.set_title("time to first token of this box's answers, ms")
    axes.legend()


def _course(axes: Any, found: dict[str, Any]) -> None:
    """Answers per second over the whole run, with the steps below them."""
    end = max((step["ended"] for step in found["steps"]), default=1.0)
    for ending, colour in COLOURS.items():
        ended = [each["ended"] for each in found["timeline"] if each["ending"] == ending]
        if ended:
            axes.hist(ended, bins=range(int(end) + 2), histtype="step", color=colour, label=ending)
    for step in found["steps"]:
        axes.axvline(step["began"], color="#cccccc", linewidth=0.8)
        axes.text(
            step["began"],
            1.0,
            f" {step['name']}",
            rotation=90,
            va="top",
            fontsize=7,
            transform=axes.get_xaxis_transform(),
        )
    axes.set_title("requests that ended in each second, over the run (s)")
    axes.legend(loc="upper left")


if __name__ == "__main__":
    main()
