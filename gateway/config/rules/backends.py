"""Backends: what a provider needs, what an engine's backend may not have, and how fields are renamed."""

from collections.abc import Iterator
from itertools import groupby

from gateway.config.addresses import HIGHEST_PORT, loopback, url_host, url_port
from gateway.config.findings import Finding, Path, found
from gateway.config.schema import Backend, Config, Params
from gateway.config.suggest import nearest
from gateway.config.vectors import gives_vectors
from gateway.types import Capability

_NOT_ANTHROPICS = frozenset({Capability.JSON_OBJECT, Capability.LOGPROBS, Capability.MULTIPLE_CHOICES})
_PROVIDERS_OWN = ("base_url", "model", "api_key", "region", "ca", "proxy")


def engine_or_provider(config: Config) -> Iterator[Finding]:
    """A backend is one thing to call."""
    for path, backend in _all(config):
        if backend.engine is not None and backend.provider is not None:
            yield found(path, "has both engine and provider; keep one", depends=((*path, "engine"),))
        if backend.engine is None and backend.provider is None:
            yield found(path, "expected engine: (one of this box) or provider: (such as openai)")


def engine_exists(config: Config) -> Iterator[Finding]:
    """An engine is named as it is under `engines`."""
    for path, backend in _all(config):
        if backend.engine is not None and backend.engine not in config.engines:
            near = nearest(backend.engine, config.engines)
            here = (*path, "engine")
            yield found(
                here, "no engine is called {}", backend.engine, suggestion=near, depends=(("engines", backend.engine),)
            )


def engine_says_the_rest(config: Config) -> Iterator[Finding]:
    """Address, model and region of an engine's backend are the engine's; a second answer would be ignored."""
    for path, backend in _all(config):
        if backend.engine is not None and backend.provider is None:
            for key in _PROVIDERS_OWN:
                if getattr(backend, key) is not None:
                    yield found((*path, key), "only for a provider; this backend is served by an engine")


def provider_has_an_address(config: Config) -> Iterator[Finding]:
    """Nobody guesses where data is sent to."""
    for path, backend in _providers(config, "base_url"):
        message = "missing key; write the provider's address with its version, such as https://api.openai.com/v1"
        if backend.provider == "anthropic":
            message = "missing key; write the provider's address, such as https://api.anthropic.com"
        yield found((*path, "base_url"), message, depends=((*path, "provider"),))


def provider_has_a_model(config: Config) -> Iterator[Finding]:
    """A provider serves many."""
    for path, _ in _providers(config, "model"):
        yield found(
            (*path, "model"), "missing key; write the provider's name of the model", depends=((*path, "provider"),)
        )


def provider_has_a_price(config: Config) -> Iterator[Finding]:
    """A price that is not known would be counted as none, and no budget would hold."""
    for path, _ in _providers(config, "price"):
        message = "missing key; write US dollars per million tokens, or {input: 0, output: 0} if it is free"
        yield found((*path, "price"), message, depends=((*path, "provider"),))


def provider_has_an_output_price(config: Config) -> Iterator[Finding]:
    """What writes text is paid for it; vectors are paid by what is read alone."""
    for path, backend in _all(config):
        if backend.price is not None and backend.price.output is None and not gives_vectors(config, backend):
            message = "missing key; write US dollars per million tokens written (only vectors have none)"
            yield found((*path, "price", "output"), message, depends=((*path, "embeddings"), (*path, "engine")))


def engine_says_what_it_is_for(config: Config) -> Iterator[Finding]:
    """Whether an engine gives vectors, and that it goes on with raw prompts, is not for its backend to say."""
    for path, backend in _all(config):
        engine = config.engines.get(backend.engine or "")
        if engine is None:
            continue
        depends = ((*path, "engine"), ("engines", backend.engine or "", "runner"))
        if backend.embeddings and engine.runner != "pooling":
            message = "its engine {} writes text; write runner: pooling there, or remove the line"
            yield found((*path, "embeddings"), message, backend.engine or "", depends=depends)
        if backend.completions:
            yield found((*path, "completions"), "only for a provider; engines do so anyway", depends=depends)


def anthropic_gives_no_vectors(config: Config) -> Iterator[Finding]:
    """Its API has neither embeddings nor raw prompts."""
    for path, backend in _all(config):
        for key in ("embeddings", "completions"):
            if backend.provider == "anthropic" and getattr(backend, key):
                yield found((*path, key), "Anthropic's API has none; remove the line", depends=((*path, "provider"),))


def vectors_have_no_text(config: Config) -> Iterator[Finding]:
    """What concerns an answer in words has no effect on one in numbers."""
    for path, backend in _all(config):
        if gives_vectors(config, backend):
            for key in ("max_output", "capabilities", "completions"):
                if getattr(backend, key):
                    depends = ((*path, "embeddings"), (*path, "engine"))
                    yield found((*path, key), "remove the line; this backend gives vectors", depends=depends)


