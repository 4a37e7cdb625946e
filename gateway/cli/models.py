"""`forebay models`: which models there are, fetching one onto this box, and removing it again."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from msgspec import Struct

from gateway.cli.columns import columns
from gateway.cli.console import Terminal, terminal_of
from gateway.cli.modellist import ModelLine, listed, size
from gateway.cli.progress import progress
from gateway.config.environment import home
from gateway.config.suggest import nearest
from gateway.errors import ForebayError
from local_models.catalog import InstalledModel, builtin_catalog, find_installed, is_path, models_folder, remove
from local_models.errors import LocalModelsError
from local_models.pull import PullPhase, pull

_Name = Annotated[str, typer.Argument(metavar="NAME", help="A name of `forebay models list`.", show_default=False)]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

# What a shell gives a process that a signal ended.
_SIGNALLED = 128


class ModelFailure(ForebayError):
    """A model could not be listed, fetched or removed; the message says what to do."""


class Models(Struct, frozen=True, kw_only=True):
    """What `list --json` prints."""

    folder: str
    models: tuple[ModelLine, ...]


class Pulled(Struct, frozen=True, kw_only=True):
    """What `pull --json` prints. `fetched` is False where the model was there already."""

    name: str
    path: str
    bytes: int
    licence: str
    fetched: bool


class Removed(Struct, frozen=True, kw_only=True):
    """What `rm --json` prints."""

    name: str
    bytes_freed: int


class _Terminated(BaseException):
    """SIGTERM came."""


def models() -> typer.Typer:
    """The subcommands."""
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(_models)
    for name, command in (("list", list_models), ("pull", pull_model), ("rm", remove_model)):
        app.command(name)(command)
    return app


def list_models(context: typer.Context, as_json: _Json = False) -> None:
    """List what can be pulled and what is on this box."""
    terminal = terminal_of(context)
    folder = home(terminal.environ)
    with _told():
        lines = listed(folder, builtin_catalog())
    if as_json:
        terminal.json(Models(folder=str(models_folder(folder)), models=lines))
        return
    table = columns("Model", "On this box", ">Size", ">Parameters", ">Context", "Licence", "What it is")
    for line in lines:
        table.add_row(line.name, line.state, *line.figures(), line.licence or "?", line.description or "")
    terminal.out.print(table)


def pull_model(context: typer.Context, name: _Name, as_json: _Json = False) -> None:
    """Fetch a model onto this box and check its sum; one that is there already is left as it is.

    It goes by pip's configuration, so that a mirror or a proxy applies. Exits with 0 when the model is there, with 1
    when it could not be fetched, with 2 when nobody knows the name. Interrupt it as you like.
    """
    terminal = terminal_of(context)
    with _told(), _ends_cleanly(terminal, f"interrupted: nothing of {name} was installed"):
        done = _pulled(terminal, name, home(terminal.environ))
    if as_json:
        terminal.json(done)
        return
    came = "is installed" if done.fetched else "is here already"
    terminal.plain(f"{name} {came}: {done.path} ({size(done.bytes)}, licence {done.licence})")


def remove_model(context: typer.Context, name: _Name, as_json: _Json = False) -> None:
    """Delete a model from this box.

    An engine that runs on it keeps it until it stops. Exits with 0 when it is gone, with 1 when it was not there.
    """
    terminal = terminal_of(context)

    def waiting() -> None:
        report("waiting for a pull of the same model", 0, None)

    with _told(), progress(terminal.err, "bytes") as report:
        freed = remove(name, home(terminal.environ), waiting)
    if as_json:
        terminal.json(Removed(name=name, bytes_freed=freed))
    else:
        terminal.plain(f"{name} is removed: {size(freed)} freed")


def _models() -> None:
    """The models on this box: what there is, fetching one, removing one."""


def _pulled(terminal: Terminal, name: str, folder: Path) -> Pulled:
    entry, found = builtin_catalog().get(name), find_installed(name, folder)
    if found is not None and (entry is None or found.manifest.files == entry.files):
        return _answer(found, fetched=False)
    if entry is None:
        terminal.fail(_unknown(name), code=2)
    terminal.err.print(f"{entry.name}: {size(entry.bytes)}, licence {entry.licence}", soft_wrap=True)
    fetched = False
    with progress(terminal.err, "bytes") as report:

        def watch(done: int, total: int | None, phase: PullPhase) -> None:
            nonlocal fetched
            fetched = fetched or phase is not PullPhase.WAITING
            report(phase.value, done, total)

        pull(name, folder, watch)
    found = find_installed(name, folder)
    if found is None:
        raise ModelFailure(f"model {name} was removed as soon as it was installed: somebody else is at work here")
    return _answer(found, fetched=fetched)


def _answer(model: InstalledModel, *, fetched: bool) -> Pulled:
    licence = model.manifest.licence
    return Pulled(name=model.name, path=str(model.path), bytes=model.bytes, licence=licence, fetched=fetched)


def _unknown(name: str) -> str:
    if is_path(name):
        return f"{name} is a path: there is nothing to fetch; name it as the `model` of an engine in your configuration"
    known = sorted(entry.name for entry in builtin_catalog())
    near = nearest(name, known)
    hint = f"did you mean {near!r}? " if near else ""
    return f"no model is called {name!r}: {hint}There are: {', '.join(known)}"


@contextmanager
def _told() -> Iterator[None]:
    """The one seam at which what `local_models` reports becomes an error that the command line shows as it is."""
    try:
        yield
    except LocalModelsError as error:
        raise ModelFailure(str(error)) from error


@contextmanager
def _ends_cleanly(terminal: Terminal, message: str) -> Iterator[None]:
    """Within it SIGTERM is like Ctrl-C: what has been begun is taken back before the command ends."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except KeyboardInterrupt:
        terminal.fail(message, code=_SIGNALLED + signal.SIGINT)
    except _Terminated:
        terminal.fail(message, code=_SIGNALLED + signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise _Terminated
