"""Calls and commands about many jobs: what was done is kept, whatever becomes of the rest."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from typer.testing import CliRunner, Result

from hodei.bulk import WORDS, Verb
from hodei.cli import app
from hodei.client import ApiError, Client
from hodei.client import transport as transports

ALL = ("--all", "--status", "failed")
IDS = [f"0192f0c1-2345-7abc-8def-{number:012}" for number in range(10)]
REFUSED = {"id": IDS[9], "detail": "it is running: cancel it first, or wait"}


class Orchestrator:
    """Changes two jobs in the first request, and fails in the second as often as there are statuses left."""

    def __init__(self, url: str = "") -> None:
        self.url = url
        self.failures: list[int] = []
        self.matching = 0
        """How many jobs a trial counts."""
        self.refused: dict[str, int] = {}
        """The statuses with which the deletion of a single job is refused."""
        self.detail = "not now"
        self.bodies: list[dict[str, object]] = []
        self.keys: list[str | None] = []
        self.deleted: list[str] = []

    async def change(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.bodies.append(body)
        self.keys.append(request.headers.get("Idempotency-Key"))
        if body.get("dry_run"):
            counted = {"matched": self.matching, "more": self.matching == 100_000}
            return web.json_response({"done": 0, "refused": [], **counted})
        first = "cursor" not in body if "filter" in body else body["ids"][0] == IDS[0]
        if not first and self.failures:
            return problem(self.failures.pop(0))
        ids = (IDS[:2] if first else IDS[2:3]) if request.match_info["verb"] == "rerun" else []
        cursor = "c1" if first and "filter" in body else None
        return web.json_response({
            "matched": 3 if first else 1, "done": 2 if first else 1, "refused": [REFUSED] if first else [],
            "more": cursor is not None, "cursor": cursor, "ids": ids,
        })  # fmt: skip

    async def prune(self, request: web.Request) -> web.Response:
        self.bodies.append({})
        if len(self.bodies) > 1:
            return problem(self.failures.pop(0))
        return web.json_response({"deleted": 2, "more": True})

    async def delete(self, request: web.Request) -> web.Response:
        job_id = request.match_info["id"]
        if job_id in self.refused:
            return problem(self.refused[job_id], self.detail)
        self.deleted.append(job_id)
        return web.Response(status=204)


def problem(status: int, detail: str = "not now") -> web.Response:
    body = {"type": "about:blank", "title": "No", "status": status, "detail": detail, "instance": "/"}
    return web.json_response(body, status=status, content_type="application/problem+json")


@pytest.fixture
async def orchestrator(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Orchestrator]:
    monkeypatch.setattr(transports, "FIRST_DELAY", 0.0)
    one = Orchestrator()
    served = web.Application()
    served.router.add_post("/api/v1/jobs/{verb}", one.change)
    served.router.add_delete("/api/v1/jobs/{id}", one.delete)
    served.router.add_delete("/api/v1/jobs", one.prune)
    async with TestServer(served) as server:
        one.url = str(server.make_url("/"))
        yield one


async def hodei(orchestrator: Orchestrator, *arguments: str) -> Result:
    """Run a command in a thread, as it has an event loop of its own."""
    runner = CliRunner(env={"HODEI_ORCHESTRATOR_URL": orchestrator.url.rstrip("/")})
    async with asyncio.timeout(30):
        return await asyncio.to_thread(runner.invoke, app, list(arguments))


@pytest.mark.parametrize("status", [409, 503])
async def test_what_was_done_before_an_error_is_printed_with_it(orchestrator: Orchestrator, status: int) -> None:
    orchestrator.failures = [status] * 4

    ended = await hodei(orchestrator, "rerun", *ALL)

    assert (ended.exit_code, ended.stdout.split()) == (1, IDS[:2])
    left, error = ended.stderr.splitlines()
    assert left == f"hodei: job {REFUSED['id']} was left as it is: {REFUSED['detail']}"
    assert error == f"hodei: {status} No: not now"


@pytest.mark.parametrize("verb", ["cancel", "rerun", "delete"])
async def test_what_was_done_before_an_error_is_printed_as_json(orchestrator: Orchestrator, verb: str) -> None:
    orchestrator.failures = [503] * 4

    ended = await hodei(orchestrator, verb, *ALL, "--json")

    assert ended.exit_code == 1
    assert json.loads(ended.stdout) == {
        "matched": 3, "done": 2, "refused": [REFUSED], "more": True, "cursor": "c1",
        "ids": IDS[:2] if verb == "rerun" else [],
    }  # fmt: skip
    assert ended.stderr.splitlines() == ["hodei: 503 No: not now"]


@pytest.mark.parametrize("verb", ["cancel", "rerun"])
async def test_what_was_done_of_named_jobs_is_printed_with_an_error(orchestrator: Orchestrator, verb: str) -> None:
    orchestrator.failures = [503] * 4
    size = 100 if verb == "rerun" else 1000  # of one request

    ended = await hodei(orchestrator, verb, IDS[0], *[IDS[3]] * size, "--json")

    changed = json.loads(ended.stdout)
    assert (ended.exit_code, changed["done"], changed["more"], changed["cursor"]) == (1, 2, True, None)


@pytest.mark.parametrize(("matching", "jobs"), [(1, "1 job"), (99_999, "99999 jobs"), (100_000, "100000 jobs or more")])
@pytest.mark.parametrize("verb", ["cancel", "rerun", "delete"])
async def test_a_dry_run_says_where_its_count_ends(
    orchestrator: Orchestrator, verb: Verb, matching: int, jobs: str
) -> None:
    orchestrator.matching = matching

    ended = await hodei(orchestrator, verb, "--all", "--dry-run")
    as_json = await hodei(orchestrator, verb, "--all", "--dry-run", "--json")

    assert (ended.exit_code, ended.stdout) == (0, f"{WORDS[verb].would.format(jobs=jobs)}\n")
    assert as_json.exit_code == 0
    counted = json.loads(as_json.stdout)
    assert (counted["matched"], counted["done"], counted["more"]) == (matching, 0, matching == 100_000)


async def test_prune_says_what_it_deleted_before_an_error(orchestrator: Orchestrator) -> None:
    orchestrator.failures = [404]
    ended = await hodei(orchestrator, "prune", "--older-than", "1d")
    assert (ended.exit_code, ended.stdout, ended.stderr) == (1, "deleted 2 jobs\n", "hodei: 404 No: not now\n")


async def test_filters_that_are_all_none_do_not_stand_for_all_jobs(orchestrator: Orchestrator) -> None:
    async with Client(orchestrator.url) as client:
        with pytest.raises(TypeError, match="all filters are None: name, created_by; without any"):
            await client.delete_selected_jobs(name=None, created_by=None)
    assert orchestrator.bodies == []


async def test_nothing_is_printed_when_nothing_was_done(orchestrator: Orchestrator) -> None:
    orchestrator.failures = [503] * 4
    ended = await hodei(orchestrator, "rerun", IDS[5], IDS[6], "--json")
    assert (ended.exit_code, ended.stdout) == (1, "")


@pytest.mark.parametrize("verb", ["rerun_jobs", "delete_selected_jobs", "cancel_jobs"])
async def test_a_batch_without_an_answer_is_sent_again(orchestrator: Orchestrator, verb: str) -> None:
    orchestrator.failures = [503] * 4
    async with Client(orchestrator.url) as client:
        with pytest.raises(ApiError) as caught:
            await getattr(client, verb)(status="failed")

        changed = caught.value.changed
        assert changed is not None
        assert (changed.matched, changed.done, changed.more, changed.cursor) == (3, 2, True, "c1")
        first, *rest = orchestrator.keys
        assert len(rest) == 4
        if verb == "rerun_jobs":
            assert (len({first, *rest}), None in rest) == (2, False)

        orchestrator.failures = [503] * 3
        assert (await getattr(client, verb)(status="failed")).done == 3


@pytest.mark.parametrize("status", [404, 409])
async def test_named_jobs_are_deleted_although_one_of_them_is_not(orchestrator: Orchestrator, status: int) -> None:
    orchestrator.refused = {IDS[1]: status}

    ended = await hodei(orchestrator, "delete", *IDS[:3], IDS[0])

    assert (ended.exit_code, ended.stdout) == (1, f"{IDS[0]} deleted\n{IDS[2]} deleted\n")
    assert ended.stderr == f"hodei: job {IDS[1]} was left as it is: not now\n"
    assert orchestrator.deleted == [IDS[0], IDS[2]]
    ended = await hodei(orchestrator, "delete", *IDS[:3], "--json")
    assert [json.loads(line) for line in ended.stdout.splitlines()] == [{"id": IDS[0]}, {"id": IDS[2]}]


@pytest.mark.parametrize(
    ("detail", "says"),
    [
        (
            f"job {IDS[1]} is pending: cancel it first",
            f"job {IDS[1]} was left as it is: it is pending: cancel it first",
        ),
        (f"there is no job {IDS[1]}", f"there is no job {IDS[1]}"),
    ],
)
async def test_a_job_that_was_not_deleted_is_named_once(orchestrator: Orchestrator, detail: str, says: str) -> None:
    orchestrator.refused, orchestrator.detail = {IDS[1]: 409}, detail
    assert (await hodei(orchestrator, "delete", IDS[1])).stderr == f"hodei: {says}\n"


async def test_no_further_jobs_are_deleted_when_the_platform_fails(orchestrator: Orchestrator) -> None:
    orchestrator.refused = {IDS[1]: 503}

    ended = await hodei(orchestrator, "delete", *IDS[:3])

    assert (ended.exit_code, ended.stdout) == (1, f"{IDS[0]} deleted\n")
    assert ended.stderr == "hodei: 503 No: not now\n"


async def test_no_job_is_deleted_when_a_name_is_wrong(orchestrator: Orchestrator) -> None:
    ended = await hodei(orchestrator, "delete", IDS[0], "")
    assert (ended.exit_code, orchestrator.deleted) == (1, [])
