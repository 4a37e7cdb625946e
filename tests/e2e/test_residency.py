"""Where data may go: the tenant says, the caller narrows, and no failure of anybody widens it."""

import random
from typing import Any

import pytest

from tests.e2e.configs import LIGHT, TO_LIGHT, TO_MID, TO_PREMIUM, key_of, two_regions
from tests.e2e.events import Events
from tests.e2e.fixed_requests import DOUBTFUL
from tests.e2e.stack import Stack, running
from tests.faults.behaviours import Behaviour, Says, Status
from tests.faults.handle import FaultServer

ALLOWED = {
    "globex": {LIGHT, "mid-us", "mid-eu", "premium-us", "premium-eu"},
    "acme": {LIGHT, "mid-eu", "premium-eu"},
    "strict": {LIGHT, "mid-eu"},
    "vault": {LIGHT},
    "small": {LIGHT, "mid-us", "mid-eu"},
}


@pytest.mark.parametrize(
    ("tenant", "headers", "backend", "reason"),
    [
        ("globex", TO_MID, "mid-us", "task_policy"),
        ("acme", TO_MID, "mid-eu", "residency"),
        ("acme", TO_PREMIUM, "premium-eu", "residency"),
        ("strict", TO_PREMIUM, "mid-eu", "residency"),
        ("vault", TO_PREMIUM, "local", "local_only"),
        ("small", TO_PREMIUM, "mid-us", "sla_class"),
        ("globex", {**TO_MID, "x-forebay-region": "eu"}, "mid-eu", "residency"),
        ("globex", {**TO_MID, "x-forebay-region": "eu-west"}, "mid-eu", "residency"),
        ("globex", {**TO_PREMIUM, "x-forebay-region": "us-east"}, "premium-us", "task_policy"),
        ("globex", {**TO_PREMIUM, "x-forebay-local-only": "true"}, "local", "local_only"),
        ("acme", {**TO_MID, "x-forebay-region": "eu-west"}, "mid-eu", "residency"),
        ("vault", {**TO_MID, "x-forebay-local-only": "false"}, "local", "local_only"),
    ],
)
def test_the_lowest_tier_that_may_see_the_data_answers(
    regions: Stack, tenant: str, headers: dict[str, str], backend: str, reason: str
) -> None:
    """Tenant and caller narrow together, and the reason names what shut the first choice out."""
    answer = regions.chat(headers={**key_of(tenant), **headers})
    assert (answer.headers["x-forebay-backend"], answer.headers["x-forebay-reason"]) == (backend, reason)


@pytest.mark.parametrize(
    ("tenant", "model", "headers", "told"),
    [
        ("acme", "mid-us", {}, "403 residency_no_eligible_backend"),
        ("acme", "premium-us", {"x-forebay-region": "us-east"}, "403 residency_no_eligible_backend"),
        ("acme", "auto", {"x-forebay-region": "us-east"}, "403 residency_no_eligible_backend"),
        ("strict", "premium", {}, "403 residency_no_eligible_backend"),
        ("strict", "claude", {}, "403 residency_no_eligible_backend"),
        ("vault", "mid", {}, "403 residency_no_eligible_backend"),
        ("globex", "auto", {"x-forebay-region": "eu-west-1"}, "403 residency_no_eligible_backend"),
        ("globex", "auto", {"x-forebay-region": "EU"}, "403 residency_no_eligible_backend"),
        ("globex", "auto", {"x-forebay-region": "any"}, "403 residency_no_eligible_backend"),
        ("globex", "auto", {"x-forebay-region": "global"}, "403 residency_no_eligible_backend"),
        ("globex", "auto", {"x-forebay-region": "eu*"}, "400 invalid_value"),
        ("globex", "auto", {"x-forebay-region": "eu,us-east"}, "400 invalid_value"),
        ("globex", "premium-us", {"x-forebay-local-only": "true"}, "403 residency_no_eligible_backend"),
        ("globex", "auto", {"x-forebay-local-only": "perhaps"}, "400 invalid_value"),
        ("small", "premium", {}, "403 policy_no_eligible_backend"),
        ("small", "premium-eu", {}, "403 policy_no_eligible_backend"),
    ],
)
def test_what_nobody_may_answer_is_refused(
    regions: Stack, faults: FaultServer, tenant: str, model: str, headers: dict[str, str], told: str
) -> None:
    """Unknown, misspelt and contradictory limits admit nothing: nothing is sent, and the ledger's row costs nothing."""
    answer = regions.chat(model, headers={**key_of(tenant), **headers})
    error = answer.json()["error"]
    assert f"{answer.status_code} {error['code']}" == told
    assert faults.calls() == ()
    if answer.status_code == 403:
        assert error["type"] == "permission_error"
        row = regions.books.request(answer.headers["x-request-id"])
        assert (row["status"], row["code"], row["cost_nano_usd"], row["attempts"]) == ("refused", error["code"], 0, 0)
        assert row["tenant"] == tenant


