"""The configuration file, key by key.

Unknown keys are refused. Secrets stand only as `${NAME}`. Money is in US dollars per million tokens here and
becomes integer nano-dollars when the parts are built. Rules that need two keys at once are in `rules/`. What the
patterns below ask for is said in plain words in `expected.py`.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from gateway.config.kinds import (
    HASH_PATTERN,
    Context,
    Count,
    Dollars,
    FilePath,
    HttpUrl,
    Listen,
    Milliseconds,
    ModelName,
    Name,
    ProxyUrl,
    Seconds,
    Secret,
    Section,
    Share,
    Tokens,
    Word,
)
from gateway.config.promises import Policy, SlaClass, Task
from gateway.types import Capability


class Tls(Section):
    """Files in PEM. SIGHUP has them read again, for new connections."""

    certificate: FilePath
    """The certificate and, after it, those between it and its authority."""
    key: FilePath
    """Its private key, without a passphrase."""


class Server(Section):
    """Where Forebay listens and what it takes in."""

    listen: Listen = "127.0.0.1:8080"
    """Address of the API. Anything but loopback needs `auth: {mode: keys}`."""
    tls: Tls | None = None
    """The API speaks https, TLS 1.2 or newer, and no http. The admin address stays on loopback, and http."""
    admin_listen: Listen = "127.0.0.1:8081"
    """Address of metrics and admin pages; loopback only."""
    region: Name = "local"
    """The region this box stands in, and with it its engines."""
    max_body_bytes: Annotated[int, Field(ge=1024, le=256 * 1024 * 1024)] = 10 * 1024 * 1024
    """Largest request body."""
    body_timeout_s: Seconds = 30.0
    """A request body must have arrived within this time."""
    request_timeout_s: Seconds = 600.0
    """Deadline of a whole request, all attempts included."""
    drain_s: Seconds = 30.0
    """On SIGTERM, running requests may finish within this time."""
    keep_engines: bool = False
    """Leave engines running when `serve` stops."""


class Engine(Section):
    """A process on this box that serves a model, or servers that somebody else runs."""

    kind: Literal["llama_cpp", "vllm", "attached"]
    """llama_cpp: started and watched here, on the CPU. vllm: likewise, on GPUs. attached: already running at `urls`."""
    model: ModelName | None = None
    """llama_cpp: a catalog name, the path of a GGUF file, or an address that was pulled (hf:…, pypi:…).
    vllm: the path of a folder, or a name on the hub it fetches models from (Qwen/Qwen3-8B).
    attached: the name those servers expect."""
    python: FilePath | None = None
    """vllm: the interpreter of the environment that vLLM is installed in, such as /opt/vllm/bin/python."""
    command: Annotated[tuple[Word, ...], Field(max_length=100)] = ()
    """vllm: instead of `python`, words that stand for the command vllm: [apptainer, exec, --nv, vllm.sif, vllm].
    What they start must be their child: an engine that a daemon starts for them outlives a SIGKILL."""
    args: Annotated[tuple[Word, ...], Field(max_length=100)] = ()
    """vllm: more arguments of `vllm serve`, such as [--gpu-memory-utilization, "0.8"]."""
    urls: tuple[HttpUrl, ...] = ()
    """attached: base addresses of the servers, without /v1. Of several, one that has the beginning of the prompt in its
    cache is asked, unless it has more than its share to do; otherwise the one that has the least."""
    parallel: Count = 8
    """Requests answered at a time."""
    context: Context = 4096
    """Tokens per request, prompt and answer."""
    threads: Count | None = None
    """CPU threads; all cores unless given."""
    attention: Literal["flash", "plain"] | None = None
    """llama_cpp: flash, the default, gives a short answer the same tokens whatever else is being answered. plain is
    several times as fast with prompts of a thousand tokens and more."""
    runner: Literal["generate", "pooling"] = "generate"
    """generate: it writes text. pooling: it gives vectors, for /v1/embeddings alone."""
    pooling: Literal["mean", "last", "cls"] | None = None
    """llama_cpp with runner: pooling: how a model made to write is pooled; one made for embeddings says it itself."""
    on_box: bool | None = None
    """attached: data sent there does not leave the box. Loopback addresses are on the box."""
    region: Name | None = None
    """attached and not on the box: the region it stands in."""
    ca: FilePath | None = None
    """attached over https: a file of certificates (PEM); theirs must lead to one of them, not to this machine's."""
    standby: Name | None = None
    """The engine that answers in its place while it is not up, under the same backend's name."""
    capabilities: frozenset[Capability] | None = None
    """What it can do. llama_cpp: what the engine says once it is up, unless given; vllm, attached: give tools
    where that server calls tools."""


class Price(Section):
    """US dollars per million tokens."""

    input: Dollars
    """Prompt tokens."""
    output: Dollars | None = None
    """Tokens written, reasoning included. Vectors have none."""
    cached: Dollars | None = None
    """Prompt tokens read from the provider's cache; the input price unless given."""
    cache_write: Dollars | None = None
    """Prompt tokens put into the provider's cache; the input price unless given."""


class Params(Section):
    """How a backend wants its body fields: some models refuse `max_tokens`, a temperature, or logprobs.

    `drop` comes first, then `defaults`, then `rename`: a field that is dropped and has a default is always sent with
    that value.
    """

    rename: dict[str, str] = {}
    """Field names to change, for example `max_tokens: max_completion_tokens`."""
    drop: frozenset[str] = frozenset()
    """Fields never sent to it."""
    defaults: dict[str, Any] = {}
    """Fields sent where the request has none."""


