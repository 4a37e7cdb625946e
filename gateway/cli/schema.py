"""`forebay schema`: the JSON Schema of configuration files, for editors."""

import typer

from gateway.cli.console import terminal_of
from gateway.config.export import schema_text


def schema(context: typer.Context) -> None:
    """Print the JSON Schema of configuration files.

    Editors take it from the first line of a file: # yaml-language-server: $schema=forebay.schema.json
    """
    terminal_of(context).plain(schema_text())
