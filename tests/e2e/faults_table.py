"""What providers do when they are not well, and what callers are to see of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tests.faults.behaviours import Behaviour, Raw, Says, Status

SAID = "the provider's own words, which quote sk-secret"


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail before any answer has begun.

    `status` and `code` are the caller's, when nobody else may answer. `calls` are made to the backend then; they are
    all `retried` that are more than one. `reason` is why the next candidate is asked, where there is one.
    """

    does: Behaviour
    status: int = 502
    code: str = "upstream_error"
    reason: str = "upstream_error"
    calls: int = 1


def status(number: int, *, retry_after: str | None = None, code: str | None = None) -> Status:
    """A status in which the provider talks of things that are nobody's business."""
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return Status(status=number, message=SAID, code=code, headers=headers)


def _whole(**more: object) -> str:
    message = {"role": "assistant", "content": SAID}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({"id": "x", "object": "chat.completion", "model": "m", "choices": [choice], **more})


REFUSED = {
    "400": Fault(status(400), 400, "request_refused"),
    "400-too-long": Fault(
        status(400, code="context_length_exceeded"), 400, "context_length_exceeded", "context_length"
    ),
    "400-filtered": Fault(status(400, code="content_filter"), 400, "content_filter", "content_filter"),
    "401": Fault(status(401)),
    "403": Fault(status(403)),
    "404": Fault(status(404)),
    "408": Fault(status(408), 504, "upstream_timeout", "upstream_timeout"),
    "413": Fault(status(413), 400, "request_refused"),
    "422": Fault(status(422), 400, "request_refused"),
    "429": Fault(status(429), 429, "rate_limit_exceeded", "rate_limit", calls=2),
    "429-at-once": Fault(status(429, retry_after="0"), 429, "rate_limit_exceeded", "rate_limit", calls=2),
    "429-later": Fault(status(429, retry_after="30"), 429, "rate_limit_exceeded", "rate_limit"),
    "500": Fault(status(500)),
    "502": Fault(status(502)),
    "503": Fault(status(503), calls=2),
    "503-at-once": Fault(status(503, retry_after="0"), calls=2),
    "503-later": Fault(status(503, retry_after="30")),
    "504": Fault(status(504), 504, "upstream_timeout", "upstream_timeout"),
    "529": Fault(status(529), calls=2),
    "301": Fault(Status(status=301, headers={"location": "/v1/chat/completions"})),
    "307": Fault(Status(status=307, headers={"location": "/v1/chat/completions"})),
    "204": Fault(Status(status=204, body="")),
    "500-html": Fault(Status(status=500, body=f"<html>{SAID}</html>")),
    "500-huge": Fault(Status(status=500, body=SAID * 100_000)),
}
"""HTTP statuses instead of an answer: none of them is billed."""

GARBAGE = {
    "html": Fault(Raw(body=f"<html>{SAID}</html>", content_type="text/html")),
    "html-as-json": Fault(Raw(body=f"<html>{SAID}</html>")),
    "truncated-json": Fault(Raw(body=_whole()[:-20])),
    "nan": Fault(Raw(body=_whole(usage="@").replace('"@"', '{"prompt_tokens": NaN, "completion_tokens": 1}'))),
    "negative-tokens": Fault(Raw(body=_whole(usage={"prompt_tokens": -5, "completion_tokens": -3}))),
    "empty-body": Fault(Raw(body="")),
    "not-an-object": Fault(Raw(body="[]")),
    "no-choices": Fault(Raw(body=json.dumps({"model": "m", "choices": []}))),
    "no-finish-reason": Fault(Raw(body=_whole().replace('"stop"', "null"))),
    "choices-of-another-type": Fault(Raw(body=json.dumps({"choices": "yes"}))),
    "invalid-utf-8": Fault(Raw(body=_whole().replace("secret", "\xff\xfe"))),
    "an-error-with-200": Fault(Raw(body=json.dumps({"error": {"message": SAID}}))),
    "compressed": Fault(Says(text=SAID, gzip=True)),
}
"""Answers of status 200 that are none; those that are streamed have a table of their own."""

CUT = {
    "reset-at-once": Fault(Says(ends="reset", after=-1)),
    "close-at-once": Fault(Says(ends="close", after=-1)),
    "reset-after-headers": Fault(Says(ends="reset", after=0)),
    "close-after-headers": Fault(Says(ends="close", after=0)),
}
"""Connections that break before a word of the answer."""

SILENT = {
    "silence": Fault(Says(ends="silence", after=-1), 504, "upstream_timeout", "upstream_timeout"),
    "silence-after-headers": Fault(Says(ends="silence", after=0), 504, "upstream_timeout", "upstream_timeout"),
}
"""Connections on which nothing comes."""

UNSTREAMED: Mapping[str, Fault] = MappingProxyType(
    {
        **REFUSED,
        **GARBAGE,
        **CUT,
        **SILENT,
        "close-in-the-body": Fault(Says(text=SAID, ends="close", after=1)),
        "reset-in-the-body": Fault(Says(text=SAID, ends="reset", after=1)),
        "silence-in-the-body": Fault(
            Says(text=SAID, ends="silence", after=1), 504, "upstream_timeout", "upstream_timeout"
        ),
        "trickle": Fault(Says(bytes_per_s=20), 504, "upstream_timeout", "upstream_timeout"),
    }
)


def _events(*events: str) -> Raw:
    return Raw(body="".join(f"data: {event}\n\n" for event in events), content_type="text/event-stream")


def _chunk(index: int = 0, finish: str | None = None, text: str | None = None) -> str:
    choice = {"index": index, "delta": {} if text is None else {"content": text}, "finish_reason": finish}
    return json.dumps({"id": "x", "object": "chat.completion.chunk", "model": "m", "choices": [choice]})


STREAMED: Mapping[str, Fault] = MappingProxyType(
    {
        **REFUSED,
        **CUT,
        **SILENT,
        "html": Fault(Raw(body=f"<html>{SAID}</html>", content_type="text/html")),
        "json-instead-of-events": Fault(Raw(body=_whole())),
        "no-content-type": Fault(Raw(body=f"data: {_chunk(text='a')}\n\n", content_type="")),
        "no-event-at-all": Fault(_events()),
        "only-done": Fault(_events("[DONE]")),
        "broken-event": Fault(_events('{"choices": [{"delta"')),
        "nan": Fault(_events(_chunk(text="a").replace("null", '"stop", "logprobs": {"content": [NaN]}'))),
        "error-event": Fault(_events(json.dumps({"error": {"message": SAID, "code": "server_error"}}))),
        "huge-event": Fault(Raw(body="data: " + "x" * (9 << 20), content_type="text/event-stream")),
        "compressed": Fault(Says(text=SAID, gzip=True)),
        "finish-missing-before-any-word": Fault(_events(_chunk(text=""), "[DONE]")),
    }
)
"""Failures of a stream before its first word."""

BREAKS: Mapping[str, Says] = MappingProxyType(
    {
        "reset": Says(ends="reset", after=5),
        "close": Says(ends="close", after=5),
        "end-without-finish": Says(ends="unfinished", after=5),
        "done-without-finish": Says(ends="done_unfinished", after=5),
        "error-event": Says(ends="error", after=5),
        "silence": Says(ends="silence", after=5),
        "trickle": Says(bytes_per_s=700),
    }
)
"""How a stream can end after its first words have gone out."""
