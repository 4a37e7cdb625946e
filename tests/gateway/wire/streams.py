"""Event streams as servers really send them, each with the events that stand in it."""

from types import MappingProxyType

STREAMS = MappingProxyType(
    {
        "one event": (b"data: a\n\n", (b"a",)),
        "two events": (b"data: a\n\ndata: b\n\n", (b"a", b"b")),
        "crlf": (b"data: a\r\n\r\ndata: b\r\n\r\n", (b"a", b"b")),
        "cr": (b"data: a\r\rdata: b\r\r", (b"a", b"b")),
        "line ends mixed": (b"data: a\r\n\ndata: b\n\r\ndata: c\r\r\ndata: d\n\n", (b"a", b"b", b"c", b"d")),
        "no space after the colon": (b"data:a\n\ndata:b\n\n", (b"a", b"b")),
        "only one space is skipped": (b"data:  a\n\n", (b" a",)),
        "several lines of data": (b"data: a\ndata: b\ndata:\n\n", (b"a\nb\n",)),
        "several lines of data, crlf": (b"data: a\r\ndata: b\r\n\r\n", (b"a\nb",)),
        "a byte order mark": (b"\xef\xbb\xbfdata: a\n\n", (b"a",)),
        "a byte order mark before a comment": (b"\xef\xbb\xbf: hi\ndata: a\n\n", (b"a",)),
        "a byte order mark further on": (b"\n\xef\xbb\xbfdata: a\n\ndata: b\n\n", (b"b",)),
        "comments": (b": ping\n\n:\ndata: a\n: in between\ndata: b\n\n", (b"a\nb",)),
        "other fields": (b"event: x\nid: 7\nretry: 9\ndata: a\n\n", (b"a",)),
        "an event without data": (b"event: ping\n\ndata: a\n\n", (b"a",)),
        "an empty event": (b"data:\n\ndata: \n\n", (b"", b"")),
        "a field that only begins alike": (b"database: x\ndata: a\n\n", (b"a",)),
        "a field without a colon": (b"data\nfoo\ndata: a\n\n", (b"\na",)),
        "the line ends only Python knows": (
            "data: a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\n\n".encode(),
            ("a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg".encode(),),
        ),
        "json with all of them": ('data: {"t":"é\u2028€"}\r\n\r\n'.encode(), ('{"t":"é\u2028€"}'.encode(),)),
        "a nul": (b"data: a\x00b\n\n", (b"a\x00b",)),
        "not closed": (b"data: a\n\ndata: b\n", (b"a",)),
        "cut in the middle": (b"data: a\n\ndata: b", (b"a",)),
        "blank lines": (b"\n\n\r\n\r\rdata: a\n\n\n\n", (b"a",)),
        "the end of a stream": (b'data: {"x":1}\n\ndata: [DONE]\n\n', (b'{"x":1}', b"[DONE]")),
        "nothing": (b"", ()),
    }
)
"""Name → (bytes, the data of the events in them)."""