def provider_has_a_region(config: Config) -> Iterator[Finding]:
    """An unknown region is refused to all data that may not go anywhere."""
    if config.policy.default_regions == "any":
        return
    for path, _ in _providers(config, "region"):
        message = "missing key; say where the provider processes the data (only default_regions: any does without)"
        depends = ((*path, "provider"), ("policy", "default_regions"))
        yield found((*path, "region"), message, depends=depends)


def anthropic_can_so_much(config: Config) -> Iterator[Finding]:
    """Its API has no words for some of what OpenAI's has; a claim to the contrary would be found out at each call."""
    for path, backend in _all(config):
        claimed = (backend.capabilities or frozenset()) & _NOT_ANTHROPICS
        if backend.provider == "anthropic" and claimed:
            words = ", ".join(sorted(claimed))
            message = "anthropic's API has no words for {}; remove that"
            yield found((*path, "capabilities"), message, words, depends=((*path, "provider"),))


def https_off_the_box(config: Config) -> Iterator[Finding]:
    """Prompts and keys do not cross a network in the clear."""
    for path, backend in _all(config):
        url = backend.base_url or ""
        if url.startswith("http://") and not loopback(url_host(url)):
            secure = url.replace("http://", "https://", 1)
            yield found((*path, "base_url"), "expected https://, found {}", url, suggestion=secure)


def https_keys_are_for_https(config: Config) -> Iterator[Finding]:
    """An http address is this box: it shows no certificate, and by a proxy its prompts would leave in the clear."""
    for path, backend in _all(config):
        if (backend.base_url or "").startswith("http://"):
            for key in ("ca", "proxy"):
                if getattr(backend, key) is not None:
                    yield found((*path, key), "only for https; base_url is http", depends=((*path, "base_url"),))


def ports_exist(config: Config) -> Iterator[Finding]:
    """A port above the highest would fail at the first call only."""
    for path, backend in _all(config):
        for key in ("base_url", "proxy"):
            url: str | None = getattr(backend, key)
            port = None if url is None else url_port(url)
            if url is not None and port is not None and not 1 <= port <= HIGHEST_PORT:
                yield found((*path, key), "expected a port from 1 to 65535, found {}", url)


def output_fits_the_context(config: Config) -> Iterator[Finding]:
    """The context holds prompt and answer."""
    for path, backend in _all(config):
        if backend.context is not None and backend.max_output is not None and backend.max_output > backend.context:
            message = f"expected at most the context, {backend.context} tokens"
            yield found((*path, "max_output"), message, depends=((*path, "context"),))


def renames_do_not_collide(config: Config) -> Iterator[Finding]:
    """Two fields that become one would overwrite each other, in an order nobody chose."""
    for path, backend in _all(config):
        here = (*path, "params", "rename")
        by_target = sorted((new, old) for old, new in backend.params.rename.items())
        for new, pairs in groupby(by_target, key=lambda pair: pair[0]):
            olds = [old for _, old in pairs]
            for old in olds[1:]:
                yield found((*here, old), "becomes {}, and so does {}", new, olds[0], depends=((*here, olds[0]),))
        for old, new in backend.params.rename.items():
            if new in backend.params.rename and new != old:
                yield found((*here, old), "becomes {}, which is itself renamed", new, depends=((*here, new),))


def params_have_an_effect(config: Config) -> Iterator[Finding]:
    """Fields are dropped, then given their defaults, then renamed; what has no effect after that is a mistake."""
    for path, backend in _all(config):
        yield from _idle_params((*path, "params"), backend.params)


def _idle_params(path: Path, params: Params) -> Iterator[Finding]:
    for old, new in params.rename.items():
        if old in params.drop and old not in params.defaults:
            yield found((*path, "rename", old), "is dropped before; keep one", depends=((*path, "drop"),))
        if new in params.defaults:
            message = "is what {} is renamed to; give the default under that name"
            yield found((*path, "defaults", new), message, old, depends=((*path, "rename"),))


def _all(config: Config) -> Iterator[tuple[Path, Backend]]:
    return ((("backends", name), backend) for name, backend in config.backends.items())


def _providers(config: Config, lacking: str) -> Iterator[tuple[Path, Backend]]:
    """The providers that do not have the key `lacking`."""
    for path, backend in _all(config):
        if backend.provider is not None and backend.engine is None and getattr(backend, lacking) is None:
            yield path, backend


RULES = (
    engine_or_provider,
    engine_exists,
    engine_says_the_rest,
    provider_has_an_address,
    provider_has_a_model,
    provider_has_a_price,
    provider_has_an_output_price,
    engine_says_what_it_is_for,
    anthropic_gives_no_vectors,
    vectors_have_no_text,
    provider_has_a_region,
    anthropic_can_so_much,
    https_off_the_box,
    https_keys_are_for_https,
    ports_exist,
    output_fits_the_context,
    renames_do_not_collide,
    params_have_an_effect,
)
