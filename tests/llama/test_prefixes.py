"""What streams hold, and what a new prompt takes from them: as numbers, and against streams that keep account."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from numpy.typing import NDArray

from local_models.llama.prefixes import Place, Prefixes, alike
from local_models.llama.rows import Row
from local_models.llama.scheduler import Scheduler
from local_models.llama.seats import Key
from local_models.llama.shares import Shares

Tokens = NDArray[np.int32]


def tokens(*parts: tuple[int, int]) -> Tokens:
    """(count, token), one after the other."""
    return np.concatenate([np.full(count, token, dtype=np.int32) for count, token in parts])


def filled(*held: Tokens, narrow: bool = False, context: int = 1000) -> Prefixes:
    """Streams that hold this, the first one left first, and an unused one at the end."""
    subject = Prefixes(len(held) + 1, context, narrow=narrow)
    for slot, one in enumerate(held):
        subject.feed(slot, 0, one)
        subject.left(slot)
    return subject


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [([], [], 0), ([1], [], 0), ([1, 2], [1, 2, 3], 2), ([1, 2, 3], [1, 5, 3], 1), ([4], [5], 0), ([7, 7], [7, 7], 2)],
)
def test_two_sequences_are_alike_up_to_the_first_difference(one: list[int], other: list[int], found: int) -> None:
    """The shorter one may be over before they differ."""
    assert alike(np.array(one, dtype=np.int32), np.array(other, dtype=np.int32)) == found


@pytest.mark.parametrize(
    ("narrow", "held", "prompt", "kept"),
    [
        (True, tokens((100, 1)), tokens((100, 1)), 99),  # the last token gives the logits
        (True, tokens((100, 1)), tokens((63, 1), (9, 2)), 0),  # not worth it
        (True, tokens((100, 1)), tokens((64, 1), (9, 2)), 64),
        (False, tokens((100, 1)), tokens((100, 1)), 0),  # at least 64 are left to the wide kernel
        (False, tokens((200, 1)), tokens((190, 1), (10, 2)), 136),
        (False, tokens((300, 1)), tokens((250, 1), (7, 2)), 193),
        (False, tokens((1000, 1)), tokens((980, 1), (20, 2)), 936),
        (False, tokens((1000, 1)), tokens((900, 1), (100, 2)), 900),
        (False, tokens((300, 1)), tokens((50, 1), (300, 2)), 0),
        (False, tokens((50, 1)), tokens((40, 1), (9, 2)), 40),  # short ones never meet the wide kernel
        (False, tokens((50, 1)), tokens((50, 1)), 49),
        (False, tokens((50, 1)), tokens((15, 1), (9, 2)), 0),
        (False, tokens((100, 1)), tokens((40, 1), (9, 2)), 0),  # this was evaluated by the wide one
    ],
)
def test_how_much_of_a_prompt_is_taken_over(*, narrow: bool, held: Tokens, prompt: Tokens, kept: int) -> None:
    """As much as is alike, less what must be evaluated; nothing where that is little."""
    assert filled(held, narrow=narrow).common(0, prompt) == kept


def test_a_short_prompt_takes_over_what_the_kernel_for_few_has_evaluated() -> None:
    """In whatever steps, and where it is copied to; not what came after a step of 64 tokens."""
    subject = Prefixes(3, 1000)
    for start, count in ((0, 20), (20, 10), (30, 64), (94, 1)):
        subject.feed(0, start, tokens((count, 1)))
    subject.take(Place(1, 0, 90))
    prompt = tokens((40, 1), (9, 2))
    assert subject.common(0, prompt) == subject.common(1, prompt) == 30
    subject.take(Place(0, 0, 0))
    subject.feed(0, 0, tokens((45, 1)))
    assert subject.common(0, prompt) == 40
    assert subject.promised(tokens((50, 1)), prompt) == 40
    assert subject.promised(tokens((90, 1)), prompt) == 0


def test_the_free_slot_that_begins_most_alike_is_taken_and_trimmed() -> None:
    """Not the one left first, nor the empty one."""
    subject = filled(tokens((300, 1)), tokens((400, 1), (50, 2)), tokens((400, 3)))
    prompt = tokens((400, 1), (70, 3))
    place = subject.place(prompt, [0, 1, 2, 3])
    assert place == Place(1, 1, 400)
    subject.take(place)
    assert subject.held(1).tolist() == [1] * 400


def test_a_running_sequence_that_begins_more_alike_is_copied() -> None:
    """Into the slot that was left the longest time ago; the one copied from stays as it is."""
    subject = filled(tokens((400, 1)), tokens((300, 1)), tokens((400, 5)))
    subject.left(3)
    prompt = tokens((400, 1), (70, 3))
    assert subject.place(prompt, [1, 2, 3]) == Place(1, 0, 400)
    subject.take(Place(2, 0, 400))
    assert subject.held(2).tolist() == subject.held(0).tolist() == [1] * 400


def test_a_copy_for_a_few_tokens_more_is_not_made() -> None:
    """A free slot that begins nearly as much alike costs nothing."""
    subject = filled(tokens((400, 1)), tokens((350, 1)))
    assert subject.place(tokens((400, 1), (70, 3)), [1, 2]) == Place(1, 1, 350)


def test_a_long_stream_is_not_copied_for_a_short_prefix() -> None:
    """All that a stream holds is copied, whatever is wanted of it."""
    subject = filled(tokens((300, 1)), context=2**17)
    assert subject.place(tokens((300, 1), (70, 3)), [1]) == Place(1, 1, 0)
    assert subject.place(tokens((300, 1), (70, 3)), [0, 1]) == Place(0, 0, 300)


def test_who_finds_nothing_takes_the_slot_left_the_longest_time_ago() -> None:
    """Unused slots first."""
    subject = filled(tokens((300, 1)), tokens((300, 2)), tokens((300, 3)))
    for slot in (3, 0, 1):
        assert subject.place(tokens((300, 9)), [0, 1, 2, 3]) == Place(slot, slot, 0)
        subject.left(slot)


@pytest.mark.parametrize(
    ("taken", "slot"),
    [((0, 1), 2), ((1, 2, 3), 0), ((0, 2), 1), ((0, 1, 3, 4, 5), 2), ((5,), 6), ((7,), 6), ((3, 4), 5)],
)
def test_who_finds_nothing_joins_those_who_are_there(taken: tuple[int, ...], slot: int) -> None:
    """A gap is filled first; of the places beside them it is the one left the longest time ago, or never used."""
    subject = Prefixes(8, 100)
    for each in (4, 2, 1, 0):
        subject.left(each)
    subject.left(4)
    free = [each for each in range(8) if each not in taken]
    assert subject.vacant(free) == slot


@pytest.mark.parametrize(
    ("taken", "apart", "slot"),
    [
        ((0, 1), (0, 1), 3),  # with room between them
        ((0, 1, 7), (7,), 2),
        ((0, 1, 3), (3,), 2),
        ((0, 2), (2,), 1),
        ((0, 2, 4, 6), (0, 2, 4, 6), 7),
        ((3, 5), (3,), 6),
    ],
)
def test_who_is_decoded_at_other_times_is_no_neighbour(
    taken: tuple[int, ...], apart: tuple[int, ...], slot: int
) -> None:
    """Of places that are as good, one with room between them is better."""
    subject = Prefixes(8, 100)
    assert subject.vacant([each for each in range(8) if each not in taken], apart) == slot


def test_those_who_are_decoded_together_gather_while_others_pause() -> None:
    """Whatever those do who are less urgent than usual: an answer and a prompt of theirs lie between two others."""
    scheduler = Scheduler(6, Shares(), Prefixes(6, 1000, narrow=True), moves=True)
    streams = Streams(scheduler)
    for job, (size, priority) in enumerate(((9, 0), (9, 0), (9, 0), (9, 1), (700, 1))):
        streams.enqueue(Key(job, 0), tokens((size, job)), priority)
    streams.step()
    assert streams.keys == {0: Key(0, 0), 1: Key(1, 0), 2: Key(2, 0), 4: Key(3, 0), 5: Key(4, 0)}
    streams.leave(1, keep=True)
    streams.step()
    assert streams.keys == {0: Key(0, 0), 1: Key(2, 0), 4: Key(3, 0), 5: Key(4, 0)}


def test_of_slots_that_hold_as_much_of_a_prompt_the_best_placed_is_taken() -> None:
    """What all chats begin with stands in all of them."""
    subject = filled(*(tokens((300, 1), (9, slot)) for slot in range(5)))
    assert subject.place(tokens((300, 1), (70, 7)), [0, 1, 2, 4, 5]) == Place(2, 2, 300)


def test_of_two_that_come_together_the_second_waits_for_what_both_begin_with() -> None:
    """The shared 300 tokens are evaluated once; then both go on by themselves."""
    shares = Shares(alone=100, beside=100)
    streams = Streams(Scheduler(2, shares, Prefixes(2, 1000)))
    first, second = tokens((300, 1), (250, 2)), tokens((300, 1), (70, 3))
    streams.enqueue(Key(1, 0), first)
    streams.enqueue(Key(2, 0), second)
    alone = [streams.step() for _ in range(3)]
    assert alone == [(Row(0, start, start + 100, samples=False),) for start in (0, 100, 200)]
    assert streams.step()[1] == Row(1, 300, 350, samples=False)
    assert (streams.scheduler.hits, streams.scheduler.queries) == (300, 920)


def test_who_waits_for_one_that_leaves_takes_what_is_there() -> None:
    """A leader that is cancelled leaves what it has evaluated; one that failed leaves nothing."""
    for keep, start in ((True, 200), (False, 0)):
        streams = Streams(Scheduler(2, Shares(alone=200, beside=200), Prefixes(2, 1000)))
        for job in (1, 2):
            streams.enqueue(Key(job, 0), tokens((500, 1), (40, job)))
        streams.step()
        streams.leave(0, keep=keep)
        assert streams.step()[0].start == start


@pytest.mark.parametrize("back", [True, False])
def test_who_moves_takes_its_stream_along_and_leaves_the_other_behind(*, back: bool) -> None:
    """What was kept in the gap is found in the place of whoever fills it, unless it was lost on the way."""
    subject = Prefixes(3, 1000)
    scheduler = Scheduler(3, Shares(), subject, moves=True)
    streams = Streams(scheduler)
    for job, size in enumerate((40, 40, 100)):
        streams.enqueue(Key(job, 0), tokens((size, job)))
    for _ in range(9):
        streams.step()
    streams.leave(1, keep=True)
    assert scheduler.gather() == (2, 1)
    scheduler.moved(2, 1, there=True, back=back)
    assert subject.held(1)[:40].tolist() == [2] * 40
    assert subject.held(2)[:40].tolist() == [1] * 40 * back
    asked = tokens((30, 1), (9, 7))
    assert subject.place(asked, [2]) == Place(2, 2, 30 * back)
    assert [row.slot for row in scheduler.plan()] == [0, 1]


class Streams:
    """Lists of tokens instead of KV streams, and a scheduler whose orders are carried out to the letter."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.held: dict[int, list[int]] = {}
        self.keys: dict[int, Key] = {}
        self.sent: dict[Key, Tokens] = {}

    def enqueue(self, key: Key, prompt: Tokens, priority: int = 0) -> None:
        """A request arrives."""
        self.sent[key] = prompt
        self.scheduler.enqueue(key, prompt, priority)

    def step(self, said: int = 0) -> tuple[Row, ...]:
        """Admit, plan, feed; every running sequence says the same token."""
        for start in self.scheduler.admit():
            place = start.place
            if start.seated:
                self.keys[place.slot] = start.key
            if place.source != place.slot:
                self.held[place.slot] = list(self.held[place.source])
            del self.held.setdefault(place.slot, [])[place.kept :]
        self.gather()
        rows = self.scheduler.plan()
        fed: dict[int, Tokens] = {}
        for row in rows:
            assert row.start == len(self.held.setdefault(row.slot, []))
            prompt = self.sent.get(self.keys.get(row.slot, Key(0, 0)))
            if prompt is None or row.start >= prompt.size:
                fed[row.slot] = np.array([said], dtype=np.int32)
            else:
                fed[row.slot] = prompt[row.start : row.stop]
            self.held[row.slot] += fed[row.slot].tolist()
        for ready in self.scheduler.advance(rows, fed):
            for slot in ready.followers:
                self.held[slot] = list(self.held[ready.slot])
        return rows

    def gather(self) -> None:
        """Somebody moves to a free slot, if it is time for that."""
        if (move := self.scheduler.gather()) is None:
            return
        slot, to = move
        assert to not in self.keys
        self.keys[to] = self.keys.pop(slot)
        self.held[slot], self.held[to] = self.held.get(to, []), self.held[slot]
        self.scheduler.moved(slot, to, there=True, back=True)

    def leave(self, slot: int, *, keep: bool) -> None:
        """Somebody goes."""
        self.keys.pop(slot, None)
        if not self.scheduler.leave(slot, keep=keep):
            self.held[slot] = []


