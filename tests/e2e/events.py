"""A streamed answer as a caller reads it."""

import json
from typing import Any

import httpx


class Events:
    """A stream that has been read: the data of its events in order, and the bytes."""

    def __init__(self, raw: bytes, response: httpx.Response | None = None) -> None:
        self.raw = raw
        self._response = response
        texts = [event.removeprefix("data: ") for event in raw.decode().split("\n\n") if event]
        self.done = texts[-1:] == ["[DONE]"]
        self.events: list[dict[str, Any]] = [json.loads(text) for text in texts if text != "[DONE]"]

    @property
    def response(self) -> httpx.Response:
        """Status and headers, where httpx has read them."""
        assert self._response is not None
        return self._response

    @property
    def text(self) -> str:
        """The content of the first choice."""
        return "".join(choice["delta"].get("content") or "" for choice in self._choices if choice["index"] == 0)

    @property
    def finish_reason(self) -> str | None:
        """The last one that was given."""
        return next((choice["finish_reason"] for choice in reversed(self._choices) if choice["finish_reason"]), None)

    @property
    def forebay(self) -> dict[str, Any] | None:
        """The `forebay` object, which stands in at most one event."""
        found = [event["forebay"] for event in self.events if "forebay" in event]
        assert len(found) <= 1
        return found[0] if found else None

    @property
    def usage(self) -> dict[str, Any] | None:
        """The usage, where it was asked for."""
        return next((event["usage"] for event in self.events if event.get("usage")), None)

    @property
    def error(self) -> dict[str, Any] | None:
        """The error that ended it."""
        return next((event["error"] for event in self.events if "error" in event), None)

    @property
    def _choices(self) -> list[dict[str, Any]]:
        return [choice for event in self.events for choice in event.get("choices", ())]
