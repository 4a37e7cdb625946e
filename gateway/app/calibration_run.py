"""One backend measured: easy prompts asked at three temperatures, and the evidence of the answers by band.

The gateway scores whole answers, and of a stream what its probation window holds. Over fewer tokens the quartile
scatters more. SmolLM2's answers to the built-in prompts, 200 at each of the temperatures 0.2, 0.7 and 1.0: below the
floor that 2 % of whole answers fall below are 4, 4.5 and 1.5 % of their first 24 tokens, and 12, 10.5 and 7.5 % of
their first 8, which is what a busy CPU writes in the 400 ms after which a window closes; the medians differ by 0.1 at
most. There is one pair of floors for both: that of whole answers is kept, and what streams would need told beside it.
"""

import asyncio
from collections.abc import Callable, Sequence
from itertools import islice, product
from types import MappingProxyType

from msgspec import Struct

from gateway.confidence import Floors
from gateway.confidence.calibrate import floors_of, held_part
from gateway.confidence.evidence import Band, band_of, evidence
from gateway.errors import AttemptError, ForebayError
from gateway.messages import ChatRequest, Choice, Message, Sampling
from gateway.ports import Backend, Call

TEMPERATURES = MappingProxyType({Band.COLD: 0.0, Band.WARM: 0.7, Band.HOT: 1.0})
"""Where each band is measured, unless what the backend samples at by default lies in it."""

_ANSWER_WITHIN_S = 600.0
# A model that finds no end must not take for ever. At 256 tokens SmolLM2's low floor would be the same for temperatures
# up to 0.7, but 0.09 higher at 1.0, where 15 of 200 answers ramble on.
_LONGEST = 512
# As gateway.attempt asks for them: the greedy token beside the chosen one.
_TOP_LOGPROBS = 1


class CannotCalibrate(ForebayError):
    """A backend's floors cannot be measured; the message says why and what to do."""


class BandFloors(Struct, frozen=True, kw_only=True):
    """What was measured in one band, from so many answers at this temperature.

    `streamed` are the floors of the same answers as far as a probation window holds them, None where none is held or
    a thinking model fills it.
    """

    band: Band
    temperature: float
    answers: int
    floors: Floors
    streamed: Floors | None


class Plan(Struct, frozen=True, kw_only=True):
    """What to ask: `samples` answers a band of these prompts in turn, `at_once` at a time.

    `default_temperature` is the backend's, `window_tokens` what is held back of a stream, `max_tokens` the limit of an
    answer that the backend is given where a request has none, None where it is given none.
    """

    prompts: tuple[str, ...]
    samples: int
    at_once: int
    default_temperature: float
    window_tokens: int
    max_tokens: int | None = None

    def temperatures(self) -> dict[Band, float]:
        """Where each band is measured: most requests name no temperature, so at the backend's default in its band."""
        return {**TEMPERATURES, band_of(self.default_temperature): self.default_temperature}

    def questions(self, temperature: float) -> list[tuple[str, int]]:
        """Prompts, each with the seed of its answer. At temperature 0 a prompt has one answer, whatever the seed."""
        rounds = 1 if temperature == 0 else self.samples
        return [(prompt, seed) for seed, prompt in islice(product(range(rounds), self.prompts), self.samples)]


Asked = Callable[[int, int], None]
"""Called with how many answers are there, and how many there are to be."""


async def measure(backend: Backend, plan: Plan, asked: Asked) -> tuple[BandFloors, ...]:
    """The floors of every band. Raises CannotCalibrate when the backend fails, or gives no evidence."""
    temperatures = plan.temperatures()
    total = sum(len(plan.questions(each)) for each in temperatures.values())
    interview = _Interview(backend, plan, total, asked)
    return tuple([await interview.band(band, temperature) for band, temperature in temperatures.items()])


class _Interview:
    """Asks, and counts the answers."""

    def __init__(self, backend: Backend, plan: Plan, total: int, asked: Asked) -> None:
        self._backend = backend
        self._plan = plan
        self._total = total
        self._asked = asked
        self._done = 0
        self._slots = asyncio.Semaphore(plan.at_once)

    async def band(self, band: Band, temperature: float) -> BandFloors:
        """Ask for the answers of one band."""
        questions = self._plan.questions(temperature)
        asking = [asyncio.create_task(self._ask(prompt, temperature, seed)) for prompt, seed in questions]
        try:
            choices = await asyncio.gather(*asking)
        except AttemptError as error:
            raise CannotCalibrate(f"{error}; nothing was kept of what it had answered till then") from error
        finally:
            for task in asking:
                task.cancel()
            await asyncio.wait(asking)
        values = _evidence(choices)
        if not values:
            raise CannotCalibrate(f"{self._backend.spec.name} answered nothing to {len(choices)} prompts")
        held = [part for choice in choices if (part := held_part(choice, self._plan.window_tokens)) is not None]
        streamed = _evidence(held)
        return BandFloors(
            band=band,
            temperature=temperature,
            answers=len(values),
            floors=floors_of(values),
            streamed=floors_of(streamed) if streamed else None,
        )

    async def _ask(self, prompt: str, temperature: float, seed: int) -> Choice:
        request = ChatRequest(
            id="calibrate",
            created=0,
            requested_model=self._backend.spec.name,
            messages=(Message("user", prompt),),
            sampling=Sampling(temperature=temperature, seed=seed),
        )
        async with self._slots:
            deadline = asyncio.get_running_loop().time() + _ANSWER_WITHIN_S
            limit = min(self._plan.max_tokens or _LONGEST, _LONGEST)
            completion = await self._backend.complete(
                Call(request=request, deadline=deadline, max_tokens=limit, top_logprobs=_TOP_LOGPROBS)
            )
        choice = completion.choices[0]
        if choice.text and not choice.logprobs:
            raise CannotCalibrate(
                f"backend {self._backend.spec.name} was asked for log-probabilities and gave none: take logprobs out "
                "of its `capabilities`; without them its answers are scored by structure and text alone"
            )
        self._done += 1
        self._asked(self._done, self._total)
        return choice


def _evidence(choices: Sequence[Choice]) -> list[float]:
    """The evidence of each answer, as the gateway reads it; an empty answer has none."""
    return [value for choice in choices if (value := evidence(choice)) is not None]
