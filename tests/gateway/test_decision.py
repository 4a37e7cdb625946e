"""The first half of the corridor: what policy makes of a request's length, before and after its route is known."""

import math

import pytest

from gateway.classify import Classifier, Difficulty, TaskRule
from gateway.classify.difficulty import Weights
from gateway.decision import Decider
from gateway.errors import Code, Reason, RequestError
from gateway.messages import ChatRequest, Hints, Message, Sampling
from gateway.policy import Lengths, Policy, Regions
from gateway.refusals import nobody_allowed
from gateway.routing import RoutingTable
from gateway.run import Decided
from gateway.types import Allowance, BackendSpec, Tier
from tests.gateway.nouns import IDENTITY, REQUEST, SLA, SPEC, change

SMALL = change(SPEC, name="small", context=1000)
LARGE = change(SPEC, name="large", context=3000)
ENDLESS = change(SPEC, name="endless")
SHORTENED = change(IDENTITY, sla=change(SLA, truncate=True))


def decider(*specs: BackendSpec, lengths: Lengths | None = None) -> Decider:
    """Everything is easy, and every backend is light."""
    return Decider(
        Policy(Regions({}), local_only=False, lengths=lengths),
        Classifier(Difficulty(Weights(-9.0, {}, {})), {"faq": TaskRule(expected_output=100)}),
        RoutingTable({spec.name: spec for spec in specs}, {Tier.LIGHT: tuple(spec.name for spec in specs)}, {}),
    )


def chat(turns: int, **more: object) -> ChatRequest:
    """Instructions, an even number of turns of some 80 tokens, and a question."""
    said = [Message("assistant" if number % 2 else "user", "a word or two " * 20) for number in range(turns)]
    return change(REQUEST, messages=(Message("system", "Be brief."), *said, Message("user", "And now?")), **more)


def names(decided: Decided) -> list[str]:
    """Who may answer."""
    return [each.backend for each in decided.route.candidates]


def test_what_is_short_enough_goes_as_it_came() -> None:
    """The same request, nothing imposed, nothing dropped."""
    request = chat(2)
    decided = decider(SMALL).decide(request, SHORTENED, math.inf)
    assert decided.request is request
    assert (decided.max_output, decided.dropped_turns) == (None, 0)


def test_a_larger_context_comes_before_dropping_anything() -> None:
    """Who would be too small is passed over, as ever."""
    decided = decider(SMALL, LARGE).decide(chat(12), SHORTENED, math.inf)
    assert (names(decided), decided.dropped_turns) == (["large"], 0)
    decided = decider(SMALL, LARGE, ENDLESS).decide(chat(200), SHORTENED, math.inf)
    assert (names(decided), decided.dropped_turns) == (["endless"], 0)


@pytest.mark.parametrize("model", ["auto", "light"])
def test_what_fits_nowhere_is_fitted_into_the_largest_context(model: str) -> None:
    """As little is dropped as makes room there: the smaller ones stay too small."""
    request = chat(200, requested_model=model)
    decided = decider(SMALL, LARGE).decide(request, SHORTENED, math.inf)
    assert names(decided) == ["large"]
    assert [(each.backend, each.reason) for each in decided.route.excluded] == [("small", Reason.CONTEXT_LENGTH)]
    assert 2000 < decided.constraints.tokens_needed <= 3000
    assert decided.request.messages == (request.messages[0], *request.messages[1 + decided.dropped_turns :])
    assert decided.classification.prompt == decider(SMALL).decide(decided.request, IDENTITY, 0.0).classification.prompt


def test_a_pinned_backend_has_its_own_context() -> None:
    """It is never substituted, so the conversation is made to fit it."""
    decided = decider(SMALL, LARGE).decide(chat(12, requested_model="small"), SHORTENED, math.inf)
    assert (names(decided), decided.constraints.tokens_needed <= 1000) == (["small"], True)
    assert decided.dropped_turns > 0


def test_without_that_policy_it_is_refused() -> None:
    """With the code that says why."""
    decided = decider(SMALL, LARGE).decide(chat(200), IDENTITY, math.inf)
    assert (names(decided), decided.dropped_turns) == ([], 0)
    error = nobody_allowed(decided.route.excluded, decided.constraints)
    assert (error.status, error.code, error.param) == (400, Code.CONTEXT_LENGTH_EXCEEDED, "messages")


def test_what_no_dropping_helps_is_refused_as_it_came() -> None:
    """The size that is named is the caller's."""
    request = change(REQUEST, messages=(*chat(4).messages[:-1], Message("user", "a word or two " * 2000)))
    decided = decider(SMALL, LARGE).decide(request, SHORTENED, math.inf)
    assert (names(decided), decided.dropped_turns) == ([], 0)
    assert decided.request is request


def test_the_limit_for_everybody_comes_first() -> None:
    """Also where some backend would take more; and the task is that of what is left."""
    lengths = Lengths(everybody=Allowance(max_prompt=500), tasks={"faq": Allowance(max_output=30)})
    deciding = decider(SMALL, ENDLESS, lengths=lengths)
    with pytest.raises(RequestError, match="at most 500 are allowed"):
        deciding.decide(chat(100), IDENTITY, math.inf)
    request = chat(100, hints=Hints(task="faq"), sampling=Sampling(max_tokens=90))
    decided = deciding.decide(request, SHORTENED, math.inf)
    assert decided.classification.prompt.tokens <= 500
    assert (decided.max_output, decided.request.sampling.max_tokens) == (30, 30)
    assert decided.dropped_turns > 0


def test_the_limit_counts_in_room_and_cost() -> None:
    """An answer that may have thirty tokens needs room for no more, and costs no more."""
    request = chat(2, hints=Hints(task="faq"))
    free, limited = (
        decider(SMALL, lengths=lengths).decide(request, IDENTITY, math.inf)
        for lengths in (None, Lengths(tasks={"faq": Allowance(default_output=30)}))
    )
    assert free.constraints.tokens_needed - limited.constraints.tokens_needed == 256 - 30
    assert limited.max_output == 30


def test_what_is_still_too_long_can_be_made_shorter() -> None:
    """By half at a time, as long as there is something to drop; the limit of its answer stays disclosed."""
    deciding = decider(SMALL, LARGE, lengths=Lengths(everybody=Allowance(max_output=30)))
    first = deciding.decide(chat(200), SHORTENED, math.inf)
    found = deciding.shorter(first, SHORTENED)
    assert found is not None
    assert found.constraints.tokens_needed <= first.constraints.tokens_needed / 2
    assert found.dropped_turns > first.dropped_turns
    assert found.request.messages == (chat(0).messages[0], *chat(200).messages[1 + found.dropped_turns :])
    assert (found.max_output, found.request.sampling.max_tokens) == (30, 30)
    assert deciding.shorter(deciding.decide(chat(0), SHORTENED, math.inf), SHORTENED) is None
    assert deciding.shorter(first, IDENTITY) is None
