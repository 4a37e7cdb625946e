"""Reading a ledger from outside: exact, from one commit, without holding up the gateway that writes it."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from gateway.ledger import LedgerReader, LedgerUnusable, SqliteLedger
from gateway.ledger.reading import KEYS, Figures, Wanted
from gateway.messages import Usage
from gateway.outcome import AttemptStatus, Outcome, OutcomeStatus
from gateway.types import Tier
from tests.architecture.source import ROOT
from tests.gateway.ledger.full import BARE, numbered
from tests.gateway.nouns import ATTEMPT, CLASSIFICATION, OUTCOME, change

NOON = 1_764_072_000.0
"""2025-11-25T12:00:00Z."""
DAY = 86_400.0
ALL = Wanted()


def escalated(tenant: str, at: float) -> Outcome:
    """A light answer that was not good enough, and the premium one that went out."""
    light = change(ATTEMPT, status=AttemptStatus.SUPERSEDED, cost_nano=0, usage=Usage(prompt=100, completion=20))
    premium = change(
        ATTEMPT,
        number=2,
        backend="big",
        tier=Tier.PREMIUM,
        response_model="big-1",
        cost_nano=333_333_333_333,
        latency_s=2.0,
        usage=Usage(prompt=110, completion=30, cached=60, reasoning=7),
    )
    return change(
        OUTCOME,
        request_id=f"e-{tenant}-{at}",
        tenant=tenant,
        started_at=at,
        sla_class="enterprise",
        classification=change(CLASSIFICATION, task="legal"),
        attempts=(light, premium),
        answer=premium,
        cost_nano=333_333_333_333,
        escalated=True,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger with five requests of two tenants on two days."""
    file = tmp_path / "ledger.sqlite"
    ledger = SqliteLedger(file)
    for outcome in (
        change(numbered(1)[0], started_at=NOON, tenant="acme"),
        change(numbered(1)[0], started_at=NOON + DAY, tenant="acme", status=OutcomeStatus.CANCELLED),
        escalated("acme", NOON),
        escalated("other", NOON + DAY),
        change(BARE, started_at=NOON, tenant="other"),
    ):
        ledger.record(outcome)
    ledger.close()
    return file


def usage(path: Path, *keys: str, wanted: Wanted = ALL) -> dict[tuple[str | None, ...], Figures]:
    """The figures by their values."""
    with LedgerReader.reading(path) as ledger:
        assert ledger is not None
        return {group.values: group.figures for group in ledger.usage(keys, wanted)}


def test_everything_is_counted_once(path: Path) -> None:
    """Requests, calls, tokens of all calls, and money to the last nano-dollar."""
    assert usage(path) == {
        (): Figures(
            requests=5,
            not_ok=2,
            calls=6,
            prompt_tokens=10 + 10 + 210 + 210,
            cached_tokens=120,
            completion_tokens=5 + 5 + 50 + 50,
            reasoning_tokens=14,
            cost_nano_usd=20_000 + 20_000 + 2 * 333_333_333_333,
            seconds=0.5 + 0.5 + 2.5 + 2.5,
        )
    }


def test_each_tier_and_model_has_its_own_calls(path: Path) -> None:
    """What an escalation cost is the premium tier's, what it tried first is the light one's; refused is none's."""
    tiers = usage(path, "tier")
    assert list(tiers) == [("light",), ("premium",), (None,)]
    assert tiers[("premium",)].cost_nano_usd == 666_666_666_666
    assert (tiers[("light",)].requests, tiers[("light",)].calls, tiers[("light",)].cost_nano_usd) == (4, 4, 40_000)
    assert (tiers[(None,)].requests, tiers[(None,)].calls) == (1, 0)
    assert set(usage(path, "model")) == {("small-1.0",), ("big-1",), (None,)}


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("tenant", {"acme", "other"}),
        ("class", {"pro", "enterprise"}),
        ("task", {"faq", "legal", None}),
        ("day", {"2025-11-25", "2025-11-26"}),
        ("backend", {"small", "big", None}),
        ("key", {"ci"}),
        ("status", {"ok", "cancelled", "refused"}),
        ("reason", {"low_complexity", None}),
    ],
)
def test_usage_is_had_by_every_key(path: Path, key: str, values: set[str | None]) -> None:
    """Whatever it is grouped by, the money adds up to the whole."""
    groups = usage(path, key)
    assert {value for (value,) in groups} == values
    assert sum(figures.cost_nano_usd for figures in groups.values()) == usage(path)[()].cost_nano_usd


