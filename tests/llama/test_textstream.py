"""Text is released in whole characters, before stop strings, with every token exactly once."""

import random

import pytest

from local_models.llama.textstream import Placed, Released, StopMatcher, TextStream


def run(pieces: list[bytes], stops: tuple[str, ...] = ()) -> tuple[str, list[int], str | None, list[str]]:
    """All text, the tokens in order of release, what stopped it, and the text of every step."""
    stream: TextStream[int] = TextStream(stops)
    steps: list[Released[int]] = []
    for token, piece in enumerate(pieces):
        steps.append(stream.push(token, piece))
        if steps[-1].stop is not None:
            break
    else:
        steps.append(stream.finish())
    tokens = [placed.token for step in steps for placed in step.tokens]
    return "".join(step.text for step in steps), tokens, steps[-1].stop, [step.text for step in steps]


def test_a_character_cut_by_tokens_comes_out_whole_with_its_tokens() -> None:
    """The three tokens of an emoji leave together, when its last byte is there."""
    emoji = "🚀".encode()
    stream: TextStream[str] = TextStream()
    assert stream.push("a", b"go ") == Released("go ", (Placed("a", 0),))
    assert stream.push("b", emoji[:1]).text == ""
    assert stream.push("c", emoji[1:3]).tokens == ()
    last = stream.push("d", emoji[3:])
    assert last.text == "🚀"
    assert [placed.token for placed in last.tokens] == ["b", "c", "d"]
    assert {placed.offset for placed in last.tokens} == {3}


def test_an_incomplete_character_at_the_end_is_dropped_but_its_token_is_not() -> None:
    """An answer that ends inside a character ends before it."""
    text, tokens, stop, _ = run([b"ab", "é".encode()[:1]])
    assert (text, tokens, stop) == ("ab", [0, 1], None)


def test_bytes_that_are_no_utf8_become_replacement_characters() -> None:
    """Broken bytes in the middle hold nothing up."""
    text, tokens, _, _ = run([b"a\xff", b"b"])
    assert text == "a\ufffdb"
    assert tokens == [0, 1]


def test_a_stop_string_across_token_edges_never_shows() -> None:
    """What may be the beginning of the stop string waits, and goes when it turns out to be one."""
    text, tokens, stop, steps = run([b"one", b" ST", b"O", b"P two"], ("STOP",))
    assert text == "one "
    assert stop == "STOP"
    assert steps[1] == " "
    assert tokens == [0, 1], "tokens wholly inside the stop string belong to no answer"


def test_a_false_alarm_is_released_with_its_tokens() -> None:
    """Held text comes out unharmed when the stop string does not complete."""
    text, tokens, stop, steps = run([b"a S", b"TO", b"NE"], ("STOP",))
    assert (text, tokens, stop) == ("a STONE", [0, 1, 2], None)
    assert steps[:2] == ["a ", ""]


def test_the_first_stop_string_to_complete_wins_and_the_longer_of_two_at_once() -> None:
    """Several stop strings are watched side by side."""
    assert run([b"xxabcd"], ("abcd", "bc"))[0] == "xxa"
    assert run([b"xx12 end"], ("2 end", "12 end"))[0] == "xx"


def test_held_text_is_flushed_at_the_end() -> None:
    """The beginning of a stop string at the end of the answer is part of the answer."""
    text, tokens, stop, _ = run([b"so ST"], ("STOP",))
    assert (text, tokens, stop) == ("so ST", [0], None)


def test_offsets_count_characters_not_bytes() -> None:
    """A token's offset is where its text begins in the answer."""
    stream: TextStream[int] = TextStream()
    offsets = [placed.offset for piece in ("é", "ü!", "x") for placed in stream.push(0, piece.encode()).tokens]
    assert offsets == [0, 1, 3]


def test_empty_stop_strings_are_refused() -> None:
    """An empty stop string would stop everything."""
    with pytest.raises(ValueError, match="empty"):
        StopMatcher("")


@pytest.mark.parametrize("seed", range(40))
def test_any_cut_of_any_text_gives_what_python_would(seed: int) -> None:
    """However the bytes are cut into tokens, the text is the one before the first stop string, each token once."""
    dice = random.Random(seed)
    text = "".join(dice.choices("abaé🚀 \n", k=40))
    stops = tuple("".join(dice.choices("abé🚀", k=dice.randint(1, 4))) for _ in range(dice.randint(0, 3)))
    data, pieces = text.encode(), []
    while data:
        size = dice.randint(1, 5)
        pieces.append(data[:size])
        data = data[size:]
    found, tokens, met, _ = run(pieces, stops)
    ends = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    assert found == (text[: min(ends)[1]] if ends else text)
    first = [stop for stop in stops if stop in text and (text.find(stop) + len(stop), text.find(stop)) == min(ends)]
    assert met == (first[0] if ends else None)
    assert tokens == sorted(set(tokens))
    if met is None:
        assert tokens == list(range(len(pieces)))
