"""Orders with the values of their expressions, and tasks for which there are none."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from orchestrator.domain.definition import of_steps
from orchestrator.domain.making import NewJob, begin
from orchestrator.domain.orders import Commands, Queued
from orchestrator.domain.rendering import MAX_RENDERED, render
from orchestrator.domain.run import JobRun
from orchestrator.domain.views import Ended, status_of, view_of
from orchestrator.domain.wanted import Wanted
from schemas.events import ExecutionFinished, TaskQueued, TaskScheduled
from schemas.specs import RunSpec, StepSpec
from schemas.states import Reason, TaskStatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def job_of(
    *steps: dict[str, object], params: Mapping[str, str] | None = None, env: Mapping[str, str] | None = None
) -> NewJob:
    """A job whose tasks have the names of their steps as ids."""
    specs = [StepSpec.model_validate({"command": "true", **step}) for step in steps]
    wanted = Wanted("job", "nightly", of_steps(specs, over=env or {}), params=params or {}, env=env or {})
    return begin(wanted, [spec.name for spec in specs], NOW, draw=lambda: 0.0)


def orders(new: NewJob) -> dict[str, RunSpec]:
    return {event.task_id: event.run for event in new.run.events(new.commands) if isinstance(event, TaskQueued)}


def end(
    new: NewJob, name: str, *, outputs: dict[str, str] | None = None, status: str = "succeeded"
) -> dict[str, RunSpec]:
    """End a task as its worker reports it. Returns the orders that this causes, by the name of the step."""
    report(new.run, name, outputs=outputs, status=status)
    assert render(new.run, new.commands, NOW) == []
    return orders(new)


def report(run: JobRun, name: str, *, outputs: dict[str, str] | None, status: str = "succeeded") -> None:
    run.written()
    ids = {"task_id": name, "job_id": "job", "attempt": run.tasks[name].attempt, "execution_id": f"{name}/1"}
    ids |= {"worker_id": "w", "incarnation": "i"}
    run.apply(TaskScheduled.model_validate({**ids, "run": {"command": "true"}, "scheduled_at": NOW}), NOW)
    outcome = {"status": status, "exit_code": 0, "started_at": NOW, "finished_at": NOW, "outputs": outputs}
    run.apply(ExecutionFinished.model_validate({**ids, **outcome}), NOW)


def told(run: JobRun, name: str) -> tuple[TaskStatus, Reason | None, str | None]:
    task = run.tasks[name]
    return task.status, task.reason, task.detail


def test_the_first_orders_have_parameters_and_ids() -> None:
    new = job_of(
        {"name": "a", "command": ["echo", "${{ params.x }}"], "env": {"V": "${{ job.id }} ${{ step.attempt }}"}},
        {"name": "b", "command": "echo $${{"},
        params={"x": "1; rm"},
    )
    made = orders(new)

    assert made["a"].argv() == ["/bin/sh", "-c", "echo '1; rm'"]
    assert made["a"].env["V"] == "job 1"
    assert made["b"].command == "echo ${{"
    assert new.definitions["a"].run.env["V"] == "${{ job.id }} ${{ step.attempt }}", "the definition keeps its template"


def test_an_order_has_the_outputs_of_the_steps_before_it() -> None:
    hostile = "$(id) ${{ params.x }} '\n"
    new = job_of(
        {"name": "a"},
        {"name": "b", "depends_on": ["a"]},
        {"name": "c", "depends_on": ["b"], "env": {"V": "${{ steps.a.outputs.X }}"}, "working_dir": "/${{ params.x }}"},
        params={"x": "dir"},
    )
    end(new, "a", outputs={"X": hostile})
    made = end(new, "b")

    assert (made["c"].env["V"], made["c"].working_dir) == (hostile, "/dir")


def test_what_the_job_sets_is_not_a_template() -> None:
    new = job_of({"name": "a", "env": {"V": "${{ job.id }}", "W": "${{ job.id }}"}}, env={"V": "${{ params.x }}"})

    assert {name: orders(new)["a"].env[name] for name in "VW"} == {"V": "${{ params.x }}", "W": "job"}


def test_rows_without_the_flag_stay_as_they_are() -> None:
    new = job_of({"name": "a"})
    commands = Commands({}, {"a": RunSpec(command=["${{ job.id }}"], type="exec")})

    assert render(new.run, commands, NOW) == []
    [order] = [event for event in new.run.events(commands) if isinstance(event, TaskQueued)]
    assert order.run.command == ["${{ job.id }}"]


def test_the_next_attempt_has_its_own_number() -> None:
    new = job_of({"name": "a", "retry": {"max_attempts": 2, "delay": 0}, "env": {"V": "${{ step.attempt }}"}})

    assert orders(new)["a"].env["V"] == "1"
    assert end(new, "a", status="failed")["a"].env["V"] == "2"


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        (None, "env.V: step 'a' succeeded without the output 'X'; it has no outputs"),
        ("x\0", "env.V: the value of steps.a.outputs.X has a NUL character, which no process can be given"),
        ("\ud800", "env.V: the value of steps.a.outputs.X is not valid Unicode"),
    ],
)
def test_a_task_without_a_value_fails_and_what_depends_on_it_is_decided(value: str | None, detail: str) -> None:
    new = job_of(
        {"name": "a"},
        {"name": "b", "depends_on": ["a"], "env": {"V": "${{ steps.a.outputs.X }}"}},
        {"name": "c", "depends_on": ["b"]},
        {"name": "d", "depends_on": ["b"], "when": "always", "env": {"V": "[${{ steps.b.outputs.Y }}]"}},
    )
    made = end(new, "a", outputs=None if value is None else {"X": value})

    assert told(new.run, "b") == (TaskStatus.FAILED, Reason.BAD_EXPRESSION, detail)
    assert told(new.run, "c")[:2] == (TaskStatus.SKIPPED, Reason.DEPENDENCY_FAILED)
    assert list(made) == ["d"]
    assert made["d"].env["V"] == "[]"
    end(new, "d")
    assert (new.run.job.status, new.run.job.reason) == ("failed", Reason.BAD_EXPRESSION)
    assert new.run.job.detail == f"step b: {detail}"


def test_a_command_that_is_not_loaded_yet_is_asked_for() -> None:
    new = job_of(
        {"name": "a"},
        {"name": "b", "depends_on": ["a"], "env": {"V": "${{ steps.a.outputs.X }}"}},
        {"name": "c", "depends_on": ["b"], "when": "on_failure"},
    )
    run, commands = new.run, Commands({}, {"b": new.definitions["b"].run})
    report(run, "a", outputs={})

    assert render(run, commands, NOW) == ["c"]
    assert [entry.event.task_id for entry in run.journal if isinstance(entry.event, Queued)] == ["c"]


def test_the_commands_of_one_transaction_are_bounded() -> None:
    count = MAX_RENDERED // 1_300_000 + 2
    variables = {f"V{n}": "${{ params.x }}" for n in range(10)}
    new = job_of(*({"name": f"s{n}", "env": variables} for n in range(count)), params={"x": "x" * 130_000})

    assert told(new.run, f"s{count - 1}")[:2] == (TaskStatus.FAILED, Reason.BAD_EXPRESSION)
    assert "over 33,554,432 characters" in str(told(new.run, f"s{count - 1}")[2])
    assert told(new.run, "s0")[0] is TaskStatus.QUEUED


def test_the_outputs_of_a_matrix_are_arrays_in_the_order_of_its_tasks() -> None:
    tasks = [Ended(TaskStatus.SUCCEEDED, outputs, of_matrix=True) for outputs in ({"A": 'x"'}, {"B": "é"}, {"A": "z"})]
    view = view_of(tasks)

    assert view.status == "succeeded"
    assert view.outputs == {"A": '["x\\"", "", "z"]', "B": '["", "é", ""]'}
    assert view_of(tasks[:1]).outputs == {"A": '["x\\""]'}
    assert view_of([Ended(TaskStatus.SUCCEEDED, {"A": "x"}, of_matrix=False)]).outputs == {"A": "x"}


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        (["succeeded", "failed", "cancelled"], "failed"),
        (["succeeded", "cancelled"], "cancelled"),
        (["skipped", "succeeded"], "succeeded"),
        (["skipped", "skipped"], "skipped"),
    ],
)
def test_the_status_of_a_step_with_several_tasks(statuses: list[str], status: str) -> None:
    assert status_of([TaskStatus(one) for one in statuses]) == status
