"""The figures of `gate` for people."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from scripts.benchmarks.gate_figures import Difference
from scripts.benchmarks.gate_measure import CLAIRVOYANT, OURS, Document, best, careful

_COLUMNS: Final = (
    ("goodput %", "goodput", 1),
    ("by tokens %", "token_goodput", 1),
    ("kept %", "kept_tokens", 1),
    ("missed %", "missed", 2),
    ("settled %", "missed_settled", 2),
    ("spilled %", "spilled", 1),
    ("bill $", "bill_dollars", 4),
    ("first p50 s", "first_p50_s", 2),
    ("first p99 s", "first_p99_s", 2),
    ("gap p99 ms", "gap_p99_ms", 0),
)
_NAME, _WIDTH = 26, 12
_SWEPT: Final = ("static", "two flags")
_UNITS: Final = MappingProxyType(
    {"goodput": "", "token_goodput": " by tokens", "kept_tokens": " kept by tokens", "missed": " missed"}
)


def table(found: Document) -> str:
    """A block per scenario, a line per policy; of swept ones the setting that was best there, in hindsight, and the one
    that broke fewest promises of those that kept as many tokens as ours.
    """
    lines = [fit_line(found), f"capacity {found['capacity']:.2f} requests/s; stretches {found['stretches']}"]
    for cell in found["cells"]:
        lines += ["", f"{cell['scenario']}: {cell['about']}"]
        lines.append(" " * _NAME + "".join(f"{title:>{_WIDTH}}" for title, _, _ in _COLUMNS))
        swept = [best(cell, prefix) for prefix in _SWEPT if _any(cell, prefix)]
        most_careful = careful(cell, _SWEPT)
        shown = [name for name in cell["policies"] if name in (*swept, most_careful) or not name.startswith(_SWEPT)]
        lines += [_row(name, cell["policies"][name]) for name in shown]
        lines += [
            f"{OURS} less {name}: {_differences(cell['differences'][name])}"
            for name in _compared(cell, (*swept, CLAIRVOYANT))
        ]
        if most_careful is not None:
            missed = cell["policies"][most_careful]["missed"]
            lines.append(f"of fixed settings that keep as many tokens {most_careful} misses least: {missed:.2f} %")
    return "\n".join(lines)


def fit_line(found: Document) -> str:
    """How far the simulated engine is from the real one."""
    error = found["error"]
    return (
        f"The simulated engine beside a recording that it was not fitted to ({error['requests']} requests), medians: "
        f"first token {100 * error['first_bias']:+.0f} % (off by {100 * error['first_error']:.0f} %), "
        f"whole answer {100 * error['whole_bias']:+.0f} % (off by {100 * error['whole_error']:.0f} %); "
        f"p99 of the first token × {error['first_p99']:.2f}."
    )


def _compared(cell: Document, names: Sequence[str]) -> list[str]:
    return [name for name in names if name in cell["differences"]]


def _any(cell: Document, prefix: str) -> bool:
    return any(name.startswith(prefix) for name in cell["policies"])


def _row(name: str, figures: Mapping[str, float]) -> str:
    return f"{name:<{_NAME}}" + "".join(f"{figures[key]:>{_WIDTH}.{digits}f}" for _, key, digits in _COLUMNS)


def _differences(of: Mapping[str, Any]) -> str:
    return ", ".join(f"{_told(Difference(*of[figure]))}{unit}" for figure, unit in _UNITS.items())


def _told(value: Difference) -> str:
    return f"{value.mean:+.1f} ± {value.half:.1f}"
