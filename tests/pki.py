"""Certificates as companies have them: an authority of one's own, and what it signs; made by the command `openssl`."""

import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import Struct

_AUTHORITY = """\
[ca]
default_ca = this
[this]
new_certs_dir = .
database = index
serial = serial
default_md = sha256
policy = any
copy_extensions = none
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = names
prompt = no
[names]
commonName = {name}
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""
_SERVER = """\
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = {names}
"""


class Pair(Struct, frozen=True):
    """Files in PEM: a certificate, and the private key it belongs to."""

    certificate: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        """For a server that shows this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


class Authority:
    """Signs certificates. `itself` is its own, which nobody else has signed, and `pem` what stands in that file."""

    def __init__(self, folder: Path, name: str = "A company") -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        (folder / "openssl.cnf").write_text(_AUTHORITY.format(name=name))
        (folder / "index").touch()
        (folder / "serial").write_text("1000\n")
        self.itself = Pair(folder / "ca.pem", self._key("ca.key"))
        self.openssl("req -x509 -new -config openssl.cnf -extensions authority -key ca.key -days 30 -out ca.pem")
        self.pem = self.itself.certificate.read_text("ascii")

    def issue(
        self, name: str, *hosts: str, valid: timedelta = timedelta(days=30), since: timedelta = timedelta(hours=1)
    ) -> Pair:
        """A server's certificate for `hosts` (127.0.0.1 and localhost unless given), valid for so long from now on.

        It has been valid `since` so long; a negative time of either lies on the other side of now.
        """
        names = ", ".join(_alternative(host) for host in hosts or ("127.0.0.1", "localhost"))
        (self._folder / f"{name}.ext").write_text(_SERVER.format(names=names))
        pair = Pair(self._folder / f"{name}.pem", self._key(f"{name}.key"))
        self.openssl(f"req -new -config openssl.cnf -key {name}.key -subj /CN={name} -out {name}.csr")
        now = datetime.now(UTC)
        times = f"-startdate {_time(now - since)} -enddate {_time(now + valid)}"
        self.openssl(
            f"ca -batch -notext -config openssl.cnf -cert ca.pem -keyfile ca.key -in {name}.csr -out {name}.pem "
            f"-extfile {name}.ext {times}"
        )
        return pair

    def _key(self, name: str) -> Path:
        self.openssl(f"genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {name}")
        path = self._folder / name
        path.chmod(0o600)
        return path

    def openssl(self, arguments: str) -> None:
        """Run the command in the folder of this authority."""
        done = subprocess.run(
            ["openssl", *arguments.split()], cwd=self._folder, capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr.decode()


def _alternative(host: str) -> str:
    return f"{'IP' if host[0].isdigit() or ':' in host else 'DNS'}:{host}"


def _time(moment: datetime) -> str:
    return f"{moment:%Y%m%d%H%M%SZ}"
