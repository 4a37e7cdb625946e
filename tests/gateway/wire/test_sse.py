"""Server-sent events: what is read does not depend on how the bytes were cut, and costs what they are long."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.wire.sse import EventTooLong, SseDecoder, encode_event
from tests.gateway.steps import lines_run
from tests.gateway.wire.streams import STREAMS

NAMES = tuple(STREAMS)
PLAIN = settings(max_examples=150, deadline=None)


def decoded(pieces: Iterable[bytes], max_event_bytes: int = 1 << 20) -> tuple[bytes, ...]:
    """The events of a stream that arrives in these pieces."""
    decoder = SseDecoder(max_event_bytes)
    return tuple(event for piece in pieces for event in decoder.feed(piece))


def cut(raw: bytes, at: Iterable[int]) -> list[bytes]:
    """`raw` in pieces that begin at these places."""
    places = [0, *sorted(at), len(raw)]
    return [raw[start:end] for start, end in pairwise(places)]


@pytest.mark.parametrize("name", NAMES)
def test_events_are_those_of_the_specification(name: str) -> None:
    """Line ends, comments, marks and fields are read as WHATWG HTML says."""
    raw, events = STREAMS[name]
    assert decoded([raw]) == events


@pytest.mark.parametrize("name", NAMES)
def test_every_cut_into_three_pieces_gives_the_same_events(name: str) -> None:
    """No chunk boundary, in a line end or a character or anywhere else, changes an event."""
    raw, events = STREAMS[name]
    for first in range(len(raw) + 1):
        for second in range(first, len(raw) + 1):
            assert decoded(cut(raw, (first, second))) == events, (first, second)


@pytest.mark.parametrize("name", NAMES)
def test_byte_by_byte_gives_the_same_events(name: str) -> None:
    """A stream that trickles is the same stream."""
    raw, events = STREAMS[name]
    assert decoded(raw[place : place + 1] for place in range(len(raw))) == events


@PLAIN
@given(
    st.lists(
        st.sampled_from([b"data: ", b"data:", b"\r", b"\n", b"\r\n", b": c", b"x", b"\xef\xbb\xbf", b" ", "é".encode()])
    ),
    st.lists(st.integers(0, 200), max_size=12),
)
def test_no_cut_of_any_bytes_changes_the_events(parts: list[bytes], places: list[int]) -> None:
    """Split invariance for whatever a server may put together."""
    raw = b"".join(parts)
    assert decoded(cut(raw, (min(place, len(raw)) for place in places))) == decoded([raw])


@PLAIN
@given(st.lists(st.binary(max_size=40).filter(lambda raw: not {10, 13} & set(raw))), st.lists(st.integers(0, 300)))
def test_what_is_encoded_is_decoded(payloads: list[bytes], places: list[int]) -> None:
    """Every payload without a raw line end comes back as it was, however the line cuts it."""
    raw = b"".join(encode_event(payload) for payload in payloads)
    assert decoded(cut(raw, (min(place, len(raw)) for place in places))) == tuple(payloads)


@PLAIN
@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_text_survives_however_python_would_split_it(text: str) -> None:
    """U+2028, U+0085 and their like are data: cutting there would break the JSON around them."""
    payload = text.replace("\r", " ").replace("\n", " ").encode()
    assert decoded([encode_event(payload)]) == (payload,)


@pytest.mark.parametrize("line", [b"data: ", b": ", b"x"])
@pytest.mark.parametrize("pieces", [1, 2, 3, 50])
def test_a_line_longer_than_the_limit_is_refused(line: bytes, pieces: int) -> None:
    """One byte more than the limit raises in any number of pieces; the limit itself does not."""
    longest = line + b"a" * (40 - len(line))
    assert decoded(spread(longest + b"\n\n", pieces), 40) is not None
    with pytest.raises(EventTooLong):
        decoded(spread(longest + b"a\n\n", pieces), 40)


@pytest.mark.parametrize("pieces", [1, 2, 7, 100])
def test_an_event_of_many_lines_is_refused_as_well(pieces: int) -> None:
    """Short lines that make one long event do not get past the limit, and closed events do not count."""
    line = b"data: abcd\n"
    assert decoded(spread((line * 4 + b"\n") * 3, pieces), 40) == (b"abcd\nabcd\nabcd\nabcd",) * 3
    with pytest.raises(EventTooLong):
        decoded(spread(line * 5 + b"\n", pieces), 40)


@PLAIN
@given(
    st.lists(
        st.sampled_from(
            [
                b"\xef\xbb\xbf",
                b"data",
                b"data: a\n",
                b"data: abcdefgh\r\n",
                b"\n",
                b"\r",
                b": c\n",
                b"xxxxxxxxxxxxxxxx",
                b"\n\n",
            ]
        )
    ),
    st.lists(st.integers(0, 300), max_size=10),
)
def test_whether_an_event_is_too_long_does_not_depend_on_the_cut(parts: list[bytes], places: list[int]) -> None:
    """The limit is one of the stream, not of how it arrived."""
    raw = b"".join(parts)
    assert refused([raw]) == refused(cut(raw, (min(place, len(raw)) for place in places)))


def refused(pieces: Iterable[bytes]) -> bool:
    """Whether some event of this stream is longer than 24 bytes."""
    try:
        decoded(pieces, 24)
    except EventTooLong:
        return True
    return False


def steps(pieces: list[bytes]) -> int:
    """How many lines of Python reading these pieces takes."""
    return lines_run(lambda: decoded(pieces))


def spread(raw: bytes, pieces: int) -> list[bytes]:
    """`raw` in about this many pieces of the same length."""
    return cut(raw, (len(raw) * number // pieces for number in range(1, pieces)))


@pytest.mark.parametrize(
    "event", [b"data: a\n\n", b"data: " + b"a" * 200 + b"\r\n\r\n", b"data: a\ndata: b\n\n", b": c\n"]
)
@pytest.mark.parametrize("size", [1, 5, 1000])
def test_work_grows_with_the_bytes_and_no_faster(event: bytes, size: int) -> None:
    """Four times the stream takes at most about four times the steps, whatever the size of the pieces."""
    short, long = event * 50, event * 200
    few, many = (steps([raw[at : at + size] for at in range(0, len(raw), size)]) for raw in (short, long))
    assert many <= 4 * few + 20


def test_a_long_line_is_not_read_again_with_every_piece() -> None:
    """The steps for a piece of an unfinished line do not depend on how long the line has become."""
    few, many = steps([b"data: ", *([b"a"] * 500)]), steps([b"data: ", *([b"a"] * 2000)])
    assert many <= 4 * few
