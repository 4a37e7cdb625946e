"""What a gateway tells of its requests: exact counts, one line each, and not a word of what was said."""

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.books import Row
from tests.e2e.configs import LIGHT, SECRETS, TO_LIGHT, TO_MID, three_tiers
from tests.e2e.kinds import HELD_ANSWER, KINDS, Kind
from tests.e2e.stack import COMMAND, Lines, Stack, eventually
from tests.e2e.wire import Wire
from tests.faults.behaviours import Behaviour, Says, Status, Tool
from tests.faults.handle import FaultServer
from tests.gateway.telemetry.samples import Samples, at, read

ROOT = Path(__file__).parents[2]
COUNTS = ("_total", "_count")
SUMS = ("forebay_tokens_total", "forebay_cost_usd_total")
"""Counters that are compared with the ledger instead of a table."""
PASSING = ("forebay_ledger_pending", "forebay_gate_gap_seconds")
"""Gauges that change by themselves."""


def rest(stack: Stack, faults: FaultServer) -> None:
    """Let the gateway forget what was bad, and write down what happened.

    A broken stream has the gate doubt the light engine for a moment: who asks for it by name waits for it. And of
    each backend there are good answers enough that its breaker stays closed.
    """
    faults.reset()
    for model in ("local", "mini", "big") * 2:
        answer = stack.chat(model)
        assert answer.status_code == 200
        stack.books.request(answer.headers["x-request-id"])
        stack.logged(answer.headers["x-request-id"])


@pytest.fixture
def gateway(tiers: Stack, faults: FaultServer) -> Iterator[Stack]:
    """The shared gateway; the next test finds its gate open and its breakers closed."""
    yield tiers
    rest(tiers, faults)


