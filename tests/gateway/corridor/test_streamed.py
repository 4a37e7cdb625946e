"""Streamed answers: what is held back before the first byte may leave, and what goes out after it."""

import asyncio
from collections.abc import Callable

import pytest

from gateway.committed import CommittedAnswer
from gateway.errors import Broken, Code, Reason, TimedOut, Unavailable
from gateway.messages import (
    ChatRequest,
    Delta,
    FunctionSpec,
    Hints,
    ResponseFormat,
    Tool,
    ToolCallDelta,
    UsageQuality,
)
from gateway.outcome import OutcomeStatus
from tests.gateway.corridor.backends import UNTOLD, Pause, Step, Streamed, pieces, says, tokens
from tests.gateway.corridor.house import HARD, LIMITS, MEDIUM, POOR, WINDOW, House, braking, text_of
from tests.gateway.nouns import REQUEST, USAGE, change

JSON = change(REQUEST, response_format=ResponseFormat("json_object"))
TOOLS = change(REQUEST, tools=(Tool(FunctionSpec("f")),))
MID, BEST = says("mid"), says("premium")
TEN = tuple("abcdefghij")
SILENCE = Pause(seconds=60.0)
STOP: Step = [Delta(finish_reason="stop")]


def now() -> float:
    """Seconds on the loop's clock."""
    return asyncio.get_running_loop().time()


async def read(committed: CommittedAnswer, into: list[Delta]) -> None:
    """Read to the end, whatever end it is."""
    while batch := await committed.batch():
        into += batch


def piece(text: str) -> Step:
    """One batch of one piece."""
    return [Delta(text=text)]


def said(steps: tuple[Step, ...]) -> list[Delta]:
    """Every piece that says something."""
    return [delta for step in steps if isinstance(step, list) for delta in step if delta.says_something]


HELD_BY_TOKENS: list[tuple[tuple[Step, ...], int]] = [
    # A piece is a token where nobody counts them.
    (pieces(*TEN), 4),
    # Where they are counted, the count holds.
    (([tokens("ab", 2)], [tokens("cd", 2)], *pieces(*TEN)), 2),
    (([tokens("abc", 3)], [tokens("def", 3)], *pieces(*TEN)), 2),
    (([tokens("abcdefgh", 8)], *pieces(*TEN)), 1),
    # What arrived together is held together.
    (([Delta(text=letter) for letter in TEN], STOP), 10),
    (([Delta(text=letter) for letter in TEN[:3]], [Delta(text=letter) for letter in TEN[3:]], STOP), 10),
    # A role, or nothing at all, is no token; a thought is one.
    ((piece(""), [Delta()], *pieces(*TEN)), 4),
    (([Delta(reasoning="hm")], [Delta(reasoning="so")], *pieces(*TEN)), 4),
    # A short answer ends before its window does.
    (pieces("a", "b"), 2),
]


@pytest.mark.parametrize(("steps", "held"), HELD_BY_TOKENS)
async def test_a_light_answer_is_held_for_some_tokens(steps: tuple[Step, ...], held: int) -> None:
    """So many that it can be scored; then all of them go out at once, and the rest as it comes."""
    house = House(box=(Streamed(steps),), mini=(MID,))
    committed = await house.open(REQUEST)
    found = await committed.batch()
    assert len(found) == held
    await read(committed, found)
    assert found == said(steps)
    assert house.tried() == [("box", "low_complexity", "answered")]


async def test_a_light_answer_is_held_for_some_time_after_its_first_token() -> None:
    """However long the first one took; and the wait that was cut short loses nothing."""
    steps = (Pause(5.0), piece("a"), Pause(1.5), piece("b"), Pause(1.0), *pieces("c"))
    house = House(box=(Streamed(steps),), mini=(MID,))
    began = now()
    committed = await house.open(REQUEST)
    assert now() - began == pytest.approx(5.0 + WINDOW.seconds)
    assert [text_of(await committed.batch()) for _ in range(3)] == ["ab", "c", ""]
    assert house.outcome.status is OutcomeStatus.OK


async def test_without_a_token_the_window_is_not_open_yet() -> None:
    """Who has said nothing cannot be scored, and may yet fail: then somebody else answers."""
    house = House(box=(Streamed((piece(""), SILENCE, Broken("box: cut"))),), mini=(MID,))
    assert text_of(await house.stream(REQUEST)) == "mid"
    assert house.tried() == [("box", "low_complexity", "failed"), ("mini", "upstream_error", "answered")]


