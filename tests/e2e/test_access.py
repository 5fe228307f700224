"""A platform with access on, as people and pages use it, and what their tokens leave behind: nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from http.cookies import SimpleCookie
from pathlib import Path

import aiohttp
import psutil
import pytest
from typer.testing import CliRunner

from hodei.cli import app
from hodei.client import ApiError, Client
from schemas.access import PREFIX, SESSION_PREFIX, hash_of
from schemas.states import JobStatus
from tests.e2e.framework.data import unique
from tests.e2e.framework.platform import SERVICES, Platform

SESSION = "/api/v1/session"
PRIVATE = ("token", "keys/")
"""Where the data folder has secrets on purpose, with no permission for others."""
MAY_LOOK = os.geteuid() == 0 or (
    shutil.which("sudo") is not None and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0
)
"""Whether this process is root's, or may be for a moment, as on the machines that run the tests after each push."""


async def hodei(home: Path, *arguments: str, stdin: str = "", **more: str) -> tuple[int, str, str]:
    """Run a command in this process, as a user with this home folder."""
    environment = dict.fromkeys(name for name in os.environ if name.startswith("HODEI_"))
    ended = await asyncio.to_thread(
        CliRunner().invoke, app, arguments, input=stdin, env=environment | {"XDG_CONFIG_HOME": str(home)} | more
    )
    return ended.exit_code, ended.stdout, ended.stderr


async def run(home: Path, *command: str) -> tuple[int, str, str]:
    """`hodei run -q`, in a process of its own, because it handles signals."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HODEI_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hodei", "run", "-q", "--", *command, env=kept | {"XDG_CONFIG_HOME": str(home)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(120):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def logged_in(platform: Platform, home: Path, token: str, profile: str) -> str:
    """Log in, and return what the command said."""
    orchestrator, scheduler, manager = (platform.urls[name] for name in SERVICES)
    addresses = (orchestrator, "--scheduler", scheduler, "--worker-manager", manager)
    code, out, err = await hodei(home, "login", *addresses, "--profile", profile, stdin=token)
    assert (code, err) == (0, "")
    return out


async def until_refused(http: aiohttp.ClientSession, url: str) -> None:
    """Return once a service refuses the session's token."""
    async with asyncio.timeout(10):
        while True:
            async with http.get(f"{url}/api/v1/whoami") as answer:
                if answer.status == 401:
                    return


async def test_people_log_in_work_and_are_kept_out(guarded_platform: Platform, tmp_path: Path) -> None:
    platform, name = guarded_platform, unique("ci")
    assert platform.token is not None
    assert "access is on" in platform.said or "on: the administrator's token is in" in platform.said
    assert (await hodei(tmp_path, "jobs", HODEI_ORCHESTRATOR_URL=platform.urls["orchestrator"]))[2] == (
        "hodei: 401 Unauthorized: no token was sent: set HODEI_TOKEN, or log in with hodei login URL\n"
    )
    assert "admin (admin)" in await logged_in(platform, tmp_path, platform.token, "admin")

    code, token, said = await hodei(tmp_path, "tokens", "create", name, "--role", "submitter")
    assert (code, token[: len(PREFIX)]) == (0, PREFIX)
    assert f"{name} (submitter)" in await logged_in(platform, tmp_path, token, "ci")
    assert await run(tmp_path, "echo", "mine") == (0, "mine\n", "")
    code, _, err = await hodei(tmp_path, "workers", "drain", "0192f0c1-2345-7abc-8def-0123456789ab")
    assert (code, "403 Forbidden: this needs the role operator; the token has the role submitter" in err) == (1, True)

    by = await hodei(tmp_path, "--profile", "admin", "jobs", "--created-by", name, "--json")
    assert json.loads(by[1])["created_by"]["name"] == name
    assert (await hodei(tmp_path, "--profile", "admin", "tokens", "revoke", said.split()[0]))[0] == 0
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token.strip()}"}) as http:
        await until_refused(http, platform.urls["scheduler"])  # another service learns of it in a moment
    assert "401 Unauthorized: the token does not exist or was revoked" in (await hodei(tmp_path, "queue"))[2]
    assert (await hodei(tmp_path, "logout"))[1] == "logged out: the profile ci is gone\n"


