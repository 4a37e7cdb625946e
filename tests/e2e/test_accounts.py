"""Callers, ledger and providers: three accounts of the same requests."""

from decimal import Decimal

from tests.e2e.agreement import Told, agree
from tests.e2e.fixed_requests import Fixed, fixed_requests
from tests.e2e.stack import Stack, eventually
from tests.faults.handle import FaultServer


def ask(stack: Stack, request_id: str, prompt: str, fixed: Fixed) -> Told:
    """Send one of the fixed requests, and read its answer."""
    headers = {**fixed.headers, "x-request-id": request_id}
    if fixed.stream:
        body = {name: value for name, value in fixed.body.items() if name != "stream"}
        return Told.streamed(stack.events(fixed.model, prompt, headers, **body))
    return Told.whole(stack.chat(fixed.model, prompt, headers, **fixed.body))


def test_headers_ledger_and_invoice_agree_over_200_requests(tiers: Stack, faults: FaultServer) -> None:
    """Every header, the final `forebay` object, the ledger's rows and the provider's bills say the same."""
    count = spent = billed = 0
    dollars = tiers.metric("forebay_cost_usd_total")
    for request_id, prompt, fixed in fixed_requests():
        faults.reset()
        for model, behaviours in fixed.programs.items():
            faults.next(model, *behaviours)
        told = ask(tiers, request_id, prompt, fixed)
        calls = faults.settled()
        # The only stream there was broke off: for a moment the gate takes the light engine to be dead.
        eventually(lambda: bool(tiers.gate("small")["ready"]), "the gate trusts the light engine again")
        row = agree(told, tiers.books, request_id, calls)
        assert row["tier"] == fixed.tier, (request_id, row)
        assert row["requested_model"] == fixed.model
        count += 1
        spent += row["cost_nano_usd"]
        billed += sum(call.bill.cost_nano for call in calls if call.bill is not None)
    assert count > 200
    assert spent >= billed
    assert spent - billed < billed // 1000, "estimates stay close to what is billed"
    assert round(Decimal(tiers.metric("forebay_cost_usd_total") - dollars) * 1_000_000_000) == spent
