"""The checks of `hodei doctor`: what is wrong with a set-up, and how to mend it.

Each check asks the services as any client may, once and within a deadline, and returns what it found.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final, Literal

from pydantic import BaseModel, Field, ValidationError
from yarl import URL

from hodei import __version__
from hodei.client import ApiError, Client, ClientError
from hodei.client.transport import Answer
from schemas.rest.access import WhoAmI
from schemas.rest.health import Health
from schemas.states import WorkerStatus

SERVICES: Final = ("orchestrator", "scheduler", "worker-manager")
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
CLOCK: Final = timedelta(seconds=5)
"""How far two clocks may differ: logs and timelines are sorted by time, and tokens expire."""
SOON: Final = timedelta(days=7)
MOST_WORKERS: Final = 10_000


class Check(BaseModel):
    """The result of one check."""

    check: str = Field(description="What was checked.")
    state: Literal["ok", "warning", "wrong"] = Field(description="The result.")
    detail: str = Field(description="What was found.")
    mend: str | None = Field(None, description="What to do about it.")


@dataclass(frozen=True)
class Patient:
    """A client, and the services that answered: their health, and how far their clocks are ahead of ours."""

    client: Client
    health: Mapping[str, Health]
    ahead: Mapping[str, timedelta]

    def url(self, service: str) -> URL:
        return self.client.service(service).base_url


def _ok(check: str, detail: str) -> Check:
    return Check(check=check, state="ok", detail=detail)


def _warning(check: str, detail: str, mend: str) -> Check:
    return Check(check=check, state="warning", detail=detail, mend=mend)


def _wrong(check: str, detail: str, mend: str) -> Check:
    return Check(check=check, state="wrong", detail=detail, mend=mend)


async def examine(client: Client) -> list[Check]:
    """All checks. If no service answers, only that is found."""
    visits = await asyncio.gather(*(_visit(client, service) for service in SERVICES))
    found = [check for check, _, _ in visits if check is not None]
    health = {name: one for name, (_, one, _) in zip(SERVICES, visits, strict=True) if one is not None}
    ahead = {name: by for name, (_, _, by) in zip(SERVICES, visits, strict=True) if by is not None}
    if not health:
        return found
    patient = Patient(client, health, ahead)
    further: Sequence[Callable[[Patient], Awaitable[list[Check]]]] = (
        _dependencies, _versions, _clocks, _access, _workers, _dead_letters, _console,
    )  # fmt: skip
    for ask in further:
        if any(one.check == "token" and one.state == "wrong" for one in found):
            break  # nothing more can be asked
        try:
            found += await ask(patient)
        except ClientError as error:
            subject = ask.__name__.strip("_").replace("_", " ")
            found.append(
                _warning(subject, f"could not be checked: {error}", "Mend what stands above, and run it again.")
            )
    return found


async def _visit(client: Client, service: str) -> tuple[Check | None, Health | None, timedelta | None]:
    """The health of a service and how far its clock is ahead, or what is wrong."""
    url, variable = client.service(service).base_url, f"HODEI_{service.upper().replace('-', '_')}_URL"
    asked = datetime.now(UTC)
    try:
        answer = await client.service(service).answer("/health")
    except ClientError as error:
        mend = f"Start the {service}, or name its address with {variable} or hodei login."
        return _wrong(service, f"does not answer: {error}", mend), None, None
    try:
        health = Health.model_validate_json(answer.body, extra="ignore")
    except ValidationError:
        return _wrong(service, f"{url} is another server", f"Name its address with {variable}."), None, None
    if health.service.replace("_", "-") != service:
        detail = f"at {url} the {health.service.replace('_', '-')} answers"
        return _wrong(service, detail, f"Name its address with {variable}, or log in again."), None, None
    words = f"{url}, version {health.version}, {health.status}"
    state = _ok(service, words)
    if health.status != "healthy":
        state = _warning(service, words, "See which of its parts is down, below.")
    if health.status == "draining":
        state = _warning(service, words, "It is about to stop: start it again, or wait for its successor.")
    return state, health, _ahead(answer, asked)


def _ahead(answer: Answer, asked: datetime) -> timedelta | None:
    """How far the clock of who answered is ahead of ours, to a second; None without a date."""
    text = answer.headers.get("Date")
    if text is None:
        return None
    now = datetime.now(UTC)
    # The header has whole seconds: its second may have begun before the request, or end after the answer.
    told = parsedate_to_datetime(text)
    if told > now:
        return told - now
    return min(timedelta(0), told + timedelta(seconds=1) - asked)


async def _dependencies(patient: Patient) -> list[Check]:
    found = []
    for part, mend in (
        ("database", "Start PostgreSQL, and check DATABASE_URL of the service and its log."),
        ("nats", "Start NATS, and check NATS_URL and HODEI_NATS_CREDENTIALS of the service; a full disk counts, too."),
    ):
        down = [name for name, health in patient.health.items() if health.checks.get(part) == "down"]
        if down:
            found.append(_wrong(part, f"down, as the {' and the '.join(down)} reports", mend))
        else:
            found.append(_ok(part, "up"))
    return found


async def _versions(patient: Patient) -> list[Check]:
    versions = {name: health.version for name, health in patient.health.items()}
    if len(set(versions.values())) > 1:
        words = ", ".join(f"{name} {version}" for name, version in versions.items())
        return [_wrong("versions", f"the services differ: {words}", "Finish the upgrade: docs/operations.md.")]
    [version] = set(versions.values())
    if version != __version__:
        mend = f"Install version {version} of the command line, if something does not work."
        return [_warning("versions", f"the services have {version}, this program {__version__}", mend)]
    return [_ok("versions", f"all {version}")]


async def _clocks(patient: Patient) -> list[Check]:
    far = {name: by for name, by in patient.ahead.items() if abs(by) > CLOCK}
    if not far:
        return [_ok("clocks", f"agree within {CLOCK.seconds} s")]
    words = ", ".join(
        f"the {name}'s is {abs(by).total_seconds():.0f} s {'ahead' if by > timedelta(0) else 'behind'}"
        for name, by in far.items()
    )
    return [_warning("clocks", f"compared with this machine's, {words}", "Run NTP on all machines.")]


async def _access(patient: Patient) -> list[Check]:
    states = {health.access for health in patient.health.values()}
    if len(states) > 1:
        words = ", ".join(f"{name} {health.access}" for name, health in patient.health.items())
        return [_wrong("access", words, "Set HODEI_AUTH to the same for all three services.")]
    elsewhere = [name for name in patient.health if patient.url(name).host not in LOOPBACK]
    if states == {"off"}:
        if elsewhere:
            mend = "Set HODEI_AUTH=on for all services, or let only this machine reach them: docs/access.md."
            return [_warning("access", "off: whoever reaches a service may do all", mend)]
        return [_ok("access", "off; the services are on this machine")]
    found = []
    for name in patient.health:
        try:
            who = await patient.client.whoami(name)
        except ApiError as error:
            detail = f"the {name} does not take it: {error.problem.detail}"
            if error.hint.startswith("no token"):
                detail = "none was sent"
            url = str(patient.url("orchestrator").with_user(None)).rstrip("/")
            return [_wrong("token", detail, f"Log in: hodei login {url}.")]
    found.append(_token(who))
    if plain := [name for name in elsewhere if patient.url(name).scheme == "http"]:
        detail = f"over http://, others on the way to the {' and the '.join(plain)} can read it"
        found.append(_warning("token", detail, "Use https://: docs/operations.md#certificates."))
    return found


def _token(who: WhoAmI) -> Check:
    words = f"{who.name}, {who.role}"
    if who.expires_at is None:
        return _ok("token", words)
    if who.expires_at - datetime.now(UTC) < SOON:
        mend = "Ask for a new one (hodei tokens create), and log in with it."
        return _warning("token", f"{words}, expires on {who.expires_at:%Y-%m-%d}", mend)
    return _ok("token", f"{words}, until {who.expires_at:%Y-%m-%d}")


async def _workers(patient: Patient) -> list[Check]:
    if "scheduler" not in patient.health:
        return []
    workers = [one async for one in patient.client.registered_workers(has_agent=True, limit=MOST_WORKERS)]
    online = [one for one in workers if one.status is WorkerStatus.ONLINE]
    found = []
    if online:
        slots, busy = sum(one.slots for one in online), sum(one.busy for one in online)
        found.append(_ok("workers", f"{len(online)} online, {busy} of {slots} slots busy"))
    elif any(one.status is WorkerStatus.DRAINING for one in workers):
        found.append(_wrong("workers", "all drain, so that nothing starts", "End it: hodei workers resume WORKER."))
    else:
        mend = "Start one: hodei worker, with --join TOKEN where NATS asks for credentials (docs/workers.md)."
        found.append(_wrong("workers", "none is online, so that jobs wait", mend))
    if ill := [one.name for one in workers if one.status is WorkerStatus.UNHEALTHY]:
        mend = "See why no command starts there, such as a full disk."
        found.append(_warning("workers", f"unhealthy: {', '.join(sorted(ill)[:5])}", mend))
    return found


async def _dead_letters(patient: Patient) -> list[Check]:
    try:
        lists = [patient.client.dead_letters(name, limit=1) for name in patient.health]
        some = [name for name, letters in zip(patient.health, lists, strict=True) if [one async for one in letters]]
    except ApiError as error:
        if error.status != 403:
            raise
        return []  # only operators may know
    if some:
        mend = "See them with hodei dead-letters list, mend the cause, then hodei dead-letters resend --all."
        return [_warning("dead letters", f"the {' and the '.join(some)} could not handle some events", mend)]
    return [_ok("dead letters", "none")]


async def _console(patient: Patient) -> list[Check]:
    """Whether the console's pages, in a browser that uses the public addresses, reach all services."""
    if "orchestrator" not in patient.health:
        return []
    platform = await patient.client.platform()
    urls = {one.name.replace("_", "-"): one.url for one in platform.services}
    if missing := [name for name, url in urls.items() if url is None]:
        mend = "Start it with the same NATS and HODEI_NAMESPACE as the orchestrator."
        return [_wrong("console", f"the orchestrator does not find the {' and the '.join(missing)}", mend)]
    origin = str(URL(urls["orchestrator"] or "").origin())
    closed = []
    for name in set(patient.health) - {"orchestrator"}:
        answer = await patient.client.service(name).answer("/health", headers={"Origin": origin})
        if answer.headers.get("Access-Control-Allow-Origin") not in (origin, "*"):
            closed.append(name)
    if closed:
        detail = f"pages of {origin} may not call the {' and the '.join(sorted(closed))}"
        return [_wrong("console", detail, f"Add {origin} to HODEI_CORS_ORIGINS of these services.")]
    public = URL(urls["orchestrator"] or "")
    if public.host in LOOPBACK and patient.url("orchestrator").host not in LOOPBACK:
        mend = "Set HODEI_PUBLIC_URL of each service to the address that browsers use."
        return [_warning("console", f"its address {public} is good on the orchestrator's machine only", mend)]
    return [_ok("console", str(public / "console/"))]
