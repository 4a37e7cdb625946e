"""A backend that keeps failing is left alone, and found again when it is back."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.configs import PRICES, SECRETS, TO_MID, base, provider, three_tiers
from tests.e2e.fixed_requests import DOWN
from tests.e2e.stack import Stack, eventually, running
from tests.faults.behaviours import ClosesReused, Says, Status
from tests.faults.handle import FaultServer

FALL_BACK = {"x-forebay-allow-fallback": "true"}


def test_after_five_failures_it_is_left_alone(frail_stack: Stack, faults: FaultServer, frail_backend: str) -> None:
    """The sixth request goes straight to somebody else, and says that the first was passed over, and why."""
    faults.always(frail_backend, DOWN)
    for _ in range(5):
        assert frail_stack.chat(frail_backend, headers=FALL_BACK).status_code == 200
    faults.wait("open", most=0)
    said = frail_stack.chat(frail_backend, headers=FALL_BACK).json()["forebay"]
    assert (said["attempts"], said["backend"], said["reason"]) == (1, "safe", "upstream_error")
    assert said["passed_over"] == [{"backend": frail_backend, "tier": "premium", "reason": "upstream_error"}]
    assert len(faults.calls(frail_backend)) == 5
    alone = frail_stack.chat(frail_backend)
    assert alone.status_code == 502
    assert len(faults.settled(frail_backend)) == 5


def test_the_callers_mistakes_open_no_breaker(frail_stack: Stack, faults: FaultServer, frail_backend: str) -> None:
    """A backend that refuses ten bad requests still gets the eleventh."""
    faults.always(frail_backend, Status(status=400))
    assert {frail_stack.chat(frail_backend).status_code for _ in range(10)} == {400}
    faults.always(frail_backend, Says())
    assert frail_stack.chat(frail_backend).status_code == 200


@pytest.mark.timeout(60)
def test_it_recovers_with_one_probe_at_a_time(faults: FaultServer) -> None:
    """After its pause one call is let through, and only one; when that is answered, everybody is served again."""
    with running(three_tiers(faults), SECRETS) as stack:
        stack.ready("mid")
        faults.always("mid", DOWN)
        for _ in range(5):
            assert stack.chat(headers=TO_MID).headers["x-forebay-backend"] == "big"
        assert stack.readiness()["tiers"]["mid"]["state"] == "unavailable"
        faults.always("mid", Says(hold="probe", hold_after=-1))
        eventually(lambda: stack.readiness()["tiers"]["mid"]["state"] == "ready", "the pause of 15 s is over", 25)
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(stack.chat, headers=TO_MID) for _ in range(8)]
            faults.wait("ended", least=5 + 7, model="premium")
            assert faults.wait("held", least=1, model="mid") == 1
            faults.release("probe")
            backends = sorted(answer.result().headers["x-forebay-backend"] for answer in asked)
        assert backends == ["big"] * 7 + ["mini"]
        faults.always("mid", Says())
        assert stack.chat(headers=TO_MID).headers["x-forebay-backend"] == "mini"


def test_a_wait_that_was_asked_for_ends(frail_stack: Stack, faults: FaultServer, frail_backend: str) -> None:
    """429 with retry-after: 1 keeps callers away for that second, and no longer."""
    faults.next(frail_backend, Status(status=429, headers={"retry-after": "1"}))
    first = frail_stack.chat(frail_backend, headers=FALL_BACK)
    assert first.headers["x-forebay-backend"] == "safe"
    passed_over = frail_stack.chat(frail_backend, headers=FALL_BACK).json()["forebay"]["passed_over"]
    assert [each["backend"] for each in passed_over] == [frail_backend]
    backend = "x-forebay-backend"
    eventually(
        lambda: frail_stack.chat(frail_backend, headers=FALL_BACK).headers[backend] == frail_backend,
        "it is asked again",
        5,
    )


def test_a_hanging_backend_holds_up_nobody_else(frail_stack: Stack, faults: FaultServer, frail_backend: str) -> None:
    """While a crowd waits for one backend that says nothing, others are answered at once."""
    faults.always(frail_backend, Says(ends="silence", after=-1))
    with ThreadPoolExecutor(20) as pool:
        hanging = [pool.submit(frail_stack.chat, frail_backend) for _ in range(20)]
        faults.wait("open", least=20)
        for _ in range(20):
            assert frail_stack.chat("safe").elapsed.total_seconds() < 0.5
        assert {answer.result().status_code for answer in hanging} == {504}


def test_nobody_accepts(faults: FaultServer, blackhole: str) -> None:
    """An address that takes no connection costs the time to connect, twice at most, and nothing else."""
    quick = {"connect_s": 0.3, "first_token_s": 5, "idle_s": 5, "total_s": 5}
    config = base(
        backends={
            "hole": provider(faults, "hole", base_url=f"{blackhole}/v1", timeouts=quick, price=PRICES["mid"]),
            "safe": provider(faults, "safe", price=PRICES["premium"]),
        },
        tiers={"light": [], "mid": ["hole"], "premium": ["safe"]},
    )
    with running(config) as stack:
        answer = stack.chat("auto", headers=TO_MID)
        assert answer.headers["x-forebay-backend"] == "safe"
        assert answer.headers["x-forebay-reason"] == "upstream_timeout"
        assert answer.elapsed.total_seconds() < 2
        assert answer.json()["forebay"]["cost_usd"] == answer.json()["forebay"]["tried"][-1]["cost_usd"]


def test_a_connection_that_dies_as_it_is_used_again_costs_at_most_a_fallback(tiers: Stack, faults: FaultServer) -> None:
    """A server that closes idle connections just as a call comes: the caller is answered every time."""
    faults.always("mid", ClosesReused())
    answers = [tiers.chat(headers=TO_MID) for _ in range(4)]
    assert {answer.status_code for answer in answers} == {200}


def test_connections_are_reused(tiers: Stack, faults: FaultServer) -> None:
    """Ten calls in a row need one connection."""
    for _ in range(10):
        tiers.chat("premium")
    assert len({call.connection for call in faults.settled()}) == 1


def test_a_crowd_of_failures_asks_nobody_too_often(frail_stack: Stack, faults: FaultServer, frail_backend: str) -> None:
    """However many callers at once, each has at most three physical calls, and all of them an answer."""
    faults.always(frail_backend, DOWN)
    barrier = threading.Barrier(16)

    def one() -> int:
        barrier.wait(10)
        answer = frail_stack.chat(frail_backend, headers=FALL_BACK)
        assert answer.status_code == 200
        return int(answer.headers["x-forebay-attempts"])

    with ThreadPoolExecutor(16) as pool:
        attempts = [future.result() for future in [pool.submit(one) for _ in range(16)]]
    assert max(attempts) <= 3
