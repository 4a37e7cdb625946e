"""Long prompts in a context of their own: what goes there, what comes back, and what becomes of it when it fails."""

import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from local_models.llama import kvstate
from local_models.llama.aside import fits, spare
from local_models.llama.away import Away
from local_models.llama.context import Context
from local_models.llama.errors import EXIT_REFUSED, StartError
from local_models.llama.jobs import Broke, Cancel, Delta
from local_models.llama.kvstate import rewritten
from local_models.llama.log import LlamaLog
from local_models.llama.model import Model
from local_models.llama.seats import Key, Phase, Seat, Seats
from local_models.llama.shares import Shares
from local_models.llama.template import ChatTemplate
from local_models.llama.turns import Turn
from tests.llama.engine_process import EngineProcess, eventually
from tests.llama.loop_bench import Bench, FakeStreams
from tests.llama.reference import Reference

LONG, PIECE, WAITED, ENDLESS = 40, 8, 30, 10**6
SOME, QUESTION = 512, "one two three four five six seven " * 82
SHARES = Shares(alone=PIECE, beside=PIECE, least=PIECE, aside=LONG, patient=2 * LONG, wide=False)


class Aside:
    """A loop whose long prompts go to a context that waits for leave before each piece."""

    def __init__(self, model: Model) -> None:
        self.single = FakeStreams(model, streams=1)
        self.single.letters = self.single.letters[-1:]
        self.leave = threading.Semaphore(0)
        self.asked = threading.Event()
        self.code = 0
        self.single.fails = self._piece
        self.bench = Bench(model, SHARES, self.single)

    def _piece(self, _fed: object) -> int:
        self.asked.set()
        assert self.leave.acquire(timeout=WAITED)
        return self.code

    def begin(self, *, tokens: int = 3, choices: int = 1, prompt: int = LONG) -> None:
        """Job 1 runs without end, and job 2 comes with a long prompt and is sent aside."""
        self.bench.send(self.bench.job(1, tokens=ENDLESS))
        self.bench.run()
        self.bench.send(self.bench.job(2, prompt=prompt, tokens=tokens, choices=choices))
        self.bench.run(3)
        assert prompt < LONG or self.asked.wait(WAITED)

    def finish(self, job: int = 2) -> None:
        """Let all pieces be evaluated, and run until a job is over."""
        self.leave.release(1000)
        self.until(lambda: "Gone" in self.bench.of(job))

    def until(self, condition: Callable[[], bool]) -> None:
        """Run until something is so."""
        for _ in range(ENDLESS):
            if condition():
                return
            self.bench.run()
        raise AssertionError("it never is")


@pytest.fixture
def aside(model: Model) -> Iterator[Aside]:
    """A fresh one; its thread ends."""
    made = Aside(model)
    yield made
    made.leave.release(1000)
    assert made.bench.aside is not None
    made.bench.aside.close()


def count(bench: Bench, job: int) -> int:
    """Tokens a job has said."""
    return sum(isinstance(event, Delta) and event.job == job for event in bench.events)


def test_a_long_prompt_is_evaluated_aside_while_streams_go_on(aside: Aside) -> None:
    """Not a token of it is in a step of theirs; the first token comes from there, the next from the stream itself."""
    aside.begin()
    before = count(aside.bench, 1)
    aside.bench.run(5)
    assert count(aside.bench, 1) == before + 5
    assert aside.bench.streams.lengths.keys() == {0}
    aside.finish()
    assert aside.bench.text(2) == "hbb"
    snapshot = aside.bench.loop.snapshot()
    assert (snapshot.prompt_tokens, snapshot.aside_tokens) == (5 + LONG, LONG)


def test_a_short_prompt_stays_with_the_streams(aside: Aside) -> None:
    """One token fewer than a long one has."""
    aside.begin(prompt=LONG - 1)
    aside.finish()
    assert aside.bench.text(2) == "bbb"
    assert aside.bench.loop.snapshot().aside_tokens == 0


def test_what_was_evaluated_before_goes_along(aside: Aside) -> None:
    """A prompt that was alone for a step is sent aside with what its stream holds."""
    whole = LONG + 4 * PIECE
    aside.bench.send(aside.bench.job(2, prompt=whole))
    aside.bench.run()
    aside.bench.send(aside.bench.job(1, tokens=ENDLESS))
    aside.finish()
    assert aside.bench.text(2) == "haa"
    snapshot = aside.bench.loop.snapshot()
    assert LONG <= snapshot.aside_tokens < whole
    assert snapshot.prompt_tokens == 5 + whole


