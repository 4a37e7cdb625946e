"""Draws the figures of `overhead`; run by `overhead_plot.py`, which has put matplotlib beside it.

usage: python overhead_draw.py FIGURES.json FILE.png
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt  # type: ignore[import-not-found]

OURS, THEIRS = "#1f6f8b", "#b0b7bc"
PANELS = (
    ("CPU µs per chat request", "unary", "cpu_us", "{:,.0f}"),
    ("CPU µs per stream of 100 tokens", "stream", "cpu_us", "{:,.0f}"),
    ("chat requests per second", "unary", "per_second", "{:,.0f}"),
    ("added latency of a chat request, ms (p50)", "unary", "added_p50_ms", "{:.2f}"),
    ("added latency of a stream, ms (p50)", "stream", "added_p50_ms", "{:.2f}"),
    ("memory at rest, MiB", "memory_mb", "at_rest", "{:,.0f}"),
)


def main() -> None:
    """Draw."""
    found = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    figure, grid = plt.subplots(2, 3, figsize=(14, 5.6), layout="constrained")
    for axes, panel in zip(grid.flat, PANELS, strict=True):
        _bars(axes, found["gateways"], panel)
    figure.suptitle(f"Side by side in one run, {found['connections']} connections; logarithmic scales")
    figure.savefig(sys.argv[2], dpi=110)


def _bars(axes: Any, gateways: list[dict[str, Any]], panel: tuple[str, str, str, str]) -> None:
    title, group, key, form = panel
    # A wall time may come out below zero on a busy machine; a logarithm cannot show that.
    values = [max(gateway[group][key], 0.01) for gateway in gateways]
    own = [gateway["name"].startswith("forebay") for gateway in gateways]
    names = [
        gateway["name"] if ours else f"{gateway['name']} {gateway['version']}"
        for gateway, ours in zip(gateways, own, strict=True)
    ]
    colours = [OURS if ours else THEIRS for ours in own]
    bars = axes.barh(names, values, color=colours)
    axes.bar_label(bars, [form.format(gateway[group][key]) for gateway in gateways], padding=3)
    axes.set_title(title, fontsize=11)
    axes.set_xscale("log")
    axes.set_xlim(min(values) / 3, max(values) * 6)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
