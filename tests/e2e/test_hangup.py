"""Callers who hang up: nobody goes on working for them."""

from typing import Any

import httpx
import pytest

from tests.e2e.configs import LIGHT, SECRETS, TO_LIGHT, TO_MID, attached, three_tiers
from tests.e2e.stack import Stack, eventually, running
from tests.e2e.wire import Wire
from tests.faults.behaviours import Says, Status
from tests.faults.handle import FaultServer

WITHIN_S = 1.0
WORDS = " ".join(f"word{number}" for number in range(60))


def asked(model: str = "auto", **more: Any) -> dict[str, Any]:
    """A question."""
    return {"model": model, "messages": [{"role": "user", "content": "Say hello."}], **more}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("model", "headers"), [(LIGHT, TO_LIGHT), ("mid", TO_MID)])
def test_before_the_first_byte(
    tiers: Stack, faults: FaultServer, model: str, headers: dict[str, str], *, stream: bool
) -> None:
    """The upstream connection is closed within a second, streamed or not, and the ledger says cancelled."""
    faults.next(model, Says(hold="never", hold_after=-1))
    request_id = f"gone-before-{model}-{stream}"
    with Wire(tiers.url) as wire:
        wire.post(asked(stream=stream), {**headers, "x-request-id": request_id})
        faults.wait("held", least=1)
        gone = wire.hang_up()
    (call,) = faults.settled()
    assert call.end == "client_left"
    assert call.ended_at is not None
    assert call.ended_at - gone < WITHIN_S
    row = tiers.books.request(request_id)
    assert (row["status"], row["http_status"], row["backend"]) == ("cancelled", 499, None)
    (attempt,) = tiers.books.attempts(request_id)
    assert attempt["status"] == "cancelled"
    assert call.bill is not None
    assert attempt["cost_nano_usd"] >= call.bill.cost_nano
    assert tiers.gate("small")["in_use"] == 0
    assert tiers.logged(request_id)["status"] == "cancelled"


@pytest.mark.parametrize("headers", [TO_LIGHT, TO_MID])
def test_in_the_middle_of_a_stream(tiers: Stack, faults: FaultServer, headers: dict[str, str]) -> None:
    """The upstream stops within a second; what had come is charged, and the answer is named in the ledger."""
    faults.always(LIGHT, Says(text=WORDS, hold="never", hold_after=30))
    faults.always("mid", Says(text=WORDS, hold="never", hold_after=30))
    request_id = f"gone-amid-{headers['x-forebay-task']}"
    with Wire(tiers.url) as wire:
        wire.post(asked(stream=True), {**headers, "x-request-id": request_id})
        wire.until(b"word29")
        gone = wire.hang_up()
    (call,) = faults.settled()
    assert call.end == "client_left"
    assert call.ended_at is not None
    assert call.ended_at - gone < WITHIN_S
    row = tiers.books.request(request_id)
    assert (row["status"], row["http_status"]) == ("cancelled", 200)
    assert row["completion_tokens"] == 30
    assert call.bill is not None
    assert row["cost_nano_usd"] >= call.bill.cost_nano
    assert tiers.gate("small")["in_use"] == 0


def test_while_the_answer_is_on_probation(tiers: Stack, faults: FaultServer) -> None:
    """A light stream that is still held back is let go like any other."""
    faults.next(LIGHT, Says(text='{"a": "b c d e f"}', hold="never", hold_after=3))
    with Wire(tiers.url) as wire:
        wire.post(asked(stream=True, response_format={"type": "json_object"}), TO_LIGHT)
        faults.wait("held", least=1)
        gone = wire.hang_up()
    (call,) = faults.settled()
    assert call.ended_at is not None
    assert call.ended_at - gone < WITHIN_S


