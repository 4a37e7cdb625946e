"""The gate of an engine that has a standby: who enters where, and who goes on when the other one answers."""

import asyncio
import math

import pytest

from gateway.errors import Reason, Rejected
from gateway.gate import Gate, GateSettings
from gateway.gate.permits import Permit
from gateway.types import EngineView, Priority
from tests.gateway.applicants import applicant
from tests.gateway.nouns import SLA, change
from tests.gateway.virtual_time import pass_time

SETTINGS = GateSettings(max_wait_s=2.0, max_wait_alone_s=20.0, max_waiting=8)
GPU = EngineView(name="gpu", ready=True, given_up=False, url="http://gpu", detail="up")
CPU = change(GPU, name="cpu", url="http://cpu")
LOADING = change(GPU, ready=False, url=None, detail="starting: loads the model")
LOST = change(LOADING, given_up=True, detail="quarantine: crashed 5 times")
CPU_LOADING = change(LOADING, name="cpu", detail="starting: reads its file")
CPU_LOST = change(LOST, name="cpu")


def gate(*views: EngineView, gpu: int = 2, cpu: int = 1) -> Gate:
    """A gate in front of a GPU engine and its standby."""
    made = Gate({"gpu": gpu, "cpu": cpu}, SETTINGS, {"gpu": "cpu"})
    for view in views:
        made.update(view)
    return made


async def enter(subject: Gate, *, standby: bool = True, deadline: float = math.inf) -> Permit:
    """A permit for either of them."""
    return await subject.enter("gpu", applicant(deadline=deadline, standby=standby))


def later(seconds: float, subject: Gate, view: EngineView) -> None:
    """The host will say so."""
    asyncio.get_running_loop().call_later(seconds, subject.update, view)


def counts(subject: Gate) -> dict[str, tuple[int, int]]:
    """Slots in use, and how many wait, by engine."""
    return {each.engine: (each.in_use, each.waiting) for each in subject.states()}


@pytest.mark.parametrize(
    ("views", "engine"),
    [
        ((GPU, CPU), "gpu"),
        ((GPU, CPU_LOADING), "gpu"),
        ((LOADING, CPU), "cpu"),
        ((CPU,), "cpu"),
        ((LOST, CPU), "cpu"),
    ],
)
async def test_whose_slot_is_taken(views: tuple[EngineView, ...], engine: str) -> None:
    """The engine's own while it is up, whatever the standby does; then the standby's, and the permit says which."""
    subject = gate(*views)
    permit = await enter(subject)
    assert permit.engine == engine
    assert counts(subject)[engine] == (1, 0)
    permit.release()
    assert counts(subject) == {"gpu": (0, 0), "cpu": (0, 0)}


async def test_a_full_engine_is_waited_for() -> None:
    """Having no room is not being absent: the standby is no overflow."""
    subject = gate(GPU, CPU, gpu=1)
    held = await enter(subject)
    waiting = asyncio.create_task(enter(subject))
    await pass_time(1.0)
    assert counts(subject) == {"gpu": (1, 1), "cpu": (0, 0)}
    held.release()
    assert (await waiting).engine == "gpu"


@pytest.mark.parametrize("first", [GPU, CPU])
async def test_who_waits_while_both_start_enters_where_it_is_up_first(first: EngineView) -> None:
    """Wherever that is."""
    subject = gate(LOADING, CPU_LOADING)
    later(3.0, subject, first)
    started = asyncio.get_running_loop().time()
    assert (await enter(subject)).engine == first.name
    assert asyncio.get_running_loop().time() - started == pytest.approx(3.0)


async def test_who_waits_goes_on_when_the_engine_goes_down_and_when_it_is_back() -> None:
    """In their order, those of a higher class first; nobody is left in a queue that nobody serves."""
    subject = gate(GPU, CPU, gpu=1, cpu=1)
    held = await enter(subject)
    normal = asyncio.create_task(enter(subject))
    await asyncio.sleep(0)
    vip = asyncio.create_task(subject.enter("gpu", applicant(change(SLA, priority=Priority.INTERACTIVE), standby=True)))
    await asyncio.sleep(0)
    assert counts(subject)["gpu"] == (1, 2)
    subject.update(LOADING)
    held.release()
    first = await vip
    assert first.engine == "cpu"
    assert counts(subject) == {"gpu": (0, 0), "cpu": (1, 1)}
    subject.update(GPU)
    second = await normal
    assert second.engine == "gpu"
    first.release()
    second.release()
    assert counts(subject) == {"gpu": (0, 0), "cpu": (0, 0)}


async def test_who_may_not_have_the_standby_waits_for_the_engine() -> None:
    """As if there were none, also when others go on."""
    subject = gate(LOADING, CPU_LOADING)
    other = asyncio.create_task(enter(subject))
    strict = asyncio.create_task(enter(subject, standby=False))
    later(1.0, subject, CPU)
    later(4.0, subject, GPU)
    assert (await other).engine == "cpu"
    assert not strict.done()
    assert (await strict).engine == "gpu"


async def test_moving_on_takes_no_longer() -> None:
    """The time that one would have waited is not begun anew elsewhere."""
    subject = gate(LOADING, CPU_LOADING, cpu=1)
    later(5.0, subject, CPU)
    later(15.0, subject, CPU_LOADING)
    held = await enter(subject)
    started = asyncio.get_running_loop().time()
    with pytest.raises(Rejected) as caught:
        await enter(subject)
    assert caught.value.reason is Reason.ENGINE_UNHEALTHY
    assert asyncio.get_running_loop().time() - started == pytest.approx(SETTINGS.max_wait_alone_s)
    held.release()


async def test_both_given_up_is_said_at_once() -> None:
    """And why the engine is, not its standby."""
    with pytest.raises(Rejected, match="engine gpu: quarantine: crashed 5 times"):
        await enter(gate(LOST, CPU_LOST))
    subject = gate(LOST, CPU_LOADING)
    later(1.0, subject, CPU)
    assert (await enter(subject)).engine == "cpu"


async def test_a_break_that_nobody_shares_sends_nobody_to_the_standby() -> None:
    """One connection in two is in doubt for a moment, which is waited for."""
    subject = gate(GPU, CPU, gpu=4)
    permits = [await enter(subject) for _ in range(3)]
    permits[0].doubt()
    permits[0].release()
    assert (await enter(subject)).engine == "gpu"


async def test_a_break_that_most_share_sends_them_there_before_the_host_knows() -> None:
    """The engine has probably died; when it has not, the next ones find it again."""
    subject = gate(GPU, CPU, gpu=4, cpu=4)
    permits = [await enter(subject) for _ in range(3)]
    for permit in permits:
        permit.doubt()
        permit.release()
    started = asyncio.get_running_loop().time()
    assert (await enter(subject)).engine == "cpu"
    assert asyncio.get_running_loop().time() - started == pytest.approx(0.05)
    await pass_time(1.0)
    assert (await enter(subject)).engine == "gpu"


async def test_hanging_up_while_moving_on_leaves_nothing_behind() -> None:
    """A caller who is cancelled in the turn of the loop in which others move holds no place and no slot."""
    subject = gate(LOADING, CPU_LOADING)
    tasks = [asyncio.create_task(enter(subject)) for _ in range(3)]
    await asyncio.sleep(0)
    subject.update(CPU)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    assert counts(subject) == {"gpu": (0, 0), "cpu": (0, 0)}
