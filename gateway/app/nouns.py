"""From the configuration to the plain values that stages are built with. Pure."""

import hashlib
from collections.abc import Iterable
from decimal import Decimal
from itertools import pairwise
from types import MappingProxyType

import msgspec
from pydantic import SecretStr

from gateway.backends.chat import Deadlines
from gateway.backends.profile import Profile
from gateway.broker import BrokerSettings
from gateway.classify import DEFAULT_TASKS, TaskRule
from gateway.config.promises import SlaClass as SlaSection
from gateway.config.schema import Backend, Config, Engine, Params, Timeouts
from gateway.config.sites import default_regions, engine_site, sites, tenant_regions
from gateway.config.vectors import gives_vectors
from gateway.embedder import EmbedderSettings
from gateway.escalation import Limits
from gateway.gate import GateSettings
from gateway.policy import Identities, Lengths
from gateway.prices import NANO, price_from_dollars
from gateway.probation import Window
from gateway.routing import RoutingTable
from gateway.types import Allowance, BackendSpec, Capability, Identity, Price, Priority, SlaClass, Tier

# What each kind usually can; `capabilities` in the file says otherwise.
_OF_SERVERS = frozenset(
    {Capability.JSON_OBJECT, Capability.JSON_SCHEMA, Capability.LOGPROBS, Capability.MULTIPLE_CHOICES}
)
# A grammar makes any model call what it is told to. Whether it does so by itself is asked of the engine once it is up.
_OF_ENGINE = frozenset({*_OF_SERVERS, Capability.FORCED_TOOLS})
_OF_OPENAI = frozenset(Capability)
_OF_ANTHROPIC = frozenset({Capability.TOOLS, Capability.JSON_SCHEMA, Capability.IMAGES, Capability.REMOTE_IMAGES})
# It knows no such field, and would ignore it without a word.
_NOT_LLAMA_CPPS = frozenset({"reasoning_effort"})

_BY_PRIORITY = ("--scheduling-policy", "priority")

_WORDS = frozenset(Capability)

_PRIORITIES = MappingProxyType(
    {"batch": Priority.BATCH, "normal": Priority.NORMAL, "interactive": Priority.INTERACTIVE}
)


def backend_specs(config: Config) -> dict[str, BackendSpec]:
    """The static facts of every backend, in the order of the file."""
    places = sites(config)
    specs = {}
    for name, backend in config.backends.items():
        engine = None if backend.engine is None else config.engines[backend.engine]
        standby = None if engine is None or engine.standby is None else _standby_spec(config, name, engine.standby)
        # What concerns an answer in words, a backend that gives vectors has none of.
        declared = frozenset[Capability]() if gives_vectors(config, backend) else _declared(backend, engine)
        specs[name] = BackendSpec(
            name=name,
            model=backend.model or (engine and engine.model) or name,
            region=places[name].region,
            price=_price(backend),
            engine=backend.engine,
            on_box=places[name].on_box,
            capabilities=capable(_usual(backend, engine) if declared is None else declared),
            assumed=declared is None,
            context=backend.context or (None if engine is None else engine.context),
            max_output=backend.max_output,
            vectors=_vectors(config, backend, engine),
            # Every engine speaks the whole contract.
            completions=backend.completions or engine is not None,
            standby=standby,
        )
    return specs


def standbys(config: Config) -> dict[str, str]:
    """The engines that have a standby, and which."""
    return {name: engine.standby for name, engine in config.engines.items() if engine.standby is not None}


def _standby_spec(config: Config, name: str, standby: str) -> BackendSpec:
    """The facts of another engine that answers under a backend's name: its own, within what the backend may have."""
    backend, engine, place = config.backends[name], config.engines[standby], engine_site(config, standby)
    declared = engine.capabilities
    return BackendSpec(
        name=name,
        model=engine.model or name,
        region=place.region,
        price=_price(backend),
        engine=standby,
        on_box=place.on_box,
        capabilities=capable(_usual_of(engine) if declared is None else declared),
        assumed=declared is None,
        context=min(backend.context or engine.context, engine.context),
        max_output=backend.max_output,
        completions=True,
    )


