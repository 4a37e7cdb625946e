"""The owner thread's loop against streams that fail on demand: every fault stays with the request it belongs to."""

import math

import numpy as np
import pytest

from local_models.llama.jobs import Began, Broke, Cancel, Delta, Event, Gone, Order
from local_models.llama.model import Model
from local_models.llama.shares import Shares
from local_models.llama.worker import Outbox
from tests.llama.loop_bench import Bench


@pytest.fixture
def bench(model: Model) -> Bench:
    """A fresh loop."""
    return Bench(model)


def idle(bench: Bench) -> bool:
    """Nothing runs, nothing waits, nothing is kept."""
    snapshot = bench.loop.snapshot()
    return (snapshot.running, snapshot.waiting, snapshot.kv_tokens) == (0, 0, 0) and not bench.streams.lengths


def test_requests_join_run_and_leave(bench: Bench) -> None:
    """Each says its letter as often as it may, and is gone once."""
    bench.send(bench.job(1, tokens=2), bench.job(2, tokens=3))
    bench.run(4)
    assert (bench.text(1), bench.text(2)) == ("aa", "bbb")
    assert bench.of(1) == bench.of(2) == ["Began", "Gone"]
    assert idle(bench)
    snapshot = bench.loop.snapshot()
    assert (snapshot.prompt_tokens, snapshot.generation_tokens) == (10, 5)


def test_it_says_when_all_is_ready_for_llama_cpp(bench: Bench) -> None:
    """The batch is full and not evaluated yet; where there is none, nothing is said."""
    seen: list[tuple[int, int]] = []

    def ready() -> None:
        seen.append((bench.streams.batch.raw.n_tokens, bench.streams.lengths.get(0, 0)))

    idle = [bench.loop.idle]
    bench.send(bench.job(1, tokens=2))
    for _ in range(2):
        assert bench.loop.obey()
        bench.loop.step(ready)
        idle.append(bench.loop.idle)
    assert seen == [(5, 0), (1, 5)]
    assert idle == [True, False, True]
    bench.loop.step(ready)
    assert len(seen) == 2


def test_what_happened_is_told_once_and_in_order() -> None:
    """All at a time, and nothing where nothing has happened."""
    told: list[tuple[Event, ...]] = []
    outbox = Outbox(told.append)
    outbox.send()
    outbox.put((Began(1), Gone(1)))
    outbox.put((Began(2),))
    assert not told
    outbox.send()
    outbox.send()
    assert told == [(Began(1), Gone(1), Began(2))]


def test_when_nothing_can_be_decoded_the_requests_in_the_batch_fail(bench: Bench) -> None:
    """Both are told, their slots are free, and the next request runs as if nothing had been."""
    bench.send(bench.job(1), bench.job(2))
    bench.run()
    bench.streams.fails = lambda _fed: 1
    bench.run(3)
    assert bench.of(1) == bench.of(2) == ["Began", "Broke", "Gone"]
    assert idle(bench)
    bench.streams.fails = lambda _fed: 0
    bench.send(bench.job(3))
    bench.run(3)
    assert bench.text(3) == "aaa"
    assert bench.of(3) == ["Began", "Gone"]


@pytest.mark.parametrize("code", [1, 2, -1, -3])
def test_one_sequence_that_cannot_be_decoded_takes_no_other_down(bench: Bench, code: int) -> None:
    """The batch is tried in halves until it stands alone; nobody else notices, and nobody is fed a token twice."""
    bench.streams.fails = lambda fed: code if 2 in fed and len(bench.streams.held[2]) > 6 else 0
    bench.send(*(bench.job(number, tokens=4) for number in (1, 2, 3, 4)))
    bench.run(9)
    assert bench.of(3) == ["Began", "Broke", "Gone"]
    assert bench.text(3) == "cc"
    assert [bench.text(number) for number in (1, 2, 4)] == ["aaaa", "bbbb", "dddd"]
    assert [bench.of(number) for number in (1, 2, 4)] == [["Began", "Gone"]] * 3
    assert idle(bench)


def test_a_prompt_that_cannot_be_decoded_takes_its_choices_with_it_and_no_stream(bench: Bench) -> None:
    """A stream that runs goes on beside it; the followers of the prompt end with it."""
    bench.send(bench.job(1, tokens=4))
    bench.run()
    bench.streams.fails = lambda fed: 1 if 1 in fed else 0
    bench.send(bench.job(2, choices=2))
    bench.run(4)
    assert bench.text(1) == "aaaa"
    assert bench.of(2) == ["Began", "Broke", "Gone"]
    assert idle(bench)


