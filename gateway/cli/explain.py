"""`forebay explain PROMPT`: what would become of a request, without running anything."""

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from gateway.app.engines import learnt
from gateway.app.explanation import Explanation, explained
from gateway.app.nouns import everybody, tenant_identity
from gateway.cli.console import Terminal, terminal_of
from gateway.cli.explanation import show
from gateway.cli.gatelook import look, show_gates
from gateway.cli.source import configuration
from gateway.config.environment import home
from gateway.config.schema import Config
from gateway.config.suggest import nearest
from gateway.messages import ChatRequest
from gateway.types import Identity
from gateway.wire.openai_request import parse_chat


class ToolChoice(StrEnum):
    """What a client says of calling its tools."""

    AUTO = "auto"
    REQUIRED = "required"


def explain(
    context: typer.Context,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="The user's text; - reads it from standard input.")],
    *,
    config: Annotated[
        Path | None, typer.Option(help="Configuration file; the built-in developer set-up without.")
    ] = None,
    model: Annotated[str, typer.Option(help="What the client asks for: auto, a tier, a backend or an alias.")] = "auto",
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="A system message before the prompt.")] = None,
    max_tokens: Annotated[int | None, typer.Option(metavar="N", help="The client's limit of the answer.")] = None,
    tools: Annotated[
        ToolChoice | None,
        typer.Option(help="As a client that offers tools: auto may call one, required is made to."),
    ] = None,
    task: Annotated[str | None, typer.Option(help="As the header x-forebay-task.")] = None,
    region: Annotated[str | None, typer.Option(help="As the header x-forebay-region.")] = None,
    local_only: Annotated[bool, typer.Option("--local-only", help="As the header x-forebay-local-only.")] = False,
    sla: Annotated[str | None, typer.Option("--class", metavar="CLASS", help="Ask as somebody of this class.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Ask as this tenant.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say who would answer a request, why, at what price, and what would make it escalate.

    Nothing is run and no engine is started; engines at work are asked what they can do, and a gateway at work what its
    gate decided lately, by what, and what came of it. Exits with 0 where somebody may
    answer, with 1 where nobody may.
    """
    terminal = terminal_of(context)
    loaded = configuration(config, terminal.environ)
    hints = {"task": task, "region": region, "local-only": "true" if local_only else None}
    body: dict[str, object] = {
        "model": model,
        "messages": _messages(_text(terminal, prompt), system),
        **({} if max_tokens is None else {"max_tokens": max_tokens}),
        **(
            {}
            if tools is None
            else {"tools": [{"type": "function", "function": {"name": "tool"}}], "tool_choice": tools.value}
        ),
    }
    caller = _caller(terminal, loaded, sla, tenant)
    known = asyncio.run(learnt(home(terminal.environ)))
    explanation = explained(loaded, _request(body, hints), caller, known)
    gates = look(loaded, _engines(loaded, explanation))
    if as_json:
        terminal.json({**msgspec.structs.asdict(explanation), "gates": gates})
    else:
        show(terminal.out, explanation)
        show_gates(terminal.out, gates)
    raise typer.Exit(0 if explanation.refusal is None else 1)


def _engines(config: Config, explanation: Explanation) -> frozenset[str]:
    """Those of the candidates."""
    found = (config.backends[candidate.backend].engine for candidate in explanation.candidates)
    return frozenset(engine for engine in found if engine is not None)


def _text(terminal: Terminal, prompt: str) -> str:
    raw = typer.get_binary_stream("stdin").read() if prompt == "-" else prompt.encode(errors="surrogateescape")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        terminal.fail("the prompt is not valid UTF-8, and would be refused with status 400")


def _messages(prompt: str, system: str | None) -> list[dict[str, str]]:
    asked = [{"role": "user", "content": prompt}]
    return asked if system is None else [{"role": "system", "content": system}, *asked]


def _request(body: dict[str, object], hints: dict[str, str | None]) -> ChatRequest:
    """The request as a client would send it: read by the same code, so that it is refused for the same faults."""
    headers = {name: value for name, value in hints.items() if value is not None}
    return parse_chat(msgspec.json.encode(body), headers, request_id="explain")


def _caller(terminal: Terminal, config: Config, sla: str | None, tenant: str | None) -> Identity:
    if tenant is not None and sla is not None:
        terminal.fail("--tenant and --class exclude each other: a tenant has its class", code=2)
    if tenant is not None:
        if tenant not in config.tenants:
            terminal.fail(_unknown("tenant", tenant, tuple(config.tenants)), code=2)
        return tenant_identity(config, tenant, "explain")
    if sla is not None and sla not in config.classes:
        terminal.fail(_unknown("class", sla, tuple(config.classes)), code=2)
    return everybody(config, sla)


def _unknown(kind: str, name: str, known: tuple[str, ...]) -> str:
    near = nearest(name, known)
    hint = f"did you mean {near!r}? " if near else ""
    return f"no {kind} is called {name!r}: {hint}There are: {', '.join(known) or 'none'}"
