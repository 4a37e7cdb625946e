"""The certificate the API shows: tried out before it is used, and read again when it is told to.

A pair of files goes into a TLS context of its own. The one that listens hands each new connection to the latest that
proved good, so a renewal drops no connection, and one that went wrong changes nothing.
"""

import logging
import ssl
import stat
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import Struct

from gateway.config.schema import Tls
from gateway.errors import ForebayError

_SOON_S = 14 * 86_400
# X509_V_FLAG_NO_CHECK_TIME: what is too old or too new is found here, with its date, not somewhere in a handshake.
_NO_CHECK_TIME = 0x20_0000
_OPEN_TO_OTHERS = stat.S_IWGRP | stat.S_IRWXO
_log = logging.getLogger("forebay.tls")


class CertificateUnusable(ForebayError):
    """Certificate or key cannot be used; the message names the file, what is wrong with it, and the key."""


class Loaded(Struct, frozen=True):
    """A pair that proved good. `host` is the first name it is for; `warnings` are what is good no longer than soon."""

    context: ssl.SSLContext
    host: str
    until: float
    warnings: tuple[str, ...]


class Certificate:
    """What new connections are shown. `context` is for listening. Raises CertificateUnusable."""

    def __init__(self, files: Tls) -> None:
        self._files = files
        self.loaded = load(files)
        self.context = self.loaded.context
        # Called for each connection, whether it names a server or not.
        self.context.sni_callback = self._show_the_latest

    def read_again(self) -> None:
        """Take what the files hold now for new connections, if it is good. The log has how it went."""
        try:
            self.loaded = load(self._files)
        except CertificateUnusable as error:
            _log.error("%s; the certificate in use stays", error)
            return
        _log.info("read %s again: valid until %s", self._files.certificate, _day(self.loaded.until))
        for warning in self.loaded.warnings:
            _log.warning(warning)

    def _show_the_latest(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self.loaded.context


def load(files: Tls, now: float | None = None) -> Loaded:
    """Both files, tried out; `now` is a Unix time. Raises CertificateUnusable."""
    now = time.time() if now is None else now
    certificate, key = Path(files.certificate).expanduser(), Path(files.key).expanduser()
    context = _context(certificate, key)
    shown = _try_out(context, certificate)
    since, until = _seconds(shown, "notBefore"), _seconds(shown, "notAfter")
    if until < now:
        raise _of_certificate(certificate, f"it has expired on {_day(until)}; renew it")
    if since > now:
        raise _of_certificate(certificate, f"it is valid from {_day(since)} on; is this machine's clock right?")
    warnings = []
    if until < now + _SOON_S:
        warnings.append(f"the certificate {certificate} expires on {_day(until)}; renew it, and send SIGHUP")
    if key.stat().st_mode & _OPEN_TO_OTHERS:
        warnings.append(f"the private key {key} is open to others on this machine: chmod 600 {key}")
    return Loaded(context, _host(shown), until, tuple(warnings))


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    for path, blame in ((certificate, _of_certificate), (key, _of_key)):
        try:
            path.open("rb").close()
        except OSError as error:
            raise blame(path, (error.strerror or type(error).__name__).lower()) from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(certificate)
    except ssl.SSLError as error:
        raise _of_certificate(certificate, "it holds no certificate in PEM") from error
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except _Encrypted as error:
        raise _of_key(key, "it is encrypted; write it without a passphrase, readable by this user alone") from error
    except ssl.SSLError as error:
        raise _why_not(error, certificate, key) from error
    return context


class _Encrypted(ForebayError):
    """OpenSSL asks for a passphrase, which a server cannot be asked for each time it starts."""


def _no_password() -> str:
    raise _Encrypted


def _why_not(error: ssl.SSLError, certificate: Path, key: Path) -> CertificateUnusable:
    reason = error.reason or ""
    if "MISMATCH" in reason:
        return _of_key(key, f"it does not belong to the certificate {certificate}")
    if reason in ("", "PEM_LIB", "NO_START_LINE"):
        return _of_key(key, "it holds no private key in PEM")
    return _of_certificate(certificate, reason.lower().replace("_", " "))


def _try_out(context: ssl.SSLContext, certificate: Path) -> dict[str, Any]:
    """A handshake in memory with somebody who trusts just this certificate; returns what they were shown."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    trusting.load_verify_locations(certificate)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(back, there)
    server = context.wrap_bio(there, back, server_side=True)
    waiting = [client, server]
    try:
        while waiting:
            side = waiting.pop(0)
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                waiting.append(side)
    except ssl.SSLCertVerificationError as error:
        raise _of_certificate(certificate, f"no client would accept it: {error.verify_message}") from error
    except ssl.SSLError as error:
        raise _of_certificate(certificate, f"no connection came about with it: {error.reason}") from error
    return dict(client.getpeercert() or {})


def _seconds(shown: dict[str, Any], moment: str) -> float:
    return float(ssl.cert_time_to_seconds(shown[moment]))


def _host(shown: dict[str, Any]) -> str:
    names = shown.get("subjectAltName", ())
    return next((name for kind, name in names if kind in ("DNS", "IP Address") and "*" not in name), "")


def _day(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC"


def _of_certificate(path: Path, why: str) -> CertificateUnusable:
    return CertificateUnusable(f"cannot use the certificate {path} (server.tls.certificate): {why}")


def _of_key(path: Path, why: str) -> CertificateUnusable:
    return CertificateUnusable(f"cannot use the private key {path} (server.tls.key): {why}")
