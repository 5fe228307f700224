"""One job's life: what reports change, and that their order does not matter."""

from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.definition import StepRules
from orchestrator.domain.orders import Queued
from orchestrator.domain.run import JobRun, TaskReport
from orchestrator.domain.state import JobState, TaskState
from schemas.events import (
    ExecutionFinished,
    ExecutionLost,
    ExecutionStarted,
    JobFailed,
    TaskCancelRequested,
    TaskExpired,
    TaskRetrying,
    TaskScheduled,
    TaskWithdrawn,
)
from schemas.specs import Resources, RetrySpec, RunSpec
from schemas.states import JOB, TASK, IllegalTransition, JobStatus, Reason, TaskStatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Outcome = Literal["succeeded", "failed", "lost"]
RETRY = RetrySpec(max_attempts=3, delay=1, jitter=False)


def a_task(
    id: str,
    name: str,
    depends_on: tuple[str, ...] = (),
    *,
    allow_failure: bool = False,
    retry: RetrySpec | None = None,
    retry_on_lost: bool = True,
    max_crashes: int = 3,
    requires: dict[str, str] | None = None,
    resources: Resources | None = None,
) -> TaskState:
    rules = StepRules(name, depends_on, allow_failure, retry, retry_on_lost, max_crashes, requires or {}, resources)
    return TaskState(id, rules)


def run_of(*tasks: TaskState) -> JobRun:
    run = JobRun(JobState("job", "name", NOW), {task.id: task for task in tasks}, draw=lambda: 0.0)
    run.begin(NOW)
    return run


def execution(task: str, attempt: int) -> str:
    return f"{task}/{attempt}"


def scheduled(task: str, attempt: int = 1) -> TaskScheduled:
    return TaskScheduled(
        task_id=task,
        job_id="job",
        attempt=attempt,
        execution_id=execution(task, attempt),
        worker_id="w",
        incarnation="i",
        run=RunSpec(command="true"),
        scheduled_at=NOW,
    )


def started(task: str, attempt: int = 1) -> ExecutionStarted:
    return ExecutionStarted(
        execution_id=execution(task, attempt),
        task_id=task,
        job_id="job",
        attempt=attempt,
        worker_id="w",
        incarnation="i",
        started_at=NOW,
    )


def finished(
    task: str,
    status: Literal["succeeded", "failed", "cancelled", "timed_out"] = "succeeded",
    attempt: int = 1,
    *,
    exit_code: int | None = 0,
    reason: Reason | None = None,
) -> ExecutionFinished:
    return ExecutionFinished.model_validate(
        {
            "execution_id": execution(task, attempt),
            "task_id": task,
            "job_id": "job",
            "attempt": attempt,
            "worker_id": "w",
            "incarnation": "i",
            "status": status,
            "exit_code": exit_code,
            "reason": reason,
            "started_at": NOW,
            "finished_at": NOW,
        }
    )


def stopped(task: str, attempt: int = 1) -> ExecutionLost:
    return lost(task, attempt).model_copy(update={"reason": Reason.WORKER_STOPPED, "detail": "stopped by force"})


def lost(task: str, attempt: int = 1) -> ExecutionLost:
    return ExecutionLost(
        execution_id=execution(task, attempt),
        task_id=task,
        job_id="job",
        attempt=attempt,
        worker_id="w",
        incarnation="i",
        detail="",
        lost_at=NOW,
    )


def apply(run: JobRun, *reports: TaskReport) -> None:
    for report in reports:
        run.apply(report, NOW)


def said(run: JobRun) -> list[str]:
    return [
        "tasks.queued" if isinstance(entry.event, Queued) else entry.event.event_type
        for entry in run.journal
        if not entry.observed
    ]


def statuses(run: JobRun) -> dict[str, TaskStatus]:
    return {task.name: task.status for task in run.tasks.values()}


def test_a_job_without_steps_succeeds_at_once() -> None:
    run = run_of()
    assert run.job.status is JobStatus.SUCCEEDED
    assert said(run) == ["jobs.succeeded"]


def test_a_single_task_runs_and_its_job_with_it() -> None:
    run = run_of(a_task("a", "a"))
    apply(run, scheduled("a"), started("a"), finished("a"))
    assert run.job.status is JobStatus.SUCCEEDED
    assert said(run) == ["tasks.queued", "jobs.started", "tasks.succeeded", "jobs.succeeded"]
    assert run.stale == 0


