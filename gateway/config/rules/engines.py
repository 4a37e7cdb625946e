"""Engines: what each kind needs, and what would have no effect on it."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Literal

from gateway.config.addresses import HIGHEST_PORT, loopback, url_host, url_port
from gateway.config.findings import Finding, Path, found
from gateway.config.schema import Config, Engine
from gateway.config.sites import engine_on_box

Kind = Literal["llama_cpp", "vllm", "attached"]

_ONLY_ATTACHED = "only for kind: attached; a {} engine runs here, in the server's region"
_ONLY_LLAMA = MappingProxyType(
    {
        "attached": "only for kind: llama_cpp; an attached server has its own settings",
        "vllm": "only for kind: llama_cpp; say it in args, as vLLM calls it",
    }
)
_ONLY_VLLM = "only for kind: vllm"
_OF_KIND: Mapping[Kind, frozenset[str]] = MappingProxyType(
    {
        "llama_cpp": frozenset({"threads", "attention", "pooling"}),
        "vllm": frozenset({"python", "command", "args"}),
        "attached": frozenset({"urls", "on_box", "region", "ca"}),
    }
)
# What the file says elsewhere, or what Forebay has to know: an argument after ours would win over it without a word.
_OURS = MappingProxyType(
    {
        "--host": "Forebay chooses it",
        "--port": "Forebay chooses it",
        "--uds": "Forebay asks it at a port",
        "--root-path": "Forebay asks it at /v1",
        "--ssl-keyfile": "nothing leaves the loopback",
        "--ssl-certfile": "nothing leaves the loopback",
        "--api-key": "it listens on loopback alone",
        "--model": "write model: above",
        "--served-model-name": "write model: above",
        "--max-num-seqs": "write parallel: above",
        "--max-model-len": "write context: above",
        "--runner": "write runner: above",
        "--headless": "Forebay talks to its API",
        "--config": "say here what it says",
    }
)


def llama_cpp_needs_a_model(config: Config) -> Iterator[Finding]:
    """There is nothing to start without one."""
    for path, engine in _of_kind(config, "llama_cpp"):
        if engine.model is None:
            message = "missing key; name a model of the catalog, or the path of a GGUF file"
            yield found((*path, "model"), message, depends=((*path, "kind"),))


def attached_needs_urls(config: Config) -> Iterator[Finding]:
    """There is nothing to call without one."""
    for path, engine in _of_kind(config, "attached"):
        if not engine.urls:
            message = "missing key; list the address of each server, such as http://127.0.0.1:8000"
            yield found((*path, "urls"), message, depends=((*path, "kind"),))


def vllm_needs_a_model(config: Config) -> Iterator[Finding]:
    """It would take one of its own choosing."""
    for path, engine in _of_kind(config, "vllm"):
        if engine.model is None:
            message = "missing key; name a model on the hub, such as Qwen/Qwen3-8B, or the path of a folder"
            yield found((*path, "model"), message, depends=((*path, "kind"),))


def vllm_needs_a_program(config: Config) -> Iterator[Finding]:
    """It is no part of Forebay's environment; and of two programs nobody could tell which is meant."""
    for path, engine in _of_kind(config, "vllm"):
        depends = tuple((*path, key) for key in ("kind", "python", "command"))
        if engine.python is None and not engine.command:
            message = (
                "missing key; name the interpreter vLLM is installed for, such as /opt/vllm/bin/python, or a command"
            )
            yield found((*path, "python"), message, depends=depends)
        elif engine.python is not None and engine.command:
            yield found((*path, "command"), "either python or command, not both", depends=depends)


def args_are_not_ours(config: Config) -> Iterator[Finding]:
    """What the file says by a key of its own, or Forebay decides, has one place."""
    for path, engine in _of_kind(config, "vllm"):
        for index, word in enumerate(engine.args):
            # As vLLM's own parser reads them: with = or a space, with dashes or underscores, and cut short.
            flag = word.partition("=")[0].replace("_", "-")
            whole = next((ours for ours in _OURS if flag == ours or (len(flag) > 4 and ours.startswith(flag))), None)
            if whole is not None and word.startswith("--"):
                yield found((*path, "args", index), f"not in args: {_OURS[whole]}", depends=((*path, "kind"),))


def keys_have_an_effect(config: Config) -> Iterator[Finding]:
    """A key of another kind would be obeyed by nobody, and its writer would think it were."""
    for name, engine in config.engines.items():
        path: Path = ("engines", name)
        for kind, keys in _OF_KIND.items():
            for key in Engine.model_fields:
                if kind != engine.kind and key in keys and getattr(engine, key) not in (None, ()):
                    yield found((*path, key), _of_another(kind, engine.kind), depends=((*path, "kind"),))


