"""Chat APIs over HTTP, whichever of them a provider or an engine speaks.

Foreign exceptions become BackendErrors here and nowhere else; what an upstream wrote in an error body goes no
further than its `code` and `param`.
"""

import asyncio
import re
import ssl
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from types import MappingProxyType
from typing import TypeVar
from weakref import WeakValueDictionary

import msgspec
from msgspec import Struct

from gateway.awake import AwakeClock
from gateway.backends.aiohttp_transport import AiohttpTransport
from gateway.backends.line import Line
from gateway.backends.plain_transport import PlainTransport
from gateway.backends.retry_after import MAX_SECONDS, retry_after
from gateway.backends.stream import EventStream, Limits
from gateway.backends.transport import (
    ConnectTimedOut,
    NotConnected,
    Response,
    Transport,
    TransportError,
    in_the_clear,
    media_type,
)
from gateway.deadline import Alarms
from gateway.errors import BackendError, Broken, Refused, TimedOut, Unreachable
from gateway.messages import Completion, JsonObject
from gateway.wire.openai_api import OpenAIApi
from gateway.wire.upstream import UpstreamApi

T = TypeVar("T")

_MAX_ANSWER_BYTES = 64 * 1024 * 1024
_MAX_ERROR_BYTES = 64 * 1024
_KNOWN_URLS = 64
_IDENTIFIER = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")
_HEADERS = MappingProxyType(
    {
        "content-type": "application/json",
        # An answer that claims another encoding is refused: a compressed one could unpack to any size.
        "accept-encoding": "identity",
    }
)
_FOREIGN = (
    *(TimeoutError, TransportError),
    *(msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError),
)
_encode = msgspec.json.Encoder().encode


class Deadlines(Struct, frozen=True, kw_only=True):
    """Seconds; see `timeouts` in the configuration."""

    connect_s: float
    first_token_s: float
    idle_s: float
    total_s: float