async def test_a_submitter_runs_only_its_own_jobs_again(guarded_platform: Platform) -> None:
    """By every route: the new job would have the other's hidden values."""
    urls = [guarded_platform.urls[name] for name in SERVICES]
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(Client(*urls, token=guarded_platform.token))
        ana, bob = [
            await stack.enter_async_context(
                Client(*urls, token=(await admin.create_token({"name": unique(name), "role": "submitter"})).token)
            )
            for name in ("ana", "bob")
        ]
        job = await ana.submit({"command": "true", "env": {"API_KEY": "hers"}})
        assert (await ana.wait(job.id, timeout=30)).status is JobStatus.SUCCEEDED

        again = (lambda who: who.rerun(job.id), lambda who: who.execute({"job_id": job.id}))
        for call in again:
            with pytest.raises(ApiError, match="created by another token: that needs the role operator") as refused:
                await call(bob)
            assert refused.value.status == 403
            await call(ana)
            await call(admin)
        left = (await bob.rerun_jobs(ids=[job.id])).refused
        assert [one.id for one in left] == [job.id]
        assert len([one async for one in admin.jobs(created_by=(await bob.whoami()).name or "")]) == 0


async def test_a_page_has_a_session_at_one_place_and_bearers_for_all(guarded_platform: Platform) -> None:
    urls, token = guarded_platform.urls, guarded_platform.token
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:

        async def send(method: str, url: str, **headers: str) -> tuple[int, str | None, str]:
            async with http.request(method, url, headers=headers) as answer:
                return answer.status, answer.headers.get("Set-Cookie"), await answer.text()

        origin = urls["orchestrator"]
        status, cookie, _ = await send("POST", origin + SESSION, Authorization=f"Bearer {token}", Origin=origin)
        assert status == 201
        stolen = f"hodei_session={SimpleCookie(cookie)['hodei_session'].value}"
        for url in (urls["scheduler"], urls["worker_manager"]):  # a cookie at another port
            assert (await send("GET", f"{url}/api/v1/workers", Cookie=stolen))[0] == 401
            assert (await send("POST", f"{url}{SESSION}/bearer", Cookie=stolen, Origin=url))[0] in (401, 404)
        assert (await send("POST", f"{origin}{SESSION}/bearer", Cookie=stolen, Origin=urls["scheduler"]))[0] == 403

        status, _, text = await send("POST", f"{origin}{SESSION}/bearer", Cookie=stolen, Origin=origin)
        assert status == 200
        bearer = f"Bearer {json.loads(text)['token']}"
        for url in urls.values():
            status, _, text = await send("GET", f"{url}/api/v1/whoami", Authorization=bearer)
            assert (status, json.loads(text)["role"]) == (200, "admin")

        assert (await send("DELETE", origin + SESSION, Cookie=stolen, Origin=origin))[0] == 204
    async with aiohttp.ClientSession(headers={"Authorization": bearer}) as http:
        for url in urls.values():
            await until_refused(http, url)


