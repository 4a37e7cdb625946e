"""Whose certificates are believed when a server is called over TLS."""

import ssl


def client_context(ca: str | None = None) -> ssl.SSLContext:
    """TLS 1.2 or newer, with the server's certificate and its name verified.

    `ca`: certificates in PEM, in place of those that this machine trusts. Raises ssl.SSLError or ValueError where
    they are none. Not made by `ssl.create_default_context`, which writes the keys of each connection to a file that
    SSLKEYLOGFILE names.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if ca is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(cadata=ca)
    return context


def refusal(error: BaseException) -> str | None:
    """Why a certificate was not accepted, where that is behind `error`; None where it is something else."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted: {cause.verify_message}"
        cause = cause.__cause__ or cause.__context__
    return None
