"""The API over https: who is answered, a certificate that is renewed while answers run, and a start that goes wrong."""

import signal
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import httpx
import openai
import pytest
from openai import OpenAI

from local_models.trust import client_context
from tests.e2e.configs import LIGHT, SECRETS, TO_LIGHT, Config, base, three_tiers
from tests.e2e.homes import processes_of
from tests.e2e.stack import Stack, eventually, running, start, started
from tests.faults.behaviours import Says
from tests.faults.handle import FaultServer
from tests.pki import Authority, Pair

WORDS = " ".join(f"word{number}" for number in range(60))
SOON_S = 30.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The company's."""
    return Authority(tmp_path_factory.mktemp("pki") / "company")


def over_tls(faults: FaultServer, pair: Pair) -> Config:
    """Three tiers behind this certificate."""
    tls = {"certificate": str(pair.certificate), "key": str(pair.key)}
    return three_tiers(faults, server={**base()["server"], "tls": tls})


@pytest.fixture(scope="module")
def the_secure_stack(the_fault_server: FaultServer, authority: Authority) -> Iterator[Stack]:
    """A gateway with a certificate of the company's."""
    config = over_tls(the_fault_server, authority.issue("gateway"))
    with running(config, SECRETS, trusted=client_context(authority.pem)) as stack:
        yield stack.ready("light", "mid", "premium")


@pytest.fixture
def secure(the_secure_stack: Stack, faults: FaultServer) -> Stack:
    """The same, shared."""
    return the_secure_stack


def client_of(stack: Stack, ca: str) -> OpenAI:
    """The official client, which trusts this authority."""
    http = openai.DefaultHttpxClient(verify=client_context(ca), trust_env=False)
    return OpenAI(base_url=stack.base_url, api_key="none", max_retries=0, timeout=60, http_client=http)


