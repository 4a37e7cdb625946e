"""Who can answer at this moment, as /ready says it."""

import pytest

from gateway.backends.breaker import Breaker
from gateway.routing import RoutingTable
from gateway.server.readiness import BackendState, ReadinessProbe
from gateway.types import Answerer, GateState, Tier
from tests.gateway.nouns import SPEC, change

TEXT = change(SPEC, name="writer", engine="big")
LOADING = "starting: loads the model"
VECTORS = change(SPEC, name="embedder", engine="small", vectors="mini")


def state(engine: str, *, ready: bool) -> GateState:
    """An engine as the gate sees it."""
    return GateState(engine=engine, slots=1, in_use=0, waiting=0, ready=ready, detail="")


@pytest.mark.parametrize(
    ("text", "vectors", "status"),
    [
        (True, True, "ready"),
        (True, False, "ready"),
        (False, True, "not_ready"),
        (None, True, "ready"),
        (None, False, "not_ready"),
        (True, None, "ready"),
    ],
)
def test_vectors_count_where_nothing_writes_text(text: bool | None, vectors: bool | None, status: str) -> None:  # noqa: FBT001 - None: there is none
    """A gateway whose text is down is not ready because its vectors are up; one without text is."""
    specs = [spec for spec, ready in ((TEXT, text), (VECTORS, vectors)) if ready is not None]
    table = RoutingTable({each.name: each for each in specs}, {Tier.LIGHT: ("writer",) if TEXT in specs else ()}, {})
    states = [state("big", ready=bool(text)), state("small", ready=bool(vectors))]
    probe = ReadinessProbe(table, lambda: states, {each.answerer: Breaker() for each in specs}, lambda: 0.0)
    found = probe.look()
    assert found.status == status
    assert ("vectors" in found.tiers) == (vectors is not None)
    assert found.tiers["light"].state == {True: "ready", False: "unavailable", None: "absent"}[text]


@pytest.mark.parametrize(
    ("gpu", "cpu", "failing", "found"),
    [
        (True, False, False, BackendState("ready")),
        (False, True, False, BackendState("ready", f"cpu answers for gpu, which is {LOADING}")),
        (False, False, False, BackendState("unavailable", f"{LOADING}; its standby cpu: not seen yet")),
        (
            False,
            True,
            True,
            BackendState("unavailable", f"{LOADING}; its standby cpu: failed lately; asked again in 15 s"),
        ),
        (True, True, True, BackendState("ready")),
    ],
)
def test_a_backend_is_ready_when_its_standby_is(*, gpu: bool, cpu: bool, failing: bool, found: BackendState) -> None:
    """And says who answers; failures of the standby are not the engine's."""
    spec = change(SPEC, name="qwen", engine="gpu", standby=change(SPEC, name="qwen", engine="cpu"))
    states = [
        change(state("gpu", ready=gpu), detail="up" if gpu else LOADING),
        change(state("cpu", ready=cpu), detail="up" if cpu else "not seen yet"),
    ]
    breakers: dict[Answerer, Breaker] = {("qwen", "gpu"): Breaker(), ("qwen", "cpu"): Breaker()}
    for _ in range(10 if failing else 0):
        breakers["qwen", "cpu"].failed(0.0)
    table = RoutingTable({"qwen": spec}, {Tier.LIGHT: ("qwen",)}, {})
    looked = ReadinessProbe(table, lambda: states, breakers, lambda: 0.0).look()
    assert looked.tiers["light"].backends["qwen"] == found
