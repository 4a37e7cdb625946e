"""Whether some tier can answer at present, and the state of each."""

from collections.abc import Callable, Mapping

from msgspec import Struct

from gateway.backends.breaker import Breaker
from gateway.routing import RoutingTable
from gateway.types import TIERS, Answerer, BackendSpec, GateState, Tier


class BackendState(Struct, frozen=True):
    """One backend: `ready`, or `unavailable` for the reason in `detail`. Where its standby answers, that says so."""

    state: str
    detail: str = ""


class TierState(Struct, frozen=True):
    """A tier is `ready` when one of its backends is, `absent` when it has none."""

    state: str
    backends: dict[str, BackendState]


class Readiness(Struct, frozen=True):
    """What GET /ready answers. Vectors alone make nobody ready who could also write text."""

    status: str
    tiers: dict[str, TierState]

    @property
    def ready(self) -> bool:
        """Whether anybody can answer."""
        return self.status == "ready"


class ReadinessProbe:
    """Looks at the gate and the breakers when asked; asks nobody over the network."""

    def __init__(
        self,
        table: RoutingTable,
        gate_states: Callable[[], list[GateState]],
        breakers: Mapping[Answerer, Breaker],
        clock: Callable[[], float],
    ) -> None:
        self._table = table
        self._gate_states = gate_states
        self._breakers = breakers
        self._clock = clock

    def look(self, *, draining: bool = False) -> Readiness:
        """The state of everything at this moment; while draining nothing is ready."""
        engines = {state.engine: state for state in self._gate_states()}
        tiers = {}
        for tier, names in self._names().items():
            backends = {name: self._backend(name, engines) for name in names}
            state = "ready" if any(each.state == "ready" for each in backends.values()) else "unavailable"
            tiers[tier.value] = TierState(state if backends else "absent", backends)
        text = [tiers[tier] for tier in TIERS if tiers[tier].backends]
        answering = any(tier.state == "ready" for tier in text or tiers.values())
        status = "draining" if draining else "ready" if answering else "not_ready"
        return Readiness(status, tiers)

    def _names(self) -> dict[Tier, tuple[str, ...]]:
        """The backends of each tier, and those that give vectors, where there are any."""
        vectors = tuple(name for name, spec in self._table.specs.items() if spec.vectors is not None)
        return self._table.tiers | ({Tier.VECTORS: vectors} if vectors else {})

    def _backend(self, name: str, engines: Mapping[str, GateState]) -> BackendState:
        spec = self._table.specs[name]
        found = self._answerer(spec, engines)
        if found.state == "ready" or spec.standby is None or engines[spec.engine or ""].ready:
            return found
        standby = self._answerer(spec.standby, engines)
        if standby.state == "ready":
            return BackendState("ready", f"{spec.standby.engine} answers for {spec.engine}, which is {found.detail}")
        return BackendState("unavailable", f"{found.detail}; its standby {spec.standby.engine}: {standby.detail}")

    def _answerer(self, spec: BackendSpec, engines: Mapping[str, GateState]) -> BackendState:
        if spec.engine is not None and not engines[spec.engine].ready:
            return BackendState("unavailable", engines[spec.engine].detail)
        wait = self._breakers[spec.answerer].open_for(self._clock())
        if wait > 0:
            return BackendState("unavailable", f"failed lately; asked again in {wait:.0f} s")
        return BackendState("ready")
