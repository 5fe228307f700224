"""Writes the pages of docs/ that are generated from the code: the tables in schemas/, the log events in the code, the
lists of the OpenAPI documents and the metrics of every process. A test keeps them up to date.
"""

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from aiohttp.web import Application

import nats_exporter.app
import orchestrator.app
import scheduler.app
import worker_manager.app
from docs import asyncapi, command_line, log_events
from nats_exporter.settings import NatsExporterSettings
from orchestrator.domain import flow
from orchestrator.settings import OrchestratorSettings
from scheduler.settings import SchedulerSettings
from schemas import states
from schemas.cloudevents import BATCH_CONTENT_TYPE, EVENT_CONTENT_TYPE
from schemas.events import EVENT_TYPES
from schemas.questions import QUESTIONS
from schemas.subjects import CONSUMERS, REPORTS, Catalogue
from shared.service import Service
from shared.telemetry import Declared
from shared.web import DOCUMENT, METRICS, WebServer
from worker_manager.settings import WorkerManagerSettings

HERE: Final = Path(__file__).parent
DECISIONS_BEGIN: Final = "<!-- generated from orchestrator/domain/flow.py by `make docs` -->"
DECISIONS_END: Final = "<!-- end -->"
MACHINES: Final[tuple[states.StateMachine[Any], ...]] = (
    states.JOB,
    states.TASK,
    states.EXECUTION,
    states.WORKER,
    states.WORKER_PROCESS,
    states.SCHEDULE,
)


_STATES_INTRO: Final = """\
# Lifecycles

Generated from `schemas/states.py` by `make docs`.

- Reports may arrive out of order. Therefore a later state may follow directly, such as `succeeded` after `queued`.
- A task goes back to `queued` with its next attempt: after a failure that is retried, or after a lost worker.
- A task that is `skipped` does not run, because of its `if` or the steps that it depends on; its `reason` states
  the case.
- A worker has two lifecycles: *worker* is the scheduler's view (may work be placed there?), *worker process* the worker
  manager's view of a process that it started.
"""


def state_diagrams() -> str:
    """Every lifecycle as a Mermaid diagram."""
    parts = [_STATES_INTRO]
    for machine in MACHINES:
        lines = [f"    [*] --> {machine.initial}"]
        for state, following in machine.transitions.items():
            lines += [f"    {state} --> {target}" for target in sorted(following)]
            lines += [] if following else [f"    {state} --> [*]"]
        parts.append(f"## {machine.name.capitalize()}\n\n```mermaid\nstateDiagram-v2\n" + "\n".join(lines) + "\n```\n")
    return "\n".join(parts)


def pipelines_page() -> str:
    """The page about pipelines, with the tables of `orchestrator.domain.flow` between their marks."""
    before, begin, rest = (HERE / "pipelines.md").read_text().partition(f"{DECISIONS_BEGIN}\n")
    _, end, after = rest.partition(DECISIONS_END)
    assert begin, "docs/pipelines.md has lost the mark of its generated tables"
    assert end, "docs/pipelines.md has lost the mark of its generated tables"
    return before + begin + _decisions() + end + after