class Timeouts(Section):
    """Deadlines of one attempt. Time in which this machine slept or was paused counts for none of them."""

    connect_s: Seconds = 5.0
    """Until a connection stands."""
    first_token_s: Seconds = 60.0
    """Until the first token, or the whole answer where it is not streamed."""
    idle_s: Seconds = 30.0
    """Longest silence between two pieces of a stream."""
    total_s: Seconds = 600.0
    """The whole attempt."""


class Backend(Section):
    """Something to call: an engine (`engine`), or a provider (`provider`, `base_url`, `model`)."""

    engine: Name | None = None
    """The engine that serves it."""
    provider: Literal["openai", "anthropic"] | None = None
    """openai: any address that speaks OpenAI's API. anthropic: Anthropic's Messages API."""
    base_url: HttpUrl | None = None
    """As that provider's own client takes it: for openai with the version, …/v1; for anthropic without."""
    model: ModelName | None = None
    """The model name that provider knows."""
    api_key: Secret | None = None
    """As ${NAME}, the name of an environment variable."""
    region: Name | None = None
    """Where the provider processes the data."""
    ca: FilePath | None = None
    """A file of certificates (PEM) the provider's must lead to, instead of those that this machine trusts."""
    proxy: ProxyUrl | None = None
    """http://host:port of a proxy on the way; the environment's proxies are not used."""
    price: Price | None = None
    """What it costs. An engine of this box costs nothing unless a price is given."""
    context: Context | None = None
    """Tokens, prompt and answer, if the model has a limit."""
    max_output: Tokens | None = None
    """Most tokens it writes."""
    embeddings: bool = False
    """provider: it gives vectors, and stands in no tier. An engine with runner: pooling does anyway."""
    completions: bool = False
    """provider: it goes on with a raw prompt at /completions, as engines do. Else prompts become chats."""
    capabilities: frozenset[Capability] | None = None
    """What it can do, if not what its kind usually can."""
    params: Params = Params()
    """How it wants its body fields."""
    timeouts: Timeouts = Timeouts()
    """Deadlines of one attempt. Time in which this machine slept or was paused counts for none of them."""


class Tiers(Section):
    """Which backends make a tier; the order within a tier is the fallback order."""

    light: tuple[Name, ...] = ()
    """Answers first."""
    mid: tuple[Name, ...] = ()
    """For work that is not clearly easy."""
    premium: tuple[Name, ...] = ()
    """For the hardest."""


class Probation(Section):
    """How much of a light streamed answer is held back and scored before it is committed."""

    tokens: Annotated[int, Field(ge=0, le=4096)] = 24
    """Tokens held; 0 commits at once."""
    ms: Milliseconds = 400
    """Time after the first token; whichever comes first."""


class Confidence(Section):
    """When a light answer is good enough."""

    threshold: Share = 0.5
    """Scores below it escalate."""
    trigger_words: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = ()
    """An answer that contains one of these escalates; case does not matter."""
    probation: Probation = Probation()
    """What is held back of a stream."""


class Gate(Section):
    """How long a request waits for a slot on this box."""

    max_wait_ms: Milliseconds = 250
    """Where another backend may answer instead."""
    max_wait_alone_ms: Milliseconds = 5_000
    """Where none may."""
    max_waiting: Annotated[int, Field(ge=0, le=100_000)] = 64
    """Requests that wait per engine; more are turned away at once."""


class Key(Section):
    """One API key of a tenant."""

    name: Name
    """What logs and the ledger call it."""
    hash: Annotated[str, Field(pattern=HASH_PATTERN)]
    """sha256: and the hex digest, from `printf %s "$KEY" | sha256sum`."""


class Tenant(Section):
    """Somebody who uses Forebay, and what applies to them."""

    sla: Annotated[Name | None, Field(alias="class")] = None
    """SLA class."""
    regions: Literal["any"] | tuple[Name, ...] | None = None
    """Where this tenant's data may go; `policy.default_regions` unless given."""
    local_only: bool = False
    """Nothing of this tenant's leaves the box."""
    keys: tuple[Key, ...] = ()
    """API keys."""


class Auth(Section):
    """Who may ask."""

    mode: Literal["none", "keys"] = "none"
    """none: everybody who reaches the address, which must be loopback. keys: holders of a tenant's key."""


class Log(Section):
    """One JSON line per request, without any text of prompt or answer."""

    requests: Literal["stdout", "stderr", "off"] = "stdout"
    """Where the lines go."""


class Config(Section):
    """A whole configuration file."""

    schema_version: Literal[1]
    """The version of this shape."""
    server: Server = Server()
    """Addresses and limits."""
    engines: dict[Name, Engine] = {}
    """Processes on this box that serve models."""
    backends: dict[Name, Backend]
    """What can be called."""
    tiers: Tiers
    """Which backends answer first, and which come after."""
    aliases: dict[Annotated[str, Field(min_length=1, max_length=200)], str] = {}
    """Other names clients may ask for; `*` stands for every name not known otherwise."""
    regions: dict[Name, tuple[Name, ...]] = {}
    """Groups of regions; names match exactly, never by prefix."""
    policy: Policy = Policy()
    """Rules for everybody."""
    classes: dict[Name, SlaClass] = {}
    """SLA classes."""
    tasks: dict[Name, Task] = {}
    """Kinds of work; changes and adds to the built-in table."""
    confidence: Confidence = Confidence()
    """When an answer is good enough."""
    gate: Gate = Gate()
    """Waiting for a slot on this box."""
    auth: Auth = Auth()
    """Who may ask."""
    tenants: dict[Name, Tenant] = {}
    """Who they are."""
    log: Log = Log()
    """Request log."""