SLOTS, CONTEXT = 4, 40
PROMPTS = st.lists(st.integers(0, 1), min_size=1, max_size=24).map(lambda found: np.array(found, dtype=np.int32))


class Honest(RuleBasedStateMachine):
    """Whatever is asked, given up and failed: what the index says a stream holds is what was fed to it."""

    def __init__(self) -> None:
        super().__init__()
        self.prefixes = Prefixes(SLOTS, CONTEXT, narrow=True, least=2)
        self.streams = Streams(Scheduler(SLOTS, Shares(alone=5, beside=3), self.prefixes, moves=True))
        self.job = 0

    @rule(prompt=PROMPTS, choices=st.integers(1, 2), priority=st.integers(-1, 1))
    def ask(self, prompt: Tokens, choices: int, priority: int) -> None:
        """A request arrives, with prompts that often begin alike."""
        self.job += 1
        for choice in range(choices):
            self.streams.enqueue(Key(self.job, choice), prompt, priority)

    @rule(said=st.integers(0, 1))
    def step(self, said: int) -> None:
        """A batch; who has no room left goes."""
        self.streams.step(said)
        for slot in [slot for slot in self.streams.keys if len(self.streams.held[slot]) >= CONTEXT - 1]:
            self.streams.leave(slot, keep=True)

    @rule(prompts=st.lists(PROMPTS, min_size=SLOTS, max_size=SLOTS), gap=st.sampled_from(range(SLOTS)))
    def leave_a_gap(self, prompts: list[Tokens], gap: int) -> None:
        """All run, and one of them goes."""
        for prompt in prompts:
            self.ask(prompt, 1, 0)
        while self.streams.scheduler.waiting or not all(self.done(*each) for each in self.streams.keys.items()):
            self.step(0)
        if gap in self.streams.keys:
            self.streams.leave(gap, keep=True)
            self.step(0)

    @precondition(lambda self: self.streams.keys)
    @rule(data=st.data(), keep=st.booleans())
    def end(self, data: st.DataObject, *, keep: bool) -> None:
        """A sequence is over, well or badly."""
        self.streams.leave(data.draw(st.sampled_from(sorted(self.streams.keys))), keep=keep)

    @precondition(lambda self: self.streams.keys)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """A request is given up."""
        job = self.streams.keys[data.draw(st.sampled_from(sorted(self.streams.keys)))].job
        for slot in self.streams.scheduler.withdraw(job):
            self.streams.leave(slot, keep=True)

    @invariant()
    def the_index_is_right(self) -> None:
        """Token for token, in every stream; and nobody is given what does not begin its prompt."""
        for slot in range(SLOTS):
            assert self.prefixes.held(slot).tolist() == self.streams.held.get(slot, [])
        for slot, key in self.streams.keys.items():
            held, prompt = self.streams.held[slot], self.streams.sent[key].tolist()
            assert held[: len(prompt)] == prompt[: len(held)]

    def teardown(self) -> None:
        """Everybody who is left gets through."""
        for _ in range(400):
            self.streams.step()
            running = [slot for slot, key in self.streams.keys.items() if self.done(slot, key)]
            for slot in running:
                self.streams.leave(slot, keep=True)
            if not self.streams.keys and not self.streams.scheduler.waiting:
                return
        raise AssertionError("somebody is stuck")

    def done(self, slot: int, key: Key) -> bool:
        """The whole prompt is in the stream."""
        return len(self.streams.held[slot]) >= self.streams.sent[key].size


TestHonest = Honest.TestCase
TestHonest.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
