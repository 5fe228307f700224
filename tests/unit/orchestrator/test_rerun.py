"""What a rerun keeps of the earlier job, and how the new job begins."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.definition import StepRules, TaskDefinition
from orchestrator.domain.making import begin
from orchestrator.domain.rerun import NothingFailed, UnknownStep, kept
from orchestrator.domain.run import JobRun
from orchestrator.domain.wanted import FormerTask, Wanted
from schemas.events import ExecutionFinished
from schemas.specs import RunSpec
from schemas.states import TASK, JobStatus, Reason, TaskStatus
from schemas.steps import Approval, Decision

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BEFORE = NOW - timedelta(hours=1)

SUCCEEDED = (TaskStatus.SUCCEEDED, None)
CONDITION = (TaskStatus.SKIPPED, Reason.CONDITION)
ENDINGS = (
    SUCCEEDED,
    CONDITION,
    (TaskStatus.SKIPPED, Reason.DEPENDENCY_FAILED),
    (TaskStatus.SKIPPED, Reason.NOT_NEEDED),
    (TaskStatus.FAILED, Reason.EXIT_CODE),
    (TaskStatus.CANCELLED, Reason.FAIL_FAST),
    (TaskStatus.CANCELLED, Reason.CANCELLED),
)


def former(
    name: str,
    depends_on: Sequence[str] = (),
    ending: tuple[TaskStatus, Reason | None] = SUCCEEDED,
    *,
    index: int | None = None,
    allow_failure: bool = False,
) -> FormerTask:
    rules = StepRules(name, tuple(depends_on), index=index, allow_failure=allow_failure)
    status, reason = ending
    return FormerTask(
        TaskDefinition(rules, RunSpec(command="true")),
        status=status,
        reason=reason,
        detail=None,
        exit_code=0 if status is TaskStatus.SUCCEEDED else None,
        outputs={"OF": f"{name}{index}"} if status is TaskStatus.SUCCEEDED else None,
        decision=None,
        queued_at=BEFORE,
        started_at=BEFORE,
        finished_at=BEFORE,
    )


def names(tasks: Sequence[FormerTask], start: str) -> list[str]:
    return [name if index is None else f"{name}{index}" for name, index in kept(tasks, start)]


def rerun(tasks: Sequence[FormerTask], start: str) -> JobRun:
    """The new job, just begun. The id of a task is its name with its index."""
    wanted = Wanted("job", "name", [task.definition for task in tasks], kept=kept(tasks, start))
    ids = ["".join(map(str, task.definition.key)) for task in tasks]
    return begin(wanted, ids, NOW, draw=lambda: 0.0).run


def succeed(run: JobRun, id: str) -> None:
    report = ExecutionFinished(
        execution_id=f"{id}/1",
        task_id=id,
        job_id="job",
        attempt=1,
        worker_id="w",
        incarnation="i",
        status="succeeded",
        exit_code=0,
        started_at=NOW,
        finished_at=NOW,
    )
    run.apply(report, NOW)


# ------------------------------------------------------------------ what is kept

CHAIN = [former("a"), former("b", ["a"]), former("c", ["b"], ENDINGS[4]), former("d", ["c"], ENDINGS[2]), former("e")]


@pytest.mark.parametrize(
    ("start", "keeps"),
    [("start", ""), ("failed", "abe"), ("c", "abe"), ("d", "abe"), ("b", "ae"), ("a", "e"), ("e", "ab")],
)
def test_what_succeeded_before_the_start_is_kept(start: str, keeps: str) -> None:
    assert names(CHAIN, start) == list(keeps)


def test_a_clean_up_that_succeeded_runs_again_after_what_failed() -> None:
    tasks = [former("a", (), ENDINGS[4]), former("clean", ["a"])]
    assert names(tasks, "failed") == []


def test_a_step_that_its_condition_skipped_is_kept_and_one_that_was_not_needed_is_not() -> None:
    tasks = [former("a"), former("b", ["a"], CONDITION), former("c", ["a"], ENDINGS[3]), former("d", ["b"])]
    tasks.append(former("e", (), ENDINGS[4]))
    assert names(tasks, "failed") == ["a", "b", "d"]


def test_a_failure_that_was_allowed_runs_again_with_what_depends_on_it() -> None:
    tasks = [former("a", (), ENDINGS[4], allow_failure=True), former("b", ["a"]), former("c")]
    assert names(tasks, "failed") == ["c"]


def test_the_tasks_of_a_matrix_that_succeeded_are_kept_unless_the_rerun_begins_with_their_step() -> None:
    matrix = [former("m", ["a"], ENDINGS[place], index=index) for index, place in enumerate((0, 4, 0, 5))]
    tasks = [former("a"), *matrix, former("b", ["m"])]
    assert names(tasks, "failed") == ["a", "m0", "m2"]
    assert names(tasks, "b") == ["a", "m0", "m2"]
    assert names(tasks, "m") == ["a"]
    assert names(tasks, "a") == []


def test_an_unknown_step_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownStep, match=r"^the job has no step 'biuld'; did you mean build\?$"):
        kept([former("build"), former("test")], "biuld")
    with pytest.raises(UnknownStep, match=r"did you mean failed\?"):
        kept([former("build")], "fail")


def test_the_word_wins_over_a_step_of_the_same_name() -> None:
    tasks = [former("failed"), former("start"), former("last", (), ENDINGS[4])]
    assert names(tasks, "failed") == ["failed", "start"]
    assert names(tasks, "start") == []


@pytest.mark.parametrize("ending", [SUCCEEDED, CONDITION, ENDINGS[3]])
def test_a_job_of_which_nothing_failed_is_not_run_from_what_failed(ending: tuple[TaskStatus, Reason | None]) -> None:
    tasks = [former("a"), former("b", ["a"], ending)]
    with pytest.raises(NothingFailed):
        kept(tasks, "failed")
    assert names(tasks, "a") == []


@pytest.mark.parametrize("ending", [ENDINGS[4], ENDINGS[5], ENDINGS[6]])
def test_what_failed_or_was_cancelled_is_run_also_where_it_was_allowed(
    ending: tuple[TaskStatus, Reason | None],
) -> None:
    assert names([former("a"), former("b", (), ending, allow_failure=True)], "failed") == ["a"]


# ------------------------------------------------------------------ how the new job begins


def test_a_kept_task_has_all_of_its_outcome() -> None:
    decision = Decision(approved=True, by="ana", comment="seen", at=BEFORE)
    asked = FormerTask(
        TaskDefinition(StepRules("ask", approval=Approval(message="go?")), None),
        status=TaskStatus.SUCCEEDED,
        reason=None,
        detail=None,
        exit_code=None,
        outputs=None,
        decision=decision,
        queued_at=None,
        started_at=BEFORE,
        finished_at=BEFORE,
    )
    skipped = former("skipped", (), CONDITION)
    run = rerun([former("a"), asked, skipped, former("b", ["a", "ask", "skipped"], ENDINGS[4])], "failed")
    a, ask, skip, _ = run.tasks.values()
    assert (a.status, a.exit_code, a.outputs, a.finished_at) == (TaskStatus.SUCCEEDED, 0, {"OF": "aNone"}, BEFORE)
    assert (ask.status, ask.decision, ask.started_at) == (TaskStatus.SUCCEEDED, decision, BEFORE)
    assert (skip.status, skip.reason) == CONDITION
    assert run.ordered == ["bNone"]


def test_a_rejected_approval_asks_again() -> None:
    rules = StepRules("ask", approval=Approval(message="go?"))
    decision = Decision(approved=False, at=BEFORE)
    ended = TaskStatus.FAILED, Reason.REJECTED, "rejected", None, None, decision, None, BEFORE, BEFORE
    run = rerun([FormerTask(TaskDefinition(rules, None), *ended)], "failed")
    [task] = run.tasks.values()
    assert (task.status, task.decision, task.reason, task.started_at) == (TaskStatus.RUNNING, None, None, NOW)


def test_only_the_failed_task_of_a_matrix_runs_and_then_what_waits_for_it() -> None:
    matrix = [former("m", (), ENDINGS[place], index=index) for index, place in enumerate((0, 4))]
    run = rerun([*matrix, former("b", ["m"], ENDINGS[2])], "failed")
    assert run.ordered == ["m1"]
    succeed(run, "m1")
    assert run.ordered == ["m1", "bNone"]


# ------------------------------------------------------------------ of random jobs


@st.composite
def jobs(draw: st.DrawFn) -> tuple[list[FormerTask], str]:
    """The tasks of a job that is over, in any order of their steps, and where a rerun begins."""
    tasks: list[list[FormerTask]] = []
    every: list[str] = []
    for place in range(draw(st.integers(1, 8))):
        name = f"s{place}"
        before = draw(st.lists(st.sampled_from(every), unique=True)) if every else []
        allow = draw(st.booleans())
        endings = st.sampled_from(ENDINGS) | st.just(SUCCEEDED)
        indices = draw(st.just([None]) | st.integers(1, 3).map(lambda count: list(range(count))))
        tasks.append([former(name, before, draw(endings), index=index, allow_failure=allow) for index in indices])
        every.append(name)
    shuffled = draw(st.permutations(tasks))
    made = [task for of_step in shuffled for task in of_step]
    nothing_failed = all((task.status, task.reason) in (SUCCEEDED, CONDITION, ENDINGS[3]) for task in made)
    words = ["start"] if nothing_failed else ["failed", "start"]
    return made, draw(st.sampled_from([*words, *every]))


def ancestors(tasks: Sequence[FormerTask], name: str) -> set[str]:
    """The steps that a step depends on, directly or through others, by following its dependencies."""
    direct = next(task.definition.rules.depends_on for task in tasks if task.definition.rules.name == name)
    return set(direct).union(*(ancestors(tasks, one) for one in direct))


@given(jobs())
@settings(max_examples=300)
def test_exactly_that_is_kept_which_is_fine_and_depends_on_nothing_that_runs_again(
    job: tuple[list[FormerTask], str],
) -> None:
    tasks, start = job
    keeps = kept(tasks, start)
    for task in tasks:
        before = ancestors(tasks, task.definition.rules.name)
        runs_again = [one for one in tasks if one.definition.key not in keeps]
        after_it = any(one.definition.rules.name in before for one in runs_again)
        fine = (task.status, task.reason) in (SUCCEEDED, CONDITION)
        begins = start in ("start", task.definition.rules.name)
        assert (task.definition.key in keeps) == (fine and not after_it and not begins)


@given(jobs())
@settings(max_examples=300)
def test_a_rerun_decides_all_that_waits_for_nothing_and_ends_when_the_rest_has_run(
    job: tuple[list[FormerTask], str],
) -> None:
    tasks, start = job
    keeps = kept(tasks, start)
    run = rerun(tasks, start)
    open_steps = {task.name for task in run.tasks.values() if task.status not in TASK.final}
    for task in run.tasks.values():
        waits = bool(open_steps & set(task.rules.depends_on))
        assert (task.status is TaskStatus.PENDING) == (waits and (task.name, task.rules.index) not in keeps)
    for _ in range(len(tasks)):
        for id in [task.id for task in run.tasks.values() if task.status is TaskStatus.QUEUED]:
            succeed(run, id)
    assert run.job.status is JobStatus.SUCCEEDED
    for task in run.tasks.values():
        if one := keeps.get((task.name, task.rules.index)):
            assert (task.status, task.outputs, task.finished_at) == (one.status, one.outputs, BEFORE)
            assert not [entry for entry in run.journal if getattr(entry.event, "task_id", None) == task.id]
        else:
            assert task.status is TaskStatus.SUCCEEDED
