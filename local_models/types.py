"""The nouns that cross the line between the engine host and those who use it.

Times are Unix seconds, sizes are tokens unless a name says bytes.
"""

import re
from enum import StrEnum
from typing import Final, Literal

from msgspec import Struct

# An engine's name becomes part of a log file's name, so nothing that could leave the folder.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_URL: Final = re.compile(r"https?://[^\s/?#]+(/[^\s?#]*)?")


Runner = Literal["generate", "pooling"]
"""What an engine process is for, in vLLM's words: it generates text, or gives vectors. One does not do both."""
Pooling = Literal["mean", "last", "cls"]
"""How the vectors of a text's tokens become one."""


class EngineState(StrEnum):
    """Where an engine stands. Only `serving` states take requests."""

    STARTING = "starting"
    """Launched, not yet healthy: it is loading its model."""
    WARMING = "warming"
    """Healthy; the canary has not been answered yet."""
    UP = "up"
    DEGRADED = "degraded"
    """Serving, but the last health check failed."""
    FENCED = "fenced"
    """Alive as far as anybody knows, but not to be given requests."""
    RESTARTING = "restarting"
    """Crashed, or being ended because it hung; it is launched again after the back-off."""
    QUARANTINE = "quarantine"
    """Given up for now; `detail` has the reason."""
    STOPPED = "stopped"
    """Not wanted. With a pid: still on its way out."""

    @property
    def serving(self) -> bool:
        """Whether requests may be sent."""
        return self in (EngineState.UP, EngineState.DEGRADED)


class EngineSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to run. Two equal specs mean the same engine: it is not started again.

    Raises ValueError (msgspec.ValidationError when decoding) for a spec that cannot be run.
    """

    name: str
    kind: Literal["llama_cpp", "vllm", "attached"]
    model: str
    """Display name; where we start the engine also the name it serves it under, for attached the name its servers
    expect, or empty: then it is the first one they list."""
    path: str | None = None
    """llama_cpp: absolute path of the GGUF. vllm: absolute path of a folder, or a name that vLLM fetches from a hub."""
    python: str | None = None
    """vllm: the interpreter of the environment that vLLM is in."""
    command: tuple[str, ...] = ()
    """vllm: words that stand for the command `vllm`, instead of `python`."""
    urls: tuple[str, ...] = ()
    """attached: base URLs without a trailing path, e.g. http://127.0.0.1:8000."""
    ca: str | None = None
    """attached, over https: certificates in PEM that theirs must lead to, in place of those this machine trusts."""
    parallel: int = 8
    """Requests that run at the same time (slots)."""
    context: int = 4096
    """Tokens a single request may use, prompt and answer together."""
    threads: int | None = None
    """CPU threads; None takes every CPU this process may use."""
    runner: Runner = "generate"
    pooling: Pooling | None = None
    """Runner pooling with a model that was made to generate: how its vectors are pooled."""
    args: tuple[str, ...] = ()
    """Further arguments for the engine's command line, as they are."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"engine name {self.name!r}: letters, digits, '.', '_' and '-', at most 64")
        if self.kind == "llama_cpp" and not self.path:
            raise ValueError(f"engine {self.name}: kind llama_cpp needs the path of a GGUF")
        if self.kind == "vllm" and not (self.path and bool(self.python) != bool(self.command)):
            raise ValueError(f"engine {self.name}: kind vllm needs a path, and either python or command")
        if self.kind == "attached" and not self.urls:
            raise ValueError(f"engine {self.name}: kind attached needs at least one url")
        if not all(_URL.fullmatch(url) for url in self.urls):
            raise ValueError(f"engine {self.name}: urls begin with http:// or https:// and a host: {self.urls}")
        if self.pooling is not None and self.runner != "pooling":
            raise ValueError(f"engine {self.name}: pooling is for runner pooling")
        if self.parallel < 1 or self.context < 1 or (self.threads is not None and self.threads < 1):
            raise ValueError(f"engine {self.name}: parallel, context and threads must be at least 1")


class EngineMetrics(Struct, frozen=True, kw_only=True):
    """One scrape of an engine's /metrics. None is unknown: the engine does not report it, which is not 0.

    Counters start from 0 at each launch of the engine.
    """

    at: float
    running: int | None = None
    waiting: int | None = None
    kv_usage: float | None = None
    """Share of the KV pool in use, 0..1; of several pools the fullest."""
    kv_tokens: int | None = None
    """Size of the KV pool in tokens."""
    prompt_tokens: int | None = None
    prompt_tokens_cached: int | None = None
    generation_tokens: int | None = None
    requests_finished: int | None = None
    preemptions: int | None = None


class Replica(Struct, frozen=True, kw_only=True):
    """One url of an attached engine."""

    url: str
    state: EngineState
    detail: str
    since: float
    hung: bool = False
    metrics: EngineMetrics | None = None


class EngineSnapshot(Struct, frozen=True, kw_only=True):
    """What is known of one engine at present."""

    name: str
    state: EngineState
    url: str | None
    """Base URL for requests, e.g. http://127.0.0.1:40123; another one after each launch, None when nothing
    listens. Of an attached engine with several urls it is that of the first healthy one."""
    detail: str
    """One line for a person: why it is not up; empty when there is nothing to say."""
    since: float
    """When `state` began."""
    restarts: int
    """Launches after a crash, since the engine was first asked for."""
    pid: int | None
    model: str
    slots: int
    capabilities: tuple[str, ...] | None = None
    """What its model can do, as the engine lists it; None while unknown, and where it says nothing."""
    hung: bool = False
    """It lives and does not get on: nothing more comes of the requests that it has taken."""
    metrics: EngineMetrics | None = None
    """Latest scrape; None while unknown."""
    replicas: tuple[Replica, ...] = ()
    """Attached engines only, one per url in the order of the spec."""
