"""What callers say stays out of the ledger; what they name stands in it."""

from pathlib import Path

import msgspec

from gateway.ledger import SqliteLedger
from gateway.messages import ChatRequest, Hints, Message
from tests.gateway import canaries
from tests.gateway.waiting import until


def test_the_request_says_something_everywhere() -> None:
    """A field that is added to requests, hints or messages has to say something in the request with the canaries."""
    request = canaries.REQUEST
    silent = [name for name in ChatRequest.__struct_fields__ if not getattr(request, name)]
    silent += [name for name in Hints.__struct_fields__ if not getattr(request.hints, name)]
    silent += [name for name in Message.__struct_fields__ if not any(getattr(turn, name) for turn in request.messages)]
    assert silent == []


def test_no_text_of_a_caller_gets_into_the_file(tmp_path: Path) -> None:
    """Neither into the file nor into those beside it, while it is written and after; the names do."""
    path = tmp_path / "ledger.sqlite"
    ledger = SqliteLedger(path)
    ledger.record(canaries.outcome())
    until(lambda: not ledger.pending, "written")
    while_open = b"".join(each.read_bytes() for each in sorted(tmp_path.iterdir()))
    ledger.close()
    for raw in (while_open, path.read_bytes()):
        assert canaries.leaked(raw) == set()
        assert canaries.named(raw) == set(canaries.NAMES)


def test_a_leak_would_be_seen() -> None:
    """Any of the texts, in whatever it is wrapped."""
    raw = msgspec.json.encode(canaries.REQUEST)
    assert {b"canary-arguments", b"canary-image", b"canary-key", b"canary-turn"} <= canaries.leaked(raw)
    assert not any(found.startswith(b"canary-name") for found in canaries.leaked(raw))
