"""Whatever the order of events, permits are neither lost nor invented. A machine plays every kind of event."""

import asyncio

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from gateway.gate.permits import Permit, PermitQueue, QueueFull
from gateway.types import Priority

MAX_WAITING = 3
Caller = asyncio.Task[Permit]


class Callers(RuleBasedStateMachine):
    """Callers of a queue with two slots: they come, hang up, leave, are cancelled in the moment of the grant."""

    waiting = Bundle("waiting")
    inside = Bundle("inside")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.queue = PermitQueue(2, MAX_WAITING)
        self.callers: list[Caller] = []
        self.open = False

    def run(self, *, turns: int) -> None:
        """Let the loop turn: one turn may leave things half done, many settle them."""

        async def turn() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turn())

    def holders(self) -> list[Caller]:
        """Those who were let in and have not left."""
        return [each for each in self.callers if each.done() and not each.cancelled() and each.exception() is None]

    @rule(target=waiting, priority=st.sampled_from(list(Priority)), turns=st.integers(0, 6))
    def come(self, priority: Priority, turns: int) -> Caller:
        """Somebody asks for a permit."""
        caller = self.loop.create_task(self.queue.acquire(priority, 1000.0))
        self.callers.append(caller)
        self.run(turns=turns)
        return caller

    @rule(caller=waiting, turns=st.integers(0, 6))
    def hang_up(self, caller: Caller, turns: int) -> None:
        """Somebody gives up, at any moment."""
        caller.cancel()
        self.run(turns=turns)

    @rule(caller=consumes(waiting), turns=st.integers(0, 6))
    def leave(self, caller: Caller, turns: int) -> None:
        """Somebody who is inside gives the permit back, perhaps twice."""
        if caller in self.holders():
            self.callers.remove(caller)
            caller.result().release()
            caller.result().release()
        self.run(turns=turns)

    @rule(turns=st.integers(0, 6), is_open=st.booleans())
    def turn_the_key(self, *, turns: int, is_open: bool) -> None:
        """The engine comes up or goes down."""
        self.open = is_open
        self.queue.set_open(is_open=is_open)
        self.run(turns=turns)

    @invariant()
    def never_more_than_the_slots(self) -> None:
        """At every moment, settled or not."""
        assert 0 <= self.queue.in_use <= self.queue.slots
        assert self.queue.waiting <= MAX_WAITING
        assert len(self.holders()) <= self.queue.in_use

    @rule()
    def settle(self) -> None:
        """When nothing moves any more, the books agree, and no slot is idle while somebody waits."""
        self.run(turns=20)
        assert self.queue.in_use == len(self.holders())
        assert self.queue.waiting == sum(not each.done() for each in self.callers)
        if self.open:
            assert self.queue.in_use == self.queue.slots or self.queue.waiting == 0
        assert all(isinstance(each.exception(), QueueFull) for each in self.callers if self.failed(each))

    @staticmethod
    def failed(caller: Caller) -> bool:
        """Whether somebody was turned away."""
        return caller.done() and not caller.cancelled() and caller.exception() is not None

    def teardown(self) -> None:
        """When all have left, every slot is free."""
        for caller in self.callers:
            caller.cancel()
        self.run(turns=20)
        for caller in self.holders():
            caller.result().release()
        self.run(turns=20)
        assert (self.queue.in_use, self.queue.waiting) == (0, 0)
        self.loop.close()


TestCallers = Callers.TestCase
TestCallers.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
