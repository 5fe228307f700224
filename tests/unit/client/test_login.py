"""`hodei login`, `logout`, `whoami` and `tokens`, against three servers that ask for one token."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from typer.testing import CliRunner, Result
from yarl import URL

from hodei.cli import app
from hodei.client.profiles import Profiles
from hodei.login import WrongPlatform, _trusted
from schemas.access import token_of

GOOD, WRONG, NEW = (token_of(bytes([n]) * 32) for n in range(3))
ID = "0198c0de-0000-7000-8000-00000000abcd"
TOKEN = {
    "id": ID, "name": "ci", "role": "submitter", "created_at": "2026-11-29T08:00:00Z", "created_by": None,
    "expires_at": None, "revoked_at": None, "last_used_at": None,
}  # fmt: skip


class _Service(BaseHTTPRequestHandler):
    service = ""
    access: ClassVar[str] = "on"
    below: ClassVar[str] = ""
    told: ClassVar[object] = None
    calls: ClassVar[list[tuple[str, str, str | None]]] = []
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        given = self.headers.get("Authorization")
        outside, self.path = self.path, self.path.removeprefix(self.below)
        if not outside.startswith(self.below):
            return self._answer(404, {"title": "Not Found", "status": 404, "detail": "no", "instance": outside})
        self.calls.append((self.command, self.path, given))
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/health":
            return self._answer(
                200,
                {"status": "healthy", "service": self.service, "version": "1", "access": self.access, "checks": {}},
            )
        if self.path == "/api/v1/platform" and (self.access == "off" or given == f"Bearer {GOOD}"):
            return self._answer(200, self.told)
        if self.access == "off":
            return self._answer(200, dict.fromkeys(("id", "name", "role", "expires_at")) | {"access": "off"})
        if given != f"Bearer {GOOD}":
            return self._answer(401, {"title": "Unauthorized", "status": 401, "detail": "no", "instance": self.path})
        if self.path == "/api/v1/whoami":
            who = {"access": "on", "id": ID, "name": "ann", "role": "admin", "expires_at": None}
            return self._answer(200, who)
        if self.command == "POST":
            return self._answer(201, TOKEN | {"token": NEW})
        if self.command == "DELETE":
            return self._answer(204, None)
        return self._answer(200, [TOKEN])

    do_POST = do_DELETE = do_GET  # noqa: N815  # the names that the base class calls

    def _answer(self, status: int, body: object) -> None:
        text = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status < 400 else "application/problem+json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that goes away is not an error."""