def routing_table(config: Config) -> RoutingTable:
    """Backends, tiers and names."""
    tiers = {Tier.LIGHT: config.tiers.light, Tier.MID: config.tiers.mid, Tier.PREMIUM: config.tiers.premium}
    return RoutingTable(backend_specs(config), tiers, config.aliases)


def sla_class(config: Config, name: str | None) -> SlaClass:
    """A class by name; None is the policy's default class, or the built-in one."""
    chosen = name or config.policy.default_class
    section = SlaSection() if chosen is None else config.classes[chosen]
    return SlaClass(
        name=chosen or "default",
        priority=_PRIORITIES[section.priority],
        default_tier=section.default_tier,
        max_tier=section.max_tier,
        ttft_s=None if section.ttft_ms is None else section.ttft_ms / 1000,
        itl_s=None if section.itl_ms is None else section.itl_ms / 1000,
        escalation_priority=section.escalation_priority,
        allowance=Allowance(
            max_prompt=section.max_prompt, default_output=section.default_output, max_output=section.max_output
        ),
        truncate=(section.truncation or config.policy.truncation) == "oldest_turns",
    )


def lengths(config: Config) -> Lengths:
    """How long prompts and answers may be, whatever the class."""
    policy = config.policy
    return Lengths(
        everybody=Allowance(
            max_prompt=policy.max_prompt, default_output=policy.default_output, max_output=policy.max_output
        ),
        tasks={
            name: Allowance(default_output=task.default_output, max_output=task.max_output)
            for name, task in config.tasks.items()
        },
        on_excess=policy.over_max_output,
    )


def identities(config: Config) -> Identities:
    """Who may ask."""
    if config.auth.mode == "none":
        return Identities({}, everybody(config))
    by_hash = {
        key.hash.removeprefix("sha256:"): tenant_identity(config, name, key.name)
        for name, tenant in config.tenants.items()
        for key in tenant.keys
    }
    return Identities(by_hash, None)


def everybody(config: Config, sla: str | None = None) -> Identity:
    """A caller without a tenant, of the class called `sla`; None is the default class."""
    return Identity(tenant="local", key="none", sla=sla_class(config, sla), regions=default_regions(config))


def tenant_identity(config: Config, name: str, key: str) -> Identity:
    """A tenant of the file, asking with the key of that name."""
    tenant = config.tenants[name]
    return Identity(
        tenant=name,
        key=key,
        sla=sla_class(config, tenant.sla),
        regions=tenant_regions(config, tenant),
        local_only=tenant.local_only,
    )


def task_rules(config: Config) -> dict[str, TaskRule]:
    """The built-in task table with the file's changes and additions."""
    rules = dict(DEFAULT_TASKS)
    for name, task in config.tasks.items():
        known = rules.get(name, TaskRule())
        rules[name] = TaskRule(
            start=task.start if "start" in task.model_fields_set else known.start,
            expected_output=task.expected_output or known.expected_output,
        )
    return rules


def broker_settings(config: Config) -> BrokerSettings:
    """Limits and windows."""
    escalation, probation = config.policy.escalation, config.confidence.probation
    return BrokerSettings(
        limits=Limits(
            threshold=config.confidence.threshold,
            path=escalation.path,
            max_attempts=escalation.max_attempts,
            max_cost_nano=int(escalation.max_cost_usd * NANO),
        ),
        window=Window(probation.tokens, probation.ms / 1000),
        request_timeout_s=config.server.request_timeout_s,
        policy=policy_hash(config),
    )


def embedder_settings(config: Config) -> EmbedderSettings:
    """How often, and for how long, vectors are asked for."""
    return EmbedderSettings(
        max_attempts=config.policy.escalation.max_attempts,
        request_timeout_s=config.server.request_timeout_s,
        policy_hash=policy_hash(config),
    )


