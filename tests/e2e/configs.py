"""Configurations for tests, as values: pieces to be put together."""

import hashlib
from collections.abc import Iterable
from typing import Any

from tests.faults.handle import FaultServer

Config = dict[str, Any]

PRICES = {
    "light": {"input": 0.031, "output": 0.127},
    "mid": {"input": 0.253, "output": 2.011, "cached": 0.0253},
    "premium": {"input": 3.007, "output": 15.013, "cached": 0.3001},
}
"""US dollars per million tokens, chosen so that most amounts have to be rounded."""


def provider(faults: FaultServer, model: str, **more: Any) -> Config:
    """A backend that is the fault server under this model name, in another region than the box."""
    return {
        "provider": "openai",
        "base_url": f"{faults.url}/v1",
        "model": model,
        "region": "us-east",
        "timeouts": {"connect_s": 2, "first_token_s": 10, "idle_s": 10, "total_s": 20},
        **more,
    }


def attached(faults: FaultServer, **more: Any) -> Config:
    """An engine that is the fault server, under the name of a model whose confidence floors are shipped."""
    return {"kind": "attached", "model": "smollm2-135m-instruct", "urls": [faults.url], "parallel": 64, **more}


def base(**more: Any) -> Config:
    """What every configuration needs: free ports, data that may go anywhere, and no brake on escalation."""
    return {
        "schema_version": 1,
        "server": {"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0", "region": "eu-west"},
        "policy": {"default_regions": "any", "escalation": {"throttle_rate": 1.0}},
        **more,
    }


def hash_of(key: str) -> str:
    """What a configuration has of an API key."""
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def three_tiers(faults: FaultServer, **more: Any) -> Config:
    """Light is an attached engine, mid and premium are providers; all of them the fault server, with prices.

    What is held back of a stream is a matter of tokens and not of how busy the machine is.
    """
    timeouts = {"connect_s": 2, "first_token_s": 10, "idle_s": 10, "total_s": 20}
    return base(
        **{
            "engines": {"small": attached(faults)},
            "backends": {
                "local": {"engine": "small", "price": PRICES["light"], "timeouts": timeouts},
                "mini": provider(faults, "mid", price=PRICES["mid"]),
                "big": provider(faults, "premium", price=PRICES["premium"], api_key="${BIG_KEY}"),
            },
            "tiers": {"light": ["local"], "mid": ["mini"], "premium": ["big"]},
            "aliases": {"gpt-4o-mini": "auto"},
            "confidence": {"trigger_words": ["as a pirate"], "probation": {"ms": 2_000}},
            **more,
        }
    )


def two_regions(faults: FaultServer) -> Config:
    """Tenants with keys, and each cloud tier in two regions; the one outside the union comes first.

    The fault server is called mid-us, mid-eu, premium-us and premium-eu; the engine is on this box, in eu-west.
    A key of a tenant is `key-of-<tenant>`.
    """
    timeouts = {"connect_s": 2, "first_token_s": 2, "idle_s": 2, "total_s": 3}
    places = {"mid-us": "us-east", "mid-eu": "eu-west", "premium-us": "us-east", "premium-eu": "eu-central"}
    tenants: Config = {
        "globex": {"class": "pro"},
        "acme": {"class": "pro", "regions": ["eu"]},
        "strict": {"class": "pro", "regions": ["eu-west"]},
        "vault": {"class": "pro", "local_only": True},
        "small": {"class": "free"},
    }
    backends = {
        name: provider(faults, name, region=region, price=PRICES[name.partition("-")[0]], timeouts=timeouts)
        for name, region in places.items()
    }
    return base(
        engines={"small": attached(faults, capabilities=["tools", "json_object", "json_schema", "logprobs", "n"])},
        backends={"local": {"engine": "small", "price": PRICES["light"], "timeouts": timeouts}, **backends},
        tiers={"light": ["local"], "mid": ["mid-us", "mid-eu"], "premium": ["premium-us", "premium-eu"]},
        aliases={"gpt-4o-mini": "auto", "claude": "premium"},
        regions={"eu": ["eu-west", "eu-central"]},
        auth={"mode": "keys"},
        classes={"pro": {}, "free": {"priority": "batch", "default_tier": "light", "max_tier": "mid"}},
        tenants={
            name: {**tenant, "keys": [{"name": "ci", "hash": hash_of(f"key-of-{name}")}]}
            for name, tenant in tenants.items()
        },
    )


def key_of(tenant: str) -> dict[str, str]:
    """The header with the key of a tenant of `two_regions`."""
    return {"authorization": f"Bearer key-of-{tenant}"}


def frail(faults: FaultServer, names: Iterable[str], unreachable: str) -> Config:
    """Backends to be broken one by one, in no tier, so that each is met by name; `safe` is whom they fall back to.

    Their breakers are their own, so what one test does to its backend is nothing to the next. `nobody` is at the
    address `unreachable`.
    """
    quick = {"connect_s": 1, "first_token_s": 1.5, "idle_s": 1.5, "total_s": 3}
    backends = {name: provider(faults, name, timeouts=quick, price=PRICES["mid"]) for name in names}
    return base(
        backends={
            **backends,
            "nobody": provider(faults, "nobody", base_url=f"{unreachable}/v1", timeouts=quick, price=PRICES["mid"]),
            "safe": provider(faults, "safe", price=PRICES["premium"]),
        },
        tiers={"light": [], "mid": [], "premium": ["safe"]},
    )


