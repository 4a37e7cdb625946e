"""The transport of aiohttp: https, proxies, and whatever else a URL may ask for."""

import ssl
from collections.abc import Mapping
from types import MappingProxyType

import aiohttp

from gateway.backends.transport import KEEP_IDLE_S, ConnectTimedOut, NotConnected, Severed, TransportError

_OPEN_HEADERS = MappingProxyType({"user-agent": "forebay"})


class AiohttpTransport:
    """Connections through aiohttp's pool. `headers` go with every request, `tls` is needed for https."""

    def __init__(
        self, connect_s: float, headers: Mapping[str, str], *, tls: ssl.SSLContext | None, proxy: str | None
    ) -> None:
        self._headers = dict(headers)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_IDLE_S, ssl=tls or True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_s),
            # With each request and not here: aiohttp sends what stands here to the proxy too, in the clear.
            headers=_OPEN_HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            proxy=proxy,
        )

    async def post(self, url: str, body: bytes) -> "AiohttpResponse":
        """See `Transport`."""
        try:
            found = await self._session.post(url, data=body, headers=self._headers, allow_redirects=False)
        except aiohttp.ClientError as error:
            raise _ours(error) from error
        return AiohttpResponse(found)

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()


class AiohttpResponse:
    """See `Response`."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._content = response.content
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def readany(self) -> bytes:
        """See `Response`."""
        try:
            return await self._content.readany()
        except aiohttp.ClientError as error:
            raise _ours(error) from error

    def release(self) -> None:
        """See `Response`."""
        self._response.release()

    def close(self) -> None:
        """See `Response`."""
        self._response.close()


def _ours(error: aiohttp.ClientError) -> TransportError:
    match error:
        case aiohttp.ConnectionTimeoutError():
            return ConnectTimedOut("no connection in time")
        case aiohttp.ClientHttpProxyError():
            return NotConnected(f"the proxy answered with status {error.status}")
        case aiohttp.ClientConnectorError():
            # A certificate does not become another one by being asked for once more.
            cause = getattr(error, "certificate_error", None)
            if isinstance(cause, ssl.SSLCertVerificationError):
                return NotConnected(f"its certificate is not accepted: {cause.verify_message}", lasting=True)
            return NotConnected("cannot connect")
        case _:
            return Severed(type(error).__name__)
