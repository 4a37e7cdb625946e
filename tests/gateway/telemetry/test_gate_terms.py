"""The gate's forecasts and decisions in the text that Prometheus reads, from a gate that has decided something."""

import pytest
from prometheus_client import CollectorRegistry

from gateway.errors import Rejected
from gateway.gate import Gate, GateSettings, Learnt
from gateway.telemetry.gates import GateTermsCollector
from gateway.types import EngineView
from tests.gateway.applicants import applicant
from tests.gateway.nouns import SLA, change
from tests.gateway.telemetry.samples import at, samples

UP = EngineView(name="small", ready=True, given_up=False, url="http://e", detail="up")


async def test_every_term_of_the_last_decision_is_told() -> None:
    """One was let in and is under way, another would have been late and went elsewhere; what is unknown is left out."""
    gate = Gate({"small": 4}, GateSettings(max_wait_s=0.2, max_wait_alone_s=1.0, max_waiting=4))
    registry = CollectorRegistry()
    registry.register(GateTermsCollector(gate.reports))
    assert at("forebay_gate_prompt_rate", engine="small") not in samples(registry)
    assert gate.reports()[0].decisions == ()
    gate.recall("small", Learnt(rate=100.0, reach=1_000.0, beside=1.0))
    gate.update(UP)
    permit = await gate.enter("small", applicant(prompt=50))
    with pytest.raises(Rejected):
        await gate.enter("small", applicant(change(SLA, ttft_s=1.0), alone=False, prompt=300))
    found = samples(registry)
    decision = gate.reports()[0].decisions[-1]
    assert (decision.outcome, decision.work) == ("spill", 350)
    told = {term: value for name, value in found.items() if (term := _term(name)) is not None}
    assert told["first_s"] == pytest.approx(3.5 + told["slot_s"], rel=1e-3)
    assert told["promised_first_s"] == 1.0
    assert told["here_nano"] > told["elsewhere_nano"] > 0
    assert {"late", "band", "strictness", "slots", "ceiling", "in_use", "slot_s"} <= told.keys()
    assert "observed_first_s" not in told
    assert found[at("forebay_gate_prompt_rate", engine="small")] == 100.0
    assert found[at("forebay_gate_backlog_tokens", engine="small")] == 50.0
    assert found[at("forebay_gate_cadence_ratio", engine="small")] == 1.0
    for outcome in ("admit", "spill"):
        assert found[at("forebay_gate_decisions_total", engine="small", outcome=outcome)] == 1.0
    permit.token(1)
    assert gate.reports()[0].decisions[0].observed_first_s is not None
    permit.release()


def _term(name: str) -> str | None:
    return name.partition('term="')[2].partition('"')[0] or None