def test_keys_combine(path: Path) -> None:
    """A group for each pair of values that there is."""
    groups = usage(path, "tenant", "day")
    assert set(groups) == {
        ("acme", "2025-11-25"),
        ("acme", "2025-11-26"),
        ("other", "2025-11-25"),
        ("other", "2025-11-26"),
    }
    assert set(KEYS) >= {"tier", "model", "task", "class", "tenant", "day"}


def test_a_span_includes_its_beginning_and_not_its_end(path: Path) -> None:
    """So that days put side by side count nothing twice."""
    first = usage(path, wanted=Wanted(since=NOON, until=NOON + DAY))[()]
    second = usage(path, wanted=Wanted(since=NOON + DAY, until=NOON + 2 * DAY))[()]
    assert (first.requests, second.requests) == (3, 2)
    assert usage(path, wanted=Wanted(tenant="other"))[()].requests == 2


def test_a_ledger_is_read_while_it_is_written_and_holds_nobody_up(tmp_path: Path) -> None:
    """A gateway writes on while somebody looks at an old state, and the reader's sums stay of that one commit."""
    file = tmp_path / "ledger.sqlite"
    ledger = SqliteLedger(file, lock_wait_s=0)
    ledger.record(numbered(1)[0])
    ledger.close()
    command = (sys.executable, "-m", "tests.gateway.ledger.writer", str(file), "200", "50")
    with LedgerReader.reading(file) as reader:
        assert reader is not None
        with reader.snapshot():
            before = reader.usage((), ALL)
            done = subprocess.run(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60
            )
            assert (done.returncode, done.stdout.split()[-1]) == (0, "closed"), done.stderr
            assert "failing" not in done.stdout
            assert reader.usage((), ALL) == before
        assert reader.usage((), ALL)[0].figures.requests == 201


def test_reading_creates_and_changes_nothing(path: Path, tmp_path: Path) -> None:
    """Not the file, not a byte of it; where there is none there still is none."""
    content = path.read_bytes()
    usage(path, "tier")
    assert path.read_bytes() == content
    nothing = tmp_path / "none.sqlite"
    with LedgerReader.reading(nothing) as ledger:
        assert ledger is None
    assert not nothing.exists()
    with LedgerReader.reading(path) as ledger:
        assert ledger is not None
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            ledger._connection.execute("DELETE FROM requests")  # noqa: SLF001 -- to see that it cannot


def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    """A text, another database and a newer version, each said so."""
    text = tmp_path / "text.sqlite"
    text.write_text("no database, but long enough to be taken for one" * 100)
    other = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE x (y)")
    newer = tmp_path / "newer.sqlite"
    with closing(sqlite3.connect(newer)) as connection:
        connection.execute("PRAGMA user_version=99")
    for file, complaint in ((text, "not a database"), (other, "of something else"), (newer, "of version 99")):
        with pytest.raises(LedgerUnusable, match=complaint), LedgerReader.reading(file):
            pass


def test_damage_is_found(path: Path) -> None:
    """A sound file has no fault; one with a page overwritten has one."""
    with LedgerReader.reading(path) as ledger:
        assert ledger is not None
        assert ledger.fault() is None
        assert ledger.newest_time() == NOON + DAY
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 3000)
    with pytest.raises(LedgerUnusable), LedgerReader.reading(path) as ledger:  # noqa: PT012 -- either way of finding it
        assert ledger is not None
        if fault := ledger.fault():
            raise LedgerUnusable(fault)
