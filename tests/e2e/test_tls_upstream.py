"""Backends over https: whose certificates are accepted, and that nothing of the environment is on the way."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest

from tests.e2e.agreement import Told
from tests.e2e.configs import PRICES, Config, attached, base, provider
from tests.e2e.stack import Stack, running, start
from tests.faults.handle import FaultServer, fault_server
from tests.pki import Authority, Pair
from tests.tap import Tap, tapped
from tests.tls_server import TlsServer, tls_server

WRONG = ("host", "nobody", "stranger", "expired", "machine")
"""Backends whose certificate is not accepted: for another name, self-signed, of another authority, out of date, and
one of the company's where only what this machine trusts counts."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The company's."""
    return Authority(tmp_path_factory.mktemp("pki") / "company")


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[FaultServer]:
    """A provider, and an engine, with a certificate of the company's."""
    with fault_server(tmp_path_factory.mktemp("faults"), authority.issue("provider")) as server:
        yield server


def secured(secure: FaultServer, authority: Authority, model: str, **more: object) -> Config:
    """A provider whose certificate leads to the company's authority."""
    return {**provider(secure, model, price=PRICES["mid"]), "ca": str(authority.itself.certificate), **more}


@contextmanager
def impostors(authority: Authority, folder: Path) -> Iterator[dict[str, TlsServer]]:
    """A server for each wrong certificate."""
    stranger = Authority(folder / "stranger", "Somebody else")
    pairs: dict[str, Pair] = {
        "host": authority.issue("host", "api.example.com", "10.0.0.1"),
        "nobody": stranger.itself,
        "stranger": stranger.issue("stranger"),
        "expired": authority.issue("expired", valid=timedelta(hours=-1)),
        "machine": authority.issue("machine"),
    }
    with ExitStack() as stack:
        yield {name: stack.enter_context(tls_server(pair, b"")) for name, pair in pairs.items()}


def distrusting(secure: FaultServer, authority: Authority, servers: dict[str, TlsServer]) -> Config:
    """Backends with wrong certificates in no tier, and a good one that they fall back to."""
    backends = {
        name: {**secured(secure, authority, name), "base_url": f"{server.url}/v1", "api_key": "${A_KEY}"}
        for name, server in servers.items()
    }
    del backends["machine"]["ca"]
    safe = secured(secure, authority, "safe")
    return base(backends={**backends, "safe": safe}, tiers={"light": ["safe"]})


def ask(stack: Stack, backend: str, text: str, *, stream: bool) -> Told:
    """A question to one backend, with another behind it."""
    headers = {"x-forebay-allow-fallback": "true"}
    if stream:
        return Told.streamed(stack.events(backend, text, headers))
    return Told.whole(stack.chat(backend, text, headers))


def test_a_certificate_that_is_not_accepted_is_a_backend_that_is_not_asked(
    secure: FaultServer, authority: Authority, tmp_path: Path
) -> None:
    """The next one answers; nothing was sent, nothing is charged, it is not tried twice, and the ledger says why."""
    secure.reset()
    with (
        impostors(authority, tmp_path) as servers,
        running(distrusting(secure, authority, servers), {"A_KEY": "sk-a-secret"}) as stack,
    ):
        for name, stream in product(servers, (False, True)):
            told = ask(stack, name, "a canary", stream=stream)
            assert told.forebay is not None
            assert (told.forebay["backend"], told.forebay["reason"]) == ("safe", "upstream_error")
            failed, answered = stack.books.attempts(told.forebay["request_id"])
            assert (failed["status"], failed["cost_nano_usd"], failed["usage_quality"]) == ("failed", 0, "exact")
            assert answered["backend"] == "safe"
            assert "its certificate is not accepted: " in failed["detail"]
        alone = stack.chat("nobody", "a canary")
        assert (alone.status_code, alone.json()["error"]["code"]) == (502, "upstream_error")
        assert "certificate" not in alone.text, "what is wrong with our upstream is nothing to a caller"
    assert [server.received for server in servers.values()] == [[]] * len(WRONG)
    assert {call.model for call in secure.settled()} == {"safe"}