def test_where_a_stream_cannot_be_cut_the_batch_fails_whole(bench: Bench) -> None:
    """What a failed batch left behind would be read again: such a model's sequences end, and the engine goes on."""
    bench.send(bench.job(1), bench.job(2))
    bench.run()
    bench.streams.fails = lambda _fed: 1
    bench.streams.cuts = False
    bench.run()
    assert bench.of(1) == bench.of(2) == ["Began", "Broke", "Gone"]
    assert idle(bench)


def test_logits_that_are_no_numbers_fail_their_own_request(bench: Bench) -> None:
    """The neighbour in the same batch goes on."""
    bench.send(bench.job(1), bench.job(2))
    bench.run()
    bench.streams.spoil = lambda slot, row: row.fill(np.nan) if slot == 0 else None
    bench.run(2)
    assert bench.of(1) == ["Began", "Broke", "Gone"]
    assert bench.text(2) == "bbb"
    assert idle(bench)


def test_one_failing_choice_fails_its_request_whole(bench: Bench) -> None:
    """All choices of a request stand and fall together, in the step in which they begin as well."""
    bench.streams.spoil = lambda slot, row: row.fill(np.inf) if slot == 0 else None
    bench.send(bench.job(1, choices=3), bench.job(2))
    bench.run(3)
    assert bench.of(1) == ["Began", "Broke", "Gone"]
    assert [e for e in bench.events if isinstance(e, Delta) and e.job == 1] == []
    assert bench.text(2) == "ddd"
    assert idle(bench)


def test_a_grammar_at_a_dead_end_fails_its_own_request(bench: Bench) -> None:
    """A grammar over characters that no token has cannot be continued; that is an error, not a crash."""
    bench.send(bench.job(1, grammar='root ::= "a" [\\U000F0000] "a"', tokens=9), bench.job(2))
    bench.run(9)
    assert bench.of(1)[0] == "Began"
    assert bench.of(1)[-1] == "Gone"
    assert bench.text(2) == "bbb"
    assert idle(bench)


def test_choices_continue_from_a_copy_of_the_prompt(bench: Bench) -> None:
    """Three choices, five prompt tokens evaluated, every stream at its own length afterwards."""
    bench.send(bench.job(1, choices=3, tokens=9))
    bench.run(2)
    assert bench.streams.lengths == {0: 6, 1: 6, 2: 6}
    assert bench.loop.snapshot().prompt_tokens == 5
    assert {e.choice for e in bench.events if isinstance(e, Delta)} == {0, 1, 2}


def test_the_share_of_a_prompt_follows_what_steps_take(model: Model) -> None:
    """A step is a second, a prompt token a quarter: five fit into what streams can spare, fewer after nine at first."""
    bench = Bench(model, Shares(alone=32, beside=64, least=1, first=9))
    bench.send(bench.job(1, tokens=50))
    bench.run(4)
    bench.send(bench.job(2, prompt=60))
    lengths = []
    for _ in range(4):
        bench.run(2)  # the stream's call, and the prompt's
        lengths.append(bench.streams.lengths[1])
    assert lengths == [9, 11, 16, 21]


def test_a_first_token_is_told_before_others_prompts_are_evaluated(model: Model) -> None:
    """Of three prompts in one step, each a call of its own; and who gives up meanwhile is not evaluated any more."""
    bench = Bench(model, Shares(alone=192))
    bench.send(*(bench.job(number, prompt=64, tokens=1) for number in (1, 2, 3)))
    bench.run()
    assert [bench.text(number) for number in (1, 2, 3)] == ["a", "", ""]
    assert not bench.streams.lengths
    assert bench.loop.snapshot().generation_tokens == 1
    bench.send(Cancel(2))
    bench.run()
    assert [bench.text(number) for number in (1, 2, 3)] == ["a", "", "c"]
    assert idle(bench)


@pytest.mark.parametrize("choices", [1, 2])
def test_a_second_token_does_not_wait_for_others_prompts_either(model: Model, choices: int) -> None:
    """What was planned of them is planned anew, and what is said stays the same."""
    bench = Bench(model, Shares(alone=192))
    bench.send(bench.job(1, prompt=64, choices=choices), bench.job(2, prompt=64))
    bench.run(2)
    assert [bench.text(number) for number in (1, 2)] == ["aa", ""]
    assert set(bench.streams.lengths) == set(range(choices))
    bench.run(9)
    assert [bench.text(number) for number in (1, 2)] == ["aaa", "abcd"[choices] * 3]
    assert idle(bench)


def test_what_fails_is_found_though_the_other_half_has_first_tokens(bench: Bench) -> None:
    """A step that ended before it would have the same batch fail again, and again with whoever came next."""
    bench.streams.fails = lambda fed: 1 if 1 in fed else 0
    bench.send(bench.job(1), bench.job(2))
    bench.run(3)
    assert bench.text(1) == "a"
    assert bench.of(2) == ["Began", "Broke", "Gone"]
    bench.run(2)
    assert bench.text(1) == "aaa"
    assert idle(bench)


