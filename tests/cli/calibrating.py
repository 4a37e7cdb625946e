"""`forebay calibrate` run in this process, and the configurations that it is given."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.cli.commandline import Ended, forebay
from tests.e2e.configs import attached, base
from tests.e2e.homes import processes_of
from tests.e2e.stack import eventually
from tests.faults.handle import FaultServer


def calibrate(home: Path, *arguments: object) -> Ended:
    """`forebay calibrate …` with this data folder."""
    return forebay(home, "calibrate", *arguments)


def written(home: Path, config: Mapping[str, Any]) -> Path:
    """A configuration file in the data folder."""
    file = home / "forebay.yaml"
    file.write_text(yaml.safe_dump(dict(config), sort_keys=False))
    return file


def light_only(faults: FaultServer, **backend: Any) -> dict[str, Any]:
    """The fault server as an attached engine, which alone may answer."""
    return base(
        engines={"small": attached(faults, parallel=4)},
        backends={"local": {"engine": "small", **backend}},
        tiers={"light": ["local"]},
    )


def nothing_runs(home: Path) -> None:
    """Wait until nothing of this data folder is at work."""
    eventually(lambda: not processes_of(home), f"nothing of {home} runs any more")
