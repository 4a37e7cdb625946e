"""Tables of commands: columns and nothing round them, so that they can be cut and searched."""

from rich.table import Table


def columns(*headings: str) -> Table:
    """A table without frame; a heading that begins with > is of numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in headings:
        table.add_column(
            heading.removeprefix(">"), justify="right" if heading.startswith(">") else "left", overflow="fold"
        )
    return table
