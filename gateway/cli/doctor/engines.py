"""Engines: whether the CPU engine can be compiled and loaded here, and whether attached ones answer."""

import asyncio
import shlex
import ssl
import sys
from collections.abc import Iterator

import httpx
from msgspec import Struct

from gateway.app.trust import TrustUnusable, certificates
from gateway.cli.doctor.finding import Finding, broken, ok, warning
from gateway.config.environment import Environ
from gateway.config.schema import Config, Engine
from gateway.config.sites import engine_on_box
from local_models.probe import EngineProbe
from local_models.toolchain import compiler_install_command, engine_fault, find_compiler
from local_models.trust import client_context


class Attached(Struct, frozen=True, kw_only=True):
    """One server that somebody else runs; `fault` is why it does not answer."""

    engine: str
    url: str
    on_box: bool
    fault: str | None


class Facts(Struct, frozen=True, kw_only=True):
    """`wanted`: an engine of the configuration runs on the CPU. `fault`: why its libraries do not load."""

    wanted: bool
    compiler: str | None
    install: str
    fault: str | None
    attached: tuple[Attached, ...] = ()

    @property
    def silent(self) -> tuple[Attached, ...]:
        """Servers on this box that do not answer."""
        return tuple(each for each in self.attached if each.on_box and each.fault is not None)


def gather(config: Config | None, environ: Environ, *, online: bool) -> Facts:
    """Try to load the CPU engine, and ask attached ones how they are: those on the box, with `online` all of them."""
    engines = {} if config is None else config.engines
    asked = {
        name: each for name, each in engines.items() if each.kind == "attached" and (online or engine_on_box(each))
    }
    return Facts(
        wanted=config is None or any(each.kind == "llama_cpp" for each in engines.values()),
        compiler=find_compiler(environ),
        install=compiler_install_command(environ),
        fault=engine_fault(environ),
        attached=tuple(asyncio.run(_ask(asked))) if asked else (),
    )


def findings(facts: Facts) -> Iterator[Finding]:
    """What cannot run, and why."""
    if facts.fault is None:
        yield ok("engine", "the CPU engine (llama-cpp-python) loads")
    elif facts.wanted:
        yield broken("engine", f"the CPU engine (llama-cpp-python) cannot be loaded: {facts.fault}", _build())
    else:
        yield ok("engine", "the CPU engine is not installed, and no engine here is llama_cpp")
    yield from _compiler(facts)
    for each in facts.attached:
        if each.fault is None:
            yield ok("attached", f"engine {each.engine} answers at {each.url}")
        else:
            yield broken(
                "attached",
                f"engine {each.engine} at {each.url}: {each.fault}",
                f"start the server there, or correct engines.{each.engine}.urls",
            )


def _build() -> str:
    command = f"CMAKE_ARGS=-DLLAVA_BUILD=OFF {shlex.quote(sys.executable)} -m pip install 'forebay[cpu]'"
    return f"in Forebay's folder run `scripts/run` again, which compiles and installs it; elsewhere `{command}`"


def _compiler(facts: Facts) -> Iterator[Finding]:
    if facts.compiler is not None:
        yield ok("compiler", facts.compiler)
    elif facts.fault is not None and facts.wanted:
        yield broken("compiler", "no C++ compiler, and the CPU engine has to be compiled", facts.install)
    elif facts.wanted:
        yield warning("compiler", "no C++ compiler: the next version of the CPU engine needs one", facts.install)


async def _ask(engines: dict[str, Engine]) -> list[Attached]:
    return list(await asyncio.gather(*(_one(name, each, url) for name, each in engines.items() for url in each.urls)))


async def _one(name: str, engine: Engine, url: str) -> Attached:
    try:
        verify = _trusted(name, engine) if url.startswith("https://") else False
    except TrustUnusable as error:
        return Attached(engine=name, url=url, on_box=engine_on_box(engine), fault=str(error))
    async with httpx.AsyncClient(verify=verify, trust_env=False) as http:
        verdict = await EngineProbe(url, http).health()
    return Attached(engine=name, url=url, on_box=engine_on_box(engine), fault=None if verdict.ok else verdict.why)


def _trusted(name: str, engine: Engine) -> ssl.SSLContext:
    return client_context(None if engine.ca is None else certificates(engine.ca, f"engines.{name}.ca"))
