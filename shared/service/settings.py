"""Settings: the environment variables that a process reads, checked once at its start.

Each process derives a class from the one that fits it (`ServiceSettings` for the three services) and adds its own
fields, such as its port, with their variables. A bad value or an unknown `HODEI_*` variable prevents the start, with
one line that names the variable, the error and the right form. `schemas.variables` lists the known variables.
"""

import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self, TypeVar, get_args
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.model import on_one_line
from schemas.subjects import DEAD_LETTERS, LOGS, Catalogue, StreamSpec
from schemas.variables import unknown_variables
from schemas.words import what_would_be_right
from shared.errors import ConfigError
from shared.origins import LOOPBACK, Hosts, Origins, read_host
from shared.proxies import Proxies
from shared.retention_settings import DAY, HOUR, age

LONGEST_VALUE: Final = 80
"""Most characters of a bad value that an error shows."""
Port = Annotated[int, Field(ge=0, le=65535)]
"""A TCP port; 0 lets the system choose one."""


def address(url: str, *schemes: str) -> SplitResult | None:
    """The parts of a server's URL with one of these schemes; None if it is not one."""
    try:
        parts = urlsplit(url.strip())
        right = parts.scheme in schemes and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if right else None


def _database(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if scheme not in ("postgresql", "postgres") or not separator:
        raise ValueError("should start with postgresql:// or postgres://")
    for server in rest.split("/")[0].split("?")[0].rpartition("@")[2].split(","):
        if server and address(f"{scheme}://{server}", scheme) is None:
            raise ValueError("should be postgresql://user:password@host:port/database, with a port up to 65535")
    return url


def _servers(urls: str) -> str:
    if any(address(url, "nats", "tls") is None for url in urls.split(",")):
        raise ValueError("should be nats://host:port or tls://host:port, several separated by commas")
    return urls


def _all_with_password(urls: str) -> bool:
    """Whether each server's URL carries a user and password, or a token."""
    return all((parts := address(url, "nats", "tls")) is not None and parts.username for url in urls.split(","))


def _listening_host(host: str) -> str:
    try:
        ip_address(host)
    except ValueError:
        named = read_host(host)
        labels = host.removesuffix(".").split(".")
        if named is None or ":" in host or not all(1 <= len(label) <= 63 for label in labels):
            raise ValueError("should be a host's name or address, without a port") from None
    return host


def _published_host(host: str) -> str:
    return _listening_host(host[1:-1] if host.startswith("[") and host.endswith("]") else host)


def _collector(url: str) -> str:
    if not url:
        return url
    parts = address(url, "http", "https")
    if parts is None:
        raise ValueError("should be an address like http://host:4318")
    if parts.username or parts.password:
        raise ValueError("should carry no password: put credentials into OTEL_EXPORTER_OTLP_HEADERS")
    return url


def _origins(listed: str) -> str:
    Origins(listed)
    return listed


def _hosts(listed: str) -> str:
    Hosts(listed)
    return listed


def _public(url: str) -> str:
    parts = address(url, "http", "https")
    if parts is None or parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("should be an address like https://hodei.example.org/hodei, without a password and a query")
    return url.strip().rstrip("/")


def _proxies(listed: str) -> str:
    Proxies(listed)
    return listed


def _access(auth: Literal["on", "off"] | None, given: ValidationInfo) -> Literal["on", "off"]:
    """Off is the default where only this machine can reach the service; elsewhere it has to be chosen. A container
    listens on all of its addresses, so that the one on which its port is published counts, if it is known."""
    if auth is not None:
        return auth
    if not {"host", "published_host"} <= given.data.keys():  # one that is not valid has an error of its own
        return "off"
    published = given.data["published_host"]
    text = str(given.data["host"] if published is None else published)
    host = read_host(f"[{text}]" if ":" in text else text)
    if host is not None and host.is_loopback:
        return "off"
    variable = f"HODEI_HOST={text}" if published is None else f"HODEI_PUBLISHED_HOST={text} (HODEI_BIND of Compose)"
    raise ValueError(
        f"should be on, so that requests need a token, or off: it has no default with {variable}, "
        "which other machines may reach"
    )


def _namespace(name: str) -> str:
    return Catalogue(name).namespace


class ProcessSettings(BaseSettings):
    """The settings of every process. Times are in seconds unless the name has another unit, sizes in bytes."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True, validate_default=False
    )

    service: ClassVar[str] = "hodei"
    """The process's name in log lines, health responses and its connections."""

    log_format: Literal["auto", "json", "console"] = Field(default="auto", validation_alias="HODEI_LOG_FORMAT")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", validation_alias="HODEI_LOG_LEVEL")
    start_deadline: float = Field(default=30.0, gt=0, le=3600, validation_alias="HODEI_START_DEADLINE")
    stop_deadline: float = Field(default=10.0, gt=0, le=3600, validation_alias="HODEI_STOP_DEADLINE")
    drain_seconds: float = Field(default=0.5, ge=0, le=300, validation_alias="HODEI_DRAIN_SECONDS")


class BusSettings(ProcessSettings):
    """The settings of a process on the bus: the NATS servers, and the export of traces."""

    nats_url: Annotated[str, AfterValidator(_servers)] = Field(
        default="nats://127.0.0.1:4222", validation_alias="NATS_URL"
    )
    nats_ca: Path | None = Field(default=None, validation_alias="HODEI_NATS_CA")
    nats_credentials: Path | None = Field(default=None, validation_alias="HODEI_NATS_CREDENTIALS")
    namespace: Annotated[str, AfterValidator(_namespace)] = Field(default="hodei", validation_alias="HODEI_NAMESPACE")
    linger_ms: int = Field(default=40, ge=0, le=1000, validation_alias="HODEI_LINGER_MS")
    stream_replicas: int = Field(default=1, ge=1, le=5, validation_alias="HODEI_STREAM_REPLICAS")
    otlp_endpoint: Annotated[str, AfterValidator(_collector)] = Field(
        default="", validation_alias="HODEI_OTLP_ENDPOINT"
    )
    trace_sample: float = Field(default=0.05, ge=0, le=1, validation_alias="HODEI_TRACE_SAMPLE")

    retention_dead_letters: Annotated[timedelta | None, BeforeValidator(age(HOUR))] = Field(
        default=timedelta(seconds=DEAD_LETTERS.max_age), validation_alias="HODEI_RETENTION_DEAD_LETTERS"
    )
    retention_logs: Annotated[timedelta | None, BeforeValidator(age(HOUR))] = Field(
        default=timedelta(seconds=LOGS.max_age), validation_alias="HODEI_RETENTION_LOGS"
    )

    @property
    def stream_ages(self) -> dict[StreamSpec, timedelta | None]:
        """The ages of messages in the streams for which there is a setting; None for no limit."""
        return {DEAD_LETTERS: self.retention_dead_letters, LOGS: self.retention_logs}

    @property
    def linger(self) -> float:
        """`linger_ms` in seconds."""
        return self.linger_ms / 1000


class HttpSettings(ProcessSettings):
    """The settings of a process with a web server. Each such process has its own variable for the port."""

    host: Annotated[str, AfterValidator(_listening_host)] = Field(default="127.0.0.1", validation_alias="HODEI_HOST")
    cors_origins: Annotated[str, AfterValidator(_origins)] = Field(
        default=LOOPBACK, validation_alias="HODEI_CORS_ORIGINS"
    )
    allowed_hosts: Annotated[str, AfterValidator(_hosts)] = Field(default="", validation_alias="HODEI_ALLOWED_HOSTS")
    public_url: Annotated[str, AfterValidator(_public)] | None = Field(
        default=None, validation_alias="HODEI_PUBLIC_URL"
    )
    tls_cert: Path | None = Field(default=None, validation_alias="HODEI_TLS_CERT")
    tls_key: Path | None = Field(default=None, validation_alias="HODEI_TLS_KEY")
    limit_body: int = Field(
        default=1 << 20,
        ge=1024,
        le=64 << 20,
        validation_alias=AliasChoices("HODEI_LIMIT_BODY", "HODEI_BODY_LIMIT"),  # the second is the older name
    )
    trusted_proxies: Annotated[str, AfterValidator(_proxies)] = Field(
        default="", validation_alias="HODEI_TRUSTED_PROXIES"
    )

    @property
    def public_path(self) -> str:
        """The path of `public_url`, below which a proxy serves this service: `/hodei`, or nothing."""
        return urlsplit(self.public_url or "").path

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            both = ("HODEI_TLS_CERT", "HODEI_TLS_KEY")
            given, missing = both if self.tls_cert else reversed(both)
            raise ValueError(f"{given} is set, so {missing} should be, too")
        return self


class ServiceSettings(BusSettings, HttpSettings):
    """The settings of the three services: the bus, HTTP, the database, and the lease of a worker."""

    published_host: Annotated[str, AfterValidator(_published_host)] | None = Field(
        default=None, validation_alias="HODEI_PUBLISHED_HOST"
    )
    """The address of the machine on which a container's port is published."""
    auth: Annotated[Literal["on", "off"] | None, AfterValidator(_access)] = Field(
        default=None, validate_default=True, validation_alias="HODEI_AUTH"
    )
    database_url: Annotated[str, AfterValidator(_database)] = Field(
        default="postgresql://hodei:hodei@127.0.0.1:5432/hodei", validation_alias="DATABASE_URL"
    )
    database_pool: int = Field(default=8, ge=2, le=200, validation_alias="HODEI_DATABASE_POOL")
    limit_requests: int = Field(default=500, ge=10, le=100_000, validation_alias="HODEI_LIMIT_REQUESTS")
    limit_streams: int = Field(default=500, ge=1, le=100_000, validation_alias="HODEI_LIMIT_STREAMS")
    limit_waiting_requests: int = Field(default=500, ge=1, le=100_000, validation_alias="HODEI_LIMIT_WAITING_REQUESTS")
    retention_idempotency_keys: Annotated[timedelta | None, BeforeValidator(age(DAY))] = Field(
        default=DAY, validation_alias="HODEI_RETENTION_IDEMPOTENCY_KEYS"
    )
    retention_audit: Annotated[timedelta | None, BeforeValidator(age(HOUR))] = Field(
        default=timedelta(days=365), validation_alias="HODEI_RETENTION_AUDIT"
    )
    lease_seconds: float = Field(default=15.0, ge=1, le=3600, validation_alias="HODEI_LEASE_SECONDS")

    @model_validator(mode="after")
    def _bus_asks_for_credentials(self) -> Self:
        """The services learn of tokens over the bus, so with access on it may not be open to everyone."""
        if self.access_on and self.nats_credentials is None and not _all_with_password(self.nats_url):
            raise ValueError(
                "HODEI_AUTH is on, so HODEI_NATS_CREDENTIALS should be set (docs/access.md), or NATS_URL should carry "
                "the user and password, or the token, of a NATS of your own: whoever reaches a NATS that asks for "
                "nothing can make tokens"
            )
        return self

    @property
    def access_on(self) -> bool:
        """Whether requests need a token."""
        return self.auth == "on"


S = TypeVar("S", bound=ProcessSettings)


def load(settings: type[S]) -> S:
    """Read the settings from the environment. Raises ConfigError: one line, one clause per variable."""
    loaded, faults = _read(settings)
    faults = unknown_variables(os.environ) + faults
    if loaded is None or faults:
        raise ConfigError("; ".join(faults))
    return loaded


def check(several: Sequence[type[ProcessSettings]]) -> None:
    """Read the settings of several processes that share this environment. Raises ConfigError, as `load` does."""
    faults = unknown_variables(os.environ) + [fault for settings in several for fault in _read(settings)[1]]
    if faults:
        raise ConfigError("; ".join(dict.fromkeys(faults)))  # an error in a shared variable appears once


def _read(settings: type[S]) -> tuple[S | None, list[str]]:
    """The settings, or None and the errors in their variables."""
    fields = zip(_variables(settings), settings.model_fields.values(), strict=True)
    texts = sorted(name for name, field in fields if not _is_path(field))
    if garbled := [name for name in texts if not _is_utf8(os.environ.get(name, ""))]:
        return None, [f"{name}: should be text in UTF-8" for name in garbled]
    try:
        return settings(), []
    except ValidationError as error:
        return None, [_fault(settings, item) for item in error.errors()]


def variables_of(settings: type[ProcessSettings]) -> list[tuple[str, str]]:
    """The variable and the field of each setting."""
    return [(_names(name, field)[0], name) for name, field in settings.model_fields.items()]


def _variables(settings: type[ProcessSettings]) -> Iterator[str]:
    for name, field in settings.model_fields.items():
        yield _variable(name, field)


def _variable(name: str, field: FieldInfo) -> str:
    """The variable of a field. If it has an older name too: the first that is set, or else the newer one."""
    names = _names(name, field)
    return next((one for one in names if os.environ.get(one)), names[0])


def _names(name: str, field: FieldInfo) -> list[str]:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return [one for one in alias.choices if isinstance(one, str)]
    return [alias if isinstance(alias, str) else name.upper()]


def _is_path(field: FieldInfo) -> bool:
    """Whether a field is a path, which is bytes."""
    return Path in (field.annotation, *get_args(field.annotation))


def _is_utf8(value: str) -> bool:
    """Whether a value was valid UTF-8. Python decodes other bytes to lone surrogates (PEP 383)."""
    return not any("\udc80" <= character <= "\udcff" for character in value)


def _fault(settings: type[ProcessSettings], error: ErrorDetails) -> str:
    """One clause of the error: the variable, its value unless that may be secret, and the right form."""
    if not error["loc"]:  # of several variables together
        return on_one_line(what_would_be_right(error))
    name = str(error["loc"][0])
    fields = settings.model_fields
    field = next((field for field in fields if name in (field, *_names(field, fields[field]))), None)
    variable = _variable(field, fields[field]) if field else name
    number = _number_in_words(fields[field]) if field and error["type"] != "value_error" else None
    right = number or what_would_be_right(error)
    value = os.environ.get(variable)
    # A URL may contain a password, so the error does not repeat it. An empty variable is one that is not given.
    given = f"={_shortened(value)!r}" if value and not variable.endswith(("_URL", "_ENDPOINT")) else ""
    return on_one_line(f"{variable}{given}: {right}")


def _number_in_words(field: FieldInfo) -> str | None:
    """The values that a numeric field accepts, with both limits in one phrase; None for any other field."""
    kinds = {field.annotation, *get_args(field.annotation)}
    kind = "a whole number" if int in kinds else "a number" if float in kinds else None
    if kind is None:
        return None
    limits = {
        words: f"{getattr(limit, name):.15g}"
        for limit in field.metadata
        for name, words in (("gt", "above"), ("ge", "from"), ("lt", "below"), ("le", "to"))
        if hasattr(limit, name)
    }
    if set(limits) == {"from"}:
        return f"should be {kind} of at least {limits['from']}"
    if set(limits) == {"above", "to"}:
        return f"should be {kind} above 0 and at most {limits['to']}" if limits["above"] == "0" else None
    return f"should be {kind} {' '.join(f'{words} {limit}' for words, limit in limits.items())}".rstrip()


def _shortened(value: str) -> str:
    return value if len(value) <= LONGEST_VALUE else f"{value[:LONGEST_VALUE]}…"