def test_nothing_is_sent_in_the_clear(secure: FaultServer, authority: Authority) -> None:
    """Provider and engine of another box: what crosses the network begins as TLS does, and tells nothing."""
    secure.reset()
    with tapped(secure.port) as wire:
        address = f"https://127.0.0.1:{wire.port}"
        config = base(
            engines={"far": {**attached(secure), "urls": [address], "ca": str(authority.itself.certificate)}},
            backends={
                "local": {"engine": "far"},
                "mini": secured(secure, authority, "mid", base_url=f"{address}/v1", api_key="${A_KEY}"),
            },
            tiers={"light": ["local"], "mid": ["mini"]},
        )
        with running(config, {"A_KEY": "sk-a-secret"}) as stack:
            stack.ready("light")
            for name in ("local", "mini"):
                assert stack.chat(name, "a canary of the prompt").headers["x-forebay-backend"] == name
                assert stack.events(name, "a canary of the prompt").done
    assert len(secure.settled()) == 4
    assert all("canary" in call.body for call in secure.calls())
    assert len(wire.heard) >= 3
    assert all(heard.startswith(b"\x16\x03") for heard in wire.heard if heard)
    assert all(word not in wire.text for word in ("canary", "sk-a-secret", "HTTP/1.1"))


def environment_with(recorder: Tap, folder: Path) -> dict[str, str]:
    """An environment that wants everything to go through the recorder, with names, passwords and keys."""
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "WS_PROXY", "WSS_PROXY")
    netrc = folder / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password of-the-netrc\ndefault login me password of-the-netrc\n")
    netrc.chmod(0o600)
    return {
        **dict.fromkeys(names, recorder.url),
        **{name.lower(): recorder.url for name in names},
        "NO_PROXY": "",
        "no_proxy": "",
        "NETRC": str(netrc),
        "HOME": str(folder),
        "SSLKEYLOGFILE": str(folder / "keys.log"),
        "A_KEY": "sk-a-secret",
    }


def test_nothing_of_the_environment_is_on_the_way(
    secure: FaultServer, faults: FaultServer, authority: Authority, tmp_path: Path
) -> None:
    """Its proxies are not called, its .netrc says nothing, and no key of a connection is written to a file."""
    secure.reset()
    config = base(
        engines={"far": {**attached(secure), "ca": str(authority.itself.certificate)}, "near": attached(faults)},
        backends={
            "far": {"engine": "far"},
            "near": {"engine": "near"},
            "keyed": secured(secure, authority, "keyed", api_key="${A_KEY}"),
            "keyless": secured(secure, authority, "keyless"),
            "plain": provider(faults, "plain", price=PRICES["mid"]),
        },
        tiers={"light": ["far", "near"], "mid": ["keyed", "keyless", "plain"]},
    )
    with tapped(proxy=True) as recorder:
        with running(config, environment_with(recorder, tmp_path)) as stack:
            stack.ready("light")
            for name in config["backends"]:
                assert stack.chat(name).headers["x-forebay-backend"] == name
                assert stack.events(name).done
        assert recorder.heard == []
    calls = (*secure.settled(), *faults.settled())
    assert len(calls) == 10
    said = {dict(call.headers).get("authorization") for call in calls}
    assert said == {None, "Bearer sk-a-secret"}
    log = tmp_path / "keys.log"
    assert not log.exists() or "CLIENT" not in log.read_text(), "the keys of connections"


def test_a_proxy_that_is_configured_is_used(secure: FaultServer, authority: Authority) -> None:
    """By the backend that names it and by no other; it hears where to and nothing else."""
    secure.reset()
    with tapped(proxy=True) as proxy:
        config = base(
            backends={
                "by": secured(secure, authority, "by", proxy=proxy.url, api_key="${A_KEY}"),
                "direct": secured(secure, authority, "direct"),
            },
            tiers={"light": ["by", "direct"]},
        )
        with running(config, {"A_KEY": "sk-a-secret"}) as stack:
            assert stack.chat("direct", "a canary").status_code == 200
            assert proxy.heard == []
            assert stack.chat("by", "a canary").status_code == 200
            assert stack.events("by", "a canary").done
    assert all(heard.startswith(f"CONNECT 127.0.0.1:{secure.port} ".encode()) for heard in proxy.heard)
    assert all(word not in proxy.text for word in ("canary", "sk-a-secret"))
    assert [call.model for call in secure.settled()] == ["direct", "by", "by"]


def test_a_file_of_certificates_that_is_of_no_use(
    home: Path, secure: FaultServer, authority: Authority, tmp_path: Path
) -> None:
    """One line with the file and the key, and exit code 1."""
    text = tmp_path / "diary.pem"
    text.write_text("dear diary\n")
    for file, why in ((tmp_path / "none.pem", "no such file or directory"), (text, "it holds no certificates in PEM")):
        backends = {"mini": secured(secure, authority, "mid", ca=str(file))}
        stack = start(home, base(backends=backends, tiers={"mid": ["mini"]}))
        code = stack.process.wait(15)
        stack.close()
        assert (code, stack.err.all()) == (
            1,
            [f"forebay: cannot use the certificates {file} (backends.mini.ca): {why}"],
        )
