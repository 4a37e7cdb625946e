"""The ledger's file: private, durable, and never somebody else's."""

import os
import re
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from gateway.ledger import LedgerUnusable, SqliteLedger
from gateway.ledger.file import open_ledger
from gateway.ledger.rows import ADDED, SCHEMA_VERSION
from tests.e2e.books import Books
from tests.gateway.ledger.full import FULL, numbered
from tests.gateway.waiting import until

NOBODY = 65534


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """The process's umask for a while."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def without_privileges() -> Iterator[None]:
    """Not root, to whom no file is closed."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@contextmanager
def folder_for_all() -> Iterator[Path]:
    """A folder that everybody may enter, because root's own temporary ones are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="fb"))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder)


def pragma(connection: sqlite3.Connection, name: str) -> object:
    """The value of a setting."""
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def database(path: Path, *statements: str) -> None:
    """Make a database by these statements."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def mode(path: Path) -> int:
    """Who may do what with a file."""
    return stat.S_IMODE(path.stat().st_mode)


def refusal(path: Path) -> str:
    """Why a file is not used: one sentence that names it."""
    with pytest.raises(LedgerUnusable) as caught:
        SqliteLedger(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


def test_a_commit_is_on_the_disk_and_readers_do_not_wait(tmp_path: Path) -> None:
    """synchronous=FULL and WAL, as the connection itself says, for a new file and for one that is there."""
    for _ in range(2):
        with closing(open_ledger(tmp_path / "ledger.sqlite", 1.0)) as connection:
            assert pragma(connection, "synchronous") == 2
            assert pragma(connection, "journal_mode") == "wal"
            assert pragma(connection, "foreign_keys") == 1
            assert pragma(connection, "user_version") == SCHEMA_VERSION


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    """Neither the file, nor the files beside it, nor the folder made for them, whatever the umask."""
    path = tmp_path / "home" / "ledger.sqlite"
    with umask(0):
        ledger = SqliteLedger(path)
        for outcome in numbered(3):
            ledger.record(outcome)
        until(lambda: not ledger.pending, "written")
        found = {each.name: mode(each) for each in (path.parent, *path.parent.iterdir())}
        ledger.close()
    assert found == {
        "home": 0o700,
        "ledger.sqlite": 0o600,
        "ledger.sqlite-wal": 0o600,
        "ledger.sqlite-shm": 0o600,
    }


def test_who_may_read_it_is_the_operators_to_change(tmp_path: Path) -> None:
    """A file that is there keeps its mode: somebody has let the auditors in."""
    path = tmp_path / "ledger.sqlite"
    SqliteLedger(path).close()
    path.chmod(0o640)
    SqliteLedger(path).close()
    assert mode(path) == 0o640


def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Opened again, it has what it had, and what comes is added."""
    path = tmp_path / "ledger.sqlite"
    for expected in (2, 4):
        ledger = SqliteLedger(path)
        for outcome in numbered(2):
            ledger.record(outcome)
        ledger.close()
        assert len(Books(path).requests()) == expected


def test_an_empty_file_is_a_new_ledger(tmp_path: Path) -> None:
    """As a process leaves it that is killed in the moment of making it."""
    path = tmp_path / "ledger.sqlite"
    path.touch()
    SqliteLedger(path).close()
    assert Books(path).requests() == []


def test_a_ledger_that_is_being_written_is_opened_at_once(tmp_path: Path) -> None:
    """An auditor's transaction, or a second gateway's, does not keep the gateway from starting."""
    path = tmp_path / "ledger.sqlite"
    SqliteLedger(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with closing(open_ledger(path, 0.0)) as connection:
            assert pragma(connection, "user_version") == SCHEMA_VERSION


def test_two_gateways_may_write_one_ledger(tmp_path: Path) -> None:
    """Nothing of either is lost."""
    path = tmp_path / "ledger.sqlite"
    ledgers = [SqliteLedger(path), SqliteLedger(path)]
    for outcome in numbered(500):
        for ledger in ledgers:
            ledger.record(outcome)
    for ledger in ledgers:
        ledger.close()
    assert len(Books(path).requests()) == 1000


def test_an_older_ledger_is_given_the_columns_of_today(tmp_path: Path) -> None:
    """What it has stays, without a value where nobody had counted."""
    path = tmp_path / "ledger.sqlite"
    ledger = SqliteLedger(path)
    ledger.record(FULL)
    ledger.close()
    columns = [(table, name) for table, names in ADDED.items() for name in names]
    database(path, *(f"ALTER TABLE {table} DROP COLUMN {name}" for table, name in columns))
    old = Books(path).requests()[0]
    ledger = SqliteLedger(path)
    ledger.record(FULL)
    ledger.close()
    first, second = Books(path).requests()
    new = {"cache_written_tokens": 22, "max_output": 512, "dropped_turns": 6, "via": "completions"}
    assert first == {**old, "cache_written_tokens": None, "max_output": None, "dropped_turns": 0, "via": None}
    assert second == {**old, **new, "id": 2}
    assert [row["cache_written_tokens"] for row in Books(path).every_attempt()] == [0, 0, 21, 22]


def newer(path: Path) -> None:
    """A ledger of a version to come."""
    database(path, "CREATE TABLE requests (id INTEGER, wisdom TEXT)", f"PRAGMA user_version = {SCHEMA_VERSION + 1}")


def no_database(path: Path) -> None:
    """A text."""
    path.write_bytes(b"dear diary, " * 1000)


def other_database(path: Path) -> None:
    """Somebody's addresses."""
    database(path, "CREATE TABLE people (name TEXT)", "INSERT INTO people VALUES ('Ada')")


def other_columns(path: Path) -> None:
    """A ledger that somebody has rebuilt."""
    SqliteLedger(path).close()
    database(path, "ALTER TABLE requests DROP COLUMN confidence", "PRAGMA journal_mode=DELETE")


ADVICE = "; mend that, or set FOREBAY_HOME to another folder"
STRANGE_FILES: list[tuple[Callable[[Path], None], str]] = [
    (newer, rf"the ledger \S+ is of version {SCHEMA_VERSION + 1}; this Forebay knows up to {SCHEMA_VERSION}"),
    (no_database, rf"cannot use the ledger \S+: file is not a database{ADVICE}"),
    (other_database, rf"cannot use the ledger \S+: it is a database of something else{ADVICE}"),
    (other_columns, rf"cannot use the ledger \S+: its requests are not those of version {SCHEMA_VERSION}{ADVICE}"),
]


@pytest.mark.parametrize(("make", "sentence"), STRANGE_FILES, ids=lambda value: getattr(value, "__name__", None))
def test_a_file_that_is_no_ledger_of_this_version_is_refused(
    tmp_path: Path, make: Callable[[Path], None], sentence: str
) -> None:
    """By one sentence that says what it is; and its tables stay as they are."""
    path = tmp_path / "ledger.sqlite"
    make(path)
    before = path.read_bytes()
    assert re.fullmatch(sentence, refusal(path))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_refused(tmp_path: Path) -> None:
    """It stays one."""
    assert refusal(tmp_path).endswith(f": Is a directory{ADVICE}")
    assert tmp_path.is_dir()


def test_a_place_that_cannot_be_is_refused(tmp_path: Path) -> None:
    """Where a file stands in the way of the folder."""
    (tmp_path / "home").touch()
    assert refusal(tmp_path / "home" / "ledger.sqlite").endswith(f": Not a directory{ADVICE}")


def test_a_folder_without_permission_is_refused() -> None:
    """No file can be made in it, and no folder."""
    with folder_for_all() as folder:
        folder.chmod(0o555)
        with without_privileges():
            for path in (folder / "ledger.sqlite", folder / "home" / "ledger.sqlite"):
                assert refusal(path).endswith(f": Permission denied{ADVICE}")


def test_a_file_without_permission_is_refused() -> None:
    """One that can be read and not written is found out at the start, not by the first request."""
    with folder_for_all() as folder:
        path = folder / "ledger.sqlite"
        SqliteLedger(path).close()
        folder.chmod(0o777)
        path.chmod(0o444)
        with without_privileges():
            assert refusal(path).endswith(f": Permission denied{ADVICE}")


def test_a_new_ledger_in_the_hands_of_another_is_refused_in_time(tmp_path: Path) -> None:
    """Somebody holds the file locked and does not let go: that is said, instead of hanging."""
    path = tmp_path / "ledger.sqlite"
    path.touch()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LedgerUnusable, match=rf"^cannot use the ledger \S+: database is locked{ADVICE}$"):
            open_ledger(path, 0.05)
