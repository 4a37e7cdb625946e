"""Tables of commands: columns and nothing round them, so that they can be cut and searched."""

from rich.table import Table


def columns(*headings: str) -> Table:
    """A table without frame; a heading that begins with > is of numbers, which are never broken over two lines."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in headings:
        if heading.startswith(">"):
            table.add_column(heading.removeprefix(">"), justify="right", no_wrap=True)
        else:
            table.add_column(heading, overflow="fold")
    return table