def test_an_outcome_may_overtake_its_start() -> None:
    run = run_of(a_task("a", "a"))
    apply(run, finished("a"), started("a"), scheduled("a"))
    assert said(run) == ["tasks.queued", "jobs.started", "tasks.succeeded", "jobs.succeeded"]
    assert run.stale == 2


def test_a_failed_step_skips_what_depends_on_it_and_lets_the_rest_go_on() -> None:
    run = run_of(a_task("a", "a"), a_task("b", "b", ("a",)), a_task("c", "c", ("b",)), a_task("d", "d"))
    apply(run, finished("a", "failed", exit_code=3, reason=Reason.EXIT_CODE))
    assert statuses(run) == {"a": "failed", "b": "skipped", "c": "skipped", "d": "queued"}
    assert run.job.status is JobStatus.RUNNING
    apply(run, finished("d"))
    assert (run.job.status, run.job.reason) == (JobStatus.FAILED, Reason.EXIT_CODE)


def test_a_failure_that_is_allowed_stops_nothing() -> None:
    run = run_of(a_task("a", "a", allow_failure=True), a_task("b", "b", ("a",)))
    apply(run, finished("a", "failed", exit_code=1), finished("b"))
    assert run.job.status is JobStatus.SUCCEEDED


def test_a_failure_is_tried_again_with_the_next_attempt_and_a_delay() -> None:
    run = run_of(a_task("a", "a", retry=RETRY))
    apply(run, started("a"), finished("a", "failed", exit_code=1))
    assert statuses(run) == {"a": "queued"}
    retrying = next(entry.event for entry in run.journal if isinstance(entry.event, TaskRetrying))
    assert (retrying.attempt, retrying.run_at) == (2, NOW + timedelta(seconds=1))
    apply(run, finished("a", "failed", exit_code=1), finished("a", attempt=2))
    assert run.stale == 1
    assert run.job.status is JobStatus.SUCCEEDED


def test_a_lost_attempt_is_queued_at_once_and_elsewhere() -> None:
    run = run_of(a_task("a", "a", max_crashes=1))
    apply(run, started("a"), lost("a"))
    queued = [entry.event for entry in run.journal if isinstance(entry.event, Queued)][-1]
    assert (queued.attempt, queued.run_at, queued.avoids) == (2, None, ("w",))
    apply(run, lost("a", 2))
    assert (run.job.status, run.job.reason) == (JobStatus.FAILED, Reason.LOST)


def test_crashes_do_not_use_up_the_attempts() -> None:
    run = run_of(a_task("a", "a", retry=RetrySpec(max_attempts=2, delay=0), max_crashes=3))
    apply(run, lost("a"), lost("a", 2), finished("a", "failed", 3, exit_code=1), finished("a", attempt=4))
    assert run.job.status is JobStatus.SUCCEEDED


def test_a_task_that_may_run_once_only_fails_when_lost() -> None:
    run = run_of(a_task("a", "a", retry_on_lost=False))
    apply(run, lost("a"))
    assert run.tasks["a"].reason is Reason.LOST
    assert run.job.status is JobStatus.FAILED


def test_cancel_ends_what_waits_and_asks_for_the_end_of_what_runs() -> None:
    run = run_of(a_task("a", "a"), a_task("b", "b", ("a",)))
    run.cancel(NOW)
    assert statuses(run) == {"a": "queued", "b": "cancelled"}
    assert said(run)[1:] == ["jobs.cancel_requested", "tasks.cancelled", "tasks.cancel_requested"] or said(run)[1:] == [
        "jobs.cancel_requested",
        "tasks.cancel_requested",
        "tasks.cancelled",
    ]
    apply(run, TaskWithdrawn(task_id="a", job_id="job", attempt=1))
    assert (run.job.status, run.job.reason) == (JobStatus.CANCELLED, Reason.CANCELLED)
    with pytest.raises(IllegalTransition):
        run.cancel(NOW)


def test_a_job_that_succeeded_before_its_cancel_arrived_has_succeeded() -> None:
    run = run_of(a_task("a", "a"))
    run.cancel(NOW)
    apply(run, finished("a"))
    assert run.job.status is JobStatus.SUCCEEDED