def test_clients_that_trust_the_authority_are_answered(secure: Stack, authority: Authority) -> None:
    """Whole and streamed, by the official client; the admin pages stay where they were."""
    assert secure.url.startswith("https://")
    assert secure.admin.startswith("http://127.0.0.1:")
    with client_of(secure, authority.pem) as client:
        whole = client.chat.completions.create(model="light", messages=[{"role": "user", "content": "Say hello."}])
        stream = client.chat.completions.create(
            model="light", messages=[{"role": "user", "content": "Say hello."}], stream=True
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert whole.choices[0].message.content == text == "All is well."
    assert secure.metric("forebay_requests_total") >= 2


def test_a_client_that_trusts_somebody_else_sends_nothing(secure: Stack, tmp_path: Path) -> None:
    """It is the client that refuses: this is the certificate of the file and of nobody else."""
    before = secure.metric("forebay_requests_total")
    stranger = Authority(tmp_path / "stranger", "Somebody else")
    with client_of(secure, stranger.pem) as client, pytest.raises(openai.APIConnectionError):
        client.models.list()
    assert secure.metric("forebay_requests_total") == before


def test_nothing_is_said_in_the_clear(secure: Stack) -> None:
    """http to the same port gets no answer, not even a redirect that would have let the key be sent first."""
    with httpx.Client(trust_env=False) as http, pytest.raises(httpx.RemoteProtocolError):
        http.get(f"http://{secure.url.removeprefix('https://')}/health", headers={"authorization": "Bearer secret"})


@pytest.mark.parametrize(("version", "spoken"), [("TLSv1_1", False), ("TLSv1_2", True), ("TLSv1_3", True)])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
def test_old_versions_are_refused(secure: Stack, authority: Authority, version: str, *, spoken: bool) -> None:
    """TLS 1.2 is the oldest that is spoken, also with a client that would take anything."""
    host, port = secure.url.removeprefix("https://").split(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority.pem)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    with socket.create_connection((host, int(port))) as plain:
        if not spoken:
            with pytest.raises(ssl.SSLError):
                context.wrap_socket(plain, server_hostname=host)
            return
        with context.wrap_socket(plain, server_hostname=host) as secured:
            assert secured.version() == version.replace("_", ".")


def test_who_hangs_up_is_heard(secure: Stack, faults: FaultServer) -> None:
    """Under TLS as well the upstream is let go when its caller leaves."""
    faults.next(LIGHT, Says(text=WORDS, hold="never", hold_after=20))
    with secure.stream("light") as response:
        next(response.iter_raw())
    faults.wait("ended", least=1, model=LIGHT)
    assert [call.end for call in faults.calls(LIGHT)] == ["client_left"]


def install(pair: Pair, new: Pair) -> None:
    """Put other files in the place of a pair's."""
    pair.certificate.write_bytes(new.certificate.read_bytes())
    pair.key.write_bytes(new.key.read_bytes())
    pair.key.chmod(0o600)


def expires(stack: Stack, authority: Authority) -> str:
    """The end of what a new connection is shown."""
    host, port = stack.url.removeprefix("https://").split(":")
    context = client_context(authority.pem)
    with (
        socket.create_connection((host, int(port))) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        return str((secured.getpeercert() or {})["notAfter"])


def test_a_certificate_is_renewed_while_answers_run(home: Path, faults: FaultServer, authority: Authority) -> None:
    """SIGHUP: new connections get the new one, a bad one changes nothing, and a stream under way goes on."""
    pair = Pair(home / "server.pem", home / "server.key")
    install(pair, authority.issue("first", valid=timedelta(days=20)))
    faults.next(LIGHT, Says(text=WORDS, hold="go", hold_after=20))
    trusted = client_context(authority.pem)
    with started(home, over_tls(faults, pair), SECRETS, trusted) as stack, ThreadPoolExecutor(1) as pool:
        stack.listening().ready("light")
        first = expires(stack, authority)
        running_stream = pool.submit(stack.events, "light", headers=TO_LIGHT)
        faults.wait("held", least=1)
        pair.key.write_text("half a ")
        stack.process.send_signal(signal.SIGHUP)
        assert stack.err.wait(lambda line: "it holds no private key in PEM; the certificate in use stays" in line)
        assert expires(stack, authority) == first
        install(pair, authority.issue("second", valid=timedelta(days=10)))
        stack.process.send_signal(signal.SIGHUP)
        assert stack.err.wait(lambda line: f"read {pair.certificate} again: valid until " in line)
        assert stack.err.wait(lambda line: f"the certificate {pair.certificate} expires on " in line)
        assert expires(stack, authority) != first
        faults.release("go")
        read = running_stream.result()
        assert (read.text, read.done) == (WORDS, True)
        assert stack.chat("light").status_code == 200


def test_the_end_does_not_wait_for_idle_connections(home: Path, faults: FaultServer, authority: Authority) -> None:
    """Clients that keep a connection and say nothing, not even goodbye, do not hold it up."""
    config = over_tls(faults, authority.issue("gateway"))
    context = client_context(authority.pem)
    with started(home, config, SECRETS, context) as stack:
        host, port = stack.listening().url.removeprefix("https://").split(":")
        with socket.create_connection((host, int(port))) as plain, socket.create_connection((host, int(port))):
            secured = context.wrap_socket(plain, server_hostname=host)
            secured.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            assert secured.recv(100)
            began = time.monotonic()
            stack.terminate()
            assert stack.process.wait(SOON_S) == 0
            secured.close()
        assert time.monotonic() - began < 10


def test_a_start_that_goes_wrong(home: Path, faults: FaultServer, authority: Authority) -> None:
    """One line with the file, the key and the reason, before an address is taken or an engine is started."""
    pair, other = authority.issue("gateway"), authority.issue("other")
    for bad, said in (
        (Pair(home / "none.pem", pair.key), "(server.tls.certificate): no such file or directory"),
        (Pair(pair.certificate, other.key), "(server.tls.key): it does not belong to the certificate"),
        (authority.issue("old", valid=timedelta(hours=-1)), "(server.tls.certificate): it has expired on 20"),
    ):
        stack = start(home, over_tls(faults, bad), SECRETS)
        code = stack.process.wait(SOON_S)
        stack.close()
        (line,) = stack.err.all()
        assert code == 1
        assert line.startswith("forebay: cannot use the ")
        assert said in line
        assert not processes_of(home)
    assert faults.calls() == ()


def test_a_start_that_will_go_wrong(home: Path, faults: FaultServer, authority: Authority) -> None:
    """A certificate that expires soon and a key that others can read are warnings; it starts."""
    pair = authority.issue("gateway", valid=timedelta(days=3))
    pair.key.chmod(0o644)
    with started(home, over_tls(faults, pair), SECRETS, client_context(authority.pem)) as stack:
        stack.listening()
        warnings = [line for line in stack.err.all() if line.startswith("forebay: warning: ")]
        assert len(warnings) == 2
        assert f"the certificate {pair.certificate} expires on 20" in warnings[0]
        assert warnings[1].endswith(f"chmod 600 {pair.key}")
        eventually(lambda: stack.chat("mini").status_code == 200, "it answers")