def test_who_is_more_urgent_is_next_though_the_step_is_not_over(model: Model) -> None:
    """What was planned for others is planned anew, after it."""
    bench = Bench(model, Shares(alone=192))
    bench.send(*(bench.job(number, prompt=64, priority=1) for number in (1, 2, 3)))
    bench.run()
    bench.send(bench.job(4, prompt=64, tokens=1))
    bench.run()
    assert [bench.text(number) for number in (1, 2, 3, 4)] == ["a", "", "", "d"]
    bench.run(8)
    assert [bench.text(number) for number in (1, 2, 3)] == ["aaa", "bbb", "ccc"]


def test_a_call_that_ends_early_is_done_again_after_who_came(bench: Bench) -> None:
    """Whoever comes is next, nobody is fed a token twice, and the next call that nobody waits for is carried out."""
    bench.send(bench.job(1, priority=1), bench.job(2, priority=1))
    bench.run()
    below: list[float] = []

    def end(_fed: dict[int, list[int]]) -> int:
        below.append(bench.streams.below)
        return 2 if bench.streams.below > -math.inf else 0

    bench.streams.fails = end
    bench.run()
    bench.send(bench.job(3, tokens=1))
    bench.run(2)
    assert [bench.text(number) for number in (1, 2, 3)] == ["aa", "bb", "c"]
    bench.streams.fails = lambda _fed: 0
    bench.run()
    assert [bench.text(number) for number in (1, 2)] == ["aaa", "bbb"]
    assert below == [1, -math.inf, -math.inf]
    assert idle(bench)


def test_who_comes_while_nobody_is_left_of_a_step_is_served(bench: Bench) -> None:
    """All who were to be evaluated next have given up."""
    bench.send(bench.job(1, prompt=64, tokens=1), bench.job(2, prompt=64))
    bench.run()
    bench.send(Cancel(1), Cancel(2))
    assert bench.loop.obey()
    bench.send(bench.job(3))
    bench.run(3)
    assert bench.text(3) == "aaa"
    assert idle(bench)


def test_who_runs_beside_a_gap_moves_into_it(model: Model) -> None:
    """Slot s says the s-th letter: the third sequence goes on in the second slot, and both end as they would have."""
    bench = Bench(model, moves=True)
    bench.send(bench.job(1, tokens=5), bench.job(2, tokens=2), bench.job(3, tokens=5))
    bench.run(3)
    assert bench.streams.lengths == {0: 7, 1: 7}
    bench.run(9)
    assert [bench.text(number) for number in (1, 2, 3)] == ["aaaaa", "bb", "ccbbb"]
    assert idle(bench)


@pytest.mark.parametrize(("exchanges", "said"), [((False, False), "ccccc"), ((True, False), "ccbbb")])
def test_a_move_that_fails_is_the_last_one(model: Model, exchanges: tuple[bool, bool], said: str) -> None:
    """Whoever is served goes on where it is, whether it got there or not; the next gap is left."""
    bench = Bench(model, moves=True)
    bench.streams.exchanges = exchanges
    bench.send(*(bench.job(number, tokens=2 if number == 2 else 5) for number in (1, 2, 3)))
    bench.run(9)
    assert [bench.text(number) for number in (1, 2, 3)] == ["aaaaa", "bb", said]
    bench.streams.exchanges = True, True
    bench.send(*(bench.job(number, tokens=2 if number == 5 else 5) for number in (4, 5, 6)))
    bench.run(9)
    assert bench.text(6) == "ccccc"
    assert idle(bench)


def test_a_cancelled_request_is_gone_before_the_next_batch(bench: Bench) -> None:
    """No token is computed for it any more, whether it ran or waited; cancelling twice changes nothing."""
    bench.send(*(bench.job(number, tokens=50) for number in range(1, 6)))
    bench.run()
    bench.send(Cancel(1), Cancel(5), Cancel(1))
    bench.run()
    assert bench.of(1) == ["Began", "Gone"]
    assert bench.of(5) == ["Gone"]
    assert bench.streams.lengths == {1: 6, 2: 6, 3: 6}


def test_shutting_down_drops_who_waits_first_and_the_rest_on_demand(bench: Bench) -> None:
    """Four run on, the fifth is told; then all are."""
    bench.send(*(bench.job(number, tokens=50) for number in range(1, 6)))
    bench.run()
    bench.send(Order.DROP_WAITING)
    bench.run()
    assert bench.of(5) == ["Broke", "Gone"]
    assert bench.of(1) == ["Began"]
    bench.send(Order.DROP_ALL)
    bench.run()
    assert {e.code for e in bench.events if isinstance(e, Broke)} == {"shutting_down"}
    assert idle(bench)
    bench.send(Order.STOP)
    assert not bench.loop.obey()
