"""Where each backend's confidence floors come from: measured here, shipped with the catalog, or nowhere."""

from pathlib import Path

import msgspec
from msgspec import Struct

from gateway.confidence import Calibration, Floors
from gateway.confidence.evidence import Band
from gateway.config.schema import Backend, Config
from gateway.errors import ForebayError
from local_models.catalog import builtin_catalog


class CalibrationUnreadable(ForebayError):
    """A calibration file was changed by hand into something that is none."""


class Measured(Struct, frozen=True):
    """What `forebay calibrate` writes: for which model, when, from how many answers, and the floors by band."""

    model: str
    measured_at: float
    answers: int
    floors: dict[Band, Floors]


def calibration_file(home: Path, backend: str) -> Path:
    """Where the floors of a backend are kept."""
    return home / "calibration" / f"{backend}.json"


def calibrations(config: Config, home: Path) -> dict[str, Calibration]:
    """The calibration of every backend that has one. Raises CalibrationUnreadable."""
    found = {}
    for name, backend in config.backends.items():
        floors = _measured(config, backend, calibration_file(home, name)) or _shipped(config, backend)
        if floors:
            temperature = backend.params.defaults.get("temperature", 1.0)
            found[name] = Calibration(floors=floors, default_temperature=float(temperature))
    return found


def _measured(config: Config, backend: Backend, file: Path) -> dict[Band, Floors] | None:
    """Floors measured here, if they are of the model that this backend has at present."""
    try:
        measured = msgspec.json.decode(file.read_bytes(), type=Measured)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise CalibrationUnreadable(f"{file}: {error}; delete it, or run `forebay calibrate` again") from error
    return measured.floors if measured.model == _model(config, backend) else None


def _shipped(config: Config, backend: Backend) -> dict[Band, Floors] | None:
    entry = builtin_catalog().get(_model(config, backend))
    if entry is None or backend.engine is None:
        return None
    return {Band(band): Floors(low, usual) for band, (low, usual) in entry.confidence_floors.items()}


def _model(config: Config, backend: Backend) -> str:
    if backend.engine is not None:
        return config.engines[backend.engine].model or ""
    return backend.model or ""
