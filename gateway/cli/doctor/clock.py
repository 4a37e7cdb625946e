"""The clock: certificates, budgets by the day and the ledger go by it."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from msgspec import Struct

from gateway.cli.doctor.finding import Finding, broken, ok

# 2026-01-01 UTC: no copy of this program is older.
_BEGINNING = 1_767_225_600
_FAR_S = 60.0
_SET_IT = (
    "`sudo timedatectl set-ntp true` has it set by time servers and kept right; by hand: `sudo date -u -s 'YYYY-MM-DD "
    "HH:MM:SS'`. A container has its host's clock"
)


class Facts(Struct, frozen=True, kw_only=True):
    """`now` and `newest`, the time of the ledger's last request, are Unix times. `ahead`: by how many seconds this
    clock is ahead of the one of each provider that was asked.
    """

    now: float
    newest: float | None = None
    ahead: Mapping[str, float] = {}


def findings(facts: Facts) -> Iterator[Finding]:
    """Whether it can be right. One provider that agrees is enough: others may be wrong themselves."""
    says = f"{datetime.fromtimestamp(facts.now, UTC):%Y-%m-%d %H:%M} UTC"
    if facts.now < _BEGINNING:
        yield broken("clock", f"the clock says {says}, before there was this program", _SET_IT)
        return
    if facts.newest is not None and facts.newest > facts.now + _FAR_S:
        back = _span(facts.newest - facts.now)
        yield broken("clock", f"the clock says {says}, {back} before the newest request in the ledger", _SET_IT)
        return
    if not facts.ahead:
        yield ok("clock", f"{says}; compared with nobody's (--online does)")
        return
    name, ahead = min(facts.ahead.items(), key=lambda each: abs(each[1]))
    if abs(ahead) > _FAR_S:
        side = "ahead of" if ahead > 0 else "behind"
        yield broken("clock", f"the clock says {says}, {_span(abs(ahead))} {side} the one of {name}", _SET_IT)
    else:
        yield ok("clock", f"{says}, as {name} says")


def _span(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
