"""Where each backend's confidence floors come from: measured here, shipped with the catalog, or nowhere."""

from pathlib import Path

import msgspec
from msgspec import Struct

from gateway.confidence import Calibration, Floors
from gateway.confidence.evidence import Band
from gateway.config.schema import Backend, Config
from gateway.errors import ForebayError
from local_models.catalog import builtin_catalog
from local_models.durable import write_atomically


class CalibrationUnreadable(ForebayError):
    """A calibration file was changed by hand into something that is none."""


class CalibrationUnsaved(ForebayError):
    """What was measured could not be written down."""


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
            found[name] = Calibration(floors=floors, default_temperature=default_temperature(backend))
    return found


def keep(home: Path, backend: str, measured: Measured) -> Path:
    """Write down what was measured of a backend, for the next start of a gateway; the file. Raises CalibrationUnsaved.

    It is there whole or not at all: whatever interrupts this, the floors measured before stay in force.
    """
    file = calibration_file(home, backend)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, msgspec.json.format(msgspec.json.encode(measured)))
    except OSError as error:
        raise CalibrationUnsaved(
            f"cannot write {file} ({error.strerror}): set FOREBAY_HOME to a folder of yours, and make room in it"
        ) from error
    return file


def default_temperature(backend: Backend) -> float:
    """What a backend samples at when a request names no temperature."""
    return float(backend.params.defaults.get("temperature", 1.0))


def model_of(config: Config, backend: Backend) -> str:
    """The model a backend has at present; empty where an attached server's was left unnamed."""
    if backend.engine is not None:
        return config.engines[backend.engine].model or ""
    return backend.model or ""


def _measured(config: Config, backend: Backend, file: Path) -> dict[Band, Floors] | None:
    """Floors measured here, if they are of the model that this backend has at present."""
    try:
        measured = msgspec.json.decode(file.read_bytes(), type=Measured)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise CalibrationUnreadable(f"{file}: {error}; delete it, or run `forebay calibrate` again") from error
    return measured.floors if measured.model == model_of(config, backend) else None


def _shipped(config: Config, backend: Backend) -> dict[Band, Floors] | None:
    entry = builtin_catalog().get(model_of(config, backend))
    if entry is None or backend.engine is None:
        return None
    return {Band(band): Floors(low, usual) for band, (low, usual) in entry.confidence_floors.items()}
