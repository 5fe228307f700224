"""One job's life: what reports change, and that their order does not matter."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import Unpack

from orchestrator.domain import views
from orchestrator.domain.definition import StepRules
from orchestrator.domain.orders import Commands, Queued
from orchestrator.domain.run import JobRun, TaskReport
from orchestrator.domain.scope import StepView
from orchestrator.domain.state import JobState, TaskState
from orchestrator.domain.steps import ACTIVE
from schemas.access import Actor
from schemas.events import (
    ExecutionFinished,
    ExecutionLost,
    ExecutionStarted,
    JobCancelled,
    JobCancelRequested,
    JobFailed,
    JobReprioritized,
    TaskCancelRequested,
    TaskExpired,
    TaskFailed,
    TaskQueued,
    TaskRetrying,
    TaskScheduled,
    TaskSucceeded,
    TaskWithdrawn,
)
from schemas.specs import Resources, RetrySpec, RunSpec, When
from schemas.states import JOB, TASK, IllegalTransition, JobStatus, Reason, TaskStatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Outcome = Literal["succeeded", "failed", "lost"]
WHEN: tuple[When, ...] = ("on_success", "on_failure", "always")
RETRY = RetrySpec(max_attempts=3, delay=1, jitter=False)


class Rules(TypedDict, total=False):
    allow_failure: bool
    retry: RetrySpec | None
    when: When
    max_parallel: int | None
    fail_fast: bool
    condition: str | None


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
    when: When = "on_success",
    index: int | None = None,
    max_parallel: int | None = None,
    fail_fast: bool = True,
    condition: str | None = None,
) -> TaskState:
    rules = StepRules(
        name,
        depends_on,
        allow_failure,
        retry,
        retry_on_lost,
        max_crashes,
        requires or {},
        resources,
        when=when,
        index=index,
        max_parallel=max_parallel,
        fail_fast=fail_fast,
        condition=condition,
    )
    return TaskState(id, rules)


def a_matrix(name: str, count: int, depends_on: tuple[str, ...] = (), **rules: Unpack[Rules]) -> list[TaskState]:
    return [a_task(f"{name}{index}", name, depends_on, index=index, **rules) for index in range(count)]


def run_of(*tasks: TaskState) -> JobRun:
    run = JobRun(JobState("job", "name", NOW), {task.id: task for task in tasks}, draw=lambda: 0.0)
    run.begin(NOW)
    return run


def test_a_new_priority_is_in_the_orders_that_follow_and_not_in_those_before() -> None:
    run = run_of(a_task("a", "a", retry=RETRY), a_task("b", "b", ("a",)))
    commands = Commands({}, {id: RunSpec(command="true") for id in "ab"})

    def orders() -> list[tuple[str, int, str, int | None]]:
        found = [one for one in run.events(commands) if isinstance(one, TaskQueued)]
        run.written()
        return [(one.task_id, one.attempt, one.priority, one.priority_changes) for one in found]

    assert orders() == [("a", 1, "normal", None)]
    run.prioritize("high", NOW)
    [told] = run.events(commands)
    assert told == JobReprioritized(job_id="job", priority="high", previous="normal", priority_changes=1)
    assert (run.reprioritized, run.touched) == (True, True)
    run.written()
    run.prioritize("high", NOW)
    assert not run.touched, "it has this priority already"
    run.apply(finished("a", "failed"), NOW)
    assert orders() == [("a", 2, "high", 1)]
    run.prioritize("low", NOW)
    run.apply(finished("a", attempt=2), NOW)
    assert orders() == [("b", 1, "low", 2)]
    run.apply(finished("b"), NOW)
    with pytest.raises(IllegalTransition):
        run.prioritize("low", NOW)


def time_out(run: JobRun, at: datetime) -> bool:
    run.job.deadline = run.job.due_at = at
    return run.due(at)


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
    outputs: dict[str, str] | None = None,
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
            "outputs": outputs,
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
    return {task.id: task.status for task in run.tasks.values()}


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
    assert time_out(run, NOW)
    assert not run.due(NOW)
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


def of_attempts(task: TaskState, script: list[Outcome]) -> TaskStatus:
    """What must become of a task that runs and is not stopped, told straight from the rules."""
    failures = crashes = 0
    for outcome in script:
        failures += outcome == "failed"
        crashes += outcome == "lost"
        if outcome == "succeeded":
            break
        if failures >= (task.rules.retry.max_attempts if task.rules.retry else 1) or crashes > task.rules.max_crashes:
            return TaskStatus.FAILED
    return TaskStatus.SUCCEEDED


@dataclass
class Model:
    """What must become of each task, told straight from the rules: more than one status where another task of the same
    matrix decides by its time."""

    may_be: dict[str, set[TaskStatus]]
    fails: bool


def expected(tasks: list[TaskState], script: dict[str, list[Outcome]]) -> Model:
    may_be: dict[str, set[TaskStatus]] = {}
    steps: dict[str, list[TaskState]] = {}
    for task in tasks:
        steps.setdefault(task.name, []).append(task)
    good: set[str] = set()
    shows_failure: set[str] = set()
    fails = False
    for name, members in steps.items():
        rules = members[0].rules
        before = set(rules.depends_on)
        holds = {None: True, "true": True, "false": False, "1 / 0 == 1": None}[rules.condition]
        runs = {"on_success": before <= good, "on_failure": bool(before & shows_failure), "always": True}[rules.when]
        if not runs:
            may_be |= {task.id: {TaskStatus.SKIPPED} for task in members}
            shows_failure |= {name} if before & shows_failure else set()
            continue
        if holds is False:
            may_be |= {task.id: {TaskStatus.SKIPPED} for task in members}
            good.add(name)
            shows_failure |= {name} if before & shows_failure else set()
            continue
        failed_already = {TaskStatus.FAILED} if holds is None else None
        may_be |= {task.id: failed_already or {of_attempts(task, script[task.id])} for task in members}
        failed = not rules.allow_failure and any(may_be[task.id] == {TaskStatus.FAILED} for task in members)
        if not failed:
            good.add(name)
            continue
        fails = True
        shows_failure.add(name)
        if rules.fail_fast and rules.index is not None:
            for task in members:
                may_be[task.id] = may_be[task.id] | {TaskStatus.CANCELLED}
    return Model(may_be, fails)


@st.composite
def jobs(draw: st.DrawFn) -> tuple[list[TaskState], dict[str, list[Outcome]]]:
    names = [f"t{i}" for i in range(draw(st.integers(1, 6)))]
    tasks: list[TaskState] = []
    for index, name in enumerate(names):
        depends_on = tuple(draw(st.lists(st.sampled_from(names[:index]), unique=True))) if index else ()
        rules: Rules = {
            "allow_failure": draw(st.booleans()),
            "retry": draw(st.none() | st.just(RETRY)),
            "when": draw(st.sampled_from(WHEN)) if depends_on else "on_success",
            "condition": draw(st.none() | st.sampled_from(["true", "false", "1 / 0 == 1"])),
        }
        if draw(st.integers(0, 3)):
            tasks.append(a_task(name, name, depends_on, max_crashes=draw(st.integers(0, 2)), **rules))
        else:
            limits: Rules = {"max_parallel": draw(st.none() | st.integers(1, 2)), "fail_fast": draw(st.booleans())}
            tasks += a_matrix(name, draw(st.integers(1, 3)), depends_on, **rules, **limits)
    outcomes: st.SearchStrategy[list[Outcome]] = st.lists(st.sampled_from(["succeeded", "failed", "lost"]), max_size=6)
    return tasks, {task.id: draw(outcomes) for task in tasks}


def live(world: World, data: st.DataObject, *, stop: Literal["no", "cancel", "deadline"]) -> JobRun:
    """Deliver mail in any order and some of it twice, until nothing is left to happen. The job is loaded again now and
    then. Returns it."""
    run = world.run
    final: dict[str, TaskStatus] = {}
    began: set[str] = set()
    for step in range(700):
        choices: list[object] = [*sorted(world.waiting), *range(len(world.mail))]
        check_moment(run, final, began)
        if not choices:
            break
        if stop != "no" and data.draw(st.booleans(), label="stop now"):
            if not JOB.is_final(run.job.status):
                run.cancel(NOW) if stop == "cancel" else time_out(run, NOW)
            stop = "no"
            world.listen()
            continue
        if step % 5 == 4 and data.draw(st.booleans(), label="load again"):
            world.run = run = JobRun(run.job, run.tasks, run.draw, run.journal)
        choice = data.draw(st.sampled_from(choices), label=f"step {step}")
        if isinstance(choice, tuple):
            world.place(*choice)
            continue
        assert isinstance(choice, int)
        report = world.mail[choice]
        if not data.draw(st.booleans(), label="again later") or step > 300:
            world.mail.pop(choice)
        run.apply(report, NOW)
        world.listen()
    return run


def check_moment(run: JobRun, final: dict[str, TaskStatus], began: set[str]) -> None:
    """What holds at every moment of a job. `final` and `began` are what was seen before."""
    by_step: dict[str, list[TaskState]] = {}
    for task in run.tasks.values():
        by_step.setdefault(task.name, []).append(task)
        assert final.get(task.id, task.status) is task.status, "a final state changed"
        if TASK.is_final(task.status):
            final[task.id] = task.status
    for task in run.tasks.values():
        if task.status in ACTIVE and task.id not in began:
            began.add(task.id)
            names = list(task.rules.depends_on)
            for name in names:  # grows while it is read
                assert all(TASK.is_final(one.status) for one in by_step[name]), f"{task.id} began before {name}"
                names += by_step[name][0].rules.depends_on
    for members in by_step.values():
        limit = members[0].rules.max_parallel or len(members)
        assert sum(task.status in ACTIVE for task in members) <= limit, "more ran than max_parallel allows"
    assert JOB.is_final(run.job.status) == all(TASK.is_final(task.status) for task in run.tasks.values())


@settings(max_examples=150)
@given(jobs(), st.data())
def test_any_order_of_reports_ends_in_the_same_outcome(
    job: tuple[list[TaskState], dict[str, list[Outcome]]], data: st.DataObject
) -> None:
    tasks, script = job
    run = run_of(*tasks)
    run = live(World(run, script), data, stop="no")
    model = expected(tasks, script)
    assert {task.id: task.status in model.may_be[task.id] for task in tasks} == dict.fromkeys(model.may_be, True)
    assert run.job.status is (JobStatus.FAILED if model.fails else JobStatus.SUCCEEDED)
    assert said(run).count("jobs.succeeded") + said(run).count("jobs.failed") == 1


@settings(max_examples=150)
@given(jobs(), st.data(), st.sampled_from(["cancel", "deadline"]))
def test_every_task_of_a_stopped_job_ends(
    job: tuple[list[TaskState], dict[str, list[Outcome]]], data: st.DataObject, stop: Literal["cancel", "deadline"]
) -> None:
    tasks, script = job
    run = run_of(*tasks)
    run = live(World(run, script), data, stop=stop)
    assert all(TASK.is_final(task.status) for task in run.tasks.values())
    assert JOB.is_final(run.job.status)
    ends = [name for name in said(run) if name in {"jobs.succeeded", "jobs.failed", "jobs.cancelled"}]
    assert len(ends) == 1
    stopped_tasks = [task for task in tasks if task.status is TaskStatus.CANCELLED and task.reason is run.job.stopping]
    if stopped_tasks:
        clean_up_failed = any(
            task.status is TaskStatus.FAILED and task.rules.when == "always" and not task.rules.allow_failure
            for task in tasks
        )
        failed = stop == "deadline" or clean_up_failed
        assert run.job.status is (JobStatus.FAILED if failed else JobStatus.CANCELLED)


# ------------------------------------------------------------------ conditions


def test_a_step_after_a_failure_runs_and_the_job_still_fails() -> None:
    run = run_of(a_task("a", "a"), a_task("b", "b", ("a",)), a_task("c", "c", ("b",), when="on_failure"))
    apply(run, finished("a", "failed", exit_code=3))
    assert statuses(run) == {"a": "failed", "b": "skipped", "c": "queued"}, "it sees the failure behind b"
    apply(run, finished("c"))
    assert (run.job.status, run.job.reason) == (JobStatus.FAILED, Reason.EXIT_CODE)


def test_a_step_after_a_failure_is_not_needed_without_one() -> None:
    run = run_of(
        a_task("a", "a"),
        a_task("b", "b", ("a",), when="on_failure"),
        a_task("c", "c", ("b",)),
        a_task("d", "d", ("a",)),
    )
    apply(run, finished("a"), finished("d"))
    assert {one.id: one.reason for one in run.tasks.values() if one.status is TaskStatus.SKIPPED} == {
        "b": Reason.NOT_NEEDED,
        "c": Reason.DEPENDENCY_SKIPPED,
    }
    assert run.job.status is JobStatus.SUCCEEDED


def test_a_step_behind_a_skipped_one_waits_for_all_that_is_before_that() -> None:
    run = run_of(
        a_task("a", "a"), a_task("b", "b"), a_task("c", "c", ("a", "b")), a_task("d", "d", ("c",), when="always")
    )
    apply(run, finished("a", "failed", exit_code=1))
    assert statuses(run)["d"] == "pending", "b still runs"
    apply(run, finished("b"))
    assert (statuses(run)["c"], statuses(run)["d"]) == ("skipped", "queued")


def test_a_failed_clean_up_fails_the_job() -> None:
    run = run_of(a_task("a", "a"), a_task("b", "clean", ("a",), when="always"))
    apply(run, finished("a"), finished("b", "failed", exit_code=7))
    assert (run.job.status, run.job.reason) == (JobStatus.FAILED, Reason.EXIT_CODE)


def a_job_with_clean_up(cleanup_timeout: float = 60.0) -> JobRun:
    run = run_of(a_task("a", "a"), a_task("b", "b", ("a",)), a_task("c", "clean", ("b",), when="always", retry=RETRY))
    run.job.cleanup_timeout = cleanup_timeout
    return run


def test_a_cancel_lets_clean_up_run() -> None:
    run = a_job_with_clean_up()
    apply(run, started("a"))
    run.cancel(NOW)
    assert statuses(run) == {"a": "running", "b": "cancelled", "c": "pending"}
    assert run.job.deadline == NOW + timedelta(seconds=60)
    apply(run, finished("a", "cancelled", reason=Reason.CANCELLED, exit_code=143))
    assert statuses(run)["c"] == "queued"
    apply(run, finished("c"))
    assert (run.job.status, run.job.reason) == (JobStatus.CANCELLED, Reason.CANCELLED)


@pytest.mark.parametrize("report", [finished("c", "failed", exit_code=9), lost("c")])
def test_clean_up_after_a_cancel_is_not_tried_again_and_its_failure_shows(report: TaskReport) -> None:
    run = a_job_with_clean_up()
    apply(run, started("a"))
    run.cancel(NOW)
    apply(run, finished("a", "cancelled", reason=Reason.CANCELLED, exit_code=143), report)
    assert statuses(run) == {"a": "cancelled", "b": "cancelled", "c": "failed"}
    assert run.job.status is JobStatus.FAILED


def test_nothing_is_cleaned_up_where_nothing_began() -> None:
    run = a_job_with_clean_up()
    run.cancel(NOW)
    assert statuses(run)["c"] == "pending", "a may have begun: its worker has not reported yet"
    apply(run, TaskWithdrawn(task_id="a", job_id="job", attempt=1, reason=Reason.CANCELLED))
    assert statuses(run) == {"a": "cancelled", "b": "cancelled", "c": "cancelled"}
    assert run.job.status is JobStatus.CANCELLED


def in_clean_up() -> JobRun:
    run = a_job_with_clean_up(cleanup_timeout=10)
    apply(run, started("a"))
    run.cancel(NOW)
    apply(run, finished("a", "cancelled", reason=Reason.CANCELLED, exit_code=143), started("c"))
    return run


def test_a_cancel_is_of_the_one_who_requested_it_first() -> None:
    ana, ben = (Actor(id=f"token-{name}", name=name) for name in ("ana", "ben"))
    run = run_of(a_task("t1", "a"))
    run.cancel(NOW, by=ana)
    run.prioritize("high", NOW, by=ben)
    run.cancel(NOW, by=ben)
    apply(run, TaskWithdrawn(task_id="t1", job_id="job", attempt=1, reason=Reason.CANCELLED))

    assert run.job.cancelled_by == ana
    [requested] = [one.event for one in run.journal if isinstance(one.event, JobCancelRequested)]
    [cancelled] = [one.event for one in run.journal if isinstance(one.event, JobCancelled)]
    [changed] = [one.event for one in run.journal if isinstance(one.event, JobReprioritized)]
    assert (requested.cancelled_by, cancelled.cancelled_by, changed.changed_by) == (ana, ana, ben)


def test_a_second_cancel_ends_clean_up_as_well() -> None:
    run = in_clean_up()
    run.cancel(NOW)
    assert [one.reason for one in requests(run) if one.task_id == "c"] == [Reason.CANCELLED]
    apply(run, finished("c", "cancelled", reason=Reason.CANCELLED, exit_code=143))
    assert (run.job.status, run.job.reason) == (JobStatus.CANCELLED, Reason.CANCELLED)


def test_clean_up_has_a_time_limit() -> None:
    run = in_clean_up()
    assert not run.due(NOW + timedelta(seconds=9.9))
    assert run.due(NOW + timedelta(seconds=10))
    assert [one.reason for one in requests(run) if one.task_id == "c"] == [Reason.CLEANUP_TIMEOUT]
    assert not run.due(NOW + timedelta(seconds=99)), "once"
    apply(run, finished("c", "cancelled", reason=Reason.CLEANUP_TIMEOUT, exit_code=143))
    assert run.tasks["c"].reason is Reason.CLEANUP_TIMEOUT
    assert (run.job.status, run.job.reason) == (JobStatus.CANCELLED, Reason.CANCELLED)


def requests(run: JobRun) -> list[TaskCancelRequested]:
    return [entry.event for entry in run.journal if isinstance(entry.event, TaskCancelRequested)]


def test_a_condition_sees_how_earlier_steps_ended_and_what_they_wrote() -> None:
    condition = "steps.a.status == 'succeeded' && steps.a.outputs.GO == 'yes' && params.n > 1 && job.name == 'name'"
    for go, n, wanted in (("yes", 2, "queued"), ("no", 2, "skipped"), ("yes", 1, "skipped")):
        run = run_of(a_task("a", "a"), a_task("b", "b", ("a",), condition=condition), a_task("c", "c", ("b",)))
        run.job.params = {"n": n}
        apply(run, finished("a").model_copy(update={"outputs": {"GO": go}}))
        assert statuses(run)["b"] == wanted
        if wanted == "skipped":
            assert run.tasks["b"].reason is Reason.CONDITION
            assert statuses(run)["c"] == "queued", "for its dependants, it is as if it had succeeded"


def test_a_condition_that_has_no_result_fails_the_step_with_its_cause() -> None:
    run = run_of(a_task("a", "a"), a_task("b", "b", ("a",), condition="steps.a.outputs.GO == 'yes'"))
    apply(run, finished("a"))
    assert (run.job.status, run.job.reason) == (JobStatus.FAILED, Reason.BAD_CONDITION)
    assert run.tasks["b"].detail is not None
    assert run.tasks["b"].detail.startswith("if: steps.a.outputs.GO == 'yes': step 'a' has no output 'GO'")


def test_a_failure_is_seen_behind_a_step_that_its_condition_skipped() -> None:
    run = run_of(
        a_task("a", "a"),
        a_task("b", "b", ("a",), when="always", condition="false"),
        a_task("c", "c", ("b",), when="on_failure"),
        a_task("d", "d", ("b",)),
    )
    apply(run, finished("a", "failed", exit_code=1))
    assert statuses(run) == {"a": "failed", "b": "skipped", "c": "queued", "d": "queued"}


def test_a_cancel_ends_the_clean_up_of_a_job_that_ran_into_its_time_limit() -> None:
    run = run_of(a_task("a", "a"), a_task("y", "y", ("a",), when="always"), a_task("z", "z", ("y",), when="always"))
    apply(run, started("a"), finished("a"), started("y"))
    assert time_out(run, NOW)
    assert requests(run) == []
    run.cancel(NOW)
    assert [(one.task_id, one.reason) for one in requests(run)] == [("y", Reason.CANCELLED)]
    assert run.tasks["z"].reason is Reason.CANCELLED
    apply(run, finished("y", "cancelled", reason=Reason.CANCELLED))
    assert (run.job.status, run.job.reason) == (JobStatus.FAILED, Reason.JOB_TIMEOUT)


@pytest.mark.parametrize(
    ("first", "status", "reason"),
    [
        ("succeeded", {"cancel": "cancelled", "timeout": "failed"}, {"cancel": "cancelled", "timeout": "job_timeout"}),
        ("failed", {"cancel": "failed", "timeout": "failed"}, {"cancel": "exit_code", "timeout": "exit_code"}),
    ],
)
@pytest.mark.parametrize("stop", ["cancel", "timeout"])
def test_a_job_that_is_stopped_during_clean_up_does_not_succeed(
    first: Literal["succeeded", "failed"], status: dict[str, str], reason: dict[str, str], stop: str
) -> None:
    run = run_of(a_task("a", "a"), a_task("z", "z", ("a",), when="always"))
    apply(run, started("a"), finished("a", first, exit_code=int(first == "failed")), started("z"))
    if stop == "cancel":
        run.cancel(NOW)
    else:
        assert time_out(run, NOW)
    apply(run, finished("z"))
    assert statuses(run) == {"a": first, "z": "succeeded"}
    assert (run.job.status, run.job.reason) == (status[stop], reason[stop])


# ------------------------------------------------------------------ matrix


def test_the_first_failure_of_a_matrix_ends_its_other_tasks() -> None:
    run = run_of(*a_matrix("t", 4, max_parallel=2), a_task("z", "z", ("t",), when="always"))
    apply(run, started("t0"), started("t1"), finished("t1", "failed", exit_code=1))
    assert statuses(run) == {"t0": "running", "t1": "failed", "t2": "cancelled", "t3": "cancelled", "z": "pending"}
    assert [(one.task_id, one.reason) for one in requests(run)] == [("t0", Reason.FAIL_FAST)]
    apply(run, finished("t0", "cancelled", reason=Reason.FAIL_FAST, exit_code=143), finished("z"))
    assert (run.job.status, run.job.reason) == (JobStatus.FAILED, Reason.EXIT_CODE)
    assert run.tasks["t0"].reason is Reason.FAIL_FAST


def test_the_first_failure_of_a_matrix_ends_its_other_tasks_in_clean_up_as_well() -> None:
    run = run_of(a_task("a", "a"), *a_matrix("t", 3, ("a",), when="always", max_parallel=2))
    apply(run, started("a"))
    run.cancel(NOW)
    apply(
        run, finished("a", "cancelled", reason=Reason.CANCELLED), started("t0"), finished("t1", "failed", exit_code=1)
    )
    assert statuses(run) == {"a": "cancelled", "t0": "running", "t1": "failed", "t2": "cancelled"}
    assert [(one.task_id, one.reason) for one in requests(run)][-1] == ("t0", Reason.FAIL_FAST)
    apply(run, finished("t0", "cancelled", reason=Reason.FAIL_FAST))
    assert (run.tasks["t0"].reason, run.job.status, run.job.reason) == (
        Reason.FAIL_FAST,
        JobStatus.FAILED,
        Reason.EXIT_CODE,
    )


def test_a_task_that_is_to_stop_with_its_matrix_is_not_tried_again() -> None:
    run = run_of(*a_matrix("t", 2, retry=RetrySpec(max_attempts=2, delay=0)))
    apply(run, finished("t1", "failed", exit_code=1), finished("t1", "failed", 2, exit_code=1))
    assert statuses(run) == {"t0": "queued", "t1": "failed"}
    apply(run, finished("t0", "failed", exit_code=1))
    assert (run.tasks["t0"].status, run.tasks["t0"].reason) == (TaskStatus.CANCELLED, Reason.FAIL_FAST)


def test_dependants_wait_for_all_tasks_of_a_matrix() -> None:
    run = run_of(*a_matrix("t", 3, max_parallel=1, fail_fast=False), a_task("z", "z", ("t",), when="on_failure"))
    assert statuses(run) == {"t0": "queued", "t1": "pending", "t2": "pending", "z": "pending"}
    apply(run, finished("t0", "failed", exit_code=1))
    assert statuses(run) == {"t0": "failed", "t1": "queued", "t2": "pending", "z": "pending"}
    apply(run, finished("t1"), finished("t2"))
    assert statuses(run)["z"] == "queued"


def test_the_outputs_of_a_matrix_are_put_together_once_for_all_steps_that_it_makes_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []

    def counted(tasks: Sequence[views.Ended]) -> StepView:
        seen.append(len(tasks))
        return view_of(tasks)

    view_of = views.view_of
    monkeypatch.setattr(views, "view_of", counted)
    after = [a_task(one, one, ("t",), condition=f'steps.t.outputs.X == \'["{one}", ""]\'') for one in "xyz"]
    run = run_of(*a_matrix("t", 2), *after)
    apply(run, finished("t0", outputs={"X": "y"}), finished("t1"))
    assert statuses(run) == {"t0": "succeeded", "t1": "succeeded", "x": "skipped", "y": "queued", "z": "skipped"}
    assert seen == [2]


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
    time_out(run, NOW + timedelta(seconds=5))
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
    time_out(run, NOW + timedelta(seconds=5))
    apply(run, TaskWithdrawn(task_id="b", job_id="job", attempt=1, reason=Reason.JOB_TIMEOUT))
    apply(run, finished("a", "cancelled", exit_code=None, reason=Reason.JOB_TIMEOUT))
    assert run.job.detail == "step build had run for 5 s; step test waited 5 s for a worker"


def test_a_job_that_ended_well_just_before_its_time_was_over_has_nothing_to_explain() -> None:
    run = run_of(a_task("a", "build"))
    apply(run, started("a"))
    time_out(run, NOW + timedelta(seconds=5))
    apply(run, finished("a"))
    assert (run.job.status, run.job.detail, run.tasks["a"].detail) == (JobStatus.SUCCEEDED, None, None)


def test_a_task_that_waited_too_long_says_for_what() -> None:
    run = run_of(a_task("a", "build", requires={"gpu": "yes", "zone": "a"}))
    run.apply(TaskExpired(task_id="a", job_id="job", attempt=1), NOW + timedelta(seconds=0.4))
    assert run.job.reason is Reason.QUEUE_TIMEOUT
    assert run.job.detail == "step build: waited 0.4 s for a worker with labels gpu=yes, zone=a"


def test_the_end_of_a_task_tells_its_outputs() -> None:
    run = run_of(a_task("a", "a"), a_task("b", "b"))
    apply(run, finished("a", outputs={"TAG": "v1"}))
    apply(run, finished("b", "failed", reason=Reason.BAD_OUTPUT, outputs={"TAG": "v2"}))
    events = [one.event for one in run.journal if isinstance(one.event, TaskSucceeded | TaskFailed)]
    assert [(event.name, event.outputs) for event in events] == [("a", {"TAG": "v1"}), ("b", {"TAG": "v2"})]
    assert [task.outputs for task in run.tasks.values()] == [{"TAG": "v1"}, {"TAG": "v2"}]


def test_another_attempt_forgets_the_outputs_of_the_former() -> None:
    run = run_of(a_task("a", "a", retry=RETRY, max_crashes=0))
    apply(run, finished("a", "failed", exit_code=1, outputs={"TAG": "v1"}))
    assert run.tasks["a"].outputs is None
    apply(run, finished("a", "cancelled", attempt=2, reason=Reason.FENCED, outputs={"TAG": "v2"}))
    assert (run.tasks["a"].status, run.tasks["a"].outputs) == (TaskStatus.FAILED, None)
