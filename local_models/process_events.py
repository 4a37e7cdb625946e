"""What happens to an engine process, and what is to be done about it; `process.py` stands between the two."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Start:
    """It is wanted (again)."""


@dataclass(frozen=True, slots=True)
class StopAsked:
    """It is not wanted any more."""


@dataclass(frozen=True, slots=True)
class Tick:
    """The deadline has passed."""


@dataclass(frozen=True, slots=True)
class Spawned:
    """The process exists."""

    launch: int
    pid: int


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """The process could not be created."""

    launch: int
    why: str


@dataclass(frozen=True, slots=True)
class NoRoom:
    """No process was created, because it would not find the memory that it needs."""

    launch: int
    why: str


@dataclass(frozen=True, slots=True)
class Exited:
    """The process is gone: negative `code` is a signal, `last_line` the last thing it said."""

    launch: int
    code: int
    last_line: str


@dataclass(frozen=True, slots=True)
class Unkillable:
    """Processes of the launch's group are left although SIGKILL was sent."""

    launch: int
    pids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class HealthOk:
    """/health said 200."""

    launch: int


@dataclass(frozen=True, slots=True)
class HealthFailed:
    """/health said something else, or nothing in time."""

    launch: int
    why: str


@dataclass(frozen=True, slots=True)
class Quiet:
    """/health said 200, and it has had nothing to do for so long that it may as well hang."""

    launch: int


@dataclass(frozen=True, slots=True)
class Stalled:
    """/health said 200, but there is work for it and no step was made for so many seconds."""

    launch: int
    seconds: float


@dataclass(frozen=True, slots=True)
class CanaryOk:
    """The model is listed and answered what it was asked."""

    launch: int


@dataclass(frozen=True, slots=True)
class CanaryFailed:
    """It did not."""

    launch: int
    why: str


LaunchEvent = Spawned | SpawnFailed | NoRoom | Exited | Unkillable
ProbeEvent = HealthOk | HealthFailed | Quiet | Stalled | CanaryOk | CanaryFailed
Event = Start | StopAsked | Tick | LaunchEvent | ProbeEvent


@dataclass(frozen=True, slots=True)
class Spawn:
    """Create the process on a fresh port; then poll its health."""

    launch: int


@dataclass(frozen=True, slots=True)
class RunCanary:
    """Ask for the model list and an answer."""

    launch: int


@dataclass(frozen=True, slots=True)
class Terminate:
    """SIGTERM to the process group."""


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL to the process group."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """The leader is gone: kill what is left of its group and see that nothing is."""

    launch: int


Effect = Spawn | RunCanary | Terminate | Kill | Sweep