def test_choices_follow_a_prompt_that_was_evaluated_aside(aside: Aside) -> None:
    """Each continues from a copy of it."""
    aside.begin(choices=2)
    aside.finish()
    assert (aside.bench.text(2, 0), aside.bench.text(2, 1)) == ("hbb", "hcc")


def test_threads_are_divided_for_as_long_as_it_takes(aside: Aside) -> None:
    """One of four is aside; when nobody else runs any more it has all four, and they go back to the streams."""
    aside.begin()
    assert aside.bench.streams.threads[-1] == 3
    aside.leave.release(1)
    aside.bench.send(Cancel(1))
    aside.bench.run(2)
    aside.finish()
    assert (aside.single.threads[0], aside.single.threads[-1]) == (1, 4)
    assert aside.bench.streams.threads[-1] == 4


def test_a_cancelled_prompt_comes_back_to_nobody(aside: Aside) -> None:
    """Its slot is free at once; whoever has it next gets nothing of it, and the next long prompt goes aside again."""
    aside.begin()
    aside.bench.send(Cancel(2))
    aside.bench.run()
    assert aside.bench.of(2) == ["Began", "Gone"]
    aside.bench.send(aside.bench.job(3, tokens=2), aside.bench.job(4, prompt=LONG))
    aside.until(lambda: "Gone" in aside.bench.of(4))
    assert (aside.bench.text(3), aside.bench.text(4)) == ("bb", "ccc")
    aside.leave.release(1000)
    aside.until(lambda: not aside.bench.scheduler.away.shared)
    assert aside.bench.loop.snapshot().aside_tokens <= PIECE
    aside.bench.send(aside.bench.job(5, prompt=LONG))
    aside.finish(5)
    assert aside.bench.text(5) == "hbb"


@pytest.mark.parametrize("fault", ["code", "adopts", "away"])
def test_what_fails_aside_is_evaluated_here(aside: Aside, fault: str) -> None:
    """Nobody notices, and nothing goes aside any more."""
    aside.begin()
    if fault == "code":
        aside.code = 1
    elif fault == "adopts":
        aside.bench.streams.adopts = False
    else:
        aside.single.exports = False
    aside.finish()
    assert aside.bench.text(2) == "bbb"
    assert [event for event in aside.bench.events if isinstance(event, Broke)] == []
    tokens = aside.bench.loop.snapshot().aside_tokens
    aside.bench.send(aside.bench.job(3, prompt=LONG))
    aside.finish(3)
    assert aside.bench.loop.snapshot().aside_tokens == tokens


def test_a_stream_that_cannot_be_exported_stays(aside: Aside) -> None:
    """There is no memory for a copy of what it holds."""
    aside.bench.streams.exports = False
    aside.bench.send(aside.bench.job(2, prompt=LONG + 4 * PIECE))
    aside.bench.run()
    aside.bench.send(aside.bench.job(1, tokens=ENDLESS))
    aside.finish()
    assert aside.bench.text(2) == "aaa"
    assert aside.bench.loop.snapshot().aside_tokens == 0


def test_it_waits_while_a_more_urgent_prompt_is_evaluated() -> None:
    """As whoever else is less urgent does."""
    seats = seated((Phase.RUNNING, 0), (Phase.PREFILLING, 0))
    away = Away(seats, SHARES)
    sent = away.send()
    assert sent is not None
    assert sent[0] == 1
    assert away.passed(frozenset({1}))
    assert not away.passed(frozenset({0}))


@pytest.mark.parametrize(
    ("others", "sent"),
    [
        ([], None),
        ([(Phase.PREFILLING, 0)], None),
        ([(Phase.RUNNING, 0)], 0),
        ([(Phase.RUNNING, -1)], 0),
        ([(Phase.RUNNING, 1)], None),
        ([(Phase.RUNNING, 1), (Phase.RUNNING, 0)], 0),
        ([(Phase.RUNNING, 0), (Phase.PREFILLING, -1)], None),
        ([(Phase.RUNNING, -1), (Phase.PREFILLING, -1)], 2),
    ],
)
def test_who_goes_aside(others: list[tuple[Phase, int]], sent: int | None) -> None:
    """A prompt beside somebody who runs and need not yield to it."""
    seats = seated((Phase.PREFILLING, 0), *others)
    found = Away(seats, SHARES).send()
    assert (found and found[0]) == sent


