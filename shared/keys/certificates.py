"""A certificate authority of the platform's own, and the certificates of its servers, as PEM files in one folder.

    ca.crt, ca.key                    the authority: clients trust the first, and nothing but `make` reads the second
    orchestrator.crt, .key, …         of each server: its certificate followed by the authority's, and its key

Here: making them, and renewing certificates before they expire. Not here: serving with them (`shared.web.tls`).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shared.errors import ConfigError
from shared.keys.files import keep_private, private_folder, read_text, write_private

AUTHORITY: Final = "ca"
AUTHORITY_LIFE: Final = timedelta(days=3650)
LIFE: Final = timedelta(days=365)
RENEW_BEFORE: Final = timedelta(days=120)
"""A certificate that expires sooner than this is renewed, with the same key."""
CLOCKS_DIFFER: Final = timedelta(hours=1)
"""A certificate is valid from so long before it was made: not every clock is right."""

LOCAL: Final = ("localhost", "127.0.0.1", "::1")
SERVERS: Final[Mapping[str, Sequence[str]]] = {
    "orchestrator": ("orchestrator", *LOCAL),
    "scheduler": ("scheduler", *LOCAL),
    "worker-manager": ("worker-manager", "worker-manager-1", "worker-manager-2", *LOCAL),
    "nats-exporter": ("nats-exporter", *LOCAL),
    "nats": ("nats", "nats-1", "nats-2", "nats-3", *LOCAL),
    "postgres": ("postgres", *LOCAL),
    "proxy": ("proxy", *LOCAL),
}
"""The names and addresses under which each server of the compose files is called."""
PUBLIC: Final = ("orchestrator", "scheduler", "worker-manager", "nats", "proxy")
"""The servers that clients elsewhere may call, and so under other names, too."""

_Key = ec.EllipticCurvePrivateKey


def make_certificates(folder: Path, *, names: Sequence[str] = (), now: datetime | None = None) -> list[str]:
    """Make what is missing, and renew what expires soon or lacks one of the names. Returns the servers that have got a
    new certificate. `names` are further ones of the PUBLIC servers.

    Without `ca.key`, as when the authority is kept elsewhere, nothing can be made: raises ConfigError if it has to.
    """
    now = now or datetime.now(UTC)
    private_folder(folder)
    if not (folder / f"{AUTHORITY}.crt").exists():
        _make_authority(folder, now)
    wanted = {server: (*own, *(names if server in PUBLIC else ())) for server, own in SERVERS.items()}
    lacking = [server for server, own in wanted.items() if not _is_good(folder / f"{server}.crt", own, now)]
    if lacking:
        authority, signer = _authority(folder)
        for server in lacking:
            _issue(folder, server, wanted[server], authority=authority, signer=signer, now=now)
    return lacking


def _make_authority(folder: Path, now: datetime) -> None:
    key = _key(folder / f"{AUTHORITY}.key")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Hodei {now:%Y-%m-%d}")])
    certificate = (
        _builder(name, name, key, now, now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_private(folder / f"{AUTHORITY}.crt", _pem(certificate))


def _authority(folder: Path) -> tuple[x509.Certificate, _Key]:
    key = _read_key(folder / f"{AUTHORITY}.key")
    path = folder / f"{AUTHORITY}.crt"
    try:
        certificate = x509.load_pem_x509_certificate(read_text(path).encode())
    except ValueError as error:
        raise ConfigError(f"{path}: should be a certificate in PEM format") from error
    if certificate.public_key() != key.public_key():
        raise ConfigError(f"{path}: is not the certificate of {AUTHORITY}.key")
    return certificate, key


def _issue(
    folder: Path, server: str, names: Sequence[str], *, authority: x509.Certificate, signer: _Key, now: datetime
) -> None:
    key = _key(folder / f"{server}.key")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, server)])
    until = min(now + LIFE, authority.not_valid_after_utc)
    certificate = (
        _builder(subject, authority.subject, key, now, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        # Servers of a NATS cluster are clients of each other.
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectAlternativeName([_name(name) for name in dict.fromkeys(names)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
            critical=False,
        )
        .sign(signer, hashes.SHA256())
    )
    write_private(folder / f"{server}.crt", _pem(certificate) + _pem(authority))


def _is_good(path: Path, names: Sequence[str], now: datetime) -> bool:
    """Whether a certificate is there, has all the names, and is valid for long enough."""
    try:
        certificate = x509.load_pem_x509_certificates(path.read_bytes())[0]
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (FileNotFoundError, ValueError, x509.ExtensionNotFound):
        return False
    valid = certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - RENEW_BEFORE
    return valid and {_name(name) for name in names} <= set(found)


def _key(path: Path) -> _Key:
    """The key in a file; a new one if there is none. A renewed certificate keeps its key, so that only one file is
    replaced, and no server finds a key beside the wrong certificate."""
    if not path.exists():
        made = ec.generate_private_key(ec.SECP256R1())
        pem = made.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        keep_private(path, pem.decode())
    return _read_key(path)


def _read_key(path: Path) -> _Key:
    try:
        key = serialization.load_pem_private_key(read_text(path).encode(), password=None)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path}: should be a private key in PEM format without a password") from error
    if not isinstance(key, _Key):
        raise ConfigError(f"{path}: should be a key on an elliptic curve")
    return key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: _Key, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCKS_DIFFER)
        .not_valid_after(until)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
