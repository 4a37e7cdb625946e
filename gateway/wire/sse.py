"""Server-sent events, byte by byte (WHATWG HTML, "Server-sent events").

What the decoder yields does not depend on how the bytes were cut into chunks. It splits on CR, LF and CRLF
only: other characters that Python calls line ends (U+2028, U+0085) are data; cutting there breaks JSON.
"""

_BOM = b"\xef\xbb\xbf"

DONE = b"[DONE]"
"""The payload that ends a stream of OpenAI's API."""

PING = b": ping\n\n"
"""A comment that keeps idle connections open; clients skip it."""


class EventTooLong(ValueError):
    """One event outgrew the limit."""


class SseDecoder:
    """Turns chunks of bytes into the data of whole events.

    Event names, ids and retry times are skipped: every API spoken here repeats what matters inside the data.
    """

    def __init__(self, max_event_bytes: int = 8 * 1024 * 1024) -> None:
        self._max = max_event_bytes
        self._line = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._first = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of each event that `chunk` completes, in order. Raises EventTooLong."""
        if b"\r" in chunk or self._after_cr:
            chunk = self._normalise(chunk)
        if b"\n" not in chunk:
            self._line += chunk
            self._bound(self._line)
            return []
        first, *lines, rest = chunk.split(b"\n")
        lines.insert(0, bytes(self._line) + first)
        self._line = bytearray(rest)
        events: list[bytes] = []
        if self._first:
            self._first = False
            self._bound(lines[0])
            lines[0] = lines[0].removeprefix(_BOM)
        for line in lines:
            if line:
                # Nearly every event is one such line: to take it at once saves a third of all that is done here.
                if line.startswith(b"data: ") and not self._data and len(line) <= self._max:
                    self._data.append(line[6:])
                    self._size = len(line)
                else:
                    self._take(line)
            elif self._data:
                events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data = []
                self._size = 0
        self._bound(self._line)
        return events

    def _normalise(self, chunk: bytes) -> bytes:
        """LF for every line end. A CR ends its line at once; an LF at the start of the next chunk is its."""
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._after_cr = False
        if chunk:
            self._after_cr = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _take(self, line: bytes) -> None:
        self._bound(line)
        if line.startswith(b"data:"):
            self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            self._size += len(line)
        elif line == b"data":
            self._data.append(b"")
            self._size += len(line)

    def _bound(self, line: bytes | bytearray) -> None:
        """Every line, whole or not, is measured alike: the limit holds however the bytes were cut."""
        if self._size + len(line) > self._max:
            raise EventTooLong(f"an event is longer than {self._max} bytes")


def encode_event(payload: bytes) -> bytes:
    """One event around `payload`, which is JSON and so holds no raw line end."""
    return b"data: " + payload + b"\n\n"


def encode_named_event(name: bytes, payload: bytes) -> bytes:
    """The same with a name, which readers of Anthropic's API go by."""
    return b"event: " + name + b"\ndata: " + payload + b"\n\n"