def _of_another(wanted: Kind, kind: Kind) -> str:
    """Why a key of engines of one kind has no effect on one of another."""
    if wanted == "vllm":
        return _ONLY_VLLM
    return _ONLY_ATTACHED.format(kind) if wanted == "attached" else _ONLY_LLAMA[kind]


def pooling_is_for_its_runner(config: Config) -> Iterator[Finding]:
    """An engine that writes text pools nothing."""
    for path, engine in _of_kind(config, "llama_cpp"):
        if engine.pooling is not None and engine.runner != "pooling":
            message = "only with runner: pooling, which gives vectors instead of text"
            yield found((*path, "pooling"), message, depends=((*path, "kind"), (*path, "runner")))


def vectors_need_no_capabilities(config: Config) -> Iterator[Finding]:
    """They name what a text may need; whoever lists some thinks of another engine."""
    for name, engine in config.engines.items():
        if engine.runner == "pooling" and engine.capabilities is not None:
            path: Path = ("engines", name)
            message = "remove the line; an engine with runner: pooling gives vectors, and nothing else"
            yield found((*path, "capabilities"), message, depends=((*path, "runner"),))


def urls_end_before_the_version(config: Config) -> Iterator[Finding]:
    """Not only `/v1` is added to them: `/health` and `/metrics` stand beside it."""
    for path, engine in _of_kind(config, "attached"):
        for index, url in enumerate(engine.urls):
            base = url.rstrip("/")
            if base.endswith("/v1"):
                message = "expected the address without /v1, found {}"
                yield found((*path, "urls", index), message, url, suggestion=base.removesuffix("/v1"))


def https_off_the_box(config: Config) -> Iterator[Finding]:
    """Prompts do not cross a network in the clear; on_box is the operator's word that they do not cross any."""
    for path, engine in _of_kind(config, "attached"):
        for index, url in enumerate(engine.urls):
            if url.startswith("http://") and not loopback(url_host(url)) and not engine.on_box:
                secure = url.replace("http://", "https://", 1)
                depends = ((*path, "kind"), (*path, "on_box"))
                yield found(
                    (*path, "urls", index), "expected https://, found {}", url, suggestion=secure, depends=depends
                )


def ca_is_for_https(config: Config) -> Iterator[Finding]:
    """A server that shows no certificate has none to be held against it."""
    for path, engine in _of_kind(config, "attached"):
        if engine.ca is not None and engine.urls and not any(url.startswith("https://") for url in engine.urls):
            yield found((*path, "ca"), "only for https; every url is http", depends=((*path, "urls"),))


def ports_exist(config: Config) -> Iterator[Finding]:
    """A port above the highest would fail at the first call only."""
    for path, engine in _of_kind(config, "attached"):
        for index, url in enumerate(engine.urls):
            port = url_port(url)
            if port is not None and not 1 <= port <= HIGHEST_PORT:
                yield found((*path, "urls", index), "expected a port from 1 to 65535, found {}", url)


def elsewhere_needs_a_region(config: Config) -> Iterator[Finding]:
    """What is not on this box stands somewhere, and nobody but its operator knows where."""
    for path, engine in _of_kind(config, "attached"):
        if engine.urls and not engine_on_box(engine) and engine.region is None:
            message = "missing key; say in which region it stands, for it is not on this box"
            if engine.on_box is None:
                message += " ({}), or write on_box: true if it is"
            away = (url for url in engine.urls if not loopback(url_host(url)))
            values = () if engine.on_box is not None else (next(away, ""),)
            depends = tuple((*path, key) for key in ("kind", "urls", "on_box"))
            yield found((*path, "region"), message, *values, depends=depends)


def one_box_one_region(config: Config) -> Iterator[Finding]:
    """An engine on this box cannot stand in another region than the box."""
    for path, engine in _of_kind(config, "attached"):
        if engine_on_box(engine) and engine.region not in (None, config.server.region):
            message = "it is on this box, whose region is {}; remove the line, or write on_box: false"
            depends = (("server", "region"), *((*path, key) for key in ("kind", "urls", "on_box")))
            yield found((*path, "region"), message, config.server.region, depends=depends)


def _of_kind(config: Config, kind: Kind) -> Iterator[tuple[Path, Engine]]:
    return ((("engines", name), engine) for name, engine in config.engines.items() if engine.kind == kind)


RULES = (
    llama_cpp_needs_a_model,
    vllm_needs_a_model,
    vllm_needs_a_program,
    args_are_not_ours,
    attached_needs_urls,
    keys_have_an_effect,
    pooling_is_for_its_runner,
    vectors_need_no_capabilities,
    urls_end_before_the_version,
    https_off_the_box,
    ca_is_for_https,
    ports_exist,
    elsewhere_needs_a_region,
    one_box_one_region,
)