def test_a_second_one_waits_if_it_is_very_long() -> None:
    """One of middling length goes on beside the streams, which hardly notice; and all do where nobody runs."""
    seats = seated((Phase.RUNNING, 0), (Phase.PREFILLING, 0), (Phase.PREFILLING, 0), (Phase.PREFILLING, 0))
    seats[2].length = seats[2].prompt.size - SHARES.patient
    seats[3].length = seats[3].prompt.size - SHARES.patient + 1
    away = Away(seats, SHARES)
    assert away.send() is not None
    assert away.send() is None
    assert [slot for slot, _ in away.here(running=True)] == [3]
    assert [slot for slot, _ in away.here(running=False)] == [2, 3]
    assert away.back() == 1
    assert [slot for slot, _ in away.here(running=True)] == [1, 2, 3]


def seated(*who: tuple[Phase, int]) -> Seats:
    """Slots with sequences of three long prompts' length, by phase and priority."""
    seats = Seats(len(who))
    for slot, (phase, priority) in enumerate(who):
        prompt = np.zeros(3 * LONG, dtype=np.int32)
        seats.sit(slot, Seat(Key(slot, 0), prompt, priority, slot, phase))
    return seats


@pytest.mark.parametrize("slot", [0, 2])
def test_a_stream_goes_on_in_another_context_to_the_last_bit(model: Model, llama_log: LlamaLog, slot: int) -> None:
    """There and back, between contexts with one stream and with three, and nothing of the neighbours goes along."""
    tokens = np.arange(100, 164, dtype=np.int32)
    many, one = (Context(model, llama_log, parallel=parallel, context=256, threads=1, batch=64) for parallel in (3, 1))
    assert fits(many, one)
    for each in range(3):
        evaluate(many, each, 0, tokens + each)
    assert one.adopt(0, many.export(slot, 1))
    assert many.adopt(1, one.export(0, 3))
    rows = [evaluate(*at, 64, tokens[:1]) for at in ((many, slot), (one, 0), (many, 1))]
    np.testing.assert_array_equal(rows[1], rows[0])
    np.testing.assert_array_equal(rows[2], rows[0])
    assert not np.array_equal(evaluate(many, 2 - slot, 64, tokens[:1]), rows[0])
    for context in (many, one):
        context.close()


def test_a_copy_is_there_at_once_and_goes_on_to_the_last_bit(model: Model, llama_log: LlamaLog) -> None:
    """Whoever exports it before anything else is decoded gets what was copied, not what the stream held before."""
    tokens = np.arange(100, 228, dtype=np.int32)
    many, one = (Context(model, llama_log, parallel=parallel, context=256, threads=1, batch=64) for parallel in (3, 1))
    evaluate(many, 1, 0, tokens)
    evaluate(many, 2, 0, tokens[::-1])
    many.copy(1, 2)
    assert many.trim(2, 64)
    assert one.adopt(0, many.export(2, 1))
    rows = [evaluate(*at, 64, tokens[64:]) for at in ((many, 2), (one, 0))]
    expected = evaluate(many, 0, 0, tokens)
    for row in rows:
        np.testing.assert_array_equal(row, expected)
    for context in (many, one):
        context.close()


def test_streams_change_places_to_the_last_bit(model: Model, llama_log: LlamaLog) -> None:
    """Each goes on in the other's place, and so does an empty one."""
    tokens = np.arange(100, 164, dtype=np.int32)
    context = Context(model, llama_log, parallel=3, context=256, threads=1, batch=64)
    for slot in (0, 1):
        evaluate(context, slot, 0, tokens + slot)
    before = [evaluate(context, slot, 64, tokens) for slot in (0, 1)]
    for slot in (0, 1):
        assert context.trim(slot, 64)
    assert context.exchange(0, 1) == (True, True)
    assert context.exchange(0, 2) == (True, True)
    after = [evaluate(context, slot, 64, tokens) for slot in (1, 2)]
    np.testing.assert_array_equal(after, before)
    np.testing.assert_array_equal(evaluate(context, 0, 0, tokens), evaluate_alone(context, tokens))
    context.close()


