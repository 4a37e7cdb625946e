"""The state machine of an engine process: event by event, without a process."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_models.policy import Policy
from local_models.process import Process, step
from local_models.process_events import (
    CanaryFailed,
    CanaryOk,
    Effect,
    Event,
    Exited,
    HealthFailed,
    HealthOk,
    Kill,
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

POLICY = Policy(start_limit=100.0, hang_limit=30.0, stall_limit=4.0, bad_model_exits=frozenset((3, 4)))
PID = 4711

STARTING = Process(state=EngineState.STARTING, launch=1, pid=PID, deadline=100.0, backoff=0.5)
WARMING = replace(STARTING, state=EngineState.WARMING, canary_running=True)
UP = replace(STARTING, state=EngineState.UP, deadline=None, up_at=10.0)
DEGRADED = replace(UP, state=EngineState.DEGRADED, health_failures=2)
FENCED = replace(UP, state=EngineState.FENCED, health_failures=3, deadline=50.0)
ENDING = replace(STARTING, state=EngineState.RESTARTING, deadline=60.0, detail="hung for 30 s")
WAITING = replace(ENDING, pid=None)
STOPPING = replace(STARTING, state=EngineState.STOPPED, deadline=60.0)
QUARANTINE = replace(STARTING, state=EngineState.QUARANTINE, pid=None, deadline=600.0)


@dataclass(frozen=True)
class Case:
    """At `now`, `event` makes `state` of `before` and asks for `effects`."""

    before: Process
    event: Event
    state: EngineState
    effects: tuple[Effect, ...] = ()
    now: float = 20.0
    deadline: float | None = None


CASES = {
    "wanted for the first time": Case(Process(), Start(), EngineState.STARTING, (Spawn(1),), deadline=120.0),
    "wanted while it runs": Case(UP, Start(), EngineState.UP),
    "wanted while it waits to be launched": Case(WAITING, Start(), EngineState.RESTARTING, deadline=60.0),
    "wanted out of quarantine": Case(QUARANTINE, Start(), EngineState.STARTING, (Spawn(2),), deadline=120.0),
    "wanted while it is still stopping": Case(STOPPING, Start(), EngineState.STOPPED, deadline=60.0),
    "still loading": Case(STARTING, HealthFailed(1, "loading"), EngineState.STARTING, deadline=100.0),
    "loaded": Case(STARTING, HealthOk(1), EngineState.WARMING, (RunCanary(1),), deadline=100.0),
    "one canary at a time": Case(WARMING, HealthOk(1), EngineState.WARMING, deadline=100.0),
    "canary failed": Case(WARMING, CanaryFailed(1, "500"), EngineState.WARMING, deadline=100.0),
    "canary tried again": Case(
        replace(WARMING, canary_running=False), HealthOk(1), EngineState.WARMING, (RunCanary(1),), deadline=100.0
    ),
    "canary answered": Case(WARMING, CanaryOk(1), EngineState.UP),
    "start takes too long": Case(STARTING, Tick(), EngineState.RESTARTING, (Terminate(),), 100.0, 110.0),
    "warming takes too long": Case(WARMING, Tick(), EngineState.RESTARTING, (Terminate(),), 100.0, 110.0),
    "a tick before its time": Case(STARTING, Tick(), EngineState.STARTING, deadline=100.0),
    "well": Case(UP, HealthOk(1), EngineState.UP),
    "one check failed": Case(UP, HealthFailed(1, "?"), EngineState.DEGRADED),
    "well again": Case(DEGRADED, HealthOk(1), EngineState.UP),
    "three checks failed": Case(DEGRADED, HealthFailed(1, "?"), EngineState.FENCED, deadline=50.0),
    "nothing to do for long": Case(UP, Quiet(1), EngineState.UP, (RunCanary(1),)),
    "nothing to do, and a canary under way": Case(replace(UP, canary_running=True), Quiet(1), EngineState.UP),
    "well again, with nothing to do": Case(DEGRADED, Quiet(1), EngineState.UP, (RunCanary(1),)),
    "nothing to do while it stops": Case(STOPPING, Quiet(1), EngineState.STOPPED, deadline=60.0),
    "no step for a while": Case(UP, Stalled(1, 2.0), EngineState.DEGRADED, (RunCanary(1),)),
    "no step, and a canary under way": Case(replace(UP, canary_running=True), Stalled(1, 2.1), EngineState.DEGRADED),
    "no step for too long": Case(DEGRADED, Stalled(1, 4.0), EngineState.FENCED, deadline=50.0),
    "no step while it starts": Case(WARMING, Stalled(1, 9.0), EngineState.WARMING, deadline=100.0),
    "a step at last": Case(replace(DEGRADED, canary_running=True), HealthOk(1), EngineState.UP),
    "canary answered while it serves": Case(replace(UP, canary_running=True), CanaryOk(1), EngineState.UP),
    "fenced and still unwell": Case(FENCED, HealthFailed(1, "?"), EngineState.FENCED, deadline=50.0),
    "fenced and healthy": Case(FENCED, HealthOk(1), EngineState.FENCED, (RunCanary(1),), deadline=50.0),
    "fenced, healthy, canary answered": Case(FENCED, CanaryOk(1), EngineState.UP),
    "hung for too long": Case(FENCED, Tick(), EngineState.RESTARTING, (Terminate(),), 50.0, 60.0),
    "ignores SIGTERM": Case(ENDING, Tick(), EngineState.RESTARTING, (Kill(),), 60.0, 70.0),
    "ignores SIGKILL": Case(replace(ENDING, killed=True), Tick(), EngineState.QUARANTINE, (), 60.0),
    "ended at last": Case(ENDING, Exited(1, -9, ""), EngineState.RESTARTING, (Sweep(1),), deadline=20.5),
    "back-off is over": Case(WAITING, Tick(), EngineState.STARTING, (Spawn(2),), 60.0, 160.0),
    "crash while it starts": Case(STARTING, Exited(1, 1, "x"), EngineState.RESTARTING, (Sweep(1),), deadline=20.5),
    "crash": Case(UP, Exited(1, -11, ""), EngineState.RESTARTING, (Sweep(1),), deadline=20.5),
    "exit code 0": Case(UP, Exited(1, 0, ""), EngineState.RESTARTING, (Sweep(1),), deadline=20.5),
    "crash while fenced": Case(FENCED, Exited(1, 1, ""), EngineState.RESTARTING, (Sweep(1),), deadline=20.5),
    "bad model file": Case(STARTING, Exited(1, 3, "not a GGUF"), EngineState.QUARANTINE, (Sweep(1),)),
    "model refused": Case(STARTING, Exited(1, 4, "no"), EngineState.QUARANTINE, (Sweep(1),)),
    "cannot be launched": Case(replace(STARTING, pid=None), SpawnFailed(1, "?"), EngineState.RESTARTING, deadline=20.5),
    "no room for it": Case(replace(STARTING, pid=None), NoRoom(1, "full"), EngineState.QUARANTINE, deadline=25.0),
    "stopped before there was room": Case(
        replace(STOPPING, pid=None, deadline=None), NoRoom(1, "full"), EngineState.STOPPED
    ),
    "its children cannot be killed": Case(WAITING, Unkillable(1, (1, 2)), EngineState.QUARANTINE),
    "quarantine is over": Case(QUARANTINE, Tick(), EngineState.STARTING, (Spawn(2),), 600.0, 700.0),
    "stop": Case(UP, StopAsked(), EngineState.STOPPED, (Terminate(),), deadline=30.0),
    "stop while it starts": Case(STARTING, StopAsked(), EngineState.STOPPED, (Terminate(),), deadline=30.0),
    "stop during the back-off": Case(WAITING, StopAsked(), EngineState.STOPPED),
    "stop in quarantine": Case(QUARANTINE, StopAsked(), EngineState.STOPPED),
    "stop while it is being ended": Case(ENDING, StopAsked(), EngineState.STOPPED, (Terminate(),), deadline=30.0),
    "stop again": Case(STOPPING, StopAsked(), EngineState.STOPPED, deadline=60.0),
    "stopped": Case(STOPPING, Exited(1, 0, ""), EngineState.STOPPED, (Sweep(1),)),
    "stopped, whatever the exit code": Case(STOPPING, Exited(1, 3, ""), EngineState.STOPPED, (Sweep(1),)),
    "stop ignored": Case(STOPPING, Tick(), EngineState.STOPPED, (Kill(),), 60.0, 70.0),
    "stop cannot be had": Case(replace(STOPPING, killed=True), Tick(), EngineState.STOPPED, (), 60.0),
    "stopped before it was spawned": Case(
        replace(STOPPING, pid=None, deadline=None),
        Spawned(1, PID),
        EngineState.STOPPED,
        (Terminate(),),
        deadline=30.0,
    ),
    "stopped before it could not be spawned": Case(
        replace(STOPPING, pid=None, deadline=None), SpawnFailed(1, "?"), EngineState.STOPPED
    ),
    "well while it stops": Case(STOPPING, HealthOk(1), EngineState.STOPPED, deadline=60.0),
    "unwell while it stops": Case(STOPPING, HealthFailed(1, "?"), EngineState.STOPPED, deadline=60.0),
    "canary answered while it is being ended": Case(ENDING, CanaryOk(1), EngineState.RESTARTING, deadline=60.0),
    "exit of an earlier launch": Case(UP, Exited(0, 1, ""), EngineState.UP),
    "health of an earlier launch": Case(UP, HealthFailed(0, "?"), EngineState.UP),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_transition(case: Case) -> None:
    """Each event in each state leads where the table says, with these effects in this order."""
    after, effects = step(case.before, case.event, case.now, POLICY)
    assert after.state is case.state
    assert effects == case.effects
    assert after.deadline == case.deadline


def test_back_off_doubles_up_to_its_limit() -> None:
    """0.5, 1, 2, 4 … 10 s between crash and launch, when crashes are too far apart for quarantine."""
    waits: list[float] = []
    process, now = STARTING, 0.0
    for _ in range(9):
        now += 59.0
        process, _ = step(process, Exited(process.launch, 1, ""), now, POLICY)
        assert process.deadline is not None
        waits.append(process.deadline - now)
        now = process.deadline
        process, _ = step(process, Tick(), now, POLICY)
        process, _ = step(process, Spawned(process.launch, PID), now, POLICY)
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0, 10.0]
    assert process.restarts == 9


def test_a_minute_up_resets_the_back_off() -> None:
    """A crash after 60 s of service waits the first back-off again; after 59 s it does not."""
    tired = replace(UP, up_at=100.0, backoff=8.0)
    rested, _ = step(tired, Exited(1, 1, ""), 160.0, POLICY)
    assert rested.deadline == 160.5
    restless, _ = step(tired, Exited(1, 1, ""), 159.0, POLICY)
    assert restless.deadline == 167.0


def test_the_fifth_crash_in_two_minutes_is_the_last_for_a_while() -> None:
    """Four crashes in 120 s are launched again, the fifth quarantines and keeps its reason."""
    four = replace(UP, crashes=(1.0, 2.0, 3.0, 4.0))
    given_up, effects = step(four, Exited(1, -9, "CUDA error"), 120.0, POLICY)
    assert given_up.state is EngineState.QUARANTINE
    assert effects == (Sweep(1),)
    assert given_up.detail.startswith("5 crashes in 120 s, tried again after 10 s")
    assert given_up.detail.endswith("killed by signal 9: CUDA error")
    goes_on, _ = step(four, Exited(1, -9, ""), 121.5, POLICY)
    assert goes_on.state is EngineState.RESTARTING


def test_each_quarantine_takes_twice_as_long() -> None:
    """10 s, 20 s … 600 s: what never comes up is hardly ever tried."""
    waits = []
    for before in range(8):
        about_to_fall = replace(STARTING, crashes=(11.0, 12.0, 13.0, 14.0), quarantines=before)
        quarantined, _ = step(about_to_fall, Exited(1, 1, ""), 20.0, POLICY)
        assert quarantined.deadline is not None
        waits.append(quarantined.deadline - 20.0)
        assert quarantined.quarantines == before + 1
    assert waits == [10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 600.0, 600.0]


@pytest.mark.parametrize("served", [0.1, 1.0, 10.0, 24.0, 59.0])
def test_an_engine_that_comes_up_each_time_is_never_missed_for_long(served: float) -> None:
    """However often it is killed, and however soon after it came up: never more than 10 s until it is launched."""
    process, now, waits = UP, 10.0, []
    for _ in range(100):
        now += served
        process, _effects = step(process, Exited(process.launch, -9, ""), now, POLICY)
        assert process.deadline is not None
        waits.append(process.deadline - now)
        now = process.deadline
        process, _effects = step(process, Tick(), now, POLICY)
        for event in (Spawned(process.launch, PID), HealthOk(process.launch), CanaryOk(process.launch)):
            process, _effects = step(process, event, now, POLICY)
        assert process.state is EngineState.UP
    assert max(waits) == 10.0


def test_a_bad_model_file_keeps_the_engines_own_line() -> None:
    """The detail is what the engine said about the file, and nothing is tried again by itself."""
    line = "forebay engine: x.gguf is truncated: pull it again"
    bad, _ = step(STARTING, Exited(1, 3, line), 20.0, POLICY)
    assert bad.detail == line
    assert bad.deadline is None
    silent, _ = step(STARTING, Exited(1, 3, ""), 20.0, POLICY)
    assert silent.detail == "exited with code 3"


def test_an_engine_ended_for_a_reason_keeps_that_reason() -> None:
    """After being killed for hanging, "killed by signal 9" is not what a person wants to read."""
    restarting, _ = step(ENDING, Exited(1, -9, "some line"), 20.0, POLICY)
    assert restarting.detail == "hung for 30 s"


def test_a_canary_that_dies_with_its_engine_is_not_the_reason() -> None:
    """The same for the canary of an engine that is being ended."""
    ending, _ = step(replace(ENDING, canary_running=True), CanaryFailed(1, "no answer in time"), 20.0, POLICY)
    assert ending == ENDING


def test_who_stalls_again_is_sent_a_canary_again() -> None:
    """The first one has been answered meanwhile."""
    slow, _ = step(UP, Stalled(1, 2.0), 20.0, POLICY)
    answered, _ = step(slow, CanaryOk(1), 20.0, POLICY)
    assert step(answered, Stalled(1, 2.0), 30.0, POLICY)[1] == (RunCanary(1),)


def test_whose_steps_may_take_longer_is_not_watched_for_them() -> None:
    """A large prompt on a slow CPU is no hang."""
    assert step(UP, Stalled(1, 1000.0), 20.0, replace(POLICY, stall_limit=None)) == (UP, ())


def test_a_crash_forgets_the_process() -> None:
    """After an exit there is no pid, and a canary of that launch counts for nothing."""
    crashed, _ = step(replace(WARMING), Exited(1, 1, ""), 20.0, POLICY)
    assert crashed.pid is None
    assert not crashed.canary_running
    relaunched, _ = step(crashed, Tick(), 30.0, POLICY)
    late, effects = step(relaunched, CanaryOk(1), 30.0, POLICY)
    assert late == relaunched
    assert effects == ()


WAITED_FOR = (EngineState.STARTING, EngineState.WARMING, EngineState.FENCED, EngineState.RESTARTING)
ALIVE = (EngineState.WARMING, EngineState.UP, EngineState.DEGRADED, EngineState.FENCED)
HAPPENINGS = st.sampled_from(
    [
        "start",
        "stop",
        "tick",
        "exit",
        "bad",
        "health",
        "sick",
        "quiet",
        "stall",
        "canary",
        "mute",
        "late exit",
        "left over",
    ]
)


def happening(name: str, launch: int) -> Event:
    """The event of that name about this launch."""
    events: dict[str, Event] = {
        "start": Start(),
        "stop": StopAsked(),
        "tick": Tick(),
        "exit": Exited(launch, 1, ""),
        "bad": Exited(launch, 3, "bad"),
        "health": HealthOk(launch),
        "sick": HealthFailed(launch, "?"),
        "quiet": Quiet(launch),
        "stall": Stalled(launch, 4.0),
        "canary": CanaryOk(launch),
        "mute": CanaryFailed(launch, "?"),
        "late exit": Exited(launch - 1, 1, ""),
        "left over": Unkillable(launch, (1,)),
    }
    return events[name]


@given(st.lists(st.tuples(HAPPENINGS, st.floats(0.1, 200.0)), max_size=60))
def test_whatever_happens_it_is_neither_forgotten_nor_doubled(history: list[tuple[str, float]]) -> None:
    """In any order of events: one process at a time, every wait has an end, and no service without a process."""
    process, now = Process(), 0.0
    for name, passed in history:
        now += passed
        event = happening(name, process.launch)
        if process.pid is None and isinstance(event, Exited | ProbeEvent):
            continue  # nobody there to do that
        process, effects = step(process, event, now, POLICY)
        if Spawn(process.launch) in effects:
            assert process.pid is None
            process, _ = step(process, Spawned(process.launch, PID), now, POLICY)
        if process.state in WAITED_FOR:
            assert process.deadline is not None
        if process.state in ALIVE:
            assert process.pid == PID
        if name == "stop":
            assert process.state is EngineState.STOPPED
