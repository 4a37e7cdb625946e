"""Where each backend's confidence floors come from: measured here, shipped with the catalog, or nowhere."""

from pathlib import Path

import msgspec
from msgspec import Struct

from gateway.confidence import Calibration, Floors
from gateway.confidence.evidence import Band
from gateway.config.schema import Backend, Config
from gateway.errors import ForebayError
from gateway.types import Answerer
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


def calibrations(config: Config, home: Path) -> dict[Answerer, Calibration]:
    """The calibration of every backend that has one, and of standbys. Raises CalibrationUnreadable."""
    found: dict[Answerer, Calibration] = {}
    for name, backend in config.backends.items():
        floors = _measured(model_of(config, backend), calibration_file(home, name)) or _shipped(config, backend.engine)
        if floors:
            calibration = Calibration(floors=floors, default_temperature=default_temperature(backend))
            found[name, backend.engine] = calibration
        standby = None if backend.engine is None else config.engines[backend.engine].standby
        floors = None if standby is None else _of_standby(config, home, standby)
        if floors:
            found[name, standby] = Calibration(floors=floors, default_temperature=default_temperature(backend))
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


def _of_standby(config: Config, home: Path, engine: str) -> dict[Band, Floors] | None:
    """Floors of an engine's model, which are those of any backend that it is more than the standby of."""
    own = (name for name, backend in config.backends.items() if backend.engine == engine)
    measured = (_measured(config.engines[engine].model or "", calibration_file(home, name)) for name in own)
    return next(filter(None, measured), None) or _shipped(config, engine)


def _measured(model: str, file: Path) -> dict[Band, Floors] | None:
    """Floors measured here, if they are of the model that is there at present."""
    try:
        measured = msgspec.json.decode(file.read_bytes(), type=Measured)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise CalibrationUnreadable(f"{file}: {error}; delete it, or run `forebay calibrate` again") from error
    return measured.floors if measured.model == model else None


def _shipped(config: Config, engine: str | None) -> dict[Band, Floors] | None:
    entry = None if engine is None else builtin_catalog().get(config.engines[engine].model or "")
    if entry is None:
        return None
    return {Band(band): Floors(low, usual) for band, (low, usual) in entry.confidence_floors.items()}
