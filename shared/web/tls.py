"""The TLS of a web server: its certificate and key, and reading them again when their files change.

Here: the server's context, and the loop that replaces the certificate without a restart. Not here: making certificates
(`shared.keys`), and listening (`shared.web.app`).
"""

import ssl
from pathlib import Path
from typing import Final, Protocol

import structlog

from shared.errors import ConfigError
from shared.service import Counts, Loop
from shared.telemetry import Metrics

CERTIFICATE: Final = "HODEI_TLS_CERT"
KEY: Final = "HODEI_TLS_KEY"
RELOAD_INTERVAL: Final = 5.0
"""Seconds between two looks at the files."""


class TlsSettings(Protocol):
    """The part of a process's settings that its TLS needs: both files or none."""

    @property
    def tls_cert(self) -> Path | None: ...
    @property
    def tls_key(self) -> Path | None: ...


_Stamp = tuple[tuple[int, int, int], ...]

_log = structlog.get_logger(__name__)


class ServerTls:
    """The certificate chain and the key in two PEM files, as a context for servers.

    New connections get the certificate that was read last; open ones keep theirs.
    """

    def __init__(self, certificate: Path, key: Path, *, metrics: Metrics) -> None:
        self._certificate = certificate
        self._key = key
        self._expiry = metrics.gauge(
            "tls_certificate_expiry_time_seconds",
            "Time at which the certificate that this process serves expires, in seconds since 1970.",
        )
        self._stamp: _Stamp = ()
        self._current: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """Read the files. Returns the context to listen with. Raises ConfigError if they are not usable."""
        try:
            self.reload()
            context = self._read()
        except (ssl.SSLError, ValueError) as error:  # the first is an OSError, too
            raise ConfigError(f"{CERTIFICATE}={self._certificate}, {KEY}={self._key}: {self._why(error)}") from error
        except OSError as error:
            variable = KEY if str(error.filename) == str(self._key) else CERTIFICATE
            raise ConfigError(f"{variable}={error.filename}: {error.strerror}") from error
        context.sni_callback = self._choose
        return context

    def reload(self) -> bool:
        """Use the files as they are now. Returns whether they have changed since the last call. Raises OSError,
        ssl.SSLError or ValueError, and keeps the certificate that was read before, if they are not usable."""
        stamp = _stamp(self._certificate, self._key)
        if stamp == self._stamp:
            return False
        from cryptography import x509  # large, and of no use to a server without TLS

        leaf = x509.load_pem_x509_certificates(self._certificate.read_bytes())[0]
        self._current, self._stamp = self._read(), stamp
        self._expiry.set(leaf.not_valid_after_utc.timestamp())
        return True

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _: ssl.SSLContext) -> None:
        """Called at the beginning of every handshake, whether or not the client names a server."""
        assert self._current is not None  # `context` has read it
        connection.context = self._current

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        # Without a password function, a key that has a password would make OpenSSL ask at the terminal.
        context.load_cert_chain(self._certificate, self._key, password=lambda: "")
        return context

    def _why(self, error: Exception) -> str:
        if b"ENCRYPTED" in self._key.read_bytes()[:100]:  # in the first or the second line, by format
            return "the key has a password; it must have none"
        if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
            return "the key does not belong to the certificate"
        return "should be a certificate and its private key in PEM format"


def server_tls(settings: TlsSettings, metrics: Metrics) -> ServerTls | None:
    """The TLS that a process's settings ask for; None for plain HTTP."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return ServerTls(settings.tls_cert, settings.tls_key, metrics=metrics)


class CertificateReload(Loop):
    """Looks at the files of a certificate every few seconds, and serves a changed one from then on."""

    def __init__(self, tls: ServerTls) -> None:
        super().__init__("tls", interval=RELOAD_INTERVAL)
        self._tls = tls

    async def run_once(self) -> Counts:
        """Read the files if they have changed. While they are not usable, as between the writing of the one and of the
        other, the former certificate is served, and the loop tries again."""
        changed = self._tls.reload()
        if changed:
            _log.info("tls.certificate_changed")
        return {"changed": int(changed)}


def _stamp(*files: Path) -> _Stamp:
    """Changes whenever one of the files does, also when a link leads to another file."""
    found = [file.stat() for file in files]
    return tuple((one.st_ino, one.st_size, one.st_mtime_ns) for one in found)
