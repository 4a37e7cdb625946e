"""Backends over TLS: whose certificates are accepted, what one that is not accepted costs, and the way by a proxy."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.backends.chat import ChatClient
from gateway.errors import TimedOut, Unreachable
from local_models.trust import client_context
from tests.gateway.backends.calls import BODY, DEADLINES, later
from tests.gateway.backends.raw_server import answer, response
from tests.pki import Authority, Pair
from tests.tap import Tap, tapped
from tests.tls_server import TlsServer, tls_server

FOUR = response(answer("four"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The company's."""
    return Authority(tmp_path_factory.mktemp("pki") / "company")


@asynccontextmanager
async def trusting(ca: str | None, proxy: Tap | None = None) -> AsyncIterator[ChatClient]:
    """A client that trusts this authority, or those of the machine."""
    keys = {"authorization": "Bearer a-secret", "x-api-key": "a-secret"}
    tls = client_context(ca)
    client = ChatClient("mini", DEADLINES, keys, tls=tls, proxy=None if proxy is None else proxy.url)
    try:
        yield client
    finally:
        await client.close()


def of(server: TlsServer) -> str:
    """Where it is asked."""
    return f"{server.url}/v1/chat/completions"


async def test_the_companys_authority_is_trusted(authority: Authority) -> None:
    """A certificate that leads to the file of the configuration, for the name that is called."""
    with tls_server(authority.issue("good"), FOUR) as server:
        async with trusting(authority.pem) as client:
            completion = await client.complete(of(server), BODY, later())
    assert completion.choices[0].text == "four"


async def distrusted(pair: Pair, ca: str | None) -> str:
    """Why a certificate is not accepted; nothing was sent then, nothing is billed, and it is no use to ask again."""
    with tls_server(pair, FOUR) as server:
        async with trusting(ca) as client:
            with pytest.raises(Unreachable) as caught:
                await client.complete(of(server), BODY, later())
    assert (server.received, len(server.refused)) == ([], 1)
    assert (caught.value.billed, caught.value.retryable) == (False, False)
    return str(caught.value)


async def test_certificates_that_are_not_accepted(authority: Authority, tmp_path: Path) -> None:
    """Of an authority nobody trusts, self-signed, for another name, expired, not valid yet: each says so."""
    ca = authority.pem
    stranger = Authority(tmp_path / "stranger", "Somebody else")
    assert "unable to get local issuer certificate" in await distrusted(stranger.issue("good"), ca)
    assert "self-signed certificate" in await distrusted(stranger.itself, ca)
    assert "IP address mismatch" in await distrusted(authority.issue("other", "api.example.com", "10.0.0.1"), ca)
    assert "certificate has expired" in await distrusted(authority.issue("old", valid=timedelta(hours=-1)), ca)
    assert "certificate is not yet valid" in await distrusted(authority.issue("new", since=timedelta(hours=-1)), ca)


async def test_without_a_file_the_machine_decides(authority: Authority) -> None:
    """It has never heard of this company."""
    assert "issuer certificate" in await distrusted(authority.issue("good"), None)


async def test_with_a_file_nobody_else_is_trusted(authority: Authority) -> None:
    """The authorities of the machine do not count beside it."""
    assert len(client_context(authority.pem).get_ca_certs()) == 1


async def test_old_versions_are_not_spoken(authority: Authority) -> None:
    """Nothing older than TLS 1.2, whoever is trusted."""
    assert client_context().minimum_version.name == "TLSv1_2"
    assert client_context(authority.pem).minimum_version.name == "TLSv1_2"


async def test_the_way_by_a_proxy(authority: Authority) -> None:
    """It hears where to, and nothing of what is said: no prompt, and no key of the provider's."""
    body = {"model": "m", "messages": [{"role": "user", "content": "a secret"}]}
    with tls_server(authority.issue("good"), FOUR) as server, tapped(proxy=True) as proxy:
        async with trusting(authority.pem, proxy) as client:
            completion = await client.complete(of(server), body, later())
    assert completion.choices[0].text == "four"
    assert f"CONNECT 127.0.0.1:{server.port} HTTP/1.1" in proxy.text
    assert len(server.received) == 1
    assert "secret" not in proxy.text


async def test_a_proxy_cannot_show_a_certificate_of_its_own(authority: Authority, tmp_path: Path) -> None:
    """One that opens connections, to read along, is not accepted."""
    stranger = Authority(tmp_path / "stranger", "A proxy that reads along")
    with tls_server(stranger.issue("good"), FOUR) as reader, tapped(proxy=True) as proxy:
        async with trusting(authority.pem, proxy) as client:
            with pytest.raises(Unreachable, match="its certificate is not accepted"):
                await client.complete(of(reader), BODY, later())
    assert reader.received == []


@pytest.mark.parametrize("trouble", ["refuses", "nobody listens", "says nothing"])
async def test_a_proxy_that_is_of_no_use(authority: Authority, trouble: str) -> None:
    """Nothing was sent; where that is certain nothing counts as billed."""
    refuses = trouble == "refuses"
    with tls_server(authority.issue("good"), FOUR) as server, tapped(proxy=refuses, refuses=refuses) as proxy:
        if trouble == "nobody listens":
            proxy.close()
        async with trusting(authority.pem, proxy) as client:
            with pytest.raises((Unreachable, TimedOut)) as caught:
                await client.complete(of(server), BODY, later(0.3 if trouble == "says nothing" else 60))
    assert server.received == []
    if trouble != "says nothing":
        assert isinstance(caught.value, Unreachable)
        assert not caught.value.billed
