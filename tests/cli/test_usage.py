"""`forebay usage`: tables for people, JSON and CSV for programs, all of them exact."""

import csv
import io
import json
import time
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.cli.console import Terminal
from gateway.cli.main import application, run
from gateway.ledger import SqliteLedger
from gateway.outcome import Outcome
from gateway.types import Tier
from tests.cli.commandline import forebay
from tests.gateway.ledger.full import BARE, numbered
from tests.gateway.nouns import ATTEMPT, OUTCOME, change

NOW = time.time()
AMOUNTS = ("0.000001500", "2.250000001", "2.250001501")


def outcome(tier: Tier, cost: int, *, tenant: str = "acme", age_s: float = 60.0) -> Outcome:
    """A request that one backend of this tier answered."""
    attempt = change(ATTEMPT, tier=tier, backend=f"b-{tier}", response_model=f"m-{tier}", cost_nano=cost)
    return change(
        OUTCOME,
        request_id=f"{tier}-{tenant}-{age_s}",
        tenant=tenant,
        started_at=NOW - age_s,
        attempts=(attempt,),
        answer=attempt,
        cost_nano=cost,
    )


def write(home: Path, *outcomes: Outcome) -> None:
    """A ledger with these."""
    ledger = SqliteLedger(home / "ledger.sqlite")
    for each in outcomes:
        ledger.record(each)
    ledger.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data folder with a ledger of four requests."""
    folder = tmp_path / "home"
    write(
        folder,
        outcome(Tier.LIGHT, 0),
        outcome(Tier.MID, 1_500),
        outcome(Tier.PREMIUM, 2_250_000_001, tenant="other", age_s=3 * 86_400),
        change(BARE, started_at=NOW),
    )
    return folder


def rows_of(table: str) -> dict[str, list[str]]:
    """The words of each row by the first."""
    return {line.split()[0]: line.split() for line in table.splitlines() if line.strip()}


def test_the_table_has_a_row_per_tier_and_totals(home: Path) -> None:
    """Aligned, with exact amounts, the share of the cost as a bar, and the sum of all."""
    ended = forebay(home, "usage")
    assert (ended.status, ended.err) == (0, "")
    rows = rows_of(ended.out)
    assert list(rows) == ["Tier", "light", "mid", "premium", "none", "total"]
    assert rows["light"][1:8] == ["1", "0", "1", "10", "0", "5", "0.000000000"]
    assert rows["mid"][1:8] == ["1", "0", "1", "10", "0", "5", "0.000001500"]
    assert rows["premium"][1:8] == ["1", "0", "1", "10", "0", "5", "2.250000001"]
    assert rows["none"][1:8] == ["1", "1", "0", "0", "0", "0", "0.000000000"]
    assert rows["total"][1:10] == ["4", "1", "3", "30", "0", "15", "2.250001501", "1.5", "s"]
    assert rows["premium"][-3:] == ["████████████", "100.0", "%"]
    ends = {line.index(amount) + len(amount) for line in ended.out.splitlines() for amount in AMOUNTS if amount in line}
    assert len(ends) == 1


def test_json_is_exact(home: Path) -> None:
    """Money as a decimal number without a rounding, and as integer nano-dollars; unknown values are null."""
    text = forebay(home, "usage", "--json", "--by", "tier").out
    document = json.loads(text, parse_float=Decimal)
    assert document["by"] == ["tier"]
    assert document["total"]["cost_usd"] == Decimal("2.250001501")
    assert document["total"]["cost_nano_usd"] == 2_250_001_501
    assert [group["group"]["tier"] for group in document["groups"]] == ["light", "mid", "premium", None]
    assert sum(group["cost_nano_usd"] for group in document["groups"]) == document["total"]["cost_nano_usd"]


def test_csv_has_a_head_and_a_line_per_group(home: Path) -> None:
    """No totals, which a spreadsheet would add up again; amounts are exact."""
    lines = list(csv.DictReader(io.StringIO(forebay(home, "usage", "--csv", "--by", "tenant,model").out)))
    assert [(line["tenant"], line["model"], line["cost_usd"]) for line in lines] == [
        ("acme", "m-light", "0.0"),
        ("acme", "m-mid", "0.0000015"),
        ("acme", "", "0.0"),
        ("other", "m-premium", "2.250000001"),
    ]


def test_a_name_that_a_spreadsheet_would_run_is_text_in_csv(tmp_path: Path) -> None:
    """Models and tasks have the names that others gave them."""
    write(tmp_path, outcome(Tier.LIGHT, 0, tenant='=cmd|"/c calc"!A1'))
    line = next(csv.DictReader(io.StringIO(forebay(tmp_path, "usage", "--csv", "--by", "tenant").out)))
    assert line["tenant"].startswith("'=")


@pytest.mark.parametrize("key", ["tier", "model", "task", "class", "tenant", "day"])
def test_usage_is_had_by_each_key(home: Path, key: str) -> None:
    """The column bears its name, and the totals are the same whichever it is."""
    rows = rows_of(forebay(home, "usage", "--by", key).out)
    assert next(iter(rows)) == key.capitalize()
    assert rows["total"][-3] == "2.250001501"


def test_a_span_of_time_can_be_chosen(home: Path) -> None:
    """By age, by date, by time; the end is not included."""

    def requests(*arguments: str) -> int:
        found: int = forebay(home, "usage", "--json", *arguments).document["total"]["requests"]
        return found

    assert requests("--since", "1d") == 3
    assert requests("--until", "1d") == 1
    day = time.strftime("%Y-%m-%d", time.gmtime(NOW - 3 * 86_400))
    after = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(NOW - 2 * 86_400))
    assert requests("--since", day, "--until", after) == 1
    assert requests("--tenant", "other") == 1


def test_without_money_the_bar_is_of_requests(tmp_path: Path) -> None:
    """A box that answers everything itself has shares, too."""
    write(tmp_path / "paid", *numbered(3))
    assert "Share of cost" in forebay(tmp_path / "paid", "usage").out
    write(tmp_path / "free", outcome(Tier.LIGHT, 0), outcome(Tier.MID, 0))
    out = forebay(tmp_path / "free", "usage").out
    assert "Share of requests" in out
    assert rows_of(out)["light"][-2:] == ["50.0", "%"]


def test_a_terminal_without_unicode_gets_plain_bars(home: Path) -> None:
    """Signs that it cannot show would be escapes."""
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    run(application(), Terminal({"FOREBAY_HOME": str(home)}, out, io.StringIO()), ["usage"])
    out.flush()
    assert b"############ 100.0 %" in raw.getvalue()


def test_a_narrow_terminal_gets_whole_numbers(home: Path) -> None:
    """The bars go first, then names are folded; an amount over two lines would be read as another."""

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    for width, bars in ((120, True), (90, False), (40, False)):
        out = Screen()
        environ = {"FOREBAY_HOME": str(home), "TERM": "dumb", "COLUMNS": str(width), "LINES": "50"}
        run(application(), Terminal(environ, out, io.StringIO()), ["usage", "--by", "tenant,model"])
        assert all(amount in out.getvalue() for amount in AMOUNTS)
        assert ("Share of cost" in out.getvalue()) is bars


def test_nothing_is_said_to_be_nothing(home: Path, tmp_path: Path) -> None:
    """No ledger, an empty one, and nothing in that time: exit 0 with one line, and zeros for programs."""
    ended = forebay(tmp_path / "new", "usage")
    assert ended.status == 0
    assert ended.out == f"nothing yet: there is no ledger at {tmp_path}/new/ledger.sqlite; `forebay serve` writes it\n"
    assert not (tmp_path / "new").exists()
    write(tmp_path / "empty")
    assert (
        forebay(tmp_path / "empty", "usage").out == f"nothing yet: the ledger {tmp_path}/empty/ledger.sqlite is empty\n"
    )
    assert forebay(home, "usage", "--since", "2999-01-01").out.startswith("nothing in ")
    document = forebay(tmp_path / "new", "usage", "--json").document
    assert (document["groups"], document["total"]["requests"], document["total"]["cost_usd"]) == ([], 0, 0)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--by", "tiers"), "--by 'tiers': expected tier, model, "),
        (("--json", "--csv"), "--json and --csv exclude each other"),
        (("--since", "last week"), "expected an age such as 90m"),
    ],
)
def test_what_is_not_understood_exits_with_2(home: Path, arguments: tuple[str, ...], complaint: str) -> None:
    """With what would be."""
    ended = forebay(home, "usage", *arguments)
    assert (ended.status, ended.out) == (2, "")
    if "--since" not in arguments:  # typer writes that one to the real standard error
        assert complaint in ended.err


def test_a_file_that_is_no_ledger_is_one_line(home: Path) -> None:
    """Exit 1, and what is wrong with it."""
    (home / "ledger.sqlite").write_text("no database" * 1000)
    ended = forebay(home, "usage")
    assert (ended.status, ended.out) == (1, "")
    assert "cannot read the ledger" in ended.err
