"""Whatever JSON comes in at the other routes of this API, it is a request or a refusal that names a field."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RequestError
from gateway.messages import Request
from gateway.wire.openai_embeddings import EmbeddingBody, decode_embeddings, parse_embeddings
from gateway.wire.openai_text_request import TextBody, parse_text
from gateway.wire.openai_text_upstream import TextApi
from tests.gateway.wire.test_request_fuzz import JSON, PLENTY, assert_told

Parse = Callable[[bytes, dict[str, str], str], Request]

INPUTS = st.recursive(
    st.text(max_size=5) | st.integers(-2, 2**33), lambda inner: st.lists(inner, max_size=3), max_leaves=6
)
ROUTES: list[tuple[Parse, tuple[str, ...]]] = [
    (parse_embeddings, EmbeddingBody.__struct_fields__),
    (parse_text, TextBody.__struct_fields__),
]


@pytest.mark.parametrize(("parse", "names"), ROUTES)
@PLENTY
@given(data=st.data())
def test_any_fields(parse: Parse, names: tuple[str, ...], data: st.DataObject) -> None:
    """Known fields with any values, with or without what is required."""
    odd = st.dictionaries(st.sampled_from([*names, "guided_json", "store", "\r\n", ""]), JSON, max_size=3)
    plain: dict[str, Any] = {"model": "m", "input": data.draw(INPUTS), "prompt": data.draw(INPUTS)}
    body = {**(plain if data.draw(st.booleans()) else {}), **data.draw(odd)}
    try:
        request = parse(json.dumps(body).encode(), {}, "id-1")
    except RequestError as error:
        assert_told(error)
    else:
        assert all(name.isascii() and name.isprintable() for name in request.ignored)


@pytest.mark.parametrize("parse", [parse for parse, _ in ROUTES])
@PLENTY
@given(raw=st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes(parse: Parse, raw: bytes) -> None:
    """Bodies that are no request at all."""
    with pytest.raises(RequestError) as caught:
        parse(raw, {}, "id-1")
    assert_told(caught.value)


@PLENTY
@given(raw=st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()), count=st.integers(1, 3))
def test_any_answer(raw: bytes, count: int) -> None:
    """Of a backend: nothing but the errors that are taken for an answer that is none."""
    for decode in (lambda: decode_embeddings(raw, count), lambda: TextApi().completion(raw)):
        with pytest.raises((ValueError, msgspec.MsgspecError)):
            decode()
