"""`hodei login`, `logout` and `whoami`: a platform and a token as a profile, and whom the token is for."""

import asyncio
import getpass
import json
import os
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import TypeAdapter
from yarl import URL

from hodei import usage
from hodei.asking import CHOSEN, ended, with_client
from hodei.client import ApiError, Client, ClientError, WrongSetting
from hodei.client.calls import one
from hodei.client.connection import address, token_fault
from hodei.client.profiles import DEFAULT, Profile, ProfileName, Profiles
from hodei.escapes import escaped
from hodei.views import moment_text
from schemas.rest.access import WhoAmI
from schemas.rest.health import Health

SERVICES: Final = ("orchestrator", "scheduler", "worker-manager")
PORTS: Final = {"scheduler": 1, "worker_manager": 2}
"""By how much the ports of the others are higher than the orchestrator's."""
UNAUTHORIZED: Final = 401
LONGEST: Final = 8192
"""The most characters of a token that are read."""
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_NAME: Final = TypeAdapter[str](ProfileName)


class NoProfile(ClientError):
    """There is no profile to forget."""


class WrongPlatform(ClientError):
    """Another service answers at an address."""


def login(
    url: Annotated[
        str, typer.Argument(parser=usage.given, metavar="URL", help="The orchestrator: https://hodei.example.org:8080.")
    ],
    profile: Annotated[
        str | None, typer.Option(parser=usage.given, metavar="NAME", help="The name to remember it by.")
    ] = None,
    token_file: Annotated[
        str | None,
        typer.Option(
            parser=usage.given,
            metavar="FILE",
            help="The file with the token, or - for standard input; by default it is asked for.",
        ),
    ] = None,
    ca: Annotated[
        str | None,
        typer.Option(parser=usage.given, metavar="FILE", help="A PEM file with the CA of the platform's certificates."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            parser=usage.given,
            metavar="URL",
            help="The scheduler; by default one port higher, or as the orchestrator says if URL has a path or no port.",
        ),
    ] = None,
    worker_manager: Annotated[
        str | None,
        typer.Option(parser=usage.given, metavar="URL", help="The worker manager; likewise, two ports higher."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Remember a platform and a token in a file that only you can read; later commands use them."""
    chosen = CHOSEN.get()
    name = usage.checked({"": "--profile"}, lambda: _NAME.validate_python(profile or chosen.profile or DEFAULT))
    trusted = ca or chosen.ca
    authority = str(Path(trusted).absolute()) if trusted else ""

    def work() -> int:
        base = address(url)
        given = {"scheduler": scheduler, "worker_manager": worker_manager}
        given_token = cache(lambda: _read_token(token_file))
        urls = _addresses(base, given, authority, given_token)
        token = given_token() if asyncio.run(_asks_for_tokens(urls, authority)) or token_file else ""
        who = asyncio.run(_who(urls, authority, token, token_from=_origin(token_file)))
        Profiles.of(os.environ).put(name, Profile(**urls, ca=authority or None, token=token or None))
        if as_json:
            print(json.dumps({"profile": name, **who.model_dump(mode="json")}))
        else:
            print(escaped(f"logged in to {base} as the profile {name}: {_in_words(who)}"))
        if token and base.scheme == "http" and base.host not in LOOPBACK:
            typer.echo("hodei: over http:// others on the way can read the token: use https://", err=True)
        if os.environ.get("HODEI_TOKEN"):
            typer.echo("hodei: HODEI_TOKEN is set, and wins over the profile's token", err=True)
        return 0

    raise typer.Exit(ended(work))


def logout(
    profile: Annotated[
        str | None,
        typer.Option(parser=usage.given, metavar="NAME", help="The profile; by default the one that is in use."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Forget a platform and its token. The token stays valid: `hodei tokens revoke` ends it."""
    wanted = profile or CHOSEN.get().profile or os.environ.get("HODEI_PROFILE")

    def work() -> int:
        profiles = Profiles.of(os.environ)
        name = wanted or profiles.current()
        if name is None or profiles.get(name) is None:
            raise NoProfile(f"there is no profile {name!r}" if name else "no profile is in use")
        profiles.remove(name)
        print(json.dumps({"profile": name}) if as_json else f"logged out: the profile {name} is gone")
        return 0

    raise typer.Exit(ended(work))


def whoami(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show for whom commands act: the token's name, its role, when it expires."""

    async def ask(client: Client) -> int:
        who = await client.whoami()
        print(who.model_dump_json() if as_json else escaped(f"{_in_words(who)}, at {client.orchestrator.base_url}"))
        return 0

    raise typer.Exit(with_client(ask))


def _addresses(base: URL, given: Mapping[str, str | None], ca: str, given_token: Callable[[], str]) -> dict[str, str]:
    """The addresses of all services. Those that are not given have the ports above the orchestrator's; if its address
    has a path or no port, the orchestrator is asked. Raises WrongPlatform."""
    if all(given.values()) or (base.explicit_port is not None and base.path in ("", "/")):
        return {"orchestrator": str(base), **{name: given[name] or _higher(base, by) for name, by in PORTS.items()}}
    token = given_token() if asyncio.run(_orchestrator_asks(base, ca)) else ""
    return asyncio.run(_as_told(base, given, ca, token))


async def _orchestrator_asks(base: URL, ca: str) -> bool:
    """Whether the orchestrator asks for tokens. Raises WrongPlatform if another service answers."""
    url = str(base)
    async with Client(url, url, url, token="", ca=ca) as client:
        health = one(Health, await client.orchestrator.request("GET", "/health"))
    _check_service({"orchestrator": url}, "orchestrator", health)
    return health.access == "on"


async def _as_told(base: URL, given: Mapping[str, str | None], ca: str, token: str) -> dict[str, str]:
    """The addresses of all services: those that are given, and the orchestrator's word for the others.

    The token will be sent there, so that its word is taken for addresses on its own host only, and not for http:// if
    its own is https://. Raises WrongPlatform for others."""
    url = str(base)
    async with Client(url, url, url, token=token, ca=ca) as client:
        told: dict[str, str | None] = {service.name: service.url for service in (await client.platform()).services}
    urls = {"orchestrator": url}
    for name, address_given in given.items():
        urls[name] = address_given or _trusted(base, name, told.get(name))
    return urls


def _trusted(base: URL, name: str, told: str | None) -> str:
    """The address of a service that the orchestrator told. Raises WrongPlatform for one that has to be given."""
    service, option = name.replace("_", " "), f"--{name.replace('_', '-')}"
    if told is None:
        raise WrongPlatform(f"{base.with_user(None)} does not know where the {service} is: give {option} URL")
    found = address(told, f"the {service}: ")
    if found.host != base.host or (base.scheme == "https" and found.scheme != "https"):
        raise WrongPlatform(
            f"{base.with_user(None)} says that the {service} is at {told}: to send the token there, give "
            f"{option} {told}"
        )
    return str(found.with_user(base.user).with_password(base.password) if base.user else found)


async def _asks_for_tokens(urls: Mapping[str, str], ca: str) -> bool:
    """Whether the platform asks for tokens. Raises WrongPlatform if an address is another service's."""
    async with Client(*urls.values(), token="", ca=ca) as client:
        first = one(Health, await client.orchestrator.request("GET", "/health"))
        _check_service(urls, "orchestrator", first)  # the address that was typed, before those that follow from it
        found = await client.health()
    for name, health in found.items():
        _check_service(urls, name, health)
    return any(health.access == "on" for health in found.values())


def _check_service(urls: Mapping[str, str], name: str, health: Health) -> None:
    """Raises WrongPlatform if another service answers than this one."""
    answers = health.service.replace("_", "-")
    if answers != name:
        at = urls[name.replace("-", "_")]
        raise WrongPlatform(f"{at} is the {answers}, not the {name}: give URL, --scheduler, --worker-manager")


async def _who(urls: Mapping[str, str], ca: str, token: str, *, token_from: str) -> WhoAmI:
    """Who the token is for. Raises ApiError if one of the services does not take it; `token_from` is where the token
    comes from, for the message."""
    async with Client(*urls.values(), token=token, ca=ca) as client:
        try:
            answers = await asyncio.gather(*(client.whoami(service) for service in SERVICES))
        except ApiError as error:
            if error.status != UNAUTHORIZED or not token:
                raise
            raise ApiError(error.problem, hint=f"the token came from {token_from}") from error
    return answers[0]


def _origin(file: str | None) -> str:
    """Where a token comes from, in words."""
    if file is None and sys.stdin.isatty():
        return "the terminal"
    return "standard input" if file in (None, "-") else str(file)


def _read_token(file: str | None) -> str:
    """The token in a file, on standard input, or as typed. Raises WrongSetting."""
    if file is None and sys.stdin.isatty():
        text = getpass.getpass("Token: ")
    elif file in (None, "-"):
        text = sys.stdin.read(LONGEST)
    else:
        try:
            with open(file) as opened:
                text = opened.read(LONGEST)
        except (OSError, UnicodeDecodeError) as error:
            raise WrongSetting(f"{file}: {getattr(error, 'strerror', None) or 'is not a text'}") from None
    text = text.strip()
    if not text:
        raise WrongSetting("the token is empty")
    if fault := token_fault(text):
        raise WrongSetting(f"the token in {file}: {fault}" if file not in (None, "-") else f"the token: {fault}")
    return text


def _higher(base: URL, by: int) -> str:
    assert base.port is not None
    return str(base.with_port(base.port + by))


def _in_words(who: WhoAmI) -> str:
    if who.access == "off":
        return "access is off, no token is needed"
    until = f", until {moment_text(who.expires_at)}" if who.expires_at else ""
    return f"{who.name} ({who.role}){until}"