def test_metadata_narrows_like_a_header(regions: Stack) -> None:
    """The same words in `metadata`; a header of the same name wins, and two limits are not one wider one."""
    metadata = {"region": "eu", "task": "summary", "session": "s-1"}
    answer = regions.chat(headers=key_of("globex"), metadata=metadata)
    assert answer.headers["x-forebay-backend"] == "mid-eu"
    row = regions.books.request(answer.headers["x-request-id"])
    assert (row["region"], row["task"], row["session"]) == ("eu", "summary", "s-1")
    both = regions.chat(headers={**key_of("acme"), "x-forebay-region": "us-east"}, metadata=metadata)
    assert both.status_code == 403


def test_allowing_a_fallback_allows_no_other_region(regions: Stack, faults: FaultServer) -> None:
    """A pinned backend that is out of bounds may be substituted by one that is not."""
    answer = regions.chat("premium-us", headers={**key_of("acme"), "x-forebay-allow-fallback": "true"})
    assert answer.headers["x-forebay-backend"] == "premium-eu"
    assert [call.model for call in faults.settled()] == ["premium-eu"]


@pytest.mark.parametrize("stream", [False, True])
def test_local_only_stays_when_the_box_cannot_answer(regions: Stack, faults: FaultServer, *, stream: bool) -> None:
    """A light engine that fails, or answers badly, is no reason to leave the box."""
    headers = {**key_of("vault"), **TO_LIGHT}
    faults.next(LIGHT, DOUBTFUL, Status(status=500))
    said = [(regions.events if stream else regions.chat)(headers=headers) for _ in range(2)]
    text, error = (one.raw.decode() if isinstance(one, Events) else one.text for one in said)
    assert "may" in text
    assert "[DONE]" in text or not stream
    assert "upstream_error" in error
    assert {call.model for call in faults.settled()} == {LIGHT}


def canaried(canary: str, *, stream: bool) -> dict[str, Any]:
    """A request with the canary in every place that can hold text."""
    return {
        "model": "auto",
        "messages": [
            {"role": "system", "content": f"Rules {canary}"},
            {"role": "user", "content": f"Old {canary}", "name": canary},
            {"role": "assistant", "content": None, "tool_calls": [tool_call(canary)]},
            {"role": "tool", "tool_call_id": canary, "content": canary},
            {"role": "user", "content": [{"type": "text", "text": f"Say hello, {canary}."}]},
        ],
        "stop": [canary],
        "user": canary,
        "metadata": {"session": canary, "task": "faq", "anything": canary},
        "stream": stream,
    }


def tool_call(canary: str) -> dict[str, Any]:
    """A call of a tool in the history of a conversation."""
    return {"id": canary, "type": "function", "function": {"name": "f", "arguments": f'{{"q": "{canary}"}}'}}


TROUBLES: tuple[Behaviour, ...] = (
    Says(),
    DOUBTFUL,
    Says(text="I'm sorry, but I can't help with that."),
    Says(finish_reason="length"),
    Status(status=500),
    Status(status=429, headers={"retry-after": "0"}),
    Status(status=503, headers={"retry-after": "0"}),
    Status(status=400),
    Status(status=307, headers={"location": "/v1/chat/completions"}),
    Says(ends="close", after=-1),
    Says(ends="unfinished", after=2),
)


def test_a_canary_never_leaves_its_bounds(faults: FaultServer) -> None:
    """Through fallback, escalation, retries, redirects and breakers: 250 requests of tenants with different bounds,
    each with a marker in every place, and no marker at any backend that its tenant's data may not touch.
    """
    chance = random.Random(7)
    models = sorted(ALLOWED["globex"])
    reached: dict[str, set[str]] = {tenant: set() for tenant in ALLOWED}
    with running(two_regions(faults)) as stack:
        stack.ready("light")
        for number in range(250):
            tenant = chance.choice(sorted(ALLOWED))
            canary = f"canary{number:04}x{chance.getrandbits(64):016x}"
            faults.reset()
            for model in models:
                faults.next(model, *chance.choices(TROUBLES, weights=[9, 3, 1, 1, 2, 1, 1, 1, 1, 1, 1], k=3))
            stream = chance.random() < 0.5
            headers = {**key_of(tenant), **chance.choice((TO_LIGHT, TO_MID, TO_PREMIUM, {}))}
            stack.http.post(f"{stack.base_url}/chat/completions", json=canaried(canary, stream=stream), headers=headers)
            for call in faults.settled():
                assert call.model in ALLOWED[tenant], (tenant, call)
                assert canary in call.body
                assert "x-forebay" not in str(call.headers)
                reached[tenant].add(call.model)
        text = "\n".join([*stack.out.all(), *stack.err.all(), stack.http.get(f"{stack.admin}/metrics").text])
        ledger = (stack.home / "ledger.sqlite").read_bytes() + (stack.home / "ledger.sqlite-wal").read_bytes()
        assert "Rules canary" not in text
        assert b"Rules canary" not in ledger
    assert reached == ALLOWED, "every backend that may see a tenant's data has seen some, so the rest is no accident"
