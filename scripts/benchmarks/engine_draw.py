"""Draws the figures of `engine`; run by `overhead_plot.py`, which has put matplotlib beside it.

usage: python engine_draw.py FIGURES.json FILE.png
"""

import json
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib.pyplot as plt  # type: ignore[import-not-found]

COLOURS = MappingProxyType(
    {
        "forebay": "#1f6f8b",
        "forebay, no reuse": "#8fc1d4",
        "forebay, plain attention": "#5aa37c",
        "llama-server": "#d1843d",
        "llama_cpp.server": "#8b8f94",
    }
)
PANELS = (
    ("tokens per second", "tokens_per_s", "linear"),
    ("time to first token, ms (p50)", "first_p50_ms", "log"),
    ("time between tokens, ms (p50)", "between_p50_ms", "log"),
)
ROWS = (("short", "short prompts"), ("shared", "shared system prompt of 1,000 tokens"))


def main() -> None:
    """Draw."""
    found = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    figure, grid = plt.subplots(len(ROWS), len(PANELS), figsize=(15, 8), layout="constrained")
    for line, (kind, title) in zip(grid, ROWS, strict=True):
        for axes, (name, key, scale) in zip(line, PANELS, strict=True):
            cells = [cell for cell in found["cells"] if cell["kind"] == kind]
            _panel(axes, cells, key, found["versions"])
            axes.set_title(f"{name}\n{title}", fontsize=11)
            axes.set_yscale(scale)
            if scale == "linear":
                axes.set_ylim(bottom=0)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    about = f"{found['model']}, {found['threads']} threads, {found['tokens']} tokens per answer"
    figure.suptitle(f"{about}; medians of {found['runs']} interleaved runs, bars from the lowest to the highest")
    figure.savefig(sys.argv[2], dpi=110)


def _panel(axes: Any, cells: list[dict[str, Any]], key: str, versions: dict[str, str]) -> None:
    lines = dict.fromkeys((name, cell["logprobs"]) for cell in cells for name in cell["servers"])
    for name, scored in lines:
        mine = [cell for cell in cells if cell["logprobs"] == scored and name in cell["servers"]]
        mine = [cell for cell in mine if cell["servers"][name][key]["median"] is not None]
        spreads = [cell["servers"][name][key] for cell in mine]
        middle = [each["median"] for each in spreads]
        reach = [
            [each["median"] - each["low"] for each in spreads],
            [each["high"] - each["median"] for each in spreads],
        ]
        axes.errorbar(
            [cell["clients"] for cell in mine],
            middle,
            yerr=reach,
            label=f"{name} {versions.get(name, '')}".rstrip() + (", with logprobs" if scored else ""),
            color=COLOURS[name],
            linestyle="--" if scored else "-",
            marker="o",
            capsize=3,
        )
    clients = sorted({cell["clients"] for cell in cells})
    axes.set_xscale("log", base=2)
    axes.set_xticks(clients, [str(count) for count in clients])
    axes.minorticks_off()
    axes.set_xlabel("clients")
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
