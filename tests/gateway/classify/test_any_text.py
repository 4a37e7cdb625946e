"""Whatever a request holds, it is classified, and soon."""

import math
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.classify.lexicon import CODE, LISTED, MATHS, SENTENCE, TOKEN
from gateway.messages import Hints, ImagePart, ImageUrl, Message, RefusalPart, TextPart
from gateway.tokens import estimate_prompt
from tests.gateway.classify.readings import SHIPPED, SHIPPED_CLASSIFIER, asked, classified
from tests.gateway.nouns import REQUEST, change
from tests.gateway.steps import lines_run

PICTURE = ImagePart(ImageUrl("data:image/png;base64,AAAA"))

ODD: list[str] = [
    "",
    " \t\r\n\v\f\x85\u2028 ",
    "\x00\x01\x02\x1b[31m\x7f",
    "\ud800\udfff",
    "\ufeff\u200b\u200d\u202e",
    "👩‍👩‍👧‍👦🏳️‍🌈🇪🇺",
    "Z̸̡̛͎͇̱̗͖̺͇̓̓́̕a̷l̴g̵o̶",
    "Почему небо голубое?",
    "为什么天空是蓝色的?",
    "空はなぜ青いの?",
    "하늘은 왜 파란가요?",
    "لماذا السماء زرقاء؟",
    "למה השמיים כחולים?",
    "आसमान नीला क्यों है?",
    "ทำไมท้องฟ้าถึงเป็นสีฟ้า",
    "Tại sao bầu trời lại xanh?",
    "Γιατί ο ουρανός είναι μπλε;",
    "İstanbul'da hava nasıl? ﬁ ß ẞ",
    "٣ ৪ ๕ ⅷ ½ 10⁹",
    "'" * 100,
    "```",
    '"' * 100,
    "?" * 100,
]

HOSTILE: dict[str, str] = {
    "opening quotation marks": "«",
    "quotation marks": '"',
    "inner marks": " 'a",
    "full stops": ".",
    "questions": "?",
    "backticks": "`",
    "blanks": " ",
    "indented lines": "\n        ",
    "line ends": "\n",
    "bullets": "- ",
    "digits": "1",
    "numbers": "1 ",
    "lengths": "1-",
    "sums": ".-",
    "semicolons": "; ",
    "braces": "() ",
    "carets": "^{",
    "underscores": "a_",
    "integrals": "∫",
    "words": "why ",
    "letters": "a",
    "emoji": "😀",
}
"""What patterns of a careless kind take long over, many times."""

MS = 1e-3


def cpu_s(text: str) -> float:
    """The least processor time that one classification took, of five."""
    request = asked(text)
    prompt = estimate_prompt(request)
    times = []
    for _ in range(5):
        before = time.process_time()
        SHIPPED_CLASSIFIER.classify(request, prompt)
        times.append(time.process_time() - before)
    return min(times)


@pytest.mark.parametrize("text", ODD)
def test_every_text_is_classified(text: str) -> None:
    """In any language and script, and also where it is none."""
    found = classified(asked(text))
    assert 0 <= found.score <= 1
    assert found.expected_output > 0


CONTENTS = st.one_of(
    st.none(),
    st.text(max_size=200),
    st.text(st.characters(), max_size=40),
    st.sampled_from(ODD),
    st.lists(
        st.one_of(st.just(PICTURE), st.builds(TextPart, st.text(max_size=60)), st.builds(RefusalPart, st.text())),
        max_size=3,
    ).map(tuple),
)
MESSAGES = st.builds(Message, st.sampled_from(["system", "developer", "user", "assistant", "tool"]), CONTENTS)
HINTS = st.builds(
    Hints, task=st.none() | st.sampled_from(["faq", "haiku"]), requires_reasoning=st.none() | st.booleans()
)


@given(st.lists(MESSAGES, max_size=5).map(tuple), HINTS)
@settings(max_examples=300, deadline=None)
def test_every_conversation_is_classified(messages: tuple[Message, ...], hints: Hints) -> None:
    """With a probability, an expected length, and signals that add up to the score."""
    found = classified(change(REQUEST, messages=messages, hints=hints))
    log_odds = SHIPPED.weights.intercept + math.fsum(signal.weight for signal in found.signals)
    assert found.score == pytest.approx(1 / (1 + math.exp(-max(-30.0, min(30.0, log_odds)))), rel=1e-6)
    assert found.p_light == 1 - found.score
    assert found.expected_output > 0
    assert found.task


@pytest.mark.parametrize("content", [None, "", (), (PICTURE,), (PICTURE, PICTURE)])
def test_who_says_nothing_asks_nothing_hard(content: str | tuple[ImagePart, ...] | None) -> None:
    """An empty turn, or pictures alone."""
    found = classified(change(REQUEST, messages=(Message("user", content),)))
    assert found.task == "other"
    assert found.score < 0.5


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_text_takes_long(piece: str) -> None:
    """A thousandth of a second is expected, on the decision path of all who wait behind it."""
    assert cpu_s((piece * 3_000)[:2_500]) < 10 * MS
    assert cpu_s((piece * 700)[:690] + "x") < 10 * MS


@pytest.mark.parametrize(
    "pattern", [TOKEN, MATHS, CODE, LISTED, SENTENCE], ids=["token", "maths", "code", "list", "end"]
)
@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_pattern_goes_over_a_text_again_and_again(pattern: re.Pattern[str], piece: str) -> None:
    """Over twenty thousand characters it takes a few thousandths of a second, where its square would take seconds."""
    text = (piece * 20_000)[:20_000] + "x"
    before = time.process_time()
    pattern.findall(text)
    assert time.process_time() - before < 100 * MS


@pytest.mark.parametrize("piece", ["why ", "why?\n", "\n\nwhy", "- a\n", "a,b;", "```\nf()\n```\n", "“why” "])
def test_the_work_does_not_grow_with_the_text(piece: str) -> None:
    """Beyond 2,500 characters, no line of ours runs more often; only the size of the whole is taken."""
    prompt = estimate_prompt(REQUEST)

    def lines(length: int) -> int:
        request = asked(piece * (length // len(piece)))
        return lines_run(lambda: SHIPPED_CLASSIFIER.classify(request, prompt))

    lines(10_000)
    assert lines(200_000) <= lines(10_000) + 50


def test_neither_does_it_grow_with_the_house_rules_or_the_conversation() -> None:
    """Four hundred characters of the former are read; of the latter, what was said last."""
    prompt = estimate_prompt(REQUEST)

    def lines(rules: str, turns: int) -> int:
        said = (Message("system", rules), *(Message("assistant", "why " * 100) for _ in range(turns)))
        request = change(REQUEST, messages=(*said, Message("user", "why?")))
        return lines_run(lambda: SHIPPED_CLASSIFIER.classify(request, prompt))

    # Not the same beginning: rules that were read lately are not read again.
    assert lines("brief " * 100_000, 1) == lines(" brief" * 100, 1)
    assert lines("", 200) - lines("", 100) <= 5 * 100


def test_house_rules_are_read_once() -> None:
    """They stand above each request of a tool."""
    prompt = estimate_prompt(REQUEST)
    said = (Message("system", "Be brief, and polite, and nothing else, whoever asks."), Message("user", "why?"))
    request = change(REQUEST, messages=said)
    first, second, third = (lines_run(lambda: SHIPPED_CLASSIFIER.classify(request, prompt)) for _ in range(3))
    assert second == third < first
