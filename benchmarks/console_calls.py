"""The calls that the console's pages make, by the page: those that read, and the counts before an action on many jobs.

Not here: event streams; logs, which `benchmarks.logs` measures; and actions, which take as long whatever else there is.
`tests/unit/benchmarks/test_console_calls.py` compares the paths with those in the pages' modules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote

from benchmarks.filling_pages import FORMER, Filled

ORCHESTRATOR: Final = "orchestrator"
SCHEDULER: Final = "scheduler"
WORKER_MANAGER: Final = "worker_manager"
SERVICES: Final = (ORCHESTRATOR, SCHEDULER, WORKER_MANAGER)


@dataclass(frozen=True)
class Call:
    """A call of a page. With a `body` it is a POST that changes nothing."""

    page: str
    what: str
    path: str
    service: str = ORCHESTRATOR
    body: dict[str, object] | None = None


@dataclass(frozen=True)
class Shown:
    """What the pages are opened for. `pipeline` and `job` have a long history."""

    filled: Filled
    pipeline: str
    job: str
    token: str
    """The name of the token that submitted all jobs."""


def calls(shown: Shown) -> list[Call]:
    """All of them. Some match many rows, some few, some none."""
    filled = shown.filled
    return [
        *_now(),
        *_jobs(shown),
        *_counts_before_actions(shown),
        *_job(shown),
        *_pipelines(shown),
        *_schedules(filled),
        *_queue(filled),
        *_workers(),
        *_worker("Worker", filled.worker),
        *_worker("Worker that ran little", filled.former_worker),
        *_settings(),
        *_search(shown),
    ]


def _ago(**ago: float) -> str:
    return (datetime.now(UTC) - timedelta(**ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _now() -> Iterator[Call]:
    yield Call("Now", "who one is", "/api/v1/whoami")
    yield Call("Now", "jobs by status", "/api/v1/jobs/counts")
    yield Call("Now", "throughput of a day", f"/api/v1/jobs/throughput?since={_ago(days=1)}&step=1800")
    yield Call("Now", "what failed last", "/api/v1/jobs?status=failed&limit=5")
    yield Call("Now", "what waits", "/api/v1/queue?limit=200", SCHEDULER)
    yield Call("Now", "what waits for a key", "/api/v1/concurrency?limit=200")
    for status in ("online", "draining", "unhealthy"):
        yield Call("Now", f"workers: {status}", f"/api/v1/workers?status={status}&limit=100", SCHEDULER)
    for service in SERVICES:
        yield Call("Now", f"health of the {service}", "/health", service)


def job_filters(shown: Shown) -> dict[str, str]:
    """Filters of the list of jobs, by what they mean."""
    day, month = _ago(days=1), _ago(days=30)
    return {
        "all": "",
        "failed": "status=failed",
        "failed or cancelled": "status=failed,cancelled",
        "succeeded or running": "status=succeeded,running",
        "running, none": "status=running",
        "pending": "status=pending",
        "with a name": "name=true",
        "whose names begin": "name=nightly*",
        "whose names begin, many": "name=t*",
        "whose names begin, none": "name=zzz*",
        "of a pipeline, by name": "pipeline=deploy",
        "of a pipeline, failed": f"pipeline={shown.pipeline}&status=failed",
        "with a label": "label=team=web",
        "with a parameter": "parameter=env=prod",
        "with a parameter, none": "parameter=env=test",
        "created in the last hour": f"created_after={_ago(hours=1)}",
        "created a month ago": f"created_before={month}",
        "ended in the last day, failed": f"status=failed&finished_after={day}",
        "ended in the last day, succeeded": f"status=succeeded&finished_after={day}",
        "ended a month ago": f"finished_before={month}",
        "with a reason": "reason=exit_code",
        "with a concurrency key, none": "concurrency_key=deploy",
        "with a high priority, none": "priority=high",
        "of a schedule": f"schedule_id={shown.filled.schedule}",
        "submitted by a token": f"created_by={quote(shown.token)}",
        "submitted by a token, none": "created_by=ana",
        "cancelled by a token, none": "cancelled_by=ana",
    }


def _jobs(shown: Shown) -> Iterator[Call]:
    for what, query in job_filters(shown).items():
        yield Call("Jobs", f"100 jobs {what}", f"/api/v1/jobs?limit=100&{query}".rstrip("&"))
    yield Call("Jobs", "300 jobs", "/api/v1/jobs?limit=300")
    yield Call("Jobs", "throughput of a month", f"/api/v1/jobs/throughput?since={_ago(days=30)}&step=3600")
    yield Call("Jobs", "approvals", "/api/v1/approvals")


def _counts_before_actions(shown: Shown) -> Iterator[Call]:
    """Before "Cancel all that match?" the page asks how many there are. It leaves out jobs that come meanwhile."""
    filters: dict[str, dict[str, object]] = {
        "all": {},
        "failed": {"status": ["failed"]},
        "whose names begin": {"name": "nightly*"},
        "with a label": {"label": ["team=web"]},
        "of a pipeline": {"pipeline": shown.pipeline},
        "submitted by a token": {"created_by": shown.token},
        "created a month ago": {"created_before": _ago(days=30)},
    }
    for action in ("cancel", "rerun", "delete"):
        for what, given in filters.items():
            pinned = {"created_before": datetime.now(UTC).isoformat(), **given}
            body: dict[str, object] = {"filter": pinned, "dry_run": True}
            yield Call("Jobs", f"how many to {action}: {what}", f"/api/v1/jobs/{action}", body=body)


def _job(shown: Shown) -> Iterator[Call]:
    yield Call("Job", "a job", f"/api/v1/jobs/{shown.job}")
    yield Call("Job", "its timeline", f"/api/v1/jobs/{shown.job}/events")
    yield Call("Job", "why a step waits", f"/api/v1/tasks/{shown.filled.first_task}/explain", SCHEDULER)


def _pipelines(shown: Shown) -> Iterator[Call]:
    waiting = f"/api/v1/pipelines/{shown.filled.pipeline}"
    yield Call("Pipelines", "50 pipelines", "/api/v1/pipelines?limit=50")
    yield Call("Pipelines", "whose names begin", "/api/v1/pipelines?limit=50&name=dep*")
    yield Call("Pipelines", "archived", "/api/v1/pipelines?limit=50&status=archived")
    yield Call("Pipeline", "its newest version", f"{waiting}/versions?limit=1")
    yield Call("Pipeline", "50 versions", f"{waiting}/versions?limit=50")
    yield Call("Pipeline", "its runs", f"/api/v1/pipelines/{shown.pipeline}/statistics")
    yield Call("Run", "a pipeline", waiting)
    yield Call("Run", "a version", f"{waiting}/versions/1")
    yield Call("Run", "200 pipelines", "/api/v1/pipelines?limit=200")


def _schedules(filled: Filled) -> Iterator[Call]:
    queries = {
        "100 schedules": "",
        "paused, none": "status=paused",
        "failed, none": "status=failed",
        "whose names begin": "name=backup-9*",
        "with a name": "name=backup-500",
    }
    for what, query in queries.items():
        yield Call("Schedules", what, f"/api/v1/scheduled?limit=100&{query}".rstrip("&"), SCHEDULER)
    yield Call("Schedules", "1,000 pipelines to choose from", "/api/v1/pipelines?limit=1000")
    one = f"/api/v1/scheduled/{filled.schedule}"
    yield Call("Schedule", "a schedule", one, SCHEDULER)
    yield Call("Schedule", "its next times", f"{one}/next?count=5", SCHEDULER)
    yield Call("Schedule", "its history", f"{one}/history?limit=25", SCHEDULER)


def _queue(filled: Filled) -> Iterator[Call]:
    queries = {
        "100 tasks": "",
        "of high priority, none": "priority=high",
        "with a name": "name=train",
        "with a label": f"label={quote('stage=test')}",
        "which require a label": f"requires={quote('gpu=model-3')}",
        "which require a label, none": f"requires={quote('gpu=no')}",
    }
    for what, query in queries.items():
        yield Call("Queue", what, f"/api/v1/queue?limit=100&{query}".rstrip("&"), SCHEDULER)
    for what, task in (("first", filled.first_task), ("last", filled.last_task)):
        yield Call("Queue", f"why the {what} one waits", f"/api/v1/tasks/{task}/explain", SCHEDULER)


def _workers() -> Iterator[Call]:
    queries = {
        "100 workers": "",
        "offline": "status=offline",
        "of a type, none": "type=gpu",
        "whose names begin": "name=north-9*",
        "with a label": f"label={quote('zone=north')}",
    }
    for what, query in queries.items():
        yield Call("Workers", what, f"/api/v1/workers?limit=100&{query}".rstrip("&"), SCHEDULER)
    for status in ("starting", "failed"):
        yield Call("Workers", f"processes: {status}", f"/api/v1/workers?status={status}&limit=50", WORKER_MANAGER)


def _worker(page: str, worker: str) -> Iterator[Call]:
    """The statuses that its page offers."""
    executions = f"/api/v1/executions?worker_id={worker}&limit=50"
    if not page.endswith("little"):
        yield Call(page, "the worker", f"/api/v1/workers/{worker}", SCHEDULER)
        yield Call(page, "its process", f"/api/v1/workers/{worker}", WORKER_MANAGER)
    yield Call(page, "its executions", executions, WORKER_MANAGER)
    for status in ("pending", "running", "succeeded", "failed", "cancelled", "lost", "timed_out"):
        yield Call(page, f"its executions: {status}", f"{executions}&status={status}", WORKER_MANAGER)


def _settings() -> Iterator[Call]:
    lists = {"tokens": ORCHESTRATOR, "join-tokens": WORKER_MANAGER, "credentials": WORKER_MANAGER}
    for name, service in lists.items():
        yield Call("Settings", name, f"/api/v1/{name}", service)
        yield Call("Settings", f"{name}: active", f"/api/v1/{name}?state=active", service)
    yield Call("Settings", "retention and versions", "/api/v1/platform")
    for service in (SCHEDULER, WORKER_MANAGER):
        yield Call("Settings", f"audit log of the {service}", "/api/v1/audit", service)
    queries = {
        "audit log": "",
        "audit log: changed": "outcome=changed",
        "audit log: forbidden": "outcome=forbidden",
        "audit log: failed, none": "outcome=failed",
        "audit log of a token": "by=ci",
        "audit log of a token that did little": "by=bob",
        "audit log of a token that did nothing for long": f"by={FORMER}",
        "audit log of a token, none": "by=nobody",
        "audit log: DELETE": "method=DELETE",
        "audit log: PUT, none": "method=PUT",
        "audit log of a token: PATCH, none": "by=ci&method=PATCH",
    }
    for what, query in queries.items():
        yield Call("Settings", what, f"/api/v1/audit?{query}".rstrip("?"))


def _search(shown: Shown) -> Iterator[Call]:
    lists = {"jobs": ORCHESTRATOR, "pipelines": ORCHESTRATOR, "scheduled": SCHEDULER, "workers": SCHEDULER}
    names = {"jobs": "nightly", "pipelines": "service-9", "scheduled": "backup-9", "workers": "north-9"}
    for name, service in lists.items():
        yield Call("Search", f"names: {name}", f"/api/v1/{name}?name={names[name]}*&limit=10", service)
    yield Call("Search", "names of jobs, none", "/api/v1/jobs?name=zzz*&limit=10")
    yield Call("Search", "short id: a job", f"/api/v1/jobs?short_id={shown.job[-8:]}&limit=10")
    yield Call("Search", "short id: no job", "/api/v1/jobs?short_id=fedcba98&limit=10")
    for name in ("pipelines", "scheduled", "workers"):
        yield Call("Search", f"short id: 1,000 {name}", f"/api/v1/{name}?limit=1000", lists[name])