SLOW = Streamed((piece("a"), SILENCE, *pieces("b")))
ONCE, CHEAP = change(LIMITS, max_attempts=1), change(LIMITS, max_cost_nano=30_000)
HASTY: dict[str, tuple[Callable[[], House], Hints]] = {
    "nobody is stronger": (lambda: House(box=(SLOW,)), Hints()),
    "the caller wants no escalation": (lambda: House(box=(SLOW,), mini=(MID,)), Hints(no_escalation=True)),
    "the throttle brakes": (lambda: House(box=(SLOW,), mini=(MID,), throttle=braking()), Hints()),
    "no attempt is left": (lambda: House(box=(SLOW,), mini=(MID,), limits=ONCE), Hints()),
    "no money is left": (lambda: House(box=(SLOW,), mini=(MID,), limits=CHEAP), Hints()),
    "the others are not allowed": (lambda: House(box=(SLOW,), mini=(MID,)), Hints(local_only=True)),
    "it is the top": (lambda: House(box=(MID,), big=(SLOW,), difficulty=HARD), Hints()),
    "it is not the light tier": (lambda: House(mini=(SLOW,), big=(BEST,), difficulty=MEDIUM), Hints()),
}


@pytest.mark.parametrize("why", HASTY)
async def test_an_answer_that_is_not_to_be_bettered_goes_out_as_it_comes(why: str) -> None:
    """Holding it would be idle delay: only its first piece is awaited."""
    build, hints = HASTY[why]
    house = build()
    began = now()
    committed = await house.open(change(REQUEST, hints=hints))
    assert text_of(await committed.batch()) == "a"
    assert now() == began
    assert text_of(await committed.batch()) == "b"
    assert await committed.batch() == []
    assert house.outcome.attempt_count == 1


CALL = (
    [Delta(tool_calls=(ToolCallDelta(0, "c", "f", ""),))],
    SILENCE,
    [Delta(tool_calls=(ToolCallDelta(0, arguments="{"),))],
    SILENCE,
    [Delta(tool_calls=(ToolCallDelta(0, arguments="}"),))],
    [Delta(finish_reason="tool_calls")],
)
HELD_WHOLE: list[tuple[ChatRequest, tuple[Step, ...]]] = [
    (JSON, (piece("{"), SILENCE, piece('"a"'), SILENCE, *pieces(":", " ", "1", "}"))),
    (TOOLS, CALL),
    (TOOLS, (piece("No"), SILENCE, piece(" tool"), SILENCE, *pieces(" is", " of", " any", " use"))),
]


@pytest.mark.parametrize(("asked", "steps"), HELD_WHOLE)
@pytest.mark.parametrize("backend", ["box", "mini"])
async def test_json_and_tool_calls_are_held_whole(asked: ChatRequest, steps: tuple[Step, ...], backend: str) -> None:
    """They are useless in part: what goes out was checked to its end, on every tier but the last."""
    answer = (Streamed(steps),)
    house = House(box=answer, big=(BEST,)) if backend == "box" else House(mini=answer, big=(BEST,), difficulty=MEDIUM)
    began = now()
    committed = await house.open(asked)
    assert now() - began == pytest.approx(120.0)
    assert await committed.batch() == said(steps)
    assert await committed.batch() == []
    assert [each[::2] for each in house.tried()] == [(backend, "answered")]


async def test_structure_is_not_awaited_where_nobody_could_mend_it() -> None:
    """Then it goes out as it comes, and its fault stands in the record."""
    house = House(big=(Streamed((piece("{"), SILENCE, *pieces("1"))),), difficulty=HARD)
    began = now()
    committed = await house.open(JSON)
    assert text_of(await committed.batch()) == "{"
    assert now() == began
    await read(committed, [])
    assert house.outcome.answer is not None
    assert house.outcome.answer.verdict is Reason.INVALID_STRUCTURE


async def test_what_a_streamed_answer_says_of_itself_at_its_end() -> None:
    """Finish reasons wait for the end, when the usage is known; the record has all of it."""
    house = House(box=(Streamed(pieces("a", "b", finish_reason="stop")),))
    committed = await house.open(change(REQUEST, ignored=("store",)))
    assert (committed.model, committed.finish, committed.outcome) == ("streamed-1.0", [], None)
    found = await committed.batch()
    await read(committed, found)
    assert found == [Delta(text="a"), Delta(text="b")]
    assert committed.finish == [Delta(finish_reason="stop")]
    assert (committed.usage, committed.outcome) == (USAGE, house.outcome)
    outcome = house.outcome
    assert (outcome.status, outcome.http_status, outcome.stream) == (OutcomeStatus.OK, 200, True)
    assert (outcome.cost_nano, outcome.ignored) == (20_000, ("store",))
    assert outcome.answer is not None
    assert (outcome.answer.response_model, outcome.answer.finish_reason) == ("streamed-1.0", "stop")
    assert outcome.ttft_s is not None
    assert outcome.answer.ttft_s is not None
    assert 0 < outcome.answer.ttft_s <= outcome.ttft_s <= outcome.latency_s


