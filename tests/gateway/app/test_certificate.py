"""The certificate of the API: what is wrong with one is said in a line, what will be is a warning."""

import ssl
import time
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.app.certificate import Certificate, CertificateUnusable, load
from gateway.config.schema import Tls
from tests.pki import Authority, Pair

DAY_S = 86_400.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The company's."""
    return Authority(tmp_path_factory.mktemp("pki") / "company")


def files(pair: Pair) -> Tls:
    """As the configuration names them."""
    return Tls(certificate=str(pair.certificate), key=str(pair.key))


def complaint(pair: Pair) -> str:
    """What is wrong with a pair: one line."""
    with pytest.raises(CertificateUnusable) as caught:
        load(files(pair))
    (line,) = str(caught.value).splitlines()
    return line


def test_a_good_pair(authority: Authority) -> None:
    """Nothing to be said about it but the name it is for, and until when."""
    loaded = load(files(authority.issue("good", "gateway.example.com", "127.0.0.1")))
    assert (loaded.host, loaded.warnings) == ("gateway.example.com", ())
    assert loaded.until == pytest.approx(time.time() + 30 * DAY_S, abs=60)
    assert loaded.context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_the_way_to_the_authority_may_stand_after_it(authority: Authority, tmp_path: Path) -> None:
    """One file with the certificate first; a name with a star is none to be called by."""
    pair = authority.issue("good", "*.example.com", "gateway.example.com")
    chain = Pair(tmp_path / "chain.pem", pair.key)
    chain.certificate.write_text(pair.certificate.read_text() + authority.pem)
    assert load(files(chain)).host == "gateway.example.com"


def test_one_that_nobody_has_signed(authority: Authority) -> None:
    """A self-signed certificate, as people make for a start, will do: callers decide whom they trust."""
    pair = authority.issue("self")
    names = "-subj /CN=me -addext subjectAltName=DNS:me.example.com"
    authority.openssl(f"req -x509 -new -key self.key -days 30 -out self.pem {names}")
    assert load(files(pair)).host == "me.example.com"


def test_files_that_cannot_be_used(authority: Authority, tmp_path: Path) -> None:
    """Which of the two, why, and what the key in the configuration is called."""
    good, other = authority.issue("good"), authority.issue("other")
    nothing, text = tmp_path / "nothing.pem", tmp_path / "text.pem"
    text.write_text("dear diary\n")
    of_certificate, of_key = "(server.tls.certificate)", "(server.tls.key)"
    assert complaint(Pair(nothing, good.key)) == (
        f"cannot use the certificate {nothing} {of_certificate}: no such file or directory"
    )
    assert complaint(Pair(good.certificate, nothing)) == (
        f"cannot use the private key {nothing} {of_key}: no such file or directory"
    )
    assert complaint(Pair(tmp_path, good.key)).endswith(f"{of_certificate}: is a directory")
    assert complaint(Pair(text, good.key)).endswith(f"{of_certificate}: it holds no certificate in PEM")
    assert complaint(Pair(good.certificate, text)).endswith(f"{of_key}: it holds no private key in PEM")
    assert complaint(Pair(good.certificate, good.certificate)).endswith(f"{of_key}: it holds no private key in PEM")
    assert complaint(Pair(good.key, good.key)).endswith(f"{of_certificate}: it holds no certificate in PEM")
    assert complaint(Pair(good.certificate, other.key)).endswith(
        f"{of_key}: it does not belong to the certificate {good.certificate}"
    )


def test_a_key_with_a_passphrase_is_not_asked_for(authority: Authority) -> None:
    """A server starts while nobody is there to type."""
    pair = authority.issue("locked")
    authority.openssl("pkcs8 -topk8 -in locked.key -out locked.pk8 -passout pass:secret")
    said = complaint(Pair(pair.certificate, pair.key.with_suffix(".pk8")))
    assert "it is encrypted; write it without a passphrase" in said


def test_a_certificate_out_of_its_time(authority: Authority) -> None:
    """Expired, or not valid yet, with the date."""
    old = authority.issue("old", valid=timedelta(hours=-1))
    assert "it has expired on 20" in complaint(old)
    assert complaint(old).endswith(" UTC; renew it")
    new = authority.issue("new", since=timedelta(hours=-1))
    assert complaint(new).endswith(" UTC on; is this machine's clock right?")


def test_a_certificate_that_is_for_something_else(authority: Authority) -> None:
    """No client would accept one that may sign others and nothing more."""
    assert "no client would accept it: " in complaint(authority.itself)


def test_what_will_be_wrong_is_a_warning(authority: Authority) -> None:
    """Two weeks before it expires; and at any time where others of this machine may read the key."""
    pair = authority.issue("good", valid=timedelta(days=15))
    assert load(files(pair)).warnings == ()
    (soon,) = load(files(pair), time.time() + 2 * DAY_S).warnings
    assert soon.startswith(f"the certificate {pair.certificate} expires on 20")
    assert soon.endswith("renew it, and send SIGHUP")
    for mode in (0o640, 0o440, 0o400):
        pair.key.chmod(mode)
        assert load(files(pair)).warnings == ()
    for mode in (0o644, 0o604, 0o660, 0o602):
        pair.key.chmod(mode)
        (read,) = load(files(pair)).warnings
        assert read == f"the private key {pair.key} is open to others on this machine: chmod 600 {pair.key}"


def shown(certificate: Certificate, authority: Authority) -> str:
    """The names on the certificate that a new connection is shown, by a client that names no server."""
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.load_verify_locations(cadata=authority.pem)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(back, there)
    server = certificate.context.wrap_bio(there, back, server_side=True)
    waiting = [client, server]
    while waiting:
        side = waiting.pop(0)
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            waiting.append(side)
    return str((client.getpeercert() or {})["subjectAltName"])


def test_a_renewed_pair_is_shown_and_a_bad_one_is_not(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """New connections get what the files held at the last good reading, whatever is in them meanwhile."""
    pair = Pair(tmp_path / "server.pem", tmp_path / "server.key")

    def install(new: Pair) -> None:
        pair.certificate.write_bytes(new.certificate.read_bytes())
        pair.key.write_bytes(new.key.read_bytes())
        pair.key.chmod(0o600)

    install(authority.issue("first", "first.example.com"))
    certificate = Certificate(files(pair))
    assert "first.example.com" in shown(certificate, authority)
    second = authority.issue("second", "second.example.com", valid=timedelta(days=1))
    pair.certificate.write_bytes(second.certificate.read_bytes())
    certificate.read_again()
    assert "it does not belong to the certificate" in caplog.text
    assert "the certificate in use stays" in caplog.text
    assert "first.example.com" in shown(certificate, authority)
    install(second)
    assert "first.example.com" in shown(certificate, authority)
    certificate.read_again()
    assert "second.example.com" in shown(certificate, authority)
    assert "expires on" in caplog.text
    install(authority.issue("third", "third.example.com"))
    certificate.read_again()
    assert "third.example.com" in shown(certificate, authority)