@pytest.mark.parametrize("report", [lost("a"), finished("a", "failed", exit_code=1), finished("a", "cancelled")])
def test_nothing_is_tried_again_under_cancellation(report: TaskReport) -> None:
    run = run_of(a_task("a", "a", retry=RETRY))
    apply(run, started("a"))
    run.cancel(NOW)
    apply(run, report)
    assert run.job.status is JobStatus.CANCELLED


def test_a_job_that_takes_too_long_fails() -> None:
    run = run_of(a_task("a", "a"), a_task("b", "b", ("a",)))
    assert run.time_out(NOW)
    assert not run.time_out(NOW)
    apply(run, finished("a", "cancelled", reason=Reason.CANCELLED, exit_code=143))
    assert run.tasks["a"].reason is Reason.JOB_TIMEOUT
    assert (run.job.status, run.job.reason) == (JobStatus.FAILED, Reason.JOB_TIMEOUT)


def test_waiting_too_long_for_a_worker_fails() -> None:
    run = run_of(a_task("a", "a", retry=RETRY))
    apply(run, TaskExpired(task_id="a", job_id="job", attempt=1))
    assert (run.job.status, run.job.reason) == (JobStatus.FAILED, Reason.QUEUE_TIMEOUT)


def test_what_has_succeeded_already_is_not_run_again() -> None:
    done = TaskState("a", StepRules("a"), status=TaskStatus.SUCCEEDED)
    run = run_of(done, a_task("b", "b", ("a",)))
    assert statuses(run) == {"a": "succeeded", "b": "queued"}


def test_an_attempt_placed_twice_was_given_back_in_between() -> None:
    run = run_of(a_task("a", "a"))
    first, second = (scheduled("a").model_copy(update={"execution_id": f"0{number}"}) for number in (1, 2))
    apply(run, first, second, first)
    assert run.tasks["a"].execution_id == "02"
    assert run.stale == 1


# ------------------------------------------------------------------ any order, any repetition


class World:
    """Scheduler and workers in one: what they will report is scripted, when it arrives is not."""

    def __init__(self, run: JobRun, script: dict[str, list[Outcome]]) -> None:
        self.run, self.script = run, script
        self.mail: list[TaskReport] = []
        self.waiting: set[tuple[str, int]] = set()
        self.read = 0
        self.listen()

    def listen(self) -> None:
        news, self.read = self.run.journal[self.read :], len(self.run.journal)
        for entry in news:
            match entry.event:
                case Queued(task_id, attempt):
                    self.waiting.add((task_id, attempt))
                case TaskCancelRequested(task_id=task, attempt=attempt) if (task, attempt) in self.waiting:
                    self.waiting.remove((task, attempt))
                    self.mail.append(TaskWithdrawn(task_id=task, job_id="job", attempt=attempt))

    def place(self, task: str, attempt: int) -> None:
        self.waiting.remove((task, attempt))
        outcome = self.script[task][attempt - 1] if attempt <= len(self.script[task]) else "succeeded"
        self.mail += [scheduled(task, attempt), started(task, attempt)]
        self.mail.append(
            lost(task, attempt)
            if outcome == "lost"
            else finished(task, outcome, attempt, exit_code=0 if outcome == "succeeded" else 1)
        )


def expected(tasks: list[TaskState], script: dict[str, list[Outcome]]) -> dict[str, TaskStatus]:
    """What must become of each task, told straight from the rules."""
    result: dict[str, TaskStatus] = {}
    allowed = {task.name: task.rules.allow_failure for task in tasks}
    for task in tasks:
        if not all(
            result[name] is TaskStatus.SUCCEEDED or (result[name] is TaskStatus.FAILED and allowed[name])
            for name in task.rules.depends_on
        ):
            result[task.name] = TaskStatus.SKIPPED
            continue
        failures = crashes = 0
        result[task.name] = TaskStatus.SUCCEEDED
        for outcome in script[task.id]:
            failures += outcome == "failed"
            crashes += outcome == "lost"
            if outcome == "succeeded":
                break
            if (
                failures >= (task.rules.retry.max_attempts if task.rules.retry else 1)
                or crashes > task.rules.max_crashes
            ):
                result[task.name] = TaskStatus.FAILED
                break
    return result


