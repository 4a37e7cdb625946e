"""One engine process as a state machine. Pure: (process, event, now) in, (process, effects) out.

                Start              health ok           canary ok
    STOPPED ───────────► STARTING ───────────► WARMING ──────────► UP ◄────► DEGRADED
                           ▲   │                  │                ▲  health    │ fails
                           │   │ too slow         │ too slow       │  fails,    │ thrice
                  back-off │   ▼                  ▼                │  ok again  ▼
                           RESTARTING ◄───────────────── hangs on ─┼───────── FENCED
                               │                                   └─ ok, canary ok
                               ▼ crashes too often, or a bad model file
                           QUARANTINE ───► STARTING, later

    Without memory for it nothing is launched: STARTING ► QUARANTINE, and it is looked again soon.
    Work without a step being made of it is a failure, too: first DEGRADED, then FENCED.
    Any exit while it is wanted is a crash, exit code 0 included: ► RESTARTING. StopAsked: ► STOPPED.

There is one deadline per process instead of a set of timers: what it means follows from the state, so no
timer of an earlier state can fire into a later one. Events of an earlier launch are told apart by their
launch number. `now` is monotonic seconds.
"""

from dataclasses import dataclass, replace

from local_models.policy import Policy
from local_models.process_events import (
    CanaryFailed,
    CanaryOk,
    Effect,
    Event,
    Exited,
    HealthFailed,
    HealthOk,
    Kill,
    LaunchEvent,
    NoRoom,
    ProbeEvent,
    Quiet,
    RunCanary,
    Spawn,
    Spawned,
    SpawnFailed,
    Stalled,
    Start,
    StopAsked,
    Sweep,
    Terminate,
    Tick,
    Unkillable,
)
from local_models.types import EngineState


@dataclass(frozen=True, slots=True)
class Process:
    """All that decides what happens next."""

    state: EngineState = EngineState.STOPPED
    launch: int = 0
    """Counts launches; events carry the number of the launch they are about."""
    pid: int | None = None
    deadline: float | None = None
    """When a Tick is due."""
    detail: str = ""
    restarts: int = 0
    health_failures: int = 0
    canary_running: bool = False
    killed: bool = False
    """SIGKILL was sent."""
    up_at: float | None = None
    backoff: float = 0.0
    crashes: tuple[float, ...] = ()
    quarantines: int = 0
    """Since it was last up."""


Step = tuple[Process, tuple[Effect, ...]]


def step(process: Process, event: Event, now: float, policy: Policy) -> Step:
    """What becomes of the process, and what is to be done, in order."""
    match event:
        case Start():
            return _start(process, now, policy)
        case StopAsked():
            return _stop(process, now, policy)
        case Tick():
            return _tick(process, now, policy)
    if event.launch != process.launch:
        return process, ()
    match event:
        case HealthOk() | HealthFailed() | Quiet() | Stalled() | CanaryOk() | CanaryFailed():
            return _probed(process, event, now, policy)
        case _:
            return _lived_or_died(process, event, now, policy)


def _lived_or_died(process: Process, event: LaunchEvent, now: float, policy: Policy) -> Step:
    match event:
        case Spawned(pid=pid) if process.state is EngineState.STOPPED:
            return _end(replace(process, pid=pid), EngineState.STOPPED, "stopping", now, policy)
        case Spawned(pid=pid):
            return replace(process, pid=pid), ()
        case SpawnFailed() | NoRoom() if process.state is EngineState.STOPPED:
            return process, ()
        case NoRoom(why=why):
            return _wait_for_room(process, why, now, policy), ()
        case SpawnFailed(why=why):
            return _crash(process, f"could not be started: {why}", now, policy)
        case Exited():
            return _exit(process, event, now, policy)
        case Unkillable(pids=pids):
            return _give_up(process, f"processes {_listed(pids)} of it cannot be killed"), ()