def one_engine(model: str = "smollm2-135m-instruct", **more: Any) -> Config:
    """One small engine, and nobody else."""
    return base(
        engines={"small": {"kind": "llama_cpp", "model": model, "parallel": 2, "context": 512}},
        backends={"local": {"engine": "small"}},
        tiers={"light": ["local"], "mid": [], "premium": []},
        **more,
    )


def real_tiers(second_engine: str, faults: FaultServer) -> Config:
    """Light is the default model as the developer configuration sets it up, mid a second engine, premium the faults."""
    defaults = {"max_tokens": 512, "temperature": 0.2, "top_p": 0.9, "min_p": 0.1, "frequency_penalty": 0.4}
    return base(
        engines={"small": {"kind": "llama_cpp", "model": "smollm2-135m-instruct", "parallel": 2, "context": 1024}},
        backends={
            "local": {"engine": "small", "price": PRICES["light"], "params": {"defaults": defaults}},
            "mini": {
                "provider": "openai",
                "base_url": f"{second_engine}/v1",
                "model": "smollm2-135m-instruct",
                "region": "eu-west",
                "price": PRICES["mid"],
            },
            "big": provider(faults, "premium", price=PRICES["premium"]),
        },
        tiers={"light": ["local"], "mid": ["mini"], "premium": ["big"]},
        aliases={"gpt-4o-mini": "auto"},
        gate={"max_wait_ms": 20_000, "max_wait_alone_ms": 30_000},
    )


def claude(strict: FaultServer, model: str) -> Config:
    """A backend that is the fault server as a provider of Anthropic's API."""
    price = {**PRICES["premium"], "cache_write": 3.759}
    mine = {"provider": "anthropic", "base_url": strict.url, "price": price, "api_key": "${BIG_KEY}"}
    return {**provider(strict, model), **mine}


def three_apis(second_engine: str, strict: FaultServer, frail: Iterable[str]) -> Config:
    """Light is a real engine, mid a provider of OpenAI's API, premium one of Anthropic's; these take good bodies.

    The `frail` are more of the last kind, in no tier, to be broken one by one.
    """
    engine = {
        "kind": "attached",
        "model": LIGHT,
        "urls": [second_engine],
        "parallel": 2,
        "context": 1024,
    }
    return base(
        engines={"small": engine},
        backends={
            "local": {"engine": "small", "price": PRICES["light"], "params": {"drop": ["reasoning_effort"]}},
            "mini": provider(strict, "gpt", price=PRICES["mid"]),
            "claude": claude(strict, "claude"),
            "raw": provider(
                strict,
                "gpt-text",
                completions=True,
                price=PRICES["mid"],
                params={
                    "drop": ["seed"],
                    "rename": {"max_tokens": "max_completion_tokens"},
                    "defaults": {"temperature": 0.5, "reasoning_effort": "low"},
                },
            ),
            **{name: claude(strict, name) for name in frail},
        },
        tiers={"light": ["local"], "mid": ["mini"], "premium": ["claude"]},
        aliases={"claude-sonnet-5-5": "premium"},
        gate={"max_wait_ms": 20_000, "max_wait_alone_ms": 30_000},
    )


def embedders(faults: FaultServer, embedding_model: str, text_model: str) -> Config:
    """Vectors of two engines of this box, and of one cloud model in two regions, first the one outside the union.

    A key of a tenant is `key-of-<tenant>`. `mini` writes text; all of the cloud is the fault server.
    """
    quick = {"connect_s": 2, "first_token_s": 2, "idle_s": 2, "total_s": 3}
    cloud: Config = {"embeddings": True, "price": {"input": 0.131}, "timeouts": quick, "model": "embed-large"}
    tenants: Config = {"globex": {}, "acme": {"regions": ["eu-west"]}, "vault": {"local_only": True}}
    return base(
        engines={
            "minilm": {"kind": "llama_cpp", "model": embedding_model, "runner": "pooling", "context": 512},
            "pooled": {
                "kind": "llama_cpp",
                "model": text_model,
                "runner": "pooling",
                "pooling": "mean",
                "context": 512,
            },
        },
        backends={
            "minilm": {"engine": "minilm"},
            "pooled": {"engine": "pooled"},
            "cloud-us": provider(faults, **cloud, region="us-east"),
            "cloud-eu": provider(faults, **cloud, region="eu-west"),
            "other": provider(faults, "embed-other", embeddings=True, price={"input": 0.017}),
            "mini": provider(faults, "mid", price=PRICES["mid"]),
        },
        tiers={"light": [], "mid": ["mini"], "premium": []},
        aliases={"text-embedding-3-small": "minilm", "text-embedding-ada-002": "cloud-us"},
        auth={"mode": "keys"},
        classes={"free": {"default_tier": "light", "max_tier": "light"}},
        tenants={
            name: {"class": "free", **tenant, "keys": [{"name": "ci", "hash": hash_of(f"key-of-{name}")}]}
            for name, tenant in tenants.items()
        },
    )


LIGHT = "smollm2-135m-instruct"
"""What the fault server is called when it plays the light engine; the others are `mid` and `premium`."""

SECRETS = {"BIG_KEY": "sk-premium-secret"}
"""The environment that `three_tiers` wants."""

TO_LIGHT = {"x-forebay-task": "faq"}
TO_MID = {"x-forebay-task": "summary"}
TO_PREMIUM = {"x-forebay-task": "reasoning"}
"""Hints that have a request start in a tier, for prompts that do not look hard."""