def scraped(stack: Stack) -> Samples:
    """Everything the gateway exports, as Prometheus gets it."""
    answer = stack.http.get(f"{stack.admin}/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return read(answer.text)


def added(before: Samples, after: Samples) -> Samples:
    """What was added to each sample, where anything was; what waits for the ledger comes and goes, and what is known of
    the time between tokens goes with time.
    """
    changes = {name: value - before.get(name, 0.0) for name, value in after.items()}
    return {name: change for name, change in changes.items() if change and not name.startswith(PASSING)}


def counts(found: Samples) -> Samples:
    """How often things happened, without the sums of tokens and dollars, and without what the gate decides anew."""
    return {
        name: value
        for name, value in found.items()
        if name.partition("{")[0].endswith(COUNTS) and not name.startswith((*SUMS, "forebay_gate_"))
    }


def meet(stack: Stack, faults: FaultServer, kind: Kind, request_id: str) -> Row:
    """Send a request of this kind, to its end, and return its row in the ledger."""
    faults.reset()
    for model, behaviour in kind.programs.items():
        faults.next(model, behaviour)
    headers = {**kind.headers, "x-request-id": request_id}
    if kind.hangs_up:
        with Wire(stack.url) as wire:
            body = {"model": kind.model, "messages": [{"role": "user", "content": "Say hello."}]}
            wire.post({**body, "stream": kind.stream}, headers)
            if kind.stream:
                wire.until(b"word29")
            else:
                faults.wait("held", least=1)
    elif kind.stream:
        stack.events(kind.model, headers=headers)
    else:
        stack.chat(kind.model, headers=headers)
    return stack.books.request(request_id)


@pytest.mark.parametrize("name", KINDS)
def test_a_request_adds_exactly_to_its_counts(gateway: Stack, faults: FaultServer, name: str) -> None:
    """Each kind of request to those in the table, by as much as there, and to no other."""
    before = scraped(gateway)
    meet(gateway, faults, KINDS[name], f"counted-{name}")
    assert counts(added(before, scraped(gateway))) == KINDS[name].adds()


@pytest.mark.parametrize("name", KINDS)
def test_tokens_and_dollars_are_the_ledgers(gateway: Stack, faults: FaultServer, name: str) -> None:
    """By backend, over all physical calls."""
    before = scraped(gateway)
    meet(gateway, faults, KINDS[name], f"paid-{name}")
    found = added(before, scraped(gateway))
    expected: Counter[str] = Counter()
    for row in gateway.books.attempts(f"paid-{name}"):
        expected[at(SUMS[0], backend=row["backend"], kind="prompt")] += row["prompt_tokens"]
        expected[at(SUMS[0], backend=row["backend"], kind="completion")] += row["completion_tokens"]
        expected[at(SUMS[1], backend=row["backend"])] += row["cost_nano_usd"]
    nano = {name: value * 1e9 if name.startswith(SUMS[1]) else value for name, value in found.items()}
    assert {name: round(value) for name, value in nano.items() if name.startswith(SUMS)} == +expected


def test_the_rates_are_quotients_of_the_counts(gateway: Stack, faults: FaultServer) -> None:
    """After requests of every kind, over the life of the process; the ledger comes to the same."""
    for name, kind in KINDS.items():
        meet(gateway, faults, kind, f"rated-{name}")
        rest(gateway, faults)
    found = scraped(gateway)

    def total(name: str, label: str = "") -> float:
        return sum(value for each, value in found.items() if each.partition("{")[0] == name and label in each)

    rows, calls = gateway.books.requests(), gateway.books.every_attempt()
    assert total("forebay_requests_total") == len(rows)
    assert total("forebay_attempts_total") == len(calls)
    assert found["forebay_escalations_total"] == sum(row["escalated"] for row in rows)
    assert found["forebay_escalation_rate"] == found["forebay_escalations_total"] / len(rows)
    light = total("forebay_attempts_total", 'tier="light"')
    assert light == sum(call["tier"] == "light" for call in calls)
    assert found["forebay_routing_effectiveness"] == found["forebay_light_accepted_total"] / light
    blended = sum(row["cost_nano_usd"] for row in rows) / 1e9 / len(rows)
    assert found["forebay_blended_cost_usd"] == pytest.approx(blended)
    assert (found["forebay_ledger_failing"], found["forebay_log_dropped_total"]) == (0.0, 0.0)


BAD_REQUESTS: list[tuple[bytes, int]] = [
    (b"no json", 400),
    (b'{"model": "auto", "messages": []}', 400),
    (b'{"model": "auto", "api_base": "http://x", "messages": [{"role": "user", "content": "Say hello."}]}', 400),
]


def test_what_never_was_a_request_counts_nowhere(gateway: Stack, faults: FaultServer) -> None:
    """A body that is none is refused at the edge: it has no row and no line, and moves no rate."""
    before, rows, lines = scraped(gateway), len(gateway.books.requests()), len(gateway.log())
    for body, status in BAD_REQUESTS:
        assert gateway.http.post(f"{gateway.base_url}/chat/completions", content=body).status_code == status
    for path in ("/health", "/ready", "/v1/models"):
        assert gateway.http.get(gateway.url + path).status_code == 200
    assert added(before, scraped(gateway)) == {}
    meet(gateway, faults, KINDS["light"], "after-bad-requests")
    gateway.logged("after-bad-requests")
    assert (len(gateway.books.requests()), len(gateway.log())) == (rows + 1, lines + 1)


def test_the_gate_is_shown_while_it_is_used(gateway: Stack, faults: FaultServer) -> None:
    """Slots, use, queue and state, on /admin/gate and in the metrics alike."""
    (idle,) = gateway.http.get(f"{gateway.admin}/admin/gate").json()
    free = {"engine": "small", "slots": 64, "in_use": 0, "waiting": 0, "ready": True}
    assert {name: idle[name] for name in free} == free
    assert idle["detail"]
    faults.always(LIGHT, HELD_ANSWER)
    body = {"model": "local", "messages": [{"role": "user", "content": "Say hello."}]}
    with Wire(gateway.url) as first, Wire(gateway.url) as second:
        first.post(body)
        second.post(body)
        faults.wait("held", least=2)
        (busy,) = gateway.http.get(f"{gateway.admin}/admin/gate").json()
        assert busy["in_use"] == 2
        assert busy["counts"]["admit"] == idle["counts"].get("admit", 0) + 2
        decision = busy["decisions"][-1]
        assert (decision["outcome"], decision["in_use"], decision["observed_first_s"]) == ("admit", 1, None)
        samples = scraped(gateway)
        expected = {
            at("forebay_gate_slots", engine="small"): 64.0,
            at("forebay_gate_in_use", engine="small"): 2.0,
            at("forebay_gate_waiting", engine="small"): 0.0,
            at("forebay_gate_ready", engine="small"): 1.0,
            at("forebay_gate_decisions_total", engine="small", outcome="admit"): float(busy["counts"]["admit"]),
            at("forebay_gate_last", engine="small", term="first_s"): decision["first_s"],
            at("forebay_gate_last", engine="small", term="here_nano"): decision["here_nano"],
        }
        assert {name: samples[name] for name in expected} == expected
    eventually(lambda: gateway.gate("small")["in_use"] == 0, "the slots are free again")


@pytest.mark.parametrize("name", KINDS)
def test_a_request_is_one_line(gateway: Stack, faults: FaultServer, name: str) -> None:
    """Under the id that the caller gave it, and the line says what the ledger says."""
    request_id = f"told.{name}:1_{'x' * 40}"
    row = meet(gateway, faults, KINDS[name], request_id)
    line = gateway.logged(request_id)
    same = ("request_id", "tenant", "requested_model", "status", "http_status", "code", "task", "complexity", "tier")
    for column in (*same, "backend", "reason", "response_model", "prompt_tokens", "completion_tokens", "confidence"):
        assert line.get(column) == row[column], column
    assert (line["key"], line["class"], line["attempts"]) == (row["api_key"], row["sla_class"], row["attempts"])
    assert (line["stream"], line["escalated"]) == (bool(row["stream"]), bool(row["escalated"]))
    assert float(line["cost_usd"]) == row["cost_nano_usd"] / 1_000_000_000
    assert line["latency_ms"] == round(row["latency_s"] * 1000, 1)
    assert ("ttft_ms" in line) == (row["ttft_s"] is not None) == (KINDS[name].stream and KINDS[name].tier != "none")
    tried = [{column: call[column] for column in line["tried"][0]} for call in gateway.books.attempts(request_id)]
    assert line["tried"] == tried
    assert [each["request_id"] for each in gateway.log()].count(request_id) == 1


def test_an_id_that_is_none_is_replaced(gateway: Stack) -> None:
    """A line is never forged by a header: what could not stand in a log gets a new id, which the caller is told."""
    for odd in ('x" ,"status":"ok', "two words", "x" * 129):
        answer = gateway.chat(headers={**TO_LIGHT, "x-request-id": odd})
        assert answer.headers["x-request-id"] != odd
        assert gateway.logged(answer.headers["x-request-id"])["status"] == "ok"


CANARY = "kanarienvogel"
SAID: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": f"{CANARY} system", "name": f"{CANARY}_name"},
        {"role": "user", "content": f"{CANARY} prompt"},
        {
            "role": "assistant",
            "tool_calls": [
                {"id": f"{CANARY}_id", "type": "function", "function": {"name": CANARY, "arguments": f'"{CANARY}"'}}
            ],
        },
        {"role": "tool", "content": f"{CANARY} result", "tool_call_id": f"{CANARY}_id"},
        {"role": "user", "content": [{"type": "text", "text": f"{CANARY} part"}]},
    ],
    "tools": [{"type": "function", "function": {"name": CANARY, "description": CANARY, "parameters": {CANARY: {}}}}],
    "stop": [f"{CANARY} stop"],
    "user": f"{CANARY}-user",
    "metadata": {f"{CANARY}_key": f"{CANARY} value"},
    f"{CANARY}_field": f"{CANARY} field",
}
ANSWERS: dict[str, Behaviour] = {
    "good": Says(text=f"{CANARY} answer", reasoning=f"{CANARY} thought"),
    "tool": Says(tools=(Tool(CANARY, f'{{"q": "{CANARY}"}}'),)),
    "doubtful": Says(text=f"{CANARY} perhaps", logprob=-6.0),
    "refusal": Says(text=None, refusal=f"{CANARY} refusal"),
    "error": Status(status=400, message=f"{CANARY} error", code=f"{CANARY} code", param=f"{CANARY} param"),
    "down": Status(status=500, body=f"<html>{CANARY} page</html>"),
    "breaks-off": Says(text=f"{CANARY} " * 60, ends="error", after=40),
}
KEYS = {"authorization": f"Bearer sk-{CANARY}", "x-api-key": f"sk-{CANARY}", "cookie": f"session={CANARY}"}