class ChatClient:
    """One backend's connections. `name` is what errors call it, `api` what it speaks, OpenAI's if none is given.

    `tls` is needed for https. `proxy` is an http:// address that https goes through; the environment names none. Its
    deadlines go by `clock`: a time in which this process stood still is held against nobody.
    """

    def __init__(  # noqa: PLR0913 - each is another's to say: the file, the certificates, the process
        self,
        name: str,
        deadlines: Deadlines,
        headers: Mapping[str, str],
        *,
        api: UpstreamApi | None = None,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
        clock: AwakeClock | None = None,
    ) -> None:
        self._name = name
        self._deadlines = deadlines
        self._api = api or OpenAIApi()
        self._lines: WeakValueDictionary[str, Line] = WeakValueDictionary()
        self._alarms = Alarms(clock)
        self._clock = self._alarms.clock
        # A backend is asked at the same few addresses again and again.
        self._server = lru_cache(maxsize=_KNOWN_URLS)(_server)
        self._in_the_clear = lru_cache(maxsize=_KNOWN_URLS)(in_the_clear)
        headers = {**_HEADERS, **headers}
        self._any: Transport = AiohttpTransport(deadlines.connect_s, headers, tls=tls, proxy=proxy)
        self._plain: Transport = self._any if proxy else PlainTransport(deadlines.connect_s, headers)

    async def close(self) -> None:
        """Close every connection."""
        await self._plain.close()
        await self._any.close()

    def hang_up(self, url: str) -> None:
        """Wait no longer for anything from the server at `url`: it hangs. Who asks there from now on is not meant."""
        line = self._lines.pop(self._server(url), None)
        if line is not None:
            line.cut()

    async def complete(self, url: str, body: JsonObject, deadline: float, api: UpstreamApi | None = None) -> Completion:
        """POST `body` and read the whole answer; `api` is what is spoken at this address, if not the usual one."""
        return await self._ask(url, body, deadline, partial(self._completion, api or self._api))

    async def ask(self, url: str, body: JsonObject, deadline: float, decode: Callable[[bytes], T]) -> T:
        """POST `body`, and `decode` whatever comes; what is not as it should be must be a ValueError there."""
        return await self._ask(url, body, deadline, lambda raw, _: decode(raw))

    async def stream(self, url: str, body: JsonObject, deadline: float, api: UpstreamApi | None = None) -> EventStream:
        """POST `body` and return the stream of its answer, once accepted."""
        until = self._until(deadline)
        first = min(until, self._clock.time() + self._deadlines.first_token_s)
        line = self._line(url)
        try:
            response = await line.within(partial(self._post, url, body), first)
        except _FOREIGN as error:
            raise _ours(self._name, error, "first_token") from error
        kind = media_type(response.headers)
        if kind != "text/event-stream":
            response.close()
            raise Broken(f"{self._name} answered a stream request with {kind or 'nothing said of its kind'}")
        limits, reader = Limits(first, self._deadlines.idle_s, until), (api or self._api).events()
        return EventStream(self._name, response, reader, limits, line, self._pause_s(response.headers))

    async def _ask(
        self, url: str, body: JsonObject, deadline: float, decode: Callable[[bytes, Mapping[str, str]], T]
    ) -> T:
        async def ask() -> T:
            response = await self._post(url, body)
            try:
                raw = await _read(response, _MAX_ANSWER_BYTES)
                response.release()
            finally:
                response.close()
            return decode(raw, response.headers)

        try:
            return await self._line(url).within(ask, self._until(deadline))
        except _FOREIGN as error:
            raise _ours(self._name, error, "total") from error

    def _line(self, url: str) -> Line:
        """The one that all share who ask there at the same time."""
        server = self._server(url)
        line = self._lines.get(server)
        if line is None:
            line = self._lines[server] = Line(self._name, self._alarms)
        return line

    def _completion(self, api: UpstreamApi, raw: bytes, headers: Mapping[str, str]) -> Completion:
        completion, pause_s = api.completion(raw), self._pause_s(headers)
        return msgspec.structs.replace(completion, pause_s=pause_s) if pause_s else completion

    def _pause_s(self, headers: Mapping[str, str]) -> float:
        return min(MAX_SECONDS, self._api.pause_s(headers))

    def _until(self, deadline: float) -> float:
        """When a call ends at the latest, by our clock; `deadline` is by the loop's."""
        left = deadline - asyncio.get_running_loop().time()
        return self._clock.time() + min(left, self._deadlines.total_s)

    async def _post(self, url: str, body: JsonObject) -> Response:
        response = await self._reached(self._plain if self._in_the_clear(url) else self._any, url, _encode(body))
        if response.status != 200:
            try:
                raise await self._refused(response)
            finally:
                response.close()
        if response.headers.get("content-encoding", "identity") != "identity":
            response.close()
            raise Broken(f"{self._name} sent a compressed answer, which was not asked for")
        return response

    async def _reached(self, transport: Transport, url: str, body: bytes) -> Response:
        """The answer to `body`; asked once more where it was us who stood still until it was too late to connect."""
        clock = self._clock
        lost_s = clock.lost_s
        try:
            return await transport.post(url, body)
        except ConnectTimedOut:
            clock.time()
            if clock.lost_s == lost_s:
                raise
        return await transport.post(url, body)

    async def _refused(self, response: Response) -> Refused:
        fault = self._api.fault(response.status, await _read(response, _MAX_ERROR_BYTES, cut=True))
        code, param = _identifier(fault.code), _identifier(fault.param)
        wait = retry_after(response.headers)
        refused = Refused(
            f"{self._name} answered with status {response.status}" + (f", code {code}" if code else ""),
            status=response.status,
            reason=fault.reason,
            retry_after=wait if wait is not None else self._pause_s(response.headers) or None,
            upstream_code=code,
            upstream_param=param,
        )
        if fault.callers is not None:
            refused.callers_fault = fault.callers
        return refused


def _ours(name: str, error: BaseException, stage: str) -> BackendError:
    """The one seam at which foreign errors become ours."""
    match error:
        case ConnectTimedOut():
            return TimedOut(f"{name}: {error}", stage="connect")
        case TimeoutError():
            return TimedOut(f"{name}: no answer in time", stage=stage)
        case NotConnected():
            return Unreachable(f"{name}: {error}", retryable=not error.lasting)
        case TransportError():
            return Broken(f"{name}: the connection broke ({error})")
        case _:
            return Broken(f"{name} sent an answer that is not one of this API")


def _server(url: str) -> str:
    """Scheme, host and port."""
    return "/".join(url.split("/", 3)[:3])


async def _read(response: Response, limit: int, *, cut: bool = False) -> bytes:
    """The body, up to `limit` bytes; what is longer is cut or refused."""
    chunks: list[bytes] = []
    size = 0
    while chunk := await response.readany():
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            if cut:
                break
            raise Broken(f"an answer is longer than {limit} bytes")
    return b"".join(chunks)


def _identifier(text: str | None) -> str | None:
    """A short code as it stands; anything that could be prose, and so quote a prompt or a key, is left out."""
    return text if text is not None and _IDENTIFIER.fullmatch(text) else None