def _probed(process: Process, event: ProbeEvent, now: float, policy: Policy) -> Step:
    match event:
        case HealthOk():
            return _healthy(process)
        case HealthFailed(why=why):
            return _unhealthy(process, why, now, policy)
        case Quiet():
            well, effects = _healthy(process)
            return _with_canary(well) if well.state.serving else (well, effects)
        case Stalled(seconds=seconds):
            return _stalled(process, seconds, now, policy)
        case CanaryOk():
            return _canary_ok(replace(process, canary_running=False), now)
        case CanaryFailed(why=why):
            return _canary_failed(replace(process, canary_running=False), why), ()


def _start(process: Process, now: float, policy: Policy) -> Step:
    if process.pid is not None or process.state not in (EngineState.STOPPED, EngineState.QUARANTINE):
        return process, ()
    return _launch(replace(process, crashes=(), backoff=policy.backoff_first, quarantines=0), now, policy)


def _launch(process: Process, now: float, policy: Policy) -> Step:
    launch = process.launch + 1
    launched = replace(
        process,
        state=EngineState.STARTING,
        launch=launch,
        deadline=now + policy.start_limit,
        detail="starting",
        health_failures=0,
        canary_running=False,
        killed=False,
        up_at=None,
    )
    return launched, (Spawn(launch),)


def _stop(process: Process, now: float, policy: Policy) -> Step:
    if process.pid is None:
        return replace(process, state=EngineState.STOPPED, deadline=None, detail="stopped"), ()
    if process.state is EngineState.STOPPED:
        return process, ()
    return _end(process, EngineState.STOPPED, "stopping", now, policy)


def _end(process: Process, state: EngineState, why: str, now: float, policy: Policy) -> Step:
    ending = replace(process, state=state, detail=why, deadline=now + policy.grace)
    return ending, (Terminate(),)


def _tick(process: Process, now: float, policy: Policy) -> Step:
    if process.deadline is None or now < process.deadline:
        return process, ()
    match process.state:
        case EngineState.STARTING | EngineState.WARMING:
            why = f"not up {policy.start_limit:.0f} s after its start: {process.detail}"
            return _end(process, EngineState.RESTARTING, why, now, policy)
        case EngineState.FENCED:
            why = f"hung for {policy.hang_limit:.0f} s: {process.detail}"
            return _end(process, EngineState.RESTARTING, why, now, policy)
        case EngineState.QUARANTINE:
            return _relaunch(replace(process, crashes=(), backoff=policy.backoff_first), now, policy)
        case _ if process.pid is None:
            return _relaunch(process, now, policy)
        case _:
            return _past_grace(process, now, policy)


def _relaunch(process: Process, now: float, policy: Policy) -> Step:
    return _launch(replace(process, restarts=process.restarts + 1), now, policy)


def _past_grace(process: Process, now: float, policy: Policy) -> Step:
    if not process.killed:
        return replace(process, killed=True, deadline=now + policy.grace), (Kill(),)
    why = f"process {process.pid} does not die of SIGKILL"
    if process.state is EngineState.STOPPED:
        return replace(process, detail=why, deadline=None), ()
    return _give_up(process, why), ()


def _give_up(process: Process, why: str) -> Process:
    # Without a deadline: a second engine beside one that holds memory and will not die makes matters worse.
    if process.state is EngineState.STOPPED:
        return replace(process, detail=why, deadline=None)
    return replace(process, state=EngineState.QUARANTINE, detail=why, deadline=None)


def _exit(process: Process, event: Exited, now: float, policy: Policy) -> Step:
    gone = replace(process, pid=None, canary_running=False)
    sweep = Sweep(process.launch)
    if process.state is EngineState.STOPPED:
        return replace(gone, deadline=None, detail="stopped"), (sweep,)
    if event.code in policy.bad_model_exits:
        why = event.last_line or _how(event)
        return replace(gone, state=EngineState.QUARANTINE, deadline=None, detail=why), (sweep,)
    if process.state in (EngineState.RESTARTING, EngineState.QUARANTINE):
        why = process.detail  # it was being ended for that; how it went is of no interest
    else:
        why = _how(event) + (f": {event.last_line}" if event.last_line else "")
    crashed, effects = _crash(gone, why, now, policy)
    return crashed, (sweep, *effects)