@st.composite
def jobs(draw: st.DrawFn) -> tuple[list[TaskState], dict[str, list[Outcome]]]:
    names = [f"t{i}" for i in range(draw(st.integers(1, 6)))]
    tasks = [
        a_task(
            name,
            name,
            tuple(draw(st.lists(st.sampled_from(names[:index]), unique=True))) if index else (),
            allow_failure=draw(st.booleans()),
            retry=draw(st.none() | st.just(RETRY)),
            max_crashes=draw(st.integers(0, 2)),
        )
        for index, name in enumerate(names)
    ]
    outcomes: st.SearchStrategy[list[Outcome]] = st.lists(st.sampled_from(["succeeded", "failed", "lost"]), max_size=6)
    return tasks, {name: draw(outcomes) for name in names}


def live(world: World, data: st.DataObject, *, stop: Literal["no", "cancel", "deadline"]) -> None:
    """Deliver mail in any order and some of it twice, until nothing is left to happen."""
    run = world.run
    final: dict[str, TaskStatus] = {}
    for step in range(500):
        choices: list[object] = [*sorted(world.waiting), *range(len(world.mail))]
        if not choices:
            break
        if stop != "no" and data.draw(st.booleans(), label="stop now"):
            if not JOB.is_final(run.job.status):
                run.cancel(NOW) if stop == "cancel" else run.time_out(NOW)
            stop = "no"
            world.listen()
            continue
        choice = data.draw(st.sampled_from(choices), label=f"step {step}")
        if isinstance(choice, tuple):
            world.place(*choice)
            continue
        assert isinstance(choice, int)
        report = world.mail[choice]
        if not data.draw(st.booleans(), label="again later") or step > 200:
            world.mail.pop(choice)
        run.apply(report, NOW)
        world.listen()
        for task in run.tasks.values():
            assert final.get(task.id, task.status) is task.status, "a final state changed"
            if TASK.is_final(task.status):
                final[task.id] = task.status


@settings(max_examples=150)
@given(jobs(), st.data())
def test_any_order_of_reports_ends_in_the_same_outcome(
    job: tuple[list[TaskState], dict[str, list[Outcome]]], data: st.DataObject
) -> None:
    tasks, script = job
    run = run_of(*tasks)
    live(World(run, script), data, stop="no")
    wanted = expected(tasks, script)
    assert statuses(run) == wanted
    good = all(task.satisfied for task in run.tasks.values())
    assert run.job.status is (JobStatus.SUCCEEDED if good else JobStatus.FAILED)
    assert said(run).count("jobs.succeeded") + said(run).count("jobs.failed") == 1


@settings(max_examples=150)
@given(jobs(), st.data(), st.sampled_from(["cancel", "deadline"]))
def test_every_task_of_a_stopped_job_ends(
    job: tuple[list[TaskState], dict[str, list[Outcome]]], data: st.DataObject, stop: Literal["cancel", "deadline"]
) -> None:
    tasks, script = job
    run = run_of(*tasks)
    live(World(run, script), data, stop=stop)
    assert all(TASK.is_final(task.status) for task in run.tasks.values())
    assert JOB.is_final(run.job.status)
    ends = [name for name in said(run) if name in {"jobs.succeeded", "jobs.failed", "jobs.cancelled"}]
    assert len(ends) == 1
    cancelled = any(task.status is TaskStatus.CANCELLED for task in run.tasks.values())
    if cancelled:
        assert run.job.status is (JobStatus.CANCELLED if stop == "cancel" else JobStatus.FAILED)


def avoided(run: JobRun) -> tuple[str, ...]:
    return [entry.event for entry in run.journal if isinstance(entry.event, Queued)][-1].avoids


@pytest.mark.parametrize("status", ["failed", "timed_out"])
def test_a_failed_attempt_is_tried_elsewhere_and_so_are_all_before_it(status: Literal["failed", "timed_out"]) -> None:
    run = run_of(a_task("a", "a", retry=RetrySpec(max_attempts=9, delay=0)))
    for attempt, worker in enumerate(["w1", "w2", "w1"], 1):
        apply(run, finished("a", status, attempt, exit_code=1).model_copy(update={"worker_id": worker}))
    assert avoided(run) == ("w1", "w2")


