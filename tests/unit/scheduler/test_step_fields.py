"""The fields of a step that the scheduler keeps with its task."""

from dataclasses import fields

from orchestrator.domain.definition import StepRules
from scheduler.domain.model import NO_FIELDS, Shape, StepFields
from scheduler.store.tables import STEP_COLUMNS
from schemas.events import TaskQueued
from schemas.specs import Resources
from tests.unit.scheduler.making import queued


def test_every_rule_that_an_order_carries_is_kept_with_the_task() -> None:
    carried = {field.name for field in fields(StepRules)} & TaskQueued.model_fields.keys()
    assert {field.name for field in fields(StepFields)} == carried - {"name"}  # which is a field of the task itself


def test_the_values_of_a_matrix_stay_in_their_order() -> None:
    order = queued("a").model_copy(update={"matrix": {"python": "3.11", "os": "debian"}, "index": 2})
    kept = StepFields.of(order)
    assert (list(kept.matrix or ()), kept.index) == (["python", "os"], 2)
    [column] = [column for column in STEP_COLUMNS if column.name == "matrix"]
    assert (column.cast, column.write(kept)) == ("json", '{"python":"3.11","os":"debian"}')


def test_tasks_of_one_step_share_its_fields_and_its_shape() -> None:
    order = queued("a", requires={"zone": "north"}, resources=Resources(cpu_m=500))
    kept, again = [StepFields.of(order.model_copy(update={"labels": {"team": "web"}}, deep=True)) for _ in range(2)]
    assert kept is again
    assert kept == StepFields({"zone": "north"}, Resources(cpu_m=500), {"team": "web"})
    assert Shape.of(kept) is Shape.of(StepFields.of(order)), "labels do not make another shape"
    assert StepFields.of(queued("b")) is NO_FIELDS
