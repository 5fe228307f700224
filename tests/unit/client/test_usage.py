"""What the command line says of what it cannot take: one way for all of it, in its own terms, exit code 2."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hodei import bulk
from hodei.cli import FinalStatus, app
from hodei.client import Client
from hodei.client.errors import ApiError
from schemas.rest.job_filters import JobsChanged
from schemas.rest.problem import FieldProblem, Problem
from schemas.states import JOB, JobStatus

LABEL = "'a b' is not a label's key"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["frob"], "no such command 'frob'"),
        (["jobs", "--bogus"], "no such option: --bogus"),
        (["run"], "missing argument 'command'"),
        (["run", "--prority", "high", "--", "true"], "--priority"),
        (["run", "--requires", "a b=c", "true"], f"'--requires': {LABEL}"),
        (["run", "--label", "a b=c", "true"], f"'--label': {LABEL}"),
        (["run", "--label", "a", "true"], "'--label': 'a': KEY=VALUE is needed"),
        (["run", "--env", "A B=1", "true"], "'--env': 'A B' is not a variable's name"),
        (["run", "--timeout", "-1", "true"], "'--timeout': should be greater than 0"),
        (["run", "--attempts", "0", "true"], "'--attempts': should be greater than or equal to 1"),
        (["run", "--priority", "hi", "true"], "'--priority': should be 'low', 'normal', 'high' or 'critical'"),
        (["run", ""], "'COMMAND': must not be empty"),
        (["jobs", "--limit", "0"], "'--limit': should be greater than or equal to 1"),
        (["jobs", "--label", "a b=c"], "'--label': should be KEY=VALUE"),
        (["jobs", "--label", "a=b", "--label", "a=c"], "one key is given with two values"),
        (["jobs", "--reason", "boredom"], "'--reason': 'boredom' is not one of 'exit_code'"),
        (["jobs", "--created-after", "noon"], "'--created-after' / '--since': 'noon': a time is needed"),
        (["jobs", "--pipeline-version", "0"], "'--pipeline-version': should be greater than or equal to 1"),
        (["executions", "--exit-code", "256"], "'--exit-code': should be less than or equal to 255"),
        (["executions", "--attempt", "first"], "'--attempt': should be a valid integer"),
        (["executions", "--status", "waiting"], "'--status': 'waiting' is not one of 'pending', 'running'"),
        (["cancel", "--all"], "cancels every job that has not ended: confirm that with --yes"),
        (["cancel", "--yes", "8bcf28c2"], "filters, --dry-run and --yes are for --all"),
        (["rerun", "--all"], "runs every job that has ended again: confirm that with --yes"),
        (["rerun", "--all", "--status", "failed", "--follow"], "--follow is for one JOB"),
        (["rerun", "8bcf28c2", "9ad1f0e3", "--follow"], "--follow is for one JOB"),
        (["rerun"], "name jobs, or give --all"),
        (["delete", "--all"], "deletes every job that has ended, with its log: confirm that with --yes"),
        (["delete", "--all", "--name", "*"], "deletes every job that has ended, with its log: confirm that with --yes"),
        (["cancel", "--all", "--name", "*"], "cancels every job that has not ended: confirm that with --yes"),
        (["delete", "8bcf28c2", "--name", "*"], "filters, --dry-run and --yes are for --all"),
        (["delete", "8bcf28c2", "--all"], "not both: name jobs, or give --all"),
        (["cancel", "--status", "running"], "filters, --dry-run and --yes are for --all"),
        (
            ["tokens", "create", "x", "--role", "viewer", "--expires", "0d"],
            "'--expires': '0d': should be in the future",
        ),
        (["workers", "join-token", "--expires", "0d"], "'--expires': '0d': should be in the future"),
        (["delete", "8bcf28c2", "--label", "a=b"], "filters, --dry-run and --yes are for --all"),
        (["queue", "--requires", "gpu"], "'--requires': should be KEY=VALUE"),
        (["queue", "--limit", "100001"], "'--limit': should be less than or equal to 100000"),
        (["jobs", "--status", "bogus"], "'--status': 'bogus' is not one of 'pending', 'running', 'succeeded'"),
        (["queue", "--priority", "bogus"], "'--priority': should be 'low', 'normal', 'high' or 'critical'"),
        (["schedules", "--status", "late", "list"], "'--status': 'late' is not one of"),
        (["schedules", "--limit", "5", "list"], "options of list stand after it"),
        (["schedules", "add", "true"], "give one of --cron, --every and --at"),
        (["schedules", "add", "--cron", "@daily", "--every", "1h", "true"], "give one of --cron, --every and --at"),
        (["schedules", "add", "--cron", "@daily"], "give one of COMMAND, --pipeline and --job"),
        (["schedules", "add", "--cron", "@daily", "--job", "a", "true"], "give one of COMMAND, --pipeline and --job"),
        (["schedules", "add", "--cron", "61 * * * *", "true"], "'--cron': 61 is not a minute (0 to 59)"),
        (
            ["schedules", "add", "--cron", "0 * * * * *", "true"],
            "'--cron': has 6 fields; a cron line has 5: minute, hour",
        ),
        (["schedules", "add", "--cron", "0 0 30 2 *", "true"], "'--cron': never comes due"),
        (
            ["schedules", "add", "--cron", "@daily", "--timezone", "Europe/Madird", "true"],
            "'--timezone': is not a known time zone; did you mean Europe/Madrid?",
        ),
        (
            ["schedules", "add", "--cron", "@daily", "--timezone", "../../etc/passwd", "true"],
            "'--timezone': is not a known time zone",
        ),
        (["schedules", "add", "--every", "0", "true"], "'--every': should be greater than or equal to 1"),
        (["schedules", "add", "--every", "soon", "true"], "'--every': 'soon': seconds are needed"),
        (["schedules", "add", "--at", "noon", "true"], "'--at': 'noon': a time is needed, as in"),
        (["schedules", "add", "--at", "1h", "--overlap", "skip", "true"], "'--overlap': needs cron or every"),
        (["schedules", "add", "--every", "1h", "--overlap", "drop", "true"], "'--overlap': should be 'allow', 'skip'"),
        (
            ["schedules", "add", "--every", "1h", "--catch-up-limit", "1000000000", "true"],
            "'--catch-up-limit': should be less than or equal to 1000",
        ),
        (
            ["schedules", "add", "--every", "1h", "--start", "2h", "--end", "1h", "true"],
            "'--end': must be later than start",
        ),
        (["schedules", "add", "--every", "1h", "--jitter", "1h", "true"], "'--jitter': must be less than every"),
        (["schedules", "add", "--every", "1h", "--when-full", "queue", "true"], "concurrency needs a concurrency_key"),
        (["schedules", "add", "--every", "1h", "--label", "a", "true"], "'--label': 'a': KEY=VALUE is needed"),
        (["schedules", "change", "a"], "give what to change"),
        (["schedules", "change", "a", "--reset", "id"], "'--reset': id is not a field of a schedule"),
        (["schedules", "change", "a", "--end", "1h", "--reset", "end"], "'--reset': end is given as well"),
        (["schedules", "next", "a", "--count", "101"], "'--count': should be less than or equal to 100"),
        (["schedules", "import-crontab", "/etc/crontab"], "has users in its lines: give --system"),
        (["schedules", "import-crontab", "/nowhere"], "/nowhere: No such file or directory"),
        (["schedules", "import-crontab", "-", "--timezone", "Mars"], "'--timezone': is not a known time zone"),
        (["schedules", "import-crontab", "-", "--overlap", "drop"], "'--overlap': should be 'allow', 'skip'"),
        (["schedules", "import-crontab", "-", "--source", ""], "'--source': must not be empty"),
        (["pipelines", "--status", "gone"], "'--status': 'gone' is not one of 'active', 'archived'"),
        (["workers", "list", "--label", "zone"], "'--label': should be KEY=VALUE"),
        (["prune", "--older-than", "soon"], "'--older-than': 'soon': a number and s, m, h or d is needed"),
        (["prune", "--older-than", "999999d"], "'--older-than': '999999d': must not reach back beyond 1970"),
        (["dead-letters", "resend"], "give the ids of dead letters, or --all"),
        (["worker", "--capacity", "gpus=1"], "'--capacity': 'gpus' is not one of cpu_m, memory_mb, gpu"),
        (["worker", "--label", "a b=c"], f"'--label': {LABEL}"),
        (["worker", "--name", "a\nb"], "'--name': must not contain characters that control a terminal"),
        (["worker", "--state-dir", ""], "'--state-dir': must not be empty"),
        (["up", "--data-dir", ""], "'--data-dir': must not be empty"),
    ],
)
def test_what_cannot_be_is_said_in_the_terms_of_the_command_line(arguments: list[str], says: str) -> None:
    ended = CliRunner().invoke(app, arguments)

    assert ended.exit_code == 2
    said, help_ = ended.stderr.splitlines()
    assert said.startswith("hodei: ")
    assert says in said
    assert help_.startswith("hodei: see 'hodei")
    assert not any(jargon in said for jargon in ("^[", "pattern", "Value error", "Input should", "Error"))


ASKING = [
    *(["run", "true"], ["run", "-d", "true"], ["jobs"], ["executions"], ["queue"], ["pipelines"], ["schedules"]),
    *(["logs", "a"], ["show", "a"], ["cancel", "a"], ["explain", "a"], ["prune", "--older-than", "1d"]),
    *(["workers", "list"], ["workers", "drain", "a"], ["workers", "resume", "a"]),
    *(["dead-letters", verb, *letter] for verb, letter in [("list", []), ("show", ["a"]), ("resend", ["a"])]),
    ["dead-letters", "delete", "a"],
    *(["whoami"], ["tokens", "list"], ["tokens", "create", "a", "--role", "viewer"], ["tokens", "revoke", "a"]),
    *(["schedules", verb, "a"] for verb in ("show", "pause", "resume", "trigger", "next", "history", "remove")),
    *(["schedules", "add", "--every", "1h", "true"], ["schedules", "change", "a", "--cron", "@daily"]),
]


@pytest.mark.parametrize("arguments", ASKING, ids=" ".join)
@pytest.mark.parametrize(
    ("variable", "says"),
    [
        ("HODEI_ORCHESTRATR_URL", "is not a known setting; did you mean HODEI_ORCHESTRATOR_URL?"),
        ("HODEI_ORCHESTRATOR_URL", ": elsewhere:1 is not the address of a service; one looks like http://HOST:PORT"),
    ],
)
def test_a_wrong_setting_keeps_a_command_from_asking_another_platform(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], variable: str, says: str
) -> None:
    monkeypatch.setenv("HODEI_PARAM_X", "1")
    monkeypatch.setenv("HODEI_JOB_ID", "1")
    monkeypatch.setenv(variable, "elsewhere:1")
    ended = CliRunner().invoke(app, arguments)

    assert ended.exit_code == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"hodei: {variable}")
    assert line.endswith(says)


@pytest.mark.parametrize("status", [status for status in JobStatus if not JOB.is_final(status)])
def test_only_jobs_that_are_over_are_offered_for_deletion(status: JobStatus) -> None:
    ended = CliRunner().invoke(app, ["prune", "--older-than", "1d", "--status", status.value])

    assert ended.exit_code == 2
    assert {status.value for status in FinalStatus} == {status.value for status in JobStatus if JOB.is_final(status)}
    assert f"{status.value!r} is not one of 'succeeded', 'failed', 'cancelled'" in ended.stderr


def test_a_label_of_a_worker_may_have_any_value(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: list[dict[str, str]] = []
    monkeypatch.setattr(os, "execve", lambda _program, _arguments, environment: given.append(environment))

    CliRunner().invoke(app, ["worker", "--label", "disks=ssd,hdd", "--label", "x=a=b", "--state-dir", str(tmp_path)])

    assert json.loads(given[0]["HODEI_WORKER_LABELS"]) == {"disks": "ssd,hdd", "x": "a=b"}


def test_a_refusal_of_the_platform_names_the_field_alone() -> None:
    error = FieldProblem(loc=["body", "env", "X"], msg="takes 200,002 bytes", type="too_large")
    fields = {"title": "Unprocessable Content", "status": 422, "detail": "no", "instance": "/"}
    problem = Problem.model_validate(fields | {"errors": [error]})

    assert str(ApiError(problem)) == "422 Unprocessable Content: env.X: takes 200,002 bytes"

    error = error.model_copy(update={"line": 3, "column": 5})
    problem = Problem.model_validate(fields | {"errors": [error]})
    assert str(ApiError(problem)).endswith(": env.X: takes 200,002 bytes (line 3, column 5)")


@pytest.mark.parametrize(
    ("command", "call"),
    [("cancel", "cancel_jobs"), ("rerun", "rerun_jobs"), ("delete", "delete_selected_jobs")],
)
def test_all_jobs_are_changed_only_after_a_yes(monkeypatch: pytest.MonkeyPatch, command: str, call: str) -> None:
    sent = []

    async def change(_client: Client, **_filters: object) -> JobsChanged:
        sent.append("all")
        return JobsChanged(matched=2, done=2, refused=[], more=False)

    monkeypatch.setattr(Client, call, change)
    monkeypatch.setattr(bulk, "_on_a_terminal", lambda: True)
    for arguments, answer, code, changed in (
        ([], "n\n", 1, 0), ([], "", 1, 0), ([], "y\n", 0, 1), (["--yes"], "", 0, 1)
    ):  # fmt: skip
        sent.clear()
        ended = CliRunner().invoke(app, [command, "--all", *arguments], input=answer)
        assert (ended.exit_code, len(sent)) == (code, changed), ended.output
        declined = {
            "cancel": "nothing was cancelled",
            "rerun": "nothing was run again",
            "delete": "nothing was deleted",
        }
        assert ended.stderr.endswith(f"hodei: {declined[command]}\n" if code else "")
        assert (declined[command] in ended.output) is (code == 1)