def test_while_a_stronger_tier_is_asked(tiers: Stack, faults: FaultServer) -> None:
    """Both are let go, the held light stream and the stronger call; both are in the ledger."""
    faults.next(LIGHT, Says(text=WORDS, logprob=-6.0, hold="never", hold_after=30))
    faults.next("mid", Says(hold="never", hold_after=-1))
    request_id = "gone-while-escalating"
    with Wire(tiers.url) as wire:
        wire.post(asked(stream=True), {**TO_LIGHT, "x-request-id": request_id})
        faults.wait("held", least=2)
        gone = wire.hang_up()
    for call in faults.settled():
        assert call.ended_at is not None
        assert call.ended_at - gone < WITHIN_S
    assert [attempt["status"] for attempt in tiers.books.attempts(request_id)] == ["cancelled", "cancelled"]
    assert tiers.books.request(request_id)["escalated"] == 1
    assert tiers.gate("small")["in_use"] == 0


def test_between_two_tries(frail_stack: Stack, faults: FaultServer, frail_backend: str) -> None:
    """Who hangs up while the gateway waits for a retry has no retry made for them."""
    faults.always(frail_backend, Status(status=503, headers={"retry-after": "1.5"}))
    request_id = "gone-between-tries"
    with Wire(frail_stack.url) as wire:
        wire.post(asked(frail_backend), {"x-request-id": request_id})
        faults.wait("ended", least=1)
        wire.hang_up()
    row = frail_stack.books.request(request_id)
    assert (row["status"], row["attempts"]) == ("cancelled", 1)
    assert len(faults.settled()) == 1


def test_a_slot_is_free_again_and_a_place_in_the_queue_too(faults: FaultServer) -> None:
    """One slot: its holder and the first who waits hang up, and the second who waits is served."""
    gate = {"max_wait_ms": 20_000, "max_wait_alone_ms": 20_000}
    config = three_tiers(faults, engines={"small": attached(faults, parallel=1)}, gate=gate)
    with running(config, SECRETS) as stack, Wire(stack.ready("light").url) as holder, Wire(stack.url) as first:
        faults.next(LIGHT, Says(hold="never", hold_after=-1))
        holder.post(asked("local"))
        faults.wait("held", least=1)
        first.post(asked("local"))
        eventually(lambda: stack.gate("small")["waiting"] == 1, "the first waits")
        with Wire(stack.url) as second:
            second.post(asked("local"))
            eventually(lambda: stack.gate("small")["waiting"] == 2, "the second waits")
            first.hang_up()
            eventually(lambda: stack.gate("small")["waiting"] == 1, "the first waits no more", WITHIN_S)
            holder.hang_up()
            status, _, body = second.response()
        assert (status, b"All is well." in body) == (200, True)
        assert len(faults.settled()) == 2
        eventually(lambda: stack.gate("small")["in_use"] == 0, "the slot is free")


@pytest.mark.parametrize("stream", [False, True])
def test_a_real_engine_stops_too(real: Stack, real_mid: str, *, stream: bool) -> None:
    """The engine itself has nothing running within a second, though the answer would have taken many."""

    def at_work() -> float:
        metrics = httpx.get(f"{real_mid}/metrics", trust_env=False).text
        return sum(
            float(line.rpartition(" ")[2])
            for line in metrics.splitlines()
            if line.startswith(("vllm:num_requests_running", "vllm:num_requests_waiting"))
        )

    with Wire(real.url) as wire:
        wire.post(asked("mini", stream=stream, max_tokens=800, temperature=1.0))
        eventually(lambda: at_work() > 0, "it works")
        wire.hang_up()
        eventually(lambda: at_work() == 0, "it has stopped", WITHIN_S)
    assert real.gate("small")["in_use"] == 0, "the light engine is as free as before"


def test_many_hang_ups_leave_nothing_behind(tiers: Stack, faults: FaultServer) -> None:
    """After a hundred of them no connection, no slot and no request is left open, and the next one is answered."""
    before = faults.state().connections
    faults.always("mid", Says(text=WORDS, hold="never", hold_after=2))
    for _ in range(100):
        with Wire(tiers.url) as wire:
            wire.post(asked(stream=True), TO_MID)
            wire.until(b"word0")
    faults.wait("open", most=0)
    assert faults.state().connections <= before
    faults.always("mid", Says())
    assert tiers.chat(headers=TO_MID).headers["x-forebay-backend"] == "mini"
