"""An attached engine that is two real servers: who is asked, and what becomes of it when one of them dies."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e.configs import base
from tests.e2e.homes import MODEL
from tests.e2e.second_engine import second_engine
from tests.e2e.stack import Stack, eventually, running

SYSTEM = {"role": "system", "content": "You answer questions about the harbour of a small town. " * 40}


@pytest.fixture(scope="module")
def servers(model_path: Path) -> Iterator[tuple[str, str]]:
    """Two engines that somebody else has started."""
    with second_engine(model_path) as one, second_engine(model_path) as two:
        yield one, two


@pytest.fixture(scope="module")
def stack(servers: tuple[str, str], model_path: Path) -> Iterator[Stack]:
    """A gateway over both."""
    config = base(
        engines={"pair": {"kind": "attached", "model": MODEL, "urls": list(servers), "parallel": 4, "context": 1024}},
        backends={"local": {"engine": "pair"}},
        tiers={"light": ["local"], "mid": [], "premium": []},
        gate={"max_wait_alone_ms": 30_000},
    )
    with running(config, model=model_path) as found:
        found.ready("light")
        eventually(lambda: "not asked" not in found.gate("pair")["detail"], "both were looked at")
        yield found


def answered_by(url: str) -> int:
    """How many answers a server has finished."""
    lines = httpx.get(f"{url}/metrics", trust_env=False).text.splitlines()
    return round(sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("vllm:request_success_total")))


def process_of(url: str) -> psutil.Process:
    """The one of ours that listens there."""
    port = httpx.URL(url).port
    found = (
        child
        for child in psutil.Process().children()
        if any(each.laddr.port == port for each in child.net_connections("tcp"))
    )
    return next(found)


def ask(stack: Stack, text: str) -> httpx.Response:
    """One question of the application."""
    return stack.chat("local", messages=[SYSTEM, {"role": "user", "content": text}], max_tokens=8)


def test_both_are_asked(stack: Stack, servers: tuple[str, str]) -> None:
    """Four at a time, of four conversations."""
    before = [answered_by(url) for url in servers]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda number: ask(stack, f"Question {number}?"), range(12)))
    assert [answer.status_code for answer in answers] == [200] * 12
    gained = [answered_by(url) - one for url, one in zip(servers, before, strict=True)]
    assert sum(gained) >= 12
    assert min(gained) >= 3


def test_a_conversation_comes_back_to_the_server_that_knows_it(stack: Stack, servers: tuple[str, str]) -> None:
    """Its beginning is read from the cache; the other is asked nothing, but for a canary perhaps."""
    before = [answered_by(url) for url in servers]
    used = [ask(stack, "Which ship came first?").json()["usage"] for _ in range(4)]
    gained = [answered_by(url) - one for url, one in zip(servers, before, strict=True)]
    assert (min(gained) <= 1, max(gained) >= 4) == (True, True)
    assert [usage["prompt_tokens_details"]["cached_tokens"] > 300 for usage in used[1:]] == [True] * 3, used


def test_nobody_notices_that_one_of_them_dies(stack: Stack, servers: tuple[str, str]) -> None:
    """Whoever comes before its death is known is answered by the other, at the first try."""
    process_of(servers[0]).kill()
    answers = [ask(stack, f"And ship {number}?") for number in range(8)]
    assert [answer.status_code for answer in answers] == [200] * 8
    attempts = [stack.books.attempts(answer.headers["x-request-id"]) for answer in answers]
    assert [len(each) for each in attempts] == [1] * 8
    eventually(lambda: "nobody listens" in stack.gate("pair")["detail"], "its death is known")
    assert stack.gate("pair")["ready"]