def evaluate_alone(context: Context, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
    """The logits after these tokens and nothing else."""
    assert context.trim(1, 0)
    return evaluate(context, 1, 0, tokens)


def evaluate(context: Context, slot: int, start: int, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
    """The logits after these tokens."""
    context.batch.clear()
    context.batch.add(slot, start, tokens, want_last=True)
    assert context.decode() == 0
    row: NDArray[np.float32] = context.logits(1)[0].copy()
    return row


def test_a_state_that_is_laid_out_otherwise_is_refused() -> None:
    """It says that there are two streams where there are three."""
    space = np.zeros(64, dtype=np.uint8)
    space[8] = 2
    with pytest.raises(ValueError, match="2 streams where there are 3"):
        rewritten(space, 48, 0, 3, 1)


def test_what_there_is_no_memory_for_is_said_so() -> None:
    """As Python says it of its own."""
    with pytest.raises(MemoryError, match="for what a stream holds"):
        kvstate.space(2**62)


def test_the_memory_of_copies_is_given_back(model: Model, llama_log: LlamaLog) -> None:
    """Twelve megabytes each, of which malloc would keep two."""
    context = Context(model, llama_log, parallel=2, context=512, threads=1, batch=512)
    for slot in (0, 1):
        evaluate(context, slot, 0, np.zeros(511, dtype=np.int32))
    before = resident()
    for _ in range(5):
        context.copy(0, 1)
        assert context.exchange(0, 1) == (True, True)
    assert resident() < before + 8
    context.close()


def resident() -> float:
    """Megabytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def test_the_model_keeps_every_token(model: Model) -> None:
    """It has no sliding window and no recurrent state, so its long prompts may go aside."""
    assert model.keeps_all


def test_contexts_that_do_not_fit_are_told(model: Model) -> None:
    """Where a state is not taken, or goes on otherwise."""
    four, single = FakeStreams(model), FakeStreams(model, streams=1)
    assert fits(four, single)
    four.adopts = False
    assert not fits(four, single)
    four.adopts, four.tells = True, False
    assert not fits(four, single)
    four.tells, four.exports = True, False
    assert not fits(four, single)
    four.exports = True
    single.letters = single.letters[1:]
    assert not fits(four, single)
    assert four.lengths == single.lengths == {}


@pytest.mark.parametrize("error", [StartError("llama.cpp gives no context", EXIT_REFUSED), MemoryError("it is full")])
def test_without_memory_for_one_stream_more_there_is_none(
    model: Model, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """The engine starts nevertheless, and the log says why and what it costs."""

    def make() -> FakeStreams:
        raise error

    assert spare(FakeStreams(model), make) is None
    assert f"no long prompt is evaluated aside: there is no memory for one stream more ({error})" in caplog.text
    assert "other requests' tokens wait" in caplog.text


def test_a_context_of_no_use_is_not_kept(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    """Its memory is given back; one that fits is kept, and nothing is said."""
    single = FakeStreams(model, streams=1)
    assert spare(FakeStreams(model), lambda: single) is single
    assert (single.closed, caplog.text) == (False, "")
    single.adopts = False
    assert spare(FakeStreams(model), lambda: single) is None
    assert single.closed
    assert "no long prompt is evaluated aside" in caplog.text


def test_what_comes_back_is_what_a_plain_evaluation_says(
    engine: EngineProcess, model: Model, reference: Reference
) -> None:
    """Beside a stream of the real engine, which has every token of its own."""
    evaluated = engine.metric("forebay:prompt_tokens_aside_total")
    story: list[Any] = []

    def listen() -> None:
        story.extend(engine.stream(messages=[{"role": "user", "content": "Tell me a long story"}], max_tokens=300))

    listening = threading.Thread(target=listen)
    generated = engine.metric("vllm:generation_tokens_total")
    listening.start()
    eventually(lambda: engine.metric("vllm:generation_tokens_total") > generated, "a token")
    answer = engine.chat(QUESTION, max_tokens=8, logprobs=True)
    listening.join(WAITED)
    assert engine.metric("forebay:prompt_tokens_aside_total") >= evaluated + SOME
    assert story[-1] == "[DONE]"
    assert model.chat_template is not None
    tokens = ChatTemplate(model.chat_template, model.vocabulary).tokens((Turn("user", QUESTION),))
    first = answer["choices"][0]["logprobs"]["content"][0]
    rows = reference.in_parts([tokens])
    assert model.vocabulary.labels.index(bytes(first["bytes"])) == rows[-1].argmax()
    assert first["logprob"] == pytest.approx(rows[-1].max(), abs=1e-3)