def test_nothing_that_was_said_is_told_anywhere(gateway: Stack, faults: FaultServer) -> None:
    """No prompt, answer, error text or key: in no log line, no metric, no byte of the home, whatever happened."""
    ids = []
    for name, behaviour in ANSWERS.items():
        for stream in (False, True):
            request_id = f"said-{name}-{stream}"
            faults.reset()
            for model in (LIGHT, "mid", "premium"):
                faults.next(model, behaviour)
            headers = {**(TO_MID if name == "tool" else TO_LIGHT), **KEYS, "x-request-id": request_id}
            said = {**SAID, "stream": stream}
            if name not in ("tool", "doubtful"):
                del said["tools"]
            body = json.dumps({"model": "auto", **said}).encode()
            answer = gateway.http.post(f"{gateway.base_url}/chat/completions", content=body, headers=headers)
            assert CANARY in answer.text or answer.status_code != 200
            ids.append(request_id)
    for request_id in ids:
        gateway.logged(request_id)
        gateway.books.request(request_id)
    told = {
        "the log": "\n".join(gateway.out.all()).encode(),
        "standard error": "\n".join(gateway.err.all()).encode(),
        "the metrics": gateway.http.get(f"{gateway.admin}/metrics").content,
        **{str(path): path.read_bytes() for path in gateway.home.rglob("*") if path.is_file()},
    }
    assert {"ledger.sqlite", "ledger.sqlite-wal"} <= {Path(name).name for name in told}
    for secret in (CANARY, *SECRETS.values()):
        assert [name for name, raw in told.items() if secret.encode() in raw] == []


@contextmanager
def unread(home: Path, faults: FaultServer) -> Iterator[Stack]:
    """A gateway whose log goes into a pipe that nobody reads."""
    file = home / "forebay.yaml"
    file.write_text(yaml.safe_dump(three_tiers(faults)))
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    process = subprocess.Popen(
        [str(COMMAND), "serve", "--config", str(file)],
        cwd=ROOT,
        env={**environ, "PYTHONPATH": str(ROOT), "FOREBAY_HOME": str(home), **SECRETS},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, Path(os.devnull).open("rb") as nothing:
        stack = Stack(home, process, Lines(nothing), Lines(process.stderr))
        try:
            yield stack.listening()
        finally:
            process.kill()
            stack.close()


def test_a_log_that_nobody_reads_stops_nothing(home: Path, faults: FaultServer) -> None:
    """Every request is answered and in the ledger, and the gateway ends as usual when it is asked to."""
    with unread(home, faults) as stack:
        stack.ready("light")
        for number in range(400):
            assert stack.chat(headers={**TO_LIGHT, "x-request-id": f"unread-{number}"}).status_code == 200
        stack.terminate()
        assert stack.process.wait(30) == 0
        assert len(stack.books.requests()) == 400
