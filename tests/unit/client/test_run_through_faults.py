"""`hodei run` and a platform that answers badly: the job is cancelled, or stderr tells what becomes of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from hodei import patience, run
from hodei.client import Client, UnexpectedAnswer
from hodei.client import transport as transports
from schemas.rest.jobs import JobCreate

JOB = JobCreate(command="true")
ID = "019a0000-0000-7000-8000-000000000001"
NOW = "2026-01-01T00:00:00Z"
UNSET = "reason detail pipeline_id pipeline_version run_at rerun_of schedule_id started_at finished_at timeout"
DETAIL: dict[str, Any] = dict.fromkeys(UNSET.split()) | {
    "id": ID,
    "name": "job",
    "status": "running",
    "priority": "normal",
    "params": {},
    "labels": {},
    "env": {},
}
DETAIL |= {"created_at": NOW, "cleanup_timeout": 60, "tasks": []}
LINE = {"timestamp": NOW, "stream": "stdout", "message": "line", "task": "main", "attempt": 1, "execution_id": ID}

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Platform:
    """An orchestrator with one job, which writes a line and ends when it is cancelled."""

    def __init__(self) -> None:
        self.submissions: list[Answer] = []
        """What is answered to submissions before they are taken."""
        self.refusals: list[int] = []
        """Statuses that are answered to cancelling before it is taken."""
        self.line: dict[str, Any] = LINE
        self.timeline: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.status = "running"
        self.loses_answer = False
        """Whether the response is lost to the request that cancels the job."""
        self.stopping = False
        self.asked_again = asyncio.Event()
        """Set by a request to cancel the job while it is being stopped."""
        self.followed = asyncio.Event()
        self.ended = asyncio.Event()

    def end(self, status: str) -> None:
        self.status = status
        self.ended.set()

    def app(self) -> web.Application:
        app = web.Application()
        at = f"/api/v1/jobs/{ID}"
        app.router.add_post("/api/v1/jobs", self._submit)
        app.router.add_post("/api/v1/jobs/cancel", self._cancel)
        app.router.add_get(at, self._job)
        app.router.add_get(f"{at}/status", self._state)
        app.router.add_get(f"{at}/logs", self._logs)
        app.router.add_get(f"{at}/events", self._events)
        return app

    async def _submit(self, request: web.Request) -> web.StreamResponse:
        self.keys.append(request.headers["Idempotency-Key"])
        await request.read()
        return await self.submissions.pop(0)(request) if self.submissions else web.json_response(DETAIL, status=201)

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        if self.refusals:
            return web.json_response({}, status=self.refusals.pop(0))
        if self.stopping:
            self.asked_again.set()
            refused = [{"id": ID, "detail": "it is being stopped already"}]
            return web.json_response({"matched": 1, "done": 0, "refused": refused, "more": False})
        self.stopping = True
        if self.loses_answer:
            assert request.transport is not None
            request.transport.close()
        else:
            self.end("cancelled")
        return web.json_response({"matched": 1, "done": 1, "refused": [], "more": False})

    async def _job(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(DETAIL | {"status": self.status})

    async def _state(self, request: web.Request) -> web.StreamResponse:
        await self.ended.wait()
        return web.json_response({"id": ID, "status": self.status})

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        self.followed.set()
        return await self._stream(request, [self.line])

    async def _events(self, request: web.Request) -> web.StreamResponse:
        return await self._stream(request, self.timeline)

    async def _stream(self, request: web.Request, entries: list[dict[str, Any]]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number, entry in enumerate(entries):
            await response.write(f"id: {number}\ndata: {json.dumps(entry)}\n\n".encode())
        await self.ended.wait()
        await response.write(b"event: end\ndata: {}\n\n")
        return response


async def away(request: web.Request) -> web.StreamResponse:
    return web.json_response({}, status=503, headers={"Retry-After": "0"})


async def overloaded(request: web.Request) -> web.StreamResponse:
    """For longer than the client waits."""
    return web.json_response({"detail": "too many jobs"}, status=429, headers={"Retry-After": "3600"})


async def overloaded_for_a_second(request: web.Request) -> web.StreamResponse:
    return web.json_response({"title": "Too Many Requests", "status": 429}, status=429, headers={"Retry-After": "1"})


async def broken_off(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def a_page(request: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>hello</html>", content_type="text/html")


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transports, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(patience, "PAUSE", 0.001)
    monkeypatch.setattr(run, "ASK_AGAIN", 0.001)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> asyncio.Queue[str]:
    """What a submission says, at its first failure."""
    said: asyncio.Queue[str] = asyncio.Queue()
    monkeypatch.setattr(patience, "TOLD_AFTER", 0.0)
    monkeypatch.setattr(patience, "say", said.put_nowait)
    return said


@pytest.fixture
async def platform() -> Platform:
    return Platform()


@pytest.fixture
async def url(platform: Platform) -> AsyncIterator[str]:
    async with TestServer(platform.app()) as server:
        yield str(server.make_url("/"))


@pytest.fixture
async def client(url: str) -> AsyncIterator[Client]:
    async with Client(url) as client:
        yield client


async def hodei(url: str, script: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a line for bash, in which `hodei` is this one."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", script.replace("hodei", f"{sys.executable} -m hodei", 1),
        env=os.environ | {"HODEI_ORCHESTRATOR_URL": url},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_a_full_disk_behind_the_output_cancels_the_job_and_says_why(url: str, platform: Platform) -> None:
    code, _, err = await hodei(url, "hodei run -q true >/dev/full")
    assert (code, platform.status) == (run.PLATFORM_FAILED, "cancelled")
    assert f"hodei: standard output: No space left on device: cancelling job {ID}" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("hodei run -q true >/dev/full", run.PLATFORM_FAILED),
        ("exec 3> >(exec 0<&-); wait $!; hodei run -q true >&3", 128 + signal.SIGPIPE),
    ],
)
async def test_a_job_that_succeeded_and_whose_output_was_not_written_whole_is_no_success(
    url: str, platform: Platform, script: str, code: int
) -> None:
    platform.end("succeeded")
    platform.refusals = [409]
    found, _, err = await hodei(url, script)
    assert (found, platform.status) == (code, "succeeded")
    assert err.count("No space left on device") == (code == run.PLATFORM_FAILED)


async def test_a_missing_output_is_the_null_device_and_messages_stay_out_of_it(url: str, platform: Platform) -> None:
    platform.end("succeeded")
    assert await hodei(url, "hodei run true 2>&-") == (0, "line\n", "")
    assert await hodei(url, "hodei run -q true >&-") == (0, "", "")


@pytest.mark.parametrize(
    ("script", "code", "why"),
    [
        ("hodei run -d true >/dev/full", run.PLATFORM_FAILED, "No space left on device"),
        ("exec 3> >(exec 0<&-); wait $!; hodei run -d true >&3", 128 + signal.SIGPIPE, "Broken pipe"),
    ],
)
async def test_the_id_of_a_detached_job_is_not_lost_with_the_output(
    url: str, platform: Platform, script: str, code: int, why: str
) -> None:
    found, _, err = await hodei(url, script)
    assert (found, platform.status) == (code, "running")
    assert err.startswith(f"hodei: standard output: {why}: stopped following job {ID}, which goes on")


async def test_whatever_ends_the_following_the_job_is_named(
    client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def show(self: object, line: object) -> None:
        raise AttributeError("a fault of this program")

    monkeypatch.setattr(run.Output, "show", show)
    assert await run.run(client, JOB, quiet=True) == run.PLATFORM_FAILED
    said = capsys.readouterr().err
    assert "a fault of this program" in said
    assert f"stopped following job {ID}: it may go on" in said


async def test_cancelling_goes_on_through_overload_and_failures(
    client: Client, platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    platform.refusals = [429, 429, 503, 500, 400]
    following = asyncio.create_task(run.run(client, JOB))
    async with asyncio.timeout(10):
        await platform.followed.wait()
        os.kill(os.getpid(), signal.SIGINT)
        assert await following == 130
    assert (platform.status, platform.refusals) == ("cancelled", [])
    said = capsys.readouterr().err
    assert (said.count("hodei: 500"), said.count("hodei: 400")) == (1, 1)
    assert "503" not in said  # the client itself sends the request again


async def test_a_cancellation_without_an_answer_is_repeated_and_ends_no_clean_up(
    client: Client, platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    platform.loses_answer = True
    following = asyncio.create_task(run.run(client, JOB))
    async with asyncio.timeout(10):
        await platform.followed.wait()
        os.kill(os.getpid(), signal.SIGINT)
        await platform.asked_again.wait()
        platform.end("cancelled")  # by itself, after its clean-up
        assert await following == 130
    assert "hodei: 4" not in capsys.readouterr().err


async def test_a_job_that_was_cancelled_elsewhere_is_not_an_interrupt(client: Client, platform: Platform) -> None:
    platform.end("cancelled")
    assert await run.run(client, JOB) == 128 + signal.SIGTERM


async def test_a_submission_waits_for_an_orchestrator_that_starts_and_says_so(
    platform: Platform, told: asyncio.Queue[str]
) -> None:
    platform.end("succeeded")
    port = unused_port()
    async with asyncio.timeout(20), Client(f"http://127.0.0.1:{port}") as client:
        running = asyncio.create_task(run.run(client, JOB, quiet=True))
        said = await told.get()
        async with TestServer(platform.app(), port=port):
            assert await running == 0
    assert f"the job is not accepted yet (http://127.0.0.1:{port}: Connect call failed" in said


async def test_a_submission_that_is_turned_away_waits_and_says_so(
    client: Client, platform: Platform, told: asyncio.Queue[str]
) -> None:
    platform.submissions = [overloaded_for_a_second]
    platform.end("succeeded")
    async with asyncio.timeout(20):
        running = asyncio.create_task(run.run(client, JOB, quiet=True))
        assert "the job is not accepted yet (429" in await told.get()
        assert await running == 0
    assert (len(platform.keys), len(set(platform.keys))) == (2, 1)


async def test_a_submission_that_cannot_have_arrived_is_given_up_at_the_first_signal(
    told: asyncio.Queue[str], capsys: pytest.CaptureFixture[str]
) -> None:
    async with asyncio.timeout(20), Client(f"http://127.0.0.1:{unused_port()}") as client:
        running = asyncio.create_task(run.run(client, JOB))
        assert "Ctrl-C stops trying" in await told.get()
        os.kill(os.getpid(), signal.SIGINT)
        assert await running == 130
    said = capsys.readouterr().err
    assert "the job was not submitted" in said
    assert "may have been accepted" not in said


@pytest.mark.parametrize("last", [overloaded, away])
async def test_a_submission_that_broke_off_and_was_refused_later_may_have_been_accepted(
    client: Client,
    platform: Platform,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    last: Answer,
) -> None:
    monkeypatch.setattr(patience, "PATIENCE", 0.0)
    platform.submissions = [broken_off, last, last, last]
    assert await run.run(client, JOB) == run.PLATFORM_FAILED
    said = capsys.readouterr().err
    assert len(set(platform.keys)) == 1
    assert f"may have been accepted and may run; its Idempotency-Key is {platform.keys[0]}" in said


async def test_a_submission_is_sent_again_under_its_key_for_longer_than_one_request(
    client: Client, platform: Platform
) -> None:
    platform.submissions = [away] * 9 + [broken_off]
    platform.end("succeeded")
    assert await run.run(client, JOB) == 0
    assert (len(platform.keys), len(set(platform.keys))) == (11, 1)


async def test_another_server_at_the_address_is_called_so(
    client: Client, platform: Platform, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    platform.submissions = [a_page]
    assert await run.run(client, JOB) == run.PLATFORM_FAILED
    assert f"hodei: {url} is not Hodei's orchestrator" in capsys.readouterr().err
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", a_page)
    async with TestServer(app) as server, Client(str(server.make_url("/"))) as client:
        with pytest.raises(UnexpectedAnswer, match="is not Hodei's orchestrator"):
            await anext(client.jobs())
        with pytest.raises(UnexpectedAnswer, match="text/html"):
            await anext(client.follow_logs(ID))


RETRY = {"id": ID, "type": "tasks.retrying", "time": NOW, "data": {"name": "main", "attempt": 2, "reason": "exit_code"}}


async def test_the_retry_of_a_quick_job_is_told_though_the_output_is_over_first(
    client: Client, platform: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    over = asyncio.Event()

    async def late(request: web.Request) -> web.StreamResponse:
        await over.wait()
        return await platform._stream(request, [RETRY])

    monkeypatch.setattr(platform, "_events", late)
    async with TestServer(platform.app()) as server, Client(str(server.make_url("/"))) as client:
        platform.end("succeeded")
        job = client.job

        async def and_then(job_id: str) -> Any:
            found = await job(job_id)
            asyncio.get_running_loop().call_later(0.1, over.set)
            return found

        monkeypatch.setattr(client, "job", and_then)
        assert await run.run(client, JOB) == 0
    assert "main: attempt 1 failed (exit_code); attempt 2 follows now" in capsys.readouterr().err


@pytest.mark.parametrize("limit", [1024, transports.LONGEST_LINE])
async def test_a_line_of_the_timeline_may_be_long_and_one_too_long_only_ends_the_commentary(
    client: Client,
    platform: Platform,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    limit: int,
) -> None:
    monkeypatch.setattr(transports, "LONGEST_LINE", limit)
    platform.timeline = [{"id": ID, "type": "jobs.created", "time": NOW, "data": {"env": "x" * 2**20}}, RETRY]
    platform.end("succeeded")
    assert await run.run(client, JOB) == 0
    said = capsys.readouterr().err
    assert ("attempt 2 follows" in said) is (limit > 2**20)
    assert "could not be shown" not in said


@pytest.mark.parametrize("together", [False, True], ids=["output alone", "with remarks"])
@pytest.mark.parametrize(
    ("command", "code", "status"),
    [("run -q true", 130, "cancelled"), (f"logs -f {ID}", 130, "running"), (f"logs -f --json {ID}", 130, "running")],
)
async def test_an_interrupt_is_heard_while_nobody_reads_the_output(
    url: str, platform: Platform, command: str, code: int, status: str, together: bool
) -> None:
    size = 1_000_000  # many times what a pipe holds
    platform.line = LINE | {"message": "x" * size}
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hodei", *command.split()),
        env=os.environ | {"HODEI_ORCHESTRATOR_URL": url},
        stdout=writing,
        stderr=writing if together else asyncio.subprocess.DEVNULL,
    )
    os.close(writing)
    began = asyncio.Event()
    asyncio.get_running_loop().add_reader(reading, began.set)
    try:
        async with asyncio.timeout(30):
            await began.wait()
            asyncio.get_running_loop().remove_reader(reading)
            process.send_signal(signal.SIGINT)
            if status == "cancelled":
                await platform.ended.wait()
                with os.fdopen(reading, "rb", closefd=False) as file:
                    shown = await asyncio.to_thread(file.read)
                assert len(shown) >= size
            assert await process.wait() == code
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(reading)
    assert platform.status == status