async def test_a_finish_reason_that_comes_with_text_is_parted_from_it() -> None:
    """The text goes out at once, the reason at the end; each choice has its own."""
    steps = (
        [Delta(text="a"), Delta(index=1, text="b", finish_reason="length")],
        [Delta(text="c", finish_reason="stop", stop_sequence="d")],
    )
    house = House(big=(Streamed(steps),), difficulty=HARD)
    committed = await house.open(REQUEST)
    assert await committed.batch() == [Delta(text="a"), Delta(index=1, text="b")]
    assert await committed.batch() == [Delta(text="c")]
    assert await committed.batch() == []
    assert committed.finish == [Delta(index=1, finish_reason="length"), Delta(finish_reason="stop", stop_sequence="d")]


async def test_after_the_end_there_is_no_more() -> None:
    """Who asks again gets nothing, and who closes then changes nothing."""
    house = House(box=(Streamed(pieces("a")),))
    committed = await house.open(REQUEST)
    await read(committed, [])
    assert await committed.batch() == []
    committed.close()
    committed.close()
    assert house.outcome.status is OutcomeStatus.OK
    assert house["box"].streams[0].closed == 1


BREAKS = [Broken("box: cut"), TimedOut("box: silent", stage="idle")]


@pytest.mark.parametrize("broken", BREAKS)
async def test_an_answer_that_breaks_after_its_first_byte_is_interrupted(broken: Broken | TimedOut) -> None:
    """Nothing is switched: the caller is told, the record says so, and what came is paid for."""
    house = House(box=(Streamed((*map(piece, TEN), broken), usage=UNTOLD),), mini=(MID,))
    committed = await house.open(REQUEST)
    found: list[Delta] = []
    with pytest.raises(Unavailable) as caught:
        await read(committed, found)
    assert (text_of(found), caught.value.code, caught.value.status) == ("abcdefghij", Code.UPSTREAM_INTERRUPTED, 502)
    assert await committed.batch() == []
    committed.close()
    outcome = house.outcome
    assert (outcome.status, outcome.code, outcome.http_status) == (
        OutcomeStatus.INTERRUPTED,
        Code.UPSTREAM_INTERRUPTED,
        200,
    )
    assert house.tried() == [("box", "low_complexity", "interrupted")]
    assert outcome.answer is not None
    assert outcome.answer.error is broken.reason
    assert (outcome.answer.usage.completion, outcome.answer.usage.quality) == (10, UsageQuality.ESTIMATED)
    assert outcome.cost_nano > 2_000 * 10
    assert not house["mini"].calls


async def test_a_finish_reason_is_never_made_up() -> None:
    """A broken answer has none, unless its backend gave one."""
    house = House(box=(Streamed((*map(piece, TEN), Broken("box: cut"))),))
    committed = await house.open(REQUEST)
    with pytest.raises(Unavailable):
        await read(committed, [])
    assert committed.finish == []
    assert house.outcome.answer is not None
    assert house.outcome.answer.finish_reason is None


async def test_half_an_answer_is_not_blamed_for_being_half() -> None:
    """JSON that broke off is not JSON, but that is not what was wrong with it."""
    house = House(big=(Streamed((piece('{"a"'), piece(": "), Broken("big: cut"))),), difficulty=HARD)
    committed = await house.open(JSON)
    with pytest.raises(Unavailable):
        await read(committed, [])
    assert house.outcome.answer is not None
    assert (house.outcome.answer.verdict, house.outcome.answer.error) == (None, Reason.UPSTREAM_ERROR)


async def test_who_leaves_after_the_first_byte_has_had_what_came() -> None:
    """It is paid for, the connection upstream is closed, and nothing is read any more."""
    house = House(box=(Streamed(pieces(*TEN), usage=UNTOLD),), mini=(MID,))
    committed = await house.open(REQUEST)
    assert text_of(await committed.batch()) == "abcd"
    committed.close()
    assert await committed.batch() == []
    outcome = house.outcome
    assert (outcome.status, outcome.code, outcome.http_status) == (OutcomeStatus.CANCELLED, None, 200)
    assert house.tried() == [("box", "low_complexity", "cancelled")]
    assert outcome.answer is not None
    assert outcome.answer.usage.completion == 4


async def test_what_is_seen_too_late_is_disclosed_and_not_undone() -> None:
    """An answer that turns bad after its window goes out as it is; its score is that of all of it."""
    house = House(box=(Streamed(pieces(*TEN, f" {POOR}", finish_reason="length")),), mini=(MID,))
    assert text_of(await house.stream(REQUEST)) == f"abcdefghij {POOR}"
    assert house.tried() == [("box", "low_complexity", "answered")]
    outcome = house.outcome
    assert (outcome.escalated, outcome.status) == (False, OutcomeStatus.OK)
    assert outcome.answer is not None
    assert outcome.answer.verdict is Reason.TRUNCATED
    assert outcome.answer.confidence is not None
    assert outcome.answer.confidence < LIMITS.threshold