def _decisions() -> str:
    lines = [
        "",
        "| a step that ended as | is good for `on_success` | shows a failure to `on_failure` |",
        "|---|---|---|",
    ]
    for ending, seen in flow.SEEN.items():
        failed = "if there is one before it" if seen.failed is None else _yes(seen.failed)
        lines.append(f"| {ending.value} | {_yes(seen.good)} | {failed} |")
    kinds = list(flow.DECISIONS)
    lines += ["", f"| the steps in `depends_on` | {' | '.join(f'`{kind}`' for kind in kinds)} |", "|---" * 4 + "|"]
    for upstream in flow.Upstream:
        reasons = [flow.DECISIONS[kind][upstream] for kind in kinds]
        cells = ["runs" if reason is None else f"skipped: `{reason.value}`" for reason in reasons]
        lines.append(f"| {upstream.value} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n\n"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def event_catalogue() -> str:
    """Every event type, its fields, and who consumes it."""
    parts = [
        "# Events\n\nGenerated from `schemas/events/` and `schemas/subjects.py` by `make docs`. The bus subject is"
        " `hodei.<type>`. The reports of workers (`"
        + "`, `".join(REPORTS)
        + "`) are on `hodei.<type>.<worker id>`, so that NATS can check who publishes them; on `hodei.<type>` services"
        " publish those again that others have missed. Each message there, and each on"
        " `hodei.logs.<execution id>.<worker id>`, is a CloudEvents batch with the"
        f" header `Content-Type: {BATCH_CONTENT_TYPE}`. On the feed each event stands alone on"
        f" `hodei.feed.<plural>.<id>.<verb>`, with `Content-Type: {EVENT_CONTENT_TYPE}`. For tools the same, with the"
        " schemas of subjects, headers and payloads, is in [asyncapi.json](asyncapi.json) (AsyncAPI 3).\n\n"
        "Without NATS, the events of the feed can be followed over HTTP, even with `HODEI_FEED=off`:"
        " `GET /api/v1/events` of the orchestrator is a `text/event-stream` of them, filtered by `types`, `job_id` and"
        " `worker_id`, from the time `since`, resumed with `Last-Event-ID`; `hodei events` and the Python client's"
        " `feed()` use it. Events are kept for 7 days. Over HTTP, the data of"
        " events have no `run`, `target`, `inputs` and `outputs`, which may hold secrets.\n\n```bash\ncurl -N"
        " 'http://localhost:8080/api/v1/events?types=jobs.failed,workers.*'\nhodei events --type 'jobs.*' --since 1h\n"
        "```\n"
    ]
    for name, model in sorted(EVENT_TYPES.items()):
        takers = [f"`{spec.durable}`" for spec in CONSUMERS if name in spec.event_types]
        fields = ", ".join(
            f"`{field}`" + ("" if info.is_required() else "?") for field, info in model.model_fields.items()
        )
        about = " ".join((model.__dict__.get("__doc__") or "").split())
        lines = [
            f"## {name}",
            *([about] if about else []),
            f"Fields: {fields}",
            f"Consumers: {', '.join(takers) or 'none'}",
        ]
        parts.append("\n\n".join(lines) + "\n")
    parts.append(_questions())
    return "\n".join(parts)


def _questions() -> str:
    """What services ask each other."""
    lines = [
        "## Questions between services\n\nInternal and subject to change: while a request waits, one service may ask"
        " another on core NATS (request and reply). One replica of the owner answers, within two seconds; without an"
        ' answer the request gets a 503. The reply is `{"answer": {...}}` or `{"refusal": {"reason": "not_found",'
        " ...}}`. A question changes nothing; facts travel as events only.\n",
        "| subject | question | answer |",
        "|---|---|---|",
    ]
    for spec in QUESTIONS:
        asked, answered = (
            ", ".join(f"`{field}`" for field in model.model_fields) for model in (spec.question, spec.answer)
        )
        lines.append(f"| `{Catalogue().question(spec.owner, spec.name)}` | {asked} | {answered} |")
    return "\n".join(lines) + "\n"


def log_event_catalogue() -> str:
    """Every event that is logged, at which level, by whom, with which fields of its own."""
    lines = [
        "# Log events\n\nGenerated from the code by `make docs`. [logging.md](logging.md) explains"
        " the fields, and lists those of every line.\n",
        "| event | level | logged by | fields |",
        "|---|---|---|---|",
    ]
    for name, event in sorted(log_events.found().items()):
        levels = ", ".join(sorted({log_events.LEVELS.get(level, "varies") for level in event.levels}))
        fields = ", ".join(f"`{one}`" for one in sorted(event.fields))
        lines.append(f"| `{name}` | {levels} | {', '.join(sorted(event.packages))} | {fields} |")
    return "\n".join(lines) + "\n"


_METRICS_INTRO: Final = """\
# Metrics

Generated from the processes themselves by `make docs`. Each serves its own on `GET /metrics`: orchestrator 8080,
scheduler 8081, worker manager 8082, NATS exporter 7777. PostgreSQL's come from `postgres_exporter`. How Prometheus
reads them, what it derives from them and when it raises an alert is in `compose/prometheus/`; what to do then is in
[operations.md](operations.md#alerts). `compose/grafana/` has dashboards of them.

- Durations are in seconds, sizes in bytes; a counter ends in `_total`, a histogram has `_bucket`, `_sum`, `_count`.
- Labels contain routes, event types, consumers and statuses, but never the id of a job, task, execution or worker.
- Values that need a query (`hodei_bus_consumer_*`, `hodei_bus_stream_*`, `hodei_scheduler_queue_*`,
  `hodei_scheduler_workers`, `hodei_scheduler_slots*`, `hodei_agent*`, `hodei_health_check_up`, `hodei_nats_*`) are read
  at a scrape: within three seconds, and once per second however many scrapes there are. A value that cannot be read is
  missing from the response, and the failure is counted in `hodei_scrape_refresh_failures_total`.
- Of several schedulers, only the leader has a queue and workers; the others report zero. All worker managers receive
  the heartbeats of all agents, and all replicas report the same consumers: take the maximum, not the sum.
- A worker's agent has no port. The worker manager reports the sums of all agents' heartbeats as `hodei_agent*`.
- Every process also has the client library's `process_*` (CPU, memory, file descriptors) and `python_*` (garbage
  collection, version).
"""

ServiceMetrics = Mapping[str, Sequence[Declared]]
"""What each process declares."""


def declared_metrics() -> ServiceMetrics:
    """Wire every process, start none, and see what it has declared."""
    with tempfile.TemporaryDirectory() as folder:
        given = {"HODEI_DATA_DIR": folder, "HODEI_TLS_CERT": "not read", "HODEI_TLS_KEY": "not read"}
        return {
            "orchestrator": _declared(lambda: orchestrator.app.build(OrchestratorSettings()), given),
            "scheduler": _declared(lambda: scheduler.app.build(SchedulerSettings()), given),
            "worker manager": _declared(lambda: worker_manager.app.build(WorkerManagerSettings()), given),
            "NATS exporter": _declared(lambda: nats_exporter.app.build(NatsExporterSettings()), given),
        }


def metric_catalogue() -> str:
    """Every metric: its type, labels and meaning; those of all processes first, then each one's own."""
    all_of_them = declared_metrics()
    ours = {name: declared for name, declared in all_of_them.items() if name != "NATS exporter"}
    everywhere = set.intersection(*(set(declared) for declared in ours.values()))
    parts = [_METRICS_INTRO, _table("Of all three services", everywhere)]
    for name, declared in all_of_them.items():
        parts.append(_table(f"Of the {name}", set(declared) - everywhere))
    return "\n".join(parts)


_LISTS_INTRO: Final = """\
# Lists and their filters

Generated from the OpenAPI documents by `make docs`; those describe each filter. A list is a JSON array, newest first
(the queue: in the order in which tasks would be placed). `limit` and `cursor` page through it
(`Link: <…>; rel="next"`). A filter is a query parameter with the name of a field:

```bash
curl "http://localhost:8080/api/v1/jobs?label=team=web&label=tier=1&status=failed&created_after=2026-11-01T00:00:00Z"
curl "http://localhost:8082/api/v1/executions?worker_name=north&exit_code=137"
curl "http://localhost:8081/api/v1/workers?label=zone=north&drained=true"
curl "http://localhost:8081/api/v1/queue?requires=gpu=yes&label=stage=test"
```

On the command line, filters are options. A time may also be an age, and an id may be its last 8 characters:

```bash
hodei jobs --label team=web --label tier=1 --status failed --status cancelled --created-after 12h
hodei jobs --pipeline deploy --parameter env=prod --name "nightly*" --finished-after 1d
hodei executions --worker-name north --exit-code 137 --json
hodei workers list --label zone=north --drained
hodei queue --requires gpu=yes --label stage=test
hodei pipelines --status archived
hodei schedules --status scheduled
```

In the Python client, filters are keyword arguments. The client requests further pages itself:

```python
async for execution in client.executions(worker_name="north", created_after=datetime(2026, 11, 1, tzinfo=UTC)):
    print(execution.id, execution.status, execution.exit_code)
```

- An entry must match all filters. `label` and `requires` are KEY=VALUE and may be repeated.
- `label` is about labels of the entry itself: those of a job, of a worker, and, for the queue and executions, of the
  step. A step has the labels that its pipeline gives it; those of its job are not among them.
- `name` must match the whole name; of jobs, pipelines, schedules and workers, `name=nightly*` matches all names that
  begin with `nightly`. `worker_name` must match the whole name.
- An id that is not a UUID matches nothing. Any other invalid value is refused with 422; the error names the parameter.
- `status` of jobs may have several values: `status=failed,cancelled`. `pipeline` is the id or the name of a pipeline.
- `parameter` is KEY=VALUE and may be repeated. The value is written as `GET /api/v1/jobs/{id}` shows it. Parameters
  that look like secrets are not found.
- `created_by`, `updated_by`, `cancelled_by` and `drained_by` take the id or the name of a token. They match nothing
  that was done with access off. `created_by` of a job of a schedule is who created the schedule; of an execution, who
  requested it with `POST /api/v1/execute`.
- `created_after` is inclusive, `created_before` is exclusive. In a URL, the `+` of a time zone offset is written
  `%2B`.
- `GET /api/v1/pipelines` lists the active pipelines, and with `status=archived` the archived ones.
- `worker_name` is the name of the worker when the execution was placed there. It is null until it is known, and for
  executions of earlier versions.
- A task's `position` in the queue is its position among the tasks that match the filters.
- Free text, commands, counts, and times other than those of creation, and of the end of a job, cannot be filtered by.

| list | filters |
|---|---|
"""
_LISTS_END: Final = """
## Many jobs at once

`POST /api/v1/jobs/cancel`, `/rerun` and `/delete` take up to 1,000 jobs (a rerun: 100), by their `ids`, or by a
`filter` with the filters of `GET /api/v1/jobs` as fields. Of a filter, those jobs are meant for which it is possible:
open ones that are not being stopped yet are cancelled, ended ones are run again or deleted.

```bash
curl localhost:8080/api/v1/jobs/cancel -d '{"filter": {"name": "nightly*", "label": ["team=web"]}, "dry_run": true}'
curl localhost:8080/api/v1/jobs/rerun -d '{"filter": {"status": ["failed"], "finished_after": "2026-11-28T00:00:00Z"}}'
hodei cancel --all --name "nightly*" --label team=web
hodei rerun --all --status failed --created-after 12h --from failed
```
```json
{"matched": 100, "done": 98, "more": true, "cursor": "WyIwMTl…", "ids": ["019afc7e-…"],
 "refused": [{"id": "019afc7d-…", "detail": "it was created by another token: that needs the role operator"}]}
```

- While `more` is true, the same request with the `cursor` of the response goes on, by `ids` too: a request ends
  after 20 seconds, and a rerun before its jobs have more than 10,000 tasks. It looks at each job once: a rerun is not
  repeated, and a job that was refused is not looked at again.
- A job that cannot be changed is left as it is, and `refused` says why: it has ended, or has not; its pipeline is
  archived; nothing of it failed, for a rerun from `failed`; others hold its
  [concurrency key](concurrency.md#when-the-key-is-full), for which it may not wait; or what is stored of it cannot be
  read, as after an upgrade for which it is not valid. The others are changed. If the platform has no room for the new
  jobs of a rerun (429), none of the request is created.
- `dry_run` changes nothing: `matched` is then the number of jobs that would be changed, as far as that is known
  before. Of `ids`, `refused` has the others. Of a `filter`, it is the number of all jobs that match and that the caller
  may change, 100,000 at the most; `more` is true if there may be more. Whether a concurrency key has room is decided
  only when the jobs run again. `hodei … --all --dry-run` prints the number, with `--json` the whole response.
- A cancellation of many jobs leaves those that are being stopped already, so that their
  [clean-up](pipelines.md#stopping-a-job-and-clean-up) goes on, and can be repeated. A `filter` does not match them; of
  `ids`, `refused` names them. `POST /api/v1/jobs/{id}/cancel` and `hodei cancel` with one job end the clean-up.
- A list of a filter must not be empty, and a filter must not be null: `{"filter": {"status": []}}` and
  `{"filter": {"name": null}}` are 422. `{"filter": {}}` means all jobs.
- `ids` are the new jobs of a rerun. They are created in one transaction; `Idempotency-Key` works as for
  `POST /api/v1/jobs`.
- A submitter changes, and runs again, only jobs that it submitted: a `filter` matches no others, and of `ids`,
  `refused` names the others. Deleting needs the role `operator`.
- In Python: `client.cancel_jobs(name="nightly*")`, `rerun_jobs(status="failed")`, `delete_selected_jobs([id])`, and
  `jobs_to_change("cancel", name="nightly*")`, which only counts. They go through all pages. If a page fails, `changed`
  of the error has what was done before: the new jobs of a rerun as well, and the `cursor` that goes on. `hodei` prints
  it, then the error, and exits with 1. A request is sent again when the platform does not answer, a rerun with the same
  `Idempotency-Key`.
- `hodei cancel`, `rerun` and `delete` with `--all` and without a filter ask whether all jobs are meant. `--name '*'` is
  not a filter in this sense.

## Numbers

`GET /api/v1/jobs/counts` is the exact number of jobs by status, at once however many there are
([ADR 33](adr/0033-numbers-of-jobs.md)). `GET /api/v1/jobs/throughput?since=2026-11-28T00:00:00Z&step=3600` has how
many were created and ended in each hour. `GET /api/v1/pipelines/{id}/statistics` has the last 30 runs of a pipeline,
the mean duration of those that succeeded, its 95th percentile, and the share that succeeded.

```bash
hodei jobs --counts
```

## With a million rows

Most filters use an index: a page takes milliseconds, however few rows match. The others read more rows, which matters
in tables of this size:

- `priority=normal` of jobs, and `attempt=1` and `exit_code=0` of executions, have no index, because nearly every row
  matches. If hardly any row matches, PostgreSQL reads the whole table: about two seconds.
- `pipeline_version` is compared within the index of `pipeline_id`: about 0.1 s for a pipeline of 100,000 jobs.
  Without `pipeline_id`, the index of all pipelines is read.
- With several filters, the one that matches the fewest rows determines the time. If each of them matches many rows
  but few rows match all of them, all rows of that filter are read: 20,000 failed jobs take up to a second.
- Filters of the queue read all waiting tasks: 200,000 tasks take about a second.
- `label` of executions has an index of the executions with labels; all that match are read and sorted.
- A `parameter` that many jobs have is looked for among the newest jobs, one that few have in an index.
- `created_by` of jobs has indexes of the jobs that have ended. PostgreSQL finds jobs that wait or run by their status,
  and reads those of other tokens, too, until the page is full. If the token has fewer such jobs than fit on the page,
  it reads them all: 0.05 s with 100,000. If the token made a large part of all jobs, but none recently, PostgreSQL
  reads the newest jobs in vain: a million take 0.5 to 0.8 s ([ADR 35](adr/0035-creators-of-ended-jobs.md)).
- `dry_run` of many jobs counts up to 100,000: 20 to 60 ms of a processor's time, 0.1 to 0.3 s with `created_by`.
- A token that made a large part of the calls in an audit log, and a method that it hardly used, have all entries of the
  method read: 20,000 take 0.1 s.
- `make bench-lists` times the calls of all pages of the console, with 1,000,000 jobs, as many executions and entries of
  the audit log, 10,000 waiting tasks, and 1,000 each of schedules, workers, pipelines and tokens. Logs and actions are
  left out. It fails if a call takes 100 ms. On two cores that other programs kept busy (a load of 15), one after the
  other, calls took 3 to 93 ms (medians), but counts of 50,000 to 100,000 jobs 0.1 to 0.4 s, and a token's entries with
  a method that it never used 0.3 s.
- Pipelines, workers and dead letters are few: filters such as `version`, `type` and `label` read all of them.
"""


def list_catalogue() -> str:
    """Every list with its filters."""
    lines = []
    for service, document in openapi_documents().items():
        for path, operations in sorted(document["paths"].items()):
            names = [one["name"] for one in operations.get("get", {}).get("parameters", ()) if one["in"] == "query"]
            if {"limit", "cursor"} <= set(names):
                filters = ", ".join(f"`{name}`" for name in sorted(set(names) - {"limit", "cursor"}))
                lines.append(f"| {service} `GET {path}` | {filters or 'none'} |")
    return _LISTS_INTRO + "\n".join(lines) + "\n" + _LISTS_END


def openapi_documents() -> Mapping[str, Mapping[str, Any]]:
    """Each service's OpenAPI document, without starting any."""
    with tempfile.TemporaryDirectory() as folder:
        given = {"HODEI_DATA_DIR": folder}
        apps = {
            "orchestrator": _app(lambda: orchestrator.app.build(OrchestratorSettings()), given),
            "scheduler": _app(lambda: scheduler.app.build(SchedulerSettings()), given),
            "worker manager": _app(lambda: worker_manager.app.build(WorkerManagerSettings()), given),
        }
    return {name: json.loads(app[DOCUMENT].content) for name, app in apps.items()}


def _declared(build: Callable[[], Sequence[Service]], environment: Mapping[str, str]) -> Sequence[Declared]:
    return _app(build, environment)[METRICS].declared


def _app(build: Callable[[], Sequence[Service]], environment: Mapping[str, str]) -> Application:
    before = dict(os.environ)
    kept = {key: value for key, value in before.items() if not key.startswith(("HODEI_", "NATS_", "DATABASE_"))}
    try:
        _set_environment({**kept, **environment})
        [web] = [service for service in build() if isinstance(service, WebServer)]
    finally:
        _set_environment(before)
    return web.app


def _set_environment(wanted: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(wanted)


def _table(title: str, declared: set[Declared]) -> str:
    lines = [f"## {title}", "", "| metric | type | labels | meaning |", "|---|---|---|---|"]
    for one in sorted(declared, key=lambda one: one.name):
        labels = ", ".join(f"`{label}`" for label in one.labels)
        lines.append(f"| `{one.name}` | {one.kind} | {labels} | {one.help} |")
    return "\n".join(lines) + "\n"


PAGES: Final = {
    "pipelines.md": pipelines_page,
    "states.md": state_diagrams,
    "events.md": event_catalogue,
    "asyncapi.json": asyncapi.document,
    "log-events.md": log_event_catalogue,
    "metrics.md": metric_catalogue,
    "lists.md": list_catalogue,
    "cli.md": command_line.page,
}

if __name__ == "__main__":
    for page, write in PAGES.items():
        (HERE / page).write_text(write())
