"""`forebay serve`: run the gateway until it is told to stop."""

import asyncio
import logging
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from gateway.app import Addresses, Certificate, EngineFailure, Gateway, Stop, bound, renewing
from gateway.app import serve as serve_gateway
from gateway.cli.console import Terminal, terminal_of
from gateway.cli.source import configuration
from gateway.config.environment import home
from gateway.config.schema import Config

_UP_WITHIN_S = 600.0


def serve(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option(help="Configuration file; the built-in developer set-up without.")
    ] = None,
) -> None:
    """Answer requests. With no file: the small model on this CPU, and the cloud for whichever key is set."""
    terminal = terminal_of(context)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    loaded = configuration(config, terminal.environ)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(loaded, terminal))


async def _serve(config: Config, terminal: Terminal) -> None:
    stop = Stop()
    certificate = _certificate(config, terminal)
    with stop.on_signals(), renewing(certificate), bound(config.server, certificate) as addresses:
        async with Gateway(config, home(terminal.environ)) as gateway:
            await _run(gateway, addresses, terminal, stop, "" if certificate is None else certificate.loaded.host)


def _certificate(config: Config, terminal: Terminal) -> Certificate | None:
    """The certificate that is shown, if any; what is good for now only is said."""
    if config.server.tls is None:
        return None
    certificate = Certificate(config.server.tls)
    for warning in certificate.loaded.warnings:
        terminal.warn(warning)
    return certificate


async def _run(gateway: Gateway, addresses: Addresses, terminal: Terminal, stop: Stop, host: str) -> None:
    """Serve; `host` is the name that the certificate is for, if there is one."""
    news: list[asyncio.Task[None]] = []

    def started(api: str, admin: str) -> None:
        _greet(gateway.config, terminal, api, admin)
        asked = f"https://{host}:{api.rpartition(':')[2]}" if host else api
        news.append(asyncio.create_task(_announce(gateway, terminal, asked, stop)))

    await serve_gateway(gateway, addresses, started, stop)
    for task in news:
        task.cancel()
    for result in await asyncio.gather(*news, return_exceptions=True):
        if isinstance(result, EngineFailure):
            raise result


def _greet(config: Config, terminal: Terminal, api: str, admin: str) -> None:
    out = terminal.err
    out.print(f"forebay listens on {api} (admin, metrics: {admin})", style="bold", soft_wrap=True)
    for tier, names in (("light", config.tiers.light), ("mid", config.tiers.mid), ("premium", config.tiers.premium)):
        if names:
            out.print(f"  {tier:<8} {', '.join(names)}", soft_wrap=True)


async def _announce(gateway: Gateway, terminal: Terminal, api: str, stop: Stop) -> None:
    """Say when each engine is up, and how to ask. An engine that cannot run at all, say because its file is no
    model, is a mistake in the configuration: then everything stops, with the reason.
    """
    engines = gateway.engines
    for name in gateway.config.engines:
        assert engines is not None
        try:
            snapshot = await engines.settled(name, _UP_WITHIN_S)
        except EngineFailure as failure:
            view = engines.view(name)
            if view is not None and view.given_up:
                stop.asked.set()
                raise
            terminal.error(str(failure))
            continue
        terminal.err.print(f"  engine {name}: {snapshot.model} is up", soft_wrap=True)
    key = "" if gateway.config.auth.mode == "none" else "-H 'authorization: Bearer YOUR_KEY' "
    body = '{"model": "auto", "messages": [{"role": "user", "content": "What is the capital of France?"}]}'
    terminal.err.print("try:", style="bold")
    terminal.err.print(
        f"  curl {api}/v1/chat/completions {key}-H 'content-type: application/json' -d '{body}'", soft_wrap=True
    )
