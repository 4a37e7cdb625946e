"""One backend measured: what it is asked, what is made of the answers, and what ends the measurement."""

import pytest

from gateway.app.calibration_run import TEMPERATURES, CannotCalibrate, Plan, measure
from gateway.confidence import Floors
from gateway.confidence.evidence import Band
from gateway.errors import Broken
from gateway.messages import Choice, Completion, TokenLogprob, TopLogprob
from gateway.ports import Call
from tests.gateway.corridor.backends import FakeBackend, Pause, Whole
from tests.gateway.nouns import CHOICE, COMPLETION, SPEC, change

PLAN = Plan(prompts=("a", "b", "c"), samples=5, at_once=2, default_temperature=1.0, window_tokens=2)


def choice(*logprobs: float, text: str = "said") -> Choice:
    """An answer whose greedy tokens had these log-probabilities, and whose drawn ones were wild."""
    tokens = tuple(TokenLogprob("x", -9.0, top_logprobs=(TopLogprob("y", each),)) for each in logprobs)
    return change(CHOICE, text=text, logprobs=tokens)


def says(*logprobs: float) -> Whole:
    """A call that is answered like that."""
    return Whole(completion(choice(*logprobs)))


def completion(answer: Choice) -> Completion:
    """A whole answer."""
    return change(COMPLETION, choices=(answer,))


def backend(*behaviours: Whole) -> FakeBackend:
    """A backend whose calls go like that."""
    return FakeBackend(SPEC, *behaviours)


def asked(calls: list[Call]) -> list[tuple[float | None, str, int | None]]:
    """Temperature, prompt and seed of each call."""
    return [(call.request.sampling.temperature, call.request.messages[0].text(), call.request.sampling.seed)
            for call in calls]  # fmt: skip


def unheard(_done: int, _total: int) -> None:
    """Progress that nobody watches."""


async def test_each_band_is_asked_the_prompts_in_turn() -> None:
    """Three temperatures; a prompt that comes again has another seed, and at temperature 0 none comes again."""
    fake = backend(says(-1.0))
    await measure(fake, PLAN, unheard)
    rounds = [("a", 0), ("b", 0), ("c", 0), ("a", 1), ("b", 1)]
    assert asked(fake.calls) == [
        *((0.0, prompt, 0) for prompt in "abc"),
        *((0.7, prompt, seed) for prompt, seed in rounds),
        *((1.0, prompt, seed) for prompt, seed in rounds),
    ]


async def test_a_backend_is_measured_at_its_own_temperature() -> None:
    """Most requests name none: its default takes the place of the one in the same band, and no other."""
    fake = backend(says(-1.0))
    bands = await measure(fake, change(PLAN, default_temperature=0.2, samples=4), unheard)
    assert {each.band: each.temperature for each in bands} == {**TEMPERATURES, Band.COLD: 0.2}
    assert asked(fake.calls)[:4] == [(0.2, "a", 0), (0.2, "b", 0), (0.2, "c", 0), (0.2, "a", 1)]


async def test_it_is_asked_as_the_gateway_asks() -> None:
    """Log-probabilities with the greedy token, and a limit: the backend's own where that is the lower one."""
    for own, limit in ((None, 512), (100, 100), (4_000, 512)):
        fake = backend(says(-1.0))
        await measure(fake, change(PLAN, max_tokens=own), unheard)
        assert {(call.top_logprobs, call.max_tokens) for call in fake.calls} == {(1, limit)}


async def test_evidence_is_read_whole_and_as_far_as_a_stream_is_held() -> None:
    """Of the greedy tokens, in both: floors of the whole answers, and of the first tokens of the same ones."""
    fake = backend(says(-1.0, -2.0, -3.0, -4.0), says(-0.5, -0.5, -5.0, -5.0), says(-2.5, -2.5, -2.5, -2.5))
    cold, *_ = await measure(fake, change(PLAN, samples=3), unheard)
    assert cold.answers == 3
    assert cold.floors == Floors(low=-5.0, usual=-3.25)
    assert cold.streamed == Floors(low=-2.5, usual=-1.75)


async def test_where_nothing_is_held_there_is_nothing_streamed_to_measure() -> None:
    """A window of no tokens commits at once."""
    bands = await measure(backend(says(-1.0)), change(PLAN, window_tokens=0), unheard)
    assert [each.streamed for each in bands] == [None, None, None]


async def test_an_empty_answer_does_not_count() -> None:
    """It says nothing of how sure the model is; the others do."""
    fake = backend(Whole(completion(change(CHOICE, text="", logprobs=()))), says(-1.0))
    cold, *_ = await measure(fake, PLAN, unheard)
    assert (cold.answers, cold.floors) == (2, Floors(-1.0, -1.0))


async def test_a_model_that_says_nothing_cannot_be_measured() -> None:
    """Not one answer with a token in it."""
    with pytest.raises(CannotCalibrate, match="small answered nothing to 3 prompts"):
        await measure(backend(Whole(completion(change(CHOICE, text=None, logprobs=None)))), PLAN, unheard)


async def test_a_backend_that_gives_no_logprobs_is_found_out_at_once() -> None:
    """Whatever its configuration says; the error has what to change."""
    fake = backend(Whole(completion(change(CHOICE, logprobs=None))))
    with pytest.raises(CannotCalibrate, match="was asked for log-probabilities and gave none: take logprobs out"):
        await measure(fake, change(PLAN, prompts=tuple("abcdefgh"), samples=8, at_once=1), unheard)
    assert len(fake.calls) <= 2


async def test_a_backend_that_fails_ends_it_and_leaves_no_call_behind() -> None:
    """One failure is enough to doubt the rest; the others are hung up on."""
    fake = backend(Whole(Broken("small broke off")), Whole(COMPLETION, Pause(seconds=3_600)))
    with pytest.raises(CannotCalibrate, match="small broke off; nothing was kept"):
        await measure(fake, PLAN, unheard)
    assert fake.in_progress == 0


async def test_no_more_are_asked_at_a_time_than_agreed() -> None:
    """A gateway at work keeps its share of the engine."""
    most = 0

    class Counting(FakeBackend):
        async def complete(self, call: Call) -> Completion:
            nonlocal most
            most = max(most, self.in_progress + 1)
            return await super().complete(call)

    await measure(Counting(SPEC, says(-1.0)), change(PLAN, at_once=3), unheard)
    assert most == 3


async def test_every_answer_is_reported() -> None:
    """Done and in all, over the three bands."""
    seen: list[tuple[int, int]] = []
    await measure(backend(says(-1.0)), PLAN, lambda done, total: seen.append((done, total)))
    assert seen == [(number, 13) for number in range(1, 14)]