def gate_settings(config: Config) -> GateSettings:
    """How long to wait for a slot."""
    return GateSettings(
        max_wait_s=config.gate.max_wait_ms / 1000,
        max_wait_alone_s=config.gate.max_wait_alone_ms / 1000,
        max_waiting=config.gate.max_waiting,
        on_gpus=frozenset(name for name, engine in config.engines.items() if engine.kind == "vllm"),
        # vLLM's policy orders only its queue, which the gate keeps short.
        by_priority=frozenset(name for name, engine in config.engines.items() if engine.kind == "llama_cpp"),
    )


def profile(params: Params, engine: Engine | None) -> Profile:
    """How a backend wants its body; `engine` is the one that serves it, if one does."""
    own = _NOT_LLAMA_CPPS if engine is not None and engine.kind == "llama_cpp" else frozenset[str]()
    prioritised = engine is not None and _prioritised(engine)
    return Profile(rename=params.rename, drop=params.drop | own, defaults=params.defaults, prioritised=prioritised)


def _prioritised(engine: Engine) -> bool:
    """Whether it takes a priority with each request: ours always, vLLM where it is told to go by it."""
    if engine.kind != "vllm":
        return engine.kind == "llama_cpp"
    words = " ".join(engine.args).replace("=", " ").replace("_", "-").split()
    return any(pair == _BY_PRIORITY for pair in pairwise(words))


def deadlines(timeouts: Timeouts) -> Deadlines:
    """Deadlines of an attempt."""
    return Deadlines(
        connect_s=timeouts.connect_s,
        first_token_s=timeouts.first_token_s,
        idle_s=timeouts.idle_s,
        total_s=timeouts.total_s,
    )


def policy_hash(config: Config) -> str:
    """Twelve hex digits that name the rules in force: the same rules, the same digits, whatever the secrets.

    Addresses and logs are left out, because they decide nothing about a request.
    """
    # Kept as Python values: as JSON, sets would be lists in an order that differs from process to process.
    rules = config.model_dump(mode="python", exclude={"server": True, "log": True})
    encoder = msgspec.json.Encoder(order="sorted", enc_hook=_left_out)
    canonical = encoder.encode(rules | {"region": config.server.region})
    return hashlib.sha256(canonical).hexdigest()[:12]


def _left_out(value: object) -> str:
    """Secrets are no rules. Nothing else in a configuration is unknown to JSON."""
    if isinstance(value, SecretStr):
        return ""
    raise TypeError(f"a configuration holds a {type(value).__name__}")


def _vectors(config: Config, backend: Backend, engine: Engine | None) -> str | None:
    """The name of what a backend gives instead of text. The same file pooled in two ways gives two kinds of vectors."""
    if not gives_vectors(config, backend):
        return None
    model = backend.model or (engine and engine.model) or f"as {backend.engine} serves it"
    return model if engine is None or engine.pooling is None else f"{model}, pooled by {engine.pooling}"


def _price(backend: Backend) -> Price:
    price = backend.price
    if price is None:
        return Price()
    return price_from_dollars(price.input, price.output or Decimal(0), price.cached, price.cache_write)


def capable(words: Iterable[str]) -> frozenset[Capability]:
    """What these words stand for, and what goes without saying; a word that nobody here knows is nothing."""
    found = {Capability(word) for word in words if word in _WORDS}
    return frozenset(found | {Capability.FORCED_TOOLS} if Capability.TOOLS in found else found)


def _declared(backend: Backend, engine: Engine | None) -> frozenset[Capability] | None:
    """What the file says."""
    return engine.capabilities if backend.capabilities is None and engine is not None else backend.capabilities


def _usual(backend: Backend, engine: Engine | None) -> frozenset[Capability]:
    if engine is not None:
        return _usual_of(engine)
    return _OF_ANTHROPIC if backend.provider == "anthropic" else _OF_OPENAI


def _usual_of(engine: Engine) -> frozenset[Capability]:
    return _OF_ENGINE if engine.kind == "llama_cpp" else _OF_SERVERS