def _how(event: Exited) -> str:
    return f"killed by signal {-event.code}" if event.code < 0 else f"exited with code {event.code}"


def _crash(process: Process, why: str, now: float, policy: Policy) -> Step:
    if process.up_at is not None and now - process.up_at >= policy.stable_after:
        process = replace(process, backoff=policy.backoff_first)
    recent = (*(at for at in process.crashes if now - at < policy.crash_window), now)
    crashed = replace(process, crashes=recent, up_at=None)
    if len(recent) >= policy.crash_limit:
        return _quarantine(crashed, why, now, policy), ()
    waiting = replace(
        crashed,
        state=EngineState.RESTARTING,
        deadline=now + process.backoff,
        detail=why,
        backoff=min(process.backoff * 2, policy.backoff_limit),
    )
    return waiting, ()


def _quarantine(process: Process, why: str, now: float, policy: Policy) -> Process:
    wait = min(policy.quarantine_first * 2**process.quarantines, policy.quarantine_limit)
    crashes = f"{len(process.crashes)} crashes in {policy.crash_window:.0f} s"
    return replace(
        process,
        state=EngineState.QUARANTINE,
        deadline=now + wait,
        detail=f"{crashes}, tried again after {wait:.0f} s; the last: {why}",
        quarantines=process.quarantines + 1,
    )


def _wait_for_room(process: Process, why: str, now: float, policy: Policy) -> Process:
    # No crash: nothing was launched, and looking again costs next to nothing.
    restarts = max(0, process.restarts - 1)
    deadline = now + policy.room_wait
    return replace(process, state=EngineState.QUARANTINE, deadline=deadline, detail=why, restarts=restarts)


def _healthy(process: Process) -> Step:
    match process.state:
        case EngineState.STARTING:
            warming = replace(process, state=EngineState.WARMING, detail="waiting for the first token")
            return _with_canary(warming)
        case EngineState.WARMING | EngineState.FENCED:
            return _with_canary(process)
        case EngineState.UP | EngineState.DEGRADED:
            return replace(process, state=EngineState.UP, health_failures=0, detail=""), ()
        case _:
            return process, ()


def _with_canary(process: Process) -> Step:
    if process.canary_running:
        return process, ()
    return replace(process, canary_running=True), (RunCanary(process.launch),)


def _unhealthy(process: Process, why: str, now: float, policy: Policy) -> Step:
    match process.state:
        case EngineState.STARTING | EngineState.WARMING | EngineState.FENCED:
            return replace(process, detail=why), ()
        case EngineState.UP | EngineState.DEGRADED:
            failures = process.health_failures + 1
            sick = replace(process, state=EngineState.DEGRADED, health_failures=failures, detail=why)
            if failures < policy.fence_after:
                return sick, ()
            return replace(sick, state=EngineState.FENCED, deadline=now + policy.hang_limit), ()
        case _:
            return process, ()


def _stalled(process: Process, seconds: float, now: float, policy: Policy) -> Step:
    if not process.state.serving or policy.stall_limit is None:
        return process, ()
    why = f"/health says that it is well, but it has made no step for {seconds:.0f} s"
    slow = replace(process, state=EngineState.DEGRADED, detail=why)
    if seconds < policy.stall_limit:
        return _with_canary(slow)
    return replace(slow, state=EngineState.FENCED, deadline=now + policy.hang_limit), ()


def _canary_failed(process: Process, why: str) -> Process:
    # Of an engine that is being ended it is known already what is wrong.
    ending = process.state in (EngineState.RESTARTING, EngineState.QUARANTINE, EngineState.STOPPED)
    return process if ending else replace(process, detail=f"canary failed: {why}")


def _canary_ok(process: Process, now: float) -> Step:
    if process.state not in (EngineState.WARMING, EngineState.FENCED):
        return process, ()
    up = replace(
        process,
        state=EngineState.UP,
        deadline=None,
        detail="",
        health_failures=0,
        up_at=now if process.up_at is None else process.up_at,
        quarantines=0,
    )
    return up, ()


def _listed(pids: tuple[int, ...]) -> str:
    return ", ".join(str(pid) for pid in pids)