def test_no_more_workers_are_avoided_than_an_order_names() -> None:
    run = run_of(a_task("a", "a", retry=RetrySpec(max_attempts=50, delay=0)))
    for attempt in range(1, 15):
        apply(run, finished("a", "failed", attempt, exit_code=1).model_copy(update={"worker_id": f"w{attempt}"}))
    assert avoided(run) == tuple(f"w{number}" for number in range(14, 4, -1))


def test_stops_that_were_ordered_use_up_neither_crashes_nor_attempts() -> None:
    run = run_of(a_task("a", "a", retry=RetrySpec(max_attempts=2, delay=0), max_crashes=1))
    apply(run, *(stopped("a", attempt) for attempt in range(1, 8)))
    assert statuses(run) == {"a": "queued"}
    assert avoided(run) == (), "nothing speaks against that worker"
    apply(run, lost("a", 8), stopped("a", 9), finished("a", "failed", 10, exit_code=1))
    assert statuses(run) == {"a": "queued"}, "one crash and one failure are allowed"
    retrying = [entry.event.reason for entry in run.journal if isinstance(entry.event, TaskRetrying)]
    assert retrying == [Reason.WORKER_STOPPED] * 7 + [Reason.LOST, Reason.WORKER_STOPPED, Reason.EXIT_CODE]
    apply(run, finished("a", "failed", 11, exit_code=1))
    assert (run.job.status, run.job.reason) == (JobStatus.FAILED, Reason.EXIT_CODE)


def test_an_ordered_stop_ends_what_may_run_once_only() -> None:
    run = run_of(a_task("a", "a", retry_on_lost=False))
    apply(run, stopped("a"))
    assert (run.job.status, run.job.reason) == (JobStatus.FAILED, Reason.WORKER_STOPPED)
    assert run.job.detail == "step a: stopped by force"


def test_a_job_whose_time_is_over_says_that_nothing_began_and_what_it_waited_for() -> None:
    build = a_task("a", "build", requires={"x": "1"}, resources=Resources(cpu_m=4000))
    run = run_of(build, a_task("b", "test", ("build",)))
    run.time_out(NOW + timedelta(seconds=5))
    apply(run, TaskWithdrawn(task_id="a", job_id="job", attempt=1, reason=Reason.JOB_TIMEOUT))
    assert (run.job.status, run.job.reason) == (JobStatus.FAILED, Reason.JOB_TIMEOUT)
    waited = "waited 5 s for a worker with labels x=1 and cpu_m 4000"
    assert run.job.detail == f"nothing began: step build {waited}"
    assert run.tasks["a"].detail == waited
    said_of = [entry.event.detail for entry in run.journal if isinstance(entry.event, JobFailed)]
    assert said_of == [run.job.detail]


def test_a_job_whose_time_is_over_says_what_ran_and_what_waited() -> None:
    run = run_of(a_task("a", "build"), a_task("b", "test"))
    apply(run, started("a"))
    run.time_out(NOW + timedelta(seconds=5))
    apply(run, TaskWithdrawn(task_id="b", job_id="job", attempt=1, reason=Reason.JOB_TIMEOUT))
    apply(run, finished("a", "cancelled", exit_code=None, reason=Reason.JOB_TIMEOUT))
    assert run.job.detail == "step build had run for 5 s; step test waited 5 s for a worker"


def test_a_job_that_ended_well_just_before_its_time_was_over_has_nothing_to_explain() -> None:
    run = run_of(a_task("a", "build"))
    apply(run, started("a"))
    run.time_out(NOW + timedelta(seconds=5))
    apply(run, finished("a"))
    assert (run.job.status, run.job.detail, run.tasks["a"].detail) == (JobStatus.SUCCEEDED, None, None)


def test_a_task_that_waited_too_long_says_for_what() -> None:
    run = run_of(a_task("a", "build", requires={"gpu": "yes", "zone": "a"}))
    run.apply(TaskExpired(task_id="a", job_id="job", attempt=1), NOW + timedelta(seconds=0.4))
    assert run.job.reason is Reason.QUEUE_TIMEOUT
    assert run.job.detail == "step build: waited 0.4 s for a worker with labels gpu=yes, zone=a"