class Fake:
    """The three services."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str | None]] = []
        self.kinds = [
            type(name, (_Service,), {"service": name, "calls": self.calls})
            for name in ("orchestrator", "scheduler", "worker-manager")
        ]
        self.servers = [_Server(("127.0.0.1", 0), kind) for kind in self.kinds]
        self.urls = [f"http://127.0.0.1:{server.server_address[1]}" for server in self.servers]

    def tell(self, *urls: str | None) -> None:
        """The addresses that the orchestrator tells."""
        names = ("orchestrator", "scheduler", "worker_manager")
        services = [
            {"name": name, "url": url, "version": "1", "port": 1} for name, url in zip(names, urls, strict=True)
        ]
        self.kinds[0].told = {  # type: ignore[attr-defined]  # a subclass of _Service
            "namespace": "hodei", "access": "on", "version": "1", "lease_seconds": 15.0, "services": services,
            "retention": {}, "features": {},
        }  # fmt: skip

    def login(self, *more: str, stdin: str = GOOD) -> Result:
        orchestrator, scheduler, manager = self.urls
        line = ["login", orchestrator, "--scheduler", scheduler, "--worker-manager", manager, *more]
        return CliRunner().invoke(app, line, input=stdin)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Fake]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("ORCHESTRATOR", "SCHEDULER", "WORKER_MANAGER"):
        monkeypatch.delenv(f"{name}_PORT", raising=False)
        monkeypatch.delenv(f"HODEI_{name}_URL", raising=False)
    fake = Fake()
    for server in fake.servers:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield fake
    for server in fake.servers:
        server.shutdown()
        server.server_close()


def _hodei(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=stdin)


def test_a_login_is_used_by_later_commands_until_the_logout(fake: Fake) -> None:
    done = fake.login()
    assert done.output == f"logged in to {fake.urls[0]} as the profile default: ann (admin)\n"
    assert [given for _, path, given in fake.calls if path == "/health"] == [None] * 4

    who = _hodei("whoami", "--json")
    assert json.loads(who.stdout)["name"] == "ann"
    assert _hodei("whoami").stdout == f"ann (admin), at {fake.urls[0]}\n"

    assert _hodei("logout").stdout == "logged out: the profile default is gone\n"
    assert _hodei("logout").stderr == "hodei: no profile is in use\n"
    file = Profiles.of(os.environ).path
    assert GOOD not in file.read_text()


def test_profiles_have_names(fake: Fake, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{GOOD}\n")
    done = fake.login("--profile", "prod", "--token-file", str(tmp_path / "token"), "--json", stdin="")
    assert {"profile": "prod", "name": "ann", "role": "admin"}.items() <= json.loads(done.stdout).items()

    assert _hodei("--profile", "prod", "whoami").exit_code == 0
    assert _hodei("--profile", "dev", "whoami").exit_code == 2
    assert _hodei("logout", "--profile", "prod", "--json").stdout == '{"profile": "prod"}\n'


@pytest.mark.parametrize(
    ("token", "code", "says"),
    [
        (WRONG, 1, "401 Unauthorized: no; the token came from standard input"),
        (GOOD[:-1], 2, "the token: is not a whole token: that has 55 characters, this one has 54"),
        (" \n", 2, "the token is empty"),
    ],
)
def test_a_token_that_the_platform_refuses_is_not_remembered(fake: Fake, token: str, code: int, says: str) -> None:
    done = fake.login(stdin=token)

    assert (done.exit_code, says in done.stderr) == (code, True)
    assert GOOD[:-1] not in done.output
    assert not Profiles.of(os.environ).path.exists()


def test_the_token_of_the_environment_is_not_sent_to_a_new_platform(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HODEI_TOKEN", WRONG)
    done = fake.login()

    assert done.stderr == "hodei: HODEI_TOKEN is set, and wins over the profile's token\n"
    assert {given for *_, given in fake.calls} == {None, f"Bearer {GOOD}"}


def test_an_address_of_another_service_is_named(fake: Fake) -> None:
    fake.urls[1:] = reversed(fake.urls[1:])
    done = fake.login()

    assert done.exit_code == 1
    assert f"{fake.urls[1]} is the worker-manager, not the scheduler" in done.stderr


def test_the_address_that_was_typed_is_checked_before_those_that_follow_from_it(fake: Fake) -> None:
    done = _hodei("login", fake.urls[1], "--scheduler", "http://127.0.0.1:1", "--worker-manager", "http://127.0.0.1:1")

    assert f"{fake.urls[1]} is the scheduler, not the orchestrator" in done.stderr


def test_an_https_address_of_a_service_without_tls_says_so(fake: Fake) -> None:
    done = _hodei("login", fake.urls[0].replace("http", "https"))

    assert f"{fake.urls[0].replace('http', 'https')}: TLS failed (" in done.stderr
    assert "the address of a service without TLS begins with http://" in done.stderr


@pytest.mark.parametrize("more", ["/x?a=b", "?a=b", "/#a", "/x#a"])
def test_an_address_with_a_query_or_a_fragment_is_refused(fake: Fake, more: str) -> None:
    done = _hodei("login", fake.urls[0] + more, stdin=GOOD)

    assert (done.exit_code, "http://HOST:PORT or http://HOST:PORT/PATH, with no more" in done.stderr) == (2, True)
    assert fake.calls == []


@pytest.fixture
def below(fake: Fake) -> Fake:
    """The services, each below a path of its own, which the orchestrator knows."""
    paths = ["/hodei", "/hodei/scheduler", "/hodei/worker-manager"]
    for kind, path in zip(fake.kinds, paths, strict=True):
        kind.below = path  # type: ignore[attr-defined]  # a subclass of _Service
    fake.urls = [f"{url}{path}" for url, path in zip(fake.urls, paths, strict=True)]
    fake.tell(*fake.urls)
    return fake


def test_below_a_path_the_orchestrator_tells_where_the_others_are(below: Fake) -> None:
    done = _hodei("login", f"{below.urls[0]}/", stdin=GOOD)
    assert done.output == f"logged in to {below.urls[0]}/ as the profile default: ann (admin)\n"
    assert {path for _, path, _ in below.calls} == {"/health", "/api/v1/platform", "/api/v1/whoami"}

    profile = Profiles.of(os.environ).get("default")
    assert profile is not None
    assert [profile.scheduler, profile.worker_manager] == below.urls[1:]
    assert json.loads(_hodei("tokens", "list", "--json").stdout)["id"] == ID


def test_an_address_that_is_given_wins_over_what_the_orchestrator_tells(below: Fake) -> None:
    below.tell(below.urls[0], "http://elsewhere.example:1", below.urls[2])
    done = _hodei("login", below.urls[0], "--scheduler", below.urls[1], stdin=GOOD)
    assert (done.exit_code, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ("http://elsewhere.example:1", "to send the token there, give --scheduler http://elsewhere.example:1"),
        ("http://127.0.0.1.elsewhere.example:1", "give --scheduler http://127.0.0.1.elsewhere.example:1"),
        (None, "does not know where the scheduler is: give --scheduler URL"),
        ("http://127.0.0.1:1/?a=b", "the scheduler: http://127.0.0.1:1/?a=b: a service's address is"),
    ],
)
def test_a_token_is_not_sent_to_a_host_that_only_the_orchestrator_names(
    below: Fake, told: str | None, says: str
) -> None:
    below.tell(below.urls[0], told, below.urls[2])
    done = _hodei("login", below.urls[0], stdin=GOOD)

    assert done.exit_code != 0
    assert says in done.stderr
    assert {path for _, path, given in below.calls if given} == {"/api/v1/platform"}
    assert not Profiles.of(os.environ).path.exists()


def test_an_address_without_encryption_is_not_taken_from_an_encrypted_one() -> None:
    with pytest.raises(WrongPlatform, match=r"give --scheduler http://hodei\.example/s"):
        _trusted(URL("https://hodei.example/hodei"), "scheduler", "http://hodei.example/s")
    assert _trusted(URL("https://hodei.example"), "scheduler", "https://hodei.example/s") == "https://hodei.example/s"


def test_below_a_path_with_access_off_no_token_is_asked_for(below: Fake) -> None:
    for kind in below.kinds:
        kind.access = "off"  # type: ignore[attr-defined]  # a subclass of _Service
    done = _hodei("login", below.urls[0], stdin="")

    assert done.output.endswith("as the profile default: access is off, no token is needed\n")


def test_a_file_with_a_part_of_a_token_is_named(fake: Fake, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(GOOD[:30])
    done = fake.login("--token-file", str(tmp_path / "token"), stdin="")

    assert f"the token in {tmp_path / 'token'}: is not a whole token: that has 55 characters" in done.stderr


def test_with_access_off_no_token_is_asked_for(fake: Fake) -> None:
    for kind in fake.kinds:
        kind.access = "off"  # type: ignore[attr-defined]  # a subclass of _Service
    done = fake.login(stdin="")

    assert done.output.endswith("as the profile default: access is off, no token is needed\n")


def test_a_new_token_alone_is_on_standard_output(fake: Fake, tmp_path: Path) -> None:
    fake.login()
    made = _hodei("tokens", "create", "ci", "--role", "submitter")
    assert (made.stdout, made.stderr) == (f"{NEW}\n", f"{ID} ci (submitter)\n")

    file = tmp_path / "token"
    written = _hodei("tokens", "create", "ci", "--role", "submitter", "--token-file", str(file), "--json")
    assert NEW not in written.output
    assert json.loads(written.stdout)["id"] == ID
    assert (file.read_text(), file.stat().st_mode & 0o777) == (f"{NEW}\n", 0o600)

    again = _hodei("tokens", "create", "ci", "--role", "submitter", "--token-file", str(file))
    assert (again.exit_code, "File exists" in again.stderr) == (2, True)
    assert file.read_text() == f"{NEW}\n"


def test_a_file_for_a_token_that_was_not_made_does_not_stay(fake: Fake, tmp_path: Path) -> None:
    fake.login()
    file = tmp_path / "token"
    refused = CliRunner(env={"HODEI_TOKEN": WRONG}).invoke(
        app, ["tokens", "create", "ci", "--role", "viewer", "--token-file", str(file)]
    )

    assert refused.exit_code == 1
    assert not file.exists()


def test_tokens_are_listed_and_revoked_by_short_ids(fake: Fake) -> None:
    fake.login()
    assert json.loads(_hodei("tokens", "list", "--json").stdout)["id"] == ID
    listed = _hodei("tokens", "list", "--state", "active").stdout.split()
    assert {ID, "active", "submitter", "ci"} <= set(listed)

    assert _hodei("tokens", "revoke", ID[-8:]).stdout == f"{ID} revoked\n"
    assert fake.calls[-1][:2] == ("DELETE", f"/api/v1/tokens/{ID}")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["tokens", "create", "ci"], "missing option '--role'"),
        (
            ["tokens", "create", "ci", "--role", "root"],
            "'root' is not one of 'viewer', 'submitter', 'operator', 'admin'",
        ),
        (["tokens", "create", "a\nb", "--role", "viewer"], "'NAME': must not contain characters"),
        (["tokens", "create", "ci", "--role", "viewer", "--expires", "soon"], "'--expires': 'soon': a time is needed"),
        (
            ["tokens", "create", "ci", "--role", "viewer", "--expires", "9999999d"],
            "'--expires': '9999999d': is too far away",
        ),
        (["jobs", "--created-after", "9999999d"], "'--created-after' / '--since': '9999999d': is too far away"),
        (["tokens", "list", "--state", "lost"], "'--state': should be 'active', 'expired' or 'revoked'"),
        (["login", "http://a:1", "--profile", "a b"], "'--profile': "),
        (["jobs", "--profile", "prod"], "no such option: --profile (it stands before the command"),
    ],
)
def test_what_cannot_be_is_said_in_the_terms_of_the_command_line(arguments: list[str], says: str) -> None:
    ended = _hodei(*arguments)

    assert ended.exit_code == 2
    assert says in ended.stderr


def test_an_address_that_is_none_is_named() -> None:
    ended = _hodei("login", "hodei.example.org")

    assert (ended.exit_code, ended.stderr.splitlines()[0]) == (
        2,
        "hodei: hodei.example.org is not the address of a service; one looks like http://HOST:PORT",
    )
