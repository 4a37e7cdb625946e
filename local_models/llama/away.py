"""Which prompt is evaluated aside, in a context of its own (see `aside`), and who waits for that. Pure."""

from local_models.llama.seats import Phase, Seat, Seats
from local_models.llama.shares import Shares


class Away:
    """One prompt at a time. Kept by the scheduler."""

    def __init__(self, seats: Seats, shares: Shares) -> None:
        self._seats = seats
        self._shares = shares
        self._wanted = True
        self.slot = -1
        """Whose prompt it is; -1: nobody's."""
        self.shared = False
        """A prompt is evaluated aside, or one that was left is not over yet: half of the threads are there."""

    def send(self) -> tuple[int, Seat] | None:
        """Whose prompt goes aside now, all that is left of it, if anybody's does.

        Only beside others that are as urgent: less urgent ones yield to a prompt, and it has the whole machine.
        """
        if self.shared or not self._wanted:
            return None
        urgency = self._seats.urgency()
        most = min((urgency[slot] for slot, seat in self._seats.taken if seat.phase is Phase.RUNNING), default=None)
        long = [(slot, seat) for slot, seat in self._seats.prefilling() if seat.left >= self._shares.aside]
        if most is None or not long:
            return None
        slot, seat = min(long, key=lambda entry: urgency[entry[0]])
        if urgency[slot] < most:
            return None
        seat.phase, self.slot, self.shared = Phase.ASIDE, slot, True
        return slot, seat

    def back(self) -> int:
        """Nothing is evaluated aside any longer. Returns the slot whose prompt it was; -1: it has been left."""
        slot, self.slot, self.shared = self.slot, -1, False
        if slot >= 0:
            self._seats[slot].phase = Phase.PREFILLING
        return slot

    def left(self, slot: int) -> None:
        """Nobody sits in a slot any longer."""
        if slot == self.slot:
            self.slot = -1

    def give_up(self) -> None:
        """No prompt goes aside any more: it failed."""
        self._wanted = False

    def passed(self, passed: frozenset[int]) -> bool:
        """Whether what is evaluated aside waits, for it belongs to one of those who are passed over."""
        return self.slot in passed

    def here(self, *, running: bool) -> list[tuple[int, Seat]]:
        """Whose prompt is evaluated beside the streams, without the very long ones that wait until they may go."""
        seats = self._seats.prefilling()
        if not running or not self.shared or not self._wanted:
            return seats
        return [(slot, seat) for slot, seat in seats if seat.left < self._shares.patient]
