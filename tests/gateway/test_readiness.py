"""Who can answer at this moment, as /ready says it."""

import pytest

from gateway.backends.breaker import Breaker
from gateway.routing import RoutingTable
from gateway.server.readiness import ReadinessProbe
from gateway.types import GateState, Tier
from tests.gateway.nouns import SPEC, change

TEXT = change(SPEC, name="writer", engine="big")
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
    probe = ReadinessProbe(table, lambda: states, {each.name: Breaker() for each in specs}, lambda: 0.0)
    found = probe.look()
    assert found.status == status
    assert ("vectors" in found.tiers) == (vectors is not None)
    assert found.tiers["light"].state == {True: "ready", False: "unavailable", None: "absent"}[text]
