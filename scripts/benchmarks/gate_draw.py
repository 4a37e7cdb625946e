"""Draws runs of `gate`; run by `overhead_plot.py`, which has put matplotlib beside it.

usage: python gate_draw.py FIGURES.json FILE.png
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt  # type: ignore[import-not-found]

OFFERED, LOCAL, SPILLED, MISSED = "#8b8f94", "#1f6f8b", "#d1843d", "#b3261e"
_BIN_S = 10.0


def main() -> None:
    """A row per scenario: rates over time, and first tokens as foretold and as they came."""
    found = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    panels = found["panels"]
    figure, grid = plt.subplots(
        len(panels), 2, figsize=(15, 4 * len(panels)), layout="constrained", width_ratios=(2, 1), squeeze=False
    )
    for (left, right), panel in zip(grid, panels, strict=True):
        _rates(left, panel)
        _first_tokens(right, panel["requests"], found["objective_s"])
    figure.suptitle(found["fit"], fontsize=9, wrap=True)
    figure.savefig(sys.argv[2], dpi=110)


def _rates(axes: Any, panel: dict[str, Any]) -> None:
    requests = panel["requests"]
    bins = range(int(requests[-1][0] // _BIN_S) + 1)
    times = [(place + 0.5) * _BIN_S for place in bins]

    def per_second(chosen: list[Any]) -> list[float]:
        return [sum(each[0] // _BIN_S == place for each in chosen) / _BIN_S for place in bins]

    local = per_second([each for each in requests if each[1]])
    spilled = per_second([each for each in requests if not each[1]])
    axes.stackplot(times, local, spilled, colors=(LOCAL, SPILLED), labels=("local", "spilled"), alpha=0.85)
    axes.plot(times, per_second(requests), color=OFFERED, label="offered")
    axes.plot([], [], color="black", linestyle=":", label="speed of the engine")
    axes.set_ylabel("requests per second")
    axes.set_xlabel("seconds")
    axes.set_title(f"{panel['name']}: {panel['about']}", fontsize=11)
    axes.set_ylim(0, 1.2 * max(per_second(requests)))
    axes.legend(loc="upper center", fontsize=8, ncols=4)
    speed = axes.twinx()
    steps = [each for each in panel["speeds"] if each[0] <= times[-1]]
    speed.step(
        [each[0] for each in steps] + [times[-1]], [each[1] for each in steps] + [steps[-1][1]], "k:", where="post"
    )
    speed.set_ylim(0, 1.3)
    speed.set_yticks([0, 0.5, 1])
    axes.spines[["top", "right"]].set_visible(False)


def _first_tokens(axes: Any, requests: list[Any], objective_s: float) -> None:
    for missed, colour, label in ((False, LOCAL, "kept"), (True, MISSED, "promise broken")):
        points = [each for each in requests if each[1] and each[2] == missed]
        axes.scatter([each[4] for each in points], [each[3] for each in points], s=9, color=colour, label=label)
    axes.plot([0.02, 10], [0.02, 10], color=OFFERED, linewidth=1)
    axes.axhline(objective_s, color=OFFERED, linestyle="--", linewidth=1, label="objective")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("first token foretold, s")
    axes.set_ylabel("observed, s")
    axes.legend(loc="upper left", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
