"""`forebay models`: which models there are, fetching one onto this box, and removing it again."""

from typing import Annotated

import typer
from msgspec import Struct

from gateway.cli.columns import columns
from gateway.cli.console import terminal_of
from gateway.cli.modelfailure import told
from gateway.cli.modellist import ModelLine, listed, size
from gateway.cli.modelpull import pull_model
from gateway.cli.progress import progress
from gateway.config.environment import home
from local_models.catalog import builtin_catalog, models_folder
from local_models.removal import remove

_Name = Annotated[
    str, typer.Argument(metavar="NAME", help="A name or an address that is on this box.", show_default=False)
]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


class Models(Struct, frozen=True, kw_only=True):
    """What `list --json` prints."""

    folder: str
    models: tuple[ModelLine, ...]


class Removed(Struct, frozen=True, kw_only=True):
    """What `rm --json` prints."""

    name: str
    bytes_freed: int


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
    with told():
        lines = listed(folder, builtin_catalog())
    if as_json:
        terminal.json(Models(folder=str(models_folder(folder)), models=lines))
        return
    table = columns("Model", "On this box", ">Size", ">Parameters", ">Context", "Licence", "What it is")
    for line in lines:
        table.add_row(line.name, line.state, *line.figures(), line.licence or "?", line.description or "")
    terminal.out.print(table)


def remove_model(context: typer.Context, name: _Name, as_json: _Json = False) -> None:
    """Delete a model from this box.

    An engine that runs on it keeps it until it stops. Exits with 0 when it is gone, with 1 when it was not there.
    """
    terminal = terminal_of(context)

    def waiting() -> None:
        report("waiting for a pull of the same model", 0, None)

    with told(), progress(terminal.err, "bytes") as report:
        removed, freed = remove(name, home(terminal.environ), waiting)
    if as_json:
        terminal.json(Removed(name=removed, bytes_freed=freed))
    else:
        terminal.plain(f"{removed} is removed: {size(freed)} freed")


def _models() -> None:
    """The models on this box: what there is, fetching one, removing one."""
