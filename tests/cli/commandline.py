"""The command line, run in this process."""

import io
import json
from pathlib import Path
from typing import Any, NamedTuple

from gateway.cli.console import Terminal
from gateway.cli.main import application, run


class Ended(NamedTuple):
    """One run of the command line."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output, which is one JSON document."""
        return json.loads(self.out)


def forebay(home: Path, *arguments: object, err: io.StringIO | None = None) -> Ended:
    """`forebay …` with this data folder; `err` is what it takes for standard error."""
    out, err = io.StringIO(), err or io.StringIO()
    terminal = Terminal({"FOREBAY_HOME": str(home), "TERM": "xterm"}, out, err)
    status = run(application(), terminal, [str(argument) for argument in arguments])
    return Ended(status, out.getvalue(), err.getvalue())
