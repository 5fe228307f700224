"""Where a client finds the services, and with which token and CA it calls them: from arguments, the environment and
profiles.

An argument wins over the environment, and the environment over the current profile. A profile's token and CA are only
used with that profile's own addresses. A profile that an argument names wins over the environment as a whole.
"""

import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from yarl import URL

from hodei.client.errors import BadAddress, WrongSetting
from hodei.client.profiles import Profile, Profiles
from schemas.access import LENGTH, PREFIX, check_form
from schemas.variables import unknown_variables

SERVICES: Final = (("ORCHESTRATOR", 8080), ("SCHEDULER", 8081), ("WORKER_MANAGER", 8082))
TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""The form of a bearer token (RFC 6750, section 2.1)."""


@dataclass(frozen=True)
class Connection:
    """The addresses of the services by name, the token with the words for its origin, or why there is none, and the TLS
    context."""

    urls: Mapping[str, URL]
    token: str | None = field(default=None, repr=False)
    token_from: str = ""
    tls: ssl.SSLContext | None = None


def find_connection(
    given: Mapping[str, str | None],
    *,
    token: str | None = None,
    profile: str | None = None,
    ca: str | os.PathLike[str] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Connection:
    """The connection for these arguments; `given` has addresses by the names of SERVICES, and an empty `token` or `ca`
    means none. Raises BadAddress, and WrongSetting for everything else that is wrong."""
    addresses = {name: url for name, url in given.items() if url}
    if profile and addresses:
        raise WrongSetting("give a profile or addresses, not both")
    if len(addresses) < len(SERVICES) and (unknown := unknown_variables(environment)):
        raise WrongSetting("; ".join(unknown))
    found = _profile(profile, addresses, environment)
    urls = {name: _url(name, port, addresses, found, environment) for name, port in SERVICES}

    def chosen(argument: str | None, variable: str, stored: str | None) -> tuple[str | None, str]:
        """The value of a setting and where it comes from."""
        if argument == "":
            return None, ""
        choices = [(environment.get(variable), variable), (stored, f"the profile {profile or 'in use'}")]
        if profile:
            choices.reverse()
        choices.insert(0, (argument, f"the argument {variable.removeprefix('HODEI_').lower()}"))
        return next((choice for choice in choices if choice[0]), (None, ""))

    bearer, token_from = chosen(token, "HODEI_TOKEN", found.token if found else None)
    bearer = bearer.strip() if bearer else None
    if bearer and (fault := token_fault(bearer)):
        raise WrongSetting(f"{token_from}: {fault}")
    if not bearer and token is None and found is None:
        token_from = _unused_profile(addresses, environment)
    if bearer and (double := [url for url in urls.values() if url.user or url.password]):
        raise WrongSetting(f"{double[0].origin()}: give a token, or a user in the address, not both")
    trusted, ca_from = chosen(None if ca is None else os.fspath(ca), "HODEI_CA", found.ca if found else None)
    return Connection(urls, bearer, token_from, trusting(Path(trusted), ca_from) if trusted else None)


def token_fault(text: str) -> str | None:
    """Why a text cannot be sent as a token, without showing it; None if it can. The checksum of a token that `hodei
    tokens` made is verified."""
    if text[:7].lower() == "bearer ":
        return "begins with Bearer, which is not part of the token"
    if not text.startswith(PREFIX):
        return None if TOKEN.fullmatch(text) else f"is not a token: one begins with {PREFIX}"
    if check_form(text):
        return None
    if len(text) != LENGTH:
        return f"is not a whole token: that has {LENGTH} characters, this one has {len(text)}"
    return "is not a token, or is mistyped: its last characters do not match the others"


def _unused_profile(addresses: Mapping[str, str], environment: Mapping[str, str]) -> str:
    """Why a profile that exists is not used, in words; empty if none exists."""
    profiles = Profiles.of(environment)
    current = profiles.current()
    if current is not None:
        why = (
            "an address was given"
            if addresses
            else next(
                (f"{name} is set" for service, _ in SERVICES for name in _variables(service) if environment.get(name)),
                "",
            )
        )
        return f"the profile {current} is not used, because {why}" if why else ""
    names = profiles.names()
    return f"no profile is in use; choose one with hodei --profile NAME: {', '.join(names)}" if names else ""


def _variables(service: str) -> tuple[str, str]:
    """The variables with the address of a service, of which each makes profiles unused."""
    return f"HODEI_{service}_URL", f"{service}_PORT"


def trusting(ca: Path, named: str) -> ssl.SSLContext:
    """A TLS context that trusts the certificates in this PEM file, and no others. Raises WrongSetting; `named` is where
    the path comes from."""
    try:
        return ssl.create_default_context(cafile=str(ca))
    except ssl.SSLError:
        raise WrongSetting(f"{named}: {ca} has no certificate in PEM form") from None
    except OSError as error:
        raise WrongSetting(f"{named}: {ca}: {error.strerror}") from None


def _profile(named: str | None, addresses: Mapping[str, str], environment: Mapping[str, str]) -> Profile | None:
    """The profile to use: the one that an argument names, then the environment's, then the current one unless the
    environment has an address."""
    if addresses:
        return None
    profiles = Profiles.of(environment)
    wanted = named or environment.get("HODEI_PROFILE")
    if not named:
        elsewhere = [name for name, _ in SERVICES if environment.get(f"HODEI_{name}_URL")]
        if wanted and elsewhere:
            raise WrongSetting(f"HODEI_PROFILE and HODEI_{elsewhere[0]}_URL are both set: unset one of them")
        if not wanted and (elsewhere or any(environment.get(f"{name}_PORT") for name, _ in SERVICES)):
            return None
    found = profiles.get(wanted)
    if wanted and found is None:
        known = ", ".join(profiles.names()) or "there are none yet"
        raise WrongSetting(f"there is no profile {wanted!r} ({known}); make it with hodei login --profile NAME URL")
    return found


def _url(
    name: str, port: int, given: Mapping[str, str], profile: Profile | None, environment: Mapping[str, str]
) -> URL:
    if profile is not None:
        return address({
            "ORCHESTRATOR": profile.orchestrator,
            "SCHEDULER": profile.scheduler,
            "WORKER_MANAGER": profile.worker_manager,
        }[name])  # fmt: skip
    if name in given:
        return address(given[name])
    variable = f"HODEI_{name}_URL"
    if url := environment.get(variable):
        return address(url, f"{variable}: ")
    return address(f"http://127.0.0.1:{environment.get(f'{name}_PORT') or port}", f"{name}_PORT: ")


def address(text: str, name: str = "") -> URL:
    """A service's base URL, which may have the path below which a proxy serves it. `name` is where the text comes from,
    for the error. Raises BadAddress."""
    shown = text.rpartition("@")[2]  # without a password
    try:
        url = URL(text)
        fits = url.scheme in ("http", "https") and bool(url.host) and url.port is not None
    except ValueError:
        fits = False
    if not fits:
        raise BadAddress(f"{name}{shown} is not the address of a service; one looks like http://HOST:PORT")
    if url.query_string or url.fragment:
        raise BadAddress(
            f"{name}{shown}: a service's address is http://HOST:PORT or http://HOST:PORT/PATH, with no more"
        )
    return url