@pytest.mark.skipif(not MAY_LOOK, reason="only root may read the environments of a platform")
async def test_no_secret_is_left_where_it_does_not_belong(guarded_platform: Platform, tmp_path: Path) -> None:
    """Tokens, a cookie and a bearer are used well and badly; then everything that the platform left is searched."""
    platform = guarded_platform
    assert platform.token is not None
    assert platform.data_dir is not None
    secrets = {"the administrator's token": platform.token}
    await logged_in(platform, tmp_path, platform.token, "admin")
    secrets["a token"] = (await hodei(tmp_path, "tokens", "create", "used", "--role", "operator"))[1].strip()
    secrets["a wrong token"] = PREFIX + secrets["a token"][: len(PREFIX) - 1 : -1]
    orchestrator = platform.urls["orchestrator"]
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        own = {"Authorization": f"Bearer {secrets['a token']}"}
        async with http.post(orchestrator + SESSION, headers=own) as answer:
            secrets["a cookie"] = SimpleCookie(answer.headers["Set-Cookie"])["hodei_session"].value
        async with http.post(
            f"{orchestrator}{SESSION}/bearer", headers={"Cookie": f"hodei_session={secrets['a cookie']}"}
        ) as answer:
            secrets["a bearer"] = (await answer.json())["token"]
        for url in platform.urls.values():
            for secret in secrets.values():
                async with http.get(f"{url}/api/v1/whoami", headers={"Authorization": f"Bearer {secret}"}) as answer:
                    await answer.read()
                async with http.get(f"{url}/api/v1/whoami?access_token={secret}") as answer:
                    assert secret not in await answer.text()
            for bad in (f"Bearer {secrets['a token'][:-1]}", f"Basic {secrets['a token']}"):
                async with http.get(f"{url}/api/v1/whoami", headers={"Authorization": bad}) as answer:
                    assert secrets["a token"][:-1] not in await answer.text()
    code, printed, _ = await run(tmp_path, "sh", "-c", "env; tr '\\0' ' ' < /proc/self/environ")
    assert code == 0
    if platform.keys is not None:
        for file in sorted(platform.keys.rglob("*.creds")):
            secrets[file.name] = re.findall(r"^S[A-Z2-7]{57}$", file.read_text(), re.MULTILINE)[0]

    said = {"what hodei up printed": platform.said.encode(), "a job's output": printed.encode()}
    files = dict(_files(platform.data_dir))
    if platform.nats is None:  # its servers keep their data here, and have the token's SHA-256: this is where to look
        digest = hash_of(secrets["a token"])
        assert any(digest in text for place, text in files.items() if place.startswith("postgres/"))
        assert any(digest.hex().encode() in text for place, text in files.items() if place.startswith("nats/"))
    for place, text in {**said, **dict(_processes(platform)), **files}.items():
        for name, secret in secrets.items():
            part = secret.removeprefix(PREFIX).removeprefix(SESSION_PREFIX)[:24].encode()
            assert part not in text, f"{name} is in {place}"
    profile = tmp_path / "hodei" / "profiles.json"
    assert profile.stat().st_mode & 0o077 == 0


def _processes(platform: Platform) -> Iterator[tuple[str, bytes]]:
    """The command lines and environments of all processes of a platform, each of which is really read."""
    assert platform.process is not None
    top = psutil.Process(platform.process.pid)
    found = [top, *top.children(recursive=True)]
    read: set[str] = set()
    for process in found:
        command = _of(process.pid, "cmdline")
        environment = _of(process.pid, "environ")
        if command and environment:
            shown = command.decode().replace("\0", " ")
            read.add(shown)
            if b"-m\0orchestrator" in command:
                assert b"HODEI_AUTH=on" in environment
            yield f"the command line of {process.pid} ({shown})", command
            yield f"the environment of {process.pid} ({shown})", environment
    modules = {"hodei", "orchestrator", "scheduler", "worker_manager", "worker_manager.agent"}
    assert {module for module in modules if any(f"-m {module}" in shown for shown in read)} == modules
    assert len(read) > 6


def _of(pid: int, what: str) -> bytes:
    """A file of a process, as root: the processes of a platform let no other user look, not even their own. Empty for
    one that has ended."""
    path = f"/proc/{pid}/{what}"
    try:
        if os.geteuid() == 0:
            return Path(path).read_bytes()
        done = subprocess.run(["sudo", "-n", "cat", path], capture_output=True, check=False)
    except (FileNotFoundError, ProcessLookupError):
        return b""
    assert done.returncode == 0 or not Path(path).exists(), done.stderr.decode()
    return done.stdout


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """All files of a platform, those of its database and of NATS included, but not its keys."""
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if not path.is_file():
            continue
        if name.startswith(PRIVATE):
            assert path.stat().st_mode & 0o077 == 0, name
            continue
        with contextlib.suppress(FileNotFoundError):  # a server has just removed it
            yield name, path.read_bytes()
