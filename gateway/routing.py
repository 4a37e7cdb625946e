"""Which backends may answer, in which order, at what expected cost, and why. Pure: no clock, no network.

The start tier comes from the task table and from complexity; then the lowest tier from there up that the
constraints leave open. Stronger tiers follow as fallbacks, weaker ones last, so that a dead cloud still leaves
the box.
"""

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct, structs

from gateway.errors import Code, Reason, RequestError
from gateway.prices import cost
from gateway.types import (
    TIERS,
    BackendSpec,
    Candidate,
    Capability,
    Classification,
    Complexity,
    Constraints,
    Exclusion,
    Route,
    Tier,
)

AUTO = "auto"
ANY_NAME = "*"

_BY_COMPLEXITY = MappingProxyType(
    {
        Complexity.LOW: Reason.LOW_COMPLEXITY,
        Complexity.MEDIUM: Reason.MEDIUM_COMPLEXITY,
        Complexity.HIGH: Reason.HIGH_COMPLEXITY,
    }
)


class Target(Struct, frozen=True):
    """What a requested model name stands for: everything (`auto`), one tier, or one backend."""

    tier: Tier | None = None
    backend: str | None = None


class RoutingTable:
    """Backends, the tiers they make, and the names callers may use."""

    def __init__(
        self,
        specs: Mapping[str, BackendSpec],
        tiers: Mapping[Tier, tuple[str, ...]],
        aliases: Mapping[str, str],
    ) -> None:
        self.specs = dict(specs)
        self.tiers = {tier: tuple(tiers.get(tier, ())) for tier in TIERS}
        self.aliases = dict(aliases)
        self._tier_of = {name: tier for tier, names in self.tiers.items() for name in names}
        self.orders = {tier: self._order(tier) for tier in TIERS}
        """Every backend by the tier to start from: its tier and those above it first, weakest first, then those below,
        strongest first."""

    def learn(self, engine: str, capabilities: frozenset[Capability]) -> None:
        """Take note of what an engine says it can do. What the configuration declares stays as it is."""
        for name, spec in self.specs.items():
            if spec.engine == engine and spec.assumed:
                self.specs[name] = structs.replace(spec, capabilities=capabilities)
            elif spec.standby is not None and spec.standby.engine == engine and spec.standby.assumed:
                standby = structs.replace(spec.standby, capabilities=capabilities)
                self.specs[name] = structs.replace(spec, standby=standby)

    def standby(self, backend: str) -> BackendSpec:
        """The facts of the standby of a backend that has one."""
        spec = self.specs[backend].standby
        assert spec is not None
        return spec

    def tier_of(self, backend: str) -> Tier:
        """The tier of a backend; one that stands in no tier can only be pinned and counts as premium."""
        spec = self.specs.get(backend)
        if spec is not None and spec.vectors is not None:
            return Tier.VECTORS
        return self._tier_of.get(backend, Tier.PREMIUM)

    def names(self) -> tuple[str, ...]:
        """Every name a caller may ask for."""
        tiers = tuple(tier.value for tier in TIERS if self.tiers[tier])
        aliases = tuple(alias for alias in self.aliases if alias != ANY_NAME)
        return (AUTO, *tiers, *self.specs, *aliases)

    def resolve(self, requested_model: str) -> Target:
        """What a name stands for. Raises RequestError 404 that lists what exists."""
        name = requested_model
        if not self._known(name):
            name = self.aliases.get(name) or self.aliases.get(ANY_NAME) or ""
        if name == AUTO:
            return Target()
        if name in self.specs:
            if self.specs[name].vectors is not None:
                raise RequestError(
                    f"the model {requested_model!r} gives vectors, not text; ask for it at /v1/embeddings",
                    code=Code.CAPABILITY_NO_ELIGIBLE_BACKEND,
                    param="model",
                )
            return Target(backend=name)
        if self._known(name):
            return Target(tier=Tier(name))
        raise self.unknown(requested_model)

    def unknown(self, requested_model: str) -> RequestError:
        """The 404 for a name that nobody knows."""
        return RequestError(
            f"the model {requested_model!r} does not exist here; there are: {', '.join(self.names())}",
            code=Code.MODEL_NOT_FOUND,
            status=404,
            param="model",
        )

    def _order(self, start: Tier) -> tuple[str, ...]:
        upward = [name for tier in TIERS[start.rank :] for name in self.tiers[tier]]
        downward = [name for tier in reversed(TIERS[: start.rank]) for name in self.tiers[tier]]
        return (*upward, *downward)

    def _known(self, name: str) -> bool:
        return name == AUTO or name in self.specs or any(name == tier and self.tiers[tier] for tier in TIERS)


def plan(
    table: RoutingTable,
    target: Target,
    constraints: Constraints,
    classification: Classification,
    *,
    allow_fallback: bool,
    max_tokens: int | None,
) -> Route:
    """Order the candidates. `allow_fallback` lets a pinned request go elsewhere when its target cannot answer."""
    pinned = target.tier is not None or target.backend is not None
    start, reason = start_tier(constraints.sla.default_tier, constraints.sla.max_tier, classification)
    if pinned:
        start, reason = target.tier or table.tier_of(target.backend or ""), Reason.PINNED
    names = _named(table, target) if pinned else ()
    if not pinned or allow_fallback:
        names += tuple([name for name in table.orders[start] if name not in names])
    candidates: list[Candidate] = []
    excluded: list[Exclusion] = []
    tokens = min(classification.expected_output, max_tokens or classification.expected_output)
    for name in names:
        spec, tier = table.specs[name], table.tier_of(name)
        forbidden = constraints.forbids(spec, tier)
        if forbidden is not None:
            excluded.append(Exclusion(name, tier, forbidden))
            continue
        if not candidates:
            reason = _why_first(reason, start, tier, excluded)
        expected = cost(spec.price, classification.prompt.tokens, tokens)
        candidates.append(Candidate(backend=name, tier=tier, reason=reason, cost_nano=expected))
    return Route(candidates=tuple(candidates), excluded=tuple(excluded), pinned=pinned)


def start_tier(default: Tier, highest: Tier, classification: Classification) -> tuple[Tier, Reason]:
    """Where an unpinned request starts, and why.

    Complexity says light, the class's default tier, or premium. The task table overrules it, except that work
    which does not look easy never starts below what its complexity asks for unless the caller named the task.
    """
    by_complexity = {Complexity.LOW: Tier.LIGHT, Complexity.MEDIUM: default, Complexity.HIGH: Tier.PREMIUM}
    tier, reason = by_complexity[classification.complexity], _BY_COMPLEXITY[classification.complexity]
    wanted = classification.start
    named = classification.task_source == "hint" and classification.complexity is not Complexity.HIGH
    if wanted is not None and (wanted.rank >= tier.rank or named):
        tier, reason = wanted, Reason.TASK_POLICY
    return (highest, Reason.SLA_CLASS) if tier.rank > highest.rank else (tier, reason)


def _why_first(reason: Reason, start: Tier, tier: Tier, excluded: list[Exclusion]) -> Reason:
    """The reason of the first candidate: what shut out those before it, or why its tier was the place to start."""
    if excluded:
        return excluded[0].reason
    return Reason.NO_STRONGER_TIER if tier.rank < start.rank else reason


def _named(table: RoutingTable, target: Target) -> tuple[str, ...]:
    if target.backend is not None:
        return (target.backend,)
    return table.tiers[target.tier] if target.tier is not None else ()
